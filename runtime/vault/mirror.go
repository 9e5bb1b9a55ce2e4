package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"pantheon/events/problem"
)

const (
	// filePrefix begins the names of files in the vault.
	filePrefix = "file/"
	// stateFile holds what the folder and the vault had in common.
	stateFile = ".mirror"
)

// MirrorOptions of a Mirror. Store and Dir are required.
type MirrorOptions struct {
	Store *Store
	// Dir is the folder of secrets, <data>/keys. It belongs to the platform's user,
	// and nobody else may enter it.
	Dir string
	// Skip are names in Dir that are left alone: where package keys has its own.
	Skip []string
	// Every is how often Run looks for what was changed on this machine. Default:
	// 5 s.
	Every time.Duration
	// Changed is called, with the mirror locked, after a file was written or removed
	// because another machine has done so: its owner reads it again.
	Changed func(name string)
	// Logger gets what an operator should know. Default: nothing is logged.
	Logger *slog.Logger
}

// Mirror keeps the files of secrets below a folder the same on all control
// machines: regular files of MaxContentBytes at most, MaxFiles of them. Names
// that begin with a dot, and those that end with .new, are each machine's own.
//
// What is written, changed or removed on one machine, with Put and Remove or by
// the files' owner on disk, comes to all others. Where two machines have
// changed one file, the one whose change reached the vault first wins: Put and
// Remove of the other give Conflict, and what it has changed on disk is
// replaced, which is logged. A removal counts as a change, and takes along the
// files that it knew of; a file made anew afterwards is put in. On a machine that
// has never met the vault, the vault wins, and what it has no trace of is put in.
// Whether one machine's files belong together (a private key and its public half)
// a Mirror does not know: make such files on one machine.
//
// Files are replaced by a rename and have mode 0600; a removed one is overwritten
// first. Nothing is read or written through a symbolic link; where one, or a
// folder, is in a file's place, the name is left alone on this machine.
type Mirror struct {
	store   *Store
	folder  folder
	every   time.Duration
	changed func(string)
	logger  *slog.Logger

	turn chan struct{} // holds one token: whoever has it may use what follows

	loaded bool
	first  bool             // this machine has never met the vault
	life   string           // of the vault's bucket that it has met
	bases  map[string]*base // by file
	dirty  bool             // bases are not as in the file
}

// NewMirror makes a Mirror; it touches nothing.
func NewMirror(options MirrorOptions) (*Mirror, error) {
	if options.Store == nil || options.Dir == "" {
		return nil, problem.New(problem.Internal, "internal error: a mirror without a vault or a folder")
	}
	if options.Every <= 0 {
		options.Every = scanEvery
	}
	if options.Changed == nil {
		options.Changed = func(string) {}
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	return &Mirror{
		store: options.Store, folder: folder{path: options.Dir, skip: options.Skip},
		every: options.Every, changed: options.Changed, logger: options.Logger, turn: make(chan struct{}, 1),
	}, nil
}

// Met says whether this machine has met the vault before. One that has not must
// not make files of its own before Reconcile has succeeded: the cell may have
// them.
func (m *Mirror) Met(ctx context.Context) (met bool, err error) {
	err = m.locked(ctx, func() error {
		err := m.load()
		met = err == nil && !m.first
		return err
	})
	return met, err
}

// Contribute puts the folder's files into the vault: the first control machine
// does so before Store.Found, when a cell grows.
func (m *Mirror) Contribute(ctx context.Context) error {
	return Persist(ctx, func() error { return m.pass(ctx, new(uint64), true) })
}

// Reconcile brings the folder and the vault to the same. When it has returned
// without an error, this machine has all files of the cell.
func (m *Mirror) Reconcile(ctx context.Context) error {
	if err := m.store.CheckFounded(ctx); err != nil {
		return err
	}
	return m.Contribute(ctx)
}

// Put writes a file on all control machines. When it has returned, the vault has
// it, and so has this machine.
func (m *Mirror) Put(ctx context.Context, name string, content []byte) error {
	return m.own(ctx, name, func(found Secret) error {
		known := m.bases[name]
		if found.Live() != (known != nil) || known != nil && known.Revision != found.Revision {
			return m.outrun(ctx, name)
		}
		written, err := m.store.Put(ctx, filePrefix+name, content, found.Revision)
		if err != nil {
			return err
		}
		return m.installed(name, written)
	})
}

// Remove removes a file on all control machines. None is no error.
func (m *Mirror) Remove(ctx context.Context, name string) error {
	return m.own(ctx, name, func(found Secret) error {
		if known := m.bases[name]; found.Live() && (known == nil || known.Revision != found.Revision) {
			return m.outrun(ctx, name)
		}
		if found.Live() {
			if _, err := m.store.Remove(ctx, filePrefix+name); err != nil {
				return err
			}
		}
		return m.erased(name)
	})
}

// outrun refuses a change, and takes the one that was first.
func (m *Mirror) outrun(ctx context.Context, name string) error {
	err := problem.New(problem.Conflict, "cannot change %s: another control machine has changed it meanwhile", name).
		WithHint("look at it again; the same command works then")
	return errors.Join(err, m.look(ctx, name))
}

// own is a change by a file's owner, who is told what the vault has.
func (m *Mirror) own(ctx context.Context, name string, change func(Secret) error) error {
	if !m.folder.valid(name) {
		return problem.New(problem.Invalid, "cannot share a file of this name: %.80q", name)
	}
	return m.locked(ctx, func() error {
		if err := m.enter(ctx); err != nil {
			return err
		}
		if m.first {
			return problem.New(problem.Unavailable, "cannot share a file: this machine does not have those of the cell yet").
				WithHint("it gets them when it reaches the other control machines; then the same command works")
		}
		found, err := m.store.Get(ctx, filePrefix+name)
		if err != nil {
			return err
		}
		return errors.Join(change(found), m.save())
	})
}

// Scan looks for what was changed on this machine's disk, and shares it.
func (m *Mirror) Scan(ctx context.Context) error {
	return m.locked(ctx, func() error {
		if err := m.enter(ctx); err != nil || m.first {
			return err
		}
		return errors.Join(m.scan(ctx), m.save())
	})
}

// scan looks at the files that are not as they were when they met the vault's,
// and at those that are gone.
func (m *Mirror) scan(ctx context.Context) error {
	names, err := m.allNames()
	if err != nil {
		return err
	}
	var changed []string
	gone := 0
	for _, name := range names {
		local, err := m.local(name)
		known := m.bases[name]
		switch {
		case errors.Is(err, errUnusable) || err == nil && known != nil && bytes.Equal(local, known.Digest):
			continue
		case err != nil:
			return err
		case local == nil:
			gone++
		}
		changed = append(changed, name)
	}
	if gone > 1 && gone == len(m.bases) {
		m.logger.Error("all files of secrets of this machine are gone: it gets them again from the others", "folder", m.folder.path, "count", gone)
		clear(m.bases)
	}
	for _, name := range changed {
		if err := m.look(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// allNames gives the files that are here, and those that were.
func (m *Mirror) allNames() ([]string, error) {
	names, strange, err := m.folder.names()
	if err != nil {
		return nil, err
	}
	if strange > 0 {
		m.logger.Debug("links and the like among the files of secrets are left alone", "count", strange)
	}
	all := slices.AppendSeq(names, maps.Keys(m.bases))
	slices.Sort(all)
	return slices.Compact(all), nil
}

// local gives the digest of a file, nil where there is none.
func (m *Mirror) local(name string) ([]byte, error) {
	content, found, err := m.folder.read(name)
	if err != nil || !found {
		return nil, err
	}
	return m.digest(content), nil
}

func (m *Mirror) digest(content []byte) []byte { return m.store.sealer.digest("file", content) }

// look does what has to be done about one file. A link in its place is left
// alone.
func (m *Mirror) look(ctx context.Context, name string) error {
	found, err := m.store.Get(ctx, filePrefix+name)
	if problem.KindOf(err) == problem.Denied && m.store.life.Load() != nil {
		m.logger.Error("a file of secrets cannot be shared", "file", name, "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	content, here, err := m.folder.read(name)
	if err == nil {
		s := situation{first: m.first, base: m.bases[name], revision: found.Revision}
		if here {
			s.local = m.digest(content)
		}
		if found.Live() {
			s.remote = m.digest(found.content)
		}
		do, lost := merge(s)
		if lost {
			m.logger.Warn("a file of secrets was changed here and on another control machine, whose change was first: the one of this machine goes", "file", name)
		}
		err = m.perform(ctx, name, do, content, found)
	}
	if errors.Is(err, errUnusable) {
		m.logger.Warn("a file of secrets is left alone on this machine", "file", name, "error", err)
		return nil
	}
	return err
}

func (m *Mirror) perform(ctx context.Context, name string, do action, content []byte, found Secret) error {
	switch do {
	case nothing:
		return nil
	case adopt:
		m.note(name, &base{found.Revision, m.digest(content)})
		return nil
	case forget:
		m.note(name, nil)
		return nil
	case push:
		written, err := m.store.Put(ctx, filePrefix+name, content, found.Revision)
		if problem.KindOf(err) == problem.Conflict {
			return nil // the watch brings what was first
		}
		if err == nil {
			m.note(name, &base{written.Revision, m.digest(content)})
		}
		return err
	case retract:
		if _, err := m.store.Remove(ctx, filePrefix+name); err != nil {
			return err
		}
		m.note(name, nil)
		return nil
	case install:
		if err := m.installed(name, found); err != nil {
			return err
		}
	case erase:
		if err := m.erased(name); err != nil {
			return err
		}
	}
	m.changed(name)
	return nil
}

// installed writes a file, and notes it.
func (m *Mirror) installed(name string, secret Secret) error {
	if err := m.folder.write(name, secret.content); err != nil {
		return err
	}
	m.note(name, &base{secret.Revision, m.digest(secret.content)})
	return nil
}

func (m *Mirror) erased(name string) error {
	if err := m.folder.remove(name); err != nil {
		return err
	}
	m.note(name, nil)
	return nil
}

// note keeps what a file and the vault have in common, nil where that is
// nothing.
func (m *Mirror) note(name string, common *base) {
	if common == nil {
		delete(m.bases, name)
	} else {
		m.bases[name] = common
	}
	m.dirty = true
}

// Run shares what changes, here and elsewhere, until ctx ends. It begins with
// what Reconcile does, and does it again when the vault was away.
func (m *Mirror) Run(ctx context.Context) error {
	inner, stop := context.WithCancel(ctx)
	defer stop()
	var scanning sync.WaitGroup
	defer scanning.Wait()
	scanning.Go(func() { m.scanEver(inner) })
	defer stop()
	for after := uint64(0); ; {
		err := m.store.CheckFounded(ctx)
		if err == nil {
			err = m.pass(ctx, &after, false)
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errRenew):
			continue
		}
		after = 0
		m.logger.Warn("cannot follow the cell's vault; trying again", "error", err)
		pause := time.NewTimer(pauseAfterError)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return context.Cause(ctx)
		}
	}
}

func (m *Mirror) scanEver(ctx context.Context) {
	ticker := time.NewTicker(m.every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if err := m.Scan(ctx); err != nil && ctx.Err() == nil {
			m.logger.Warn("cannot share what has changed among the files of secrets; trying again", "error", err)
		}
	}
}

var (
	errAll   = errors.New("that was all")
	errRenew = errors.New("it is time to watch anew")
)

// pass watches from a revision on and looks at the files that it hears of; from
// the beginning at all files, at the mark. Once, it ends there, else with errRenew
// when renewEvery is over.
func (m *Mirror) pass(ctx context.Context, after *uint64, once bool) error {
	if err := m.locked(ctx, func() error { return m.enter(ctx) }); err != nil {
		return err
	}
	watching, end := context.WithCancelCause(ctx)
	defer end(nil)
	full, newest := *after == 0, *after
	seen := map[string]bool{}
	err := m.store.Watch(watching, *after, func(found Secret) error {
		if found.Name != "" {
			if full {
				seen[strings.TrimPrefix(found.Name, filePrefix)] = true
			}
			if err := m.locked(ctx, func() error { return m.heard(ctx, found, full) }); err != nil {
				return err
			}
			newest = max(newest, found.Revision)
			return nil
		}
		if full {
			if err := m.locked(ctx, func() error { return m.mark(ctx, seen) }); err != nil {
				return err
			}
		}
		full, seen = false, nil
		if once {
			return errAll
		}
		timer := time.AfterFunc(renewEvery, func() { end(errRenew) })
		context.AfterFunc(watching, func() { timer.Stop() })
		return nil
	})
	if !full {
		*after = newest
	}
	switch {
	case once && errors.Is(err, errAll):
		return nil
	case ctx.Err() == nil && watching.Err() != nil:
		return context.Cause(watching)
	}
	return err
}

// heard is news of the vault about one file.
func (m *Mirror) heard(ctx context.Context, found Secret, full bool) error {
	name, ours := strings.CutPrefix(found.Name, filePrefix)
	if !ours || !m.folder.valid(name) {
		return nil
	}
	known := m.bases[name]
	switch {
	case !full && found.Removed && known == nil, !full && known != nil && found.Revision <= known.Revision:
		return nil // what this machine has written comes back
	case found.Live() && known == nil && len(m.bases) >= MaxFiles:
		m.logger.Error("a file of secrets is not taken: there are too many", "file", name)
		return nil
	}
	err := m.look(ctx, name)
	if full {
		return err // saved at the mark
	}
	return errors.Join(err, m.save())
}

// mark is the end of what the vault had at the beginning of a pass. What this
// machine has met and the vault has no trace of is looked at too.
func (m *Mirror) mark(ctx context.Context, seen map[string]bool) error {
	for _, name := range slices.Sorted(maps.Keys(m.bases)) {
		if !seen[name] {
			if err := m.look(ctx, name); err != nil {
				return errors.Join(err, m.save())
			}
		}
	}
	if err := m.scan(ctx); err != nil {
		return errors.Join(err, m.save())
	}
	m.dirty = m.dirty || m.first
	m.first = false
	return m.save()
}

// locked waits for its turn, which the vault may hold up.
func (m *Mirror) locked(ctx context.Context, do func() error) error {
	select {
	case m.turn <- struct{}{}:
	case <-ctx.Done():
		return unreachable(ctx.Err())
	}
	defer func() { <-m.turn }()
	return do()
}

// enter opens the folder, and sees whether the vault is the one that was met. Of
// another one nothing is known: the cell has shrunk and grown in between.
func (m *Mirror) enter(ctx context.Context) error {
	if err := m.load(); err != nil {
		return err
	}
	if err := m.store.check(ctx); err != nil {
		return err
	}
	if life := *m.store.life.Load(); m.life != life {
		m.first, m.life, m.bases = true, life, map[string]*base{}
	}
	return nil
}

// state is the file of what the folder and the vault had in common.
type state struct {
	Cell  string           `json:"cell"`
	Life  string           `json:"life"` // of the vault's bucket
	Files map[string]*base `json:"files"`
}

// load reads the state, once.
func (m *Mirror) load() error {
	if m.loaded {
		return nil
	}
	if err := m.folder.open(); err != nil {
		return err
	}
	m.folder.clean()
	text, found, err := m.folder.readUpTo(stateFile, maxStateBytes)
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot read %s/%s", m.folder.path, stateFile)
	}
	var s state
	if found {
		if err := json.Unmarshal(text, &s); err != nil {
			m.logger.Warn("what this machine knew of the cell's files is lost; the vault's win", "error", err)
		}
	}
	// Of another cell, or damaged, it is as if there was none.
	if m.first = s.Cell != m.store.cell; m.first {
		s = state{}
	}
	if s.Files == nil {
		s.Files = map[string]*base{}
	}
	maps.DeleteFunc(s.Files, func(name string, one *base) bool { return one == nil || !m.folder.valid(name) })
	m.bases, m.life, m.loaded = s.Files, s.Life, true
	return nil
}

// save writes the state where it has changed. A machine that has never met the
// whole vault has none.
func (m *Mirror) save() error {
	if !m.dirty || m.first {
		return nil
	}
	text, err := json.Marshal(state{Cell: m.store.cell, Life: m.life, Files: m.bases})
	if err != nil {
		return problem.Wrap(problem.Internal, err, "internal error: cannot write down what files there are")
	}
	if err := m.folder.write(stateFile, text); err != nil {
		return err
	}
	m.dirty = false
	return nil
}
