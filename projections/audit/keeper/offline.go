package keeper

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/note"

	"pantheon/events/eventlog"
	"pantheon/events/eventlog/archive"
	"pantheon/events/eventlog/chain"
	"pantheon/events/problem"
	"pantheon/projections/audit"
)

// Offline checks an archive against the heads that are in it, and others. It is
// an archive.Check.
type Offline struct {
	key    note.Verifier // nil: the one that the archive names
	check  *Check
	newest audit.SignedHead
	state  audit.State
}

var _ archive.Check = (*Offline)(nil)

// NewOffline checks with a public key, or without one with that which the
// archive itself names: then nobody knows who signed it. more are heads from
// elsewhere.
func NewOffline(key note.Verifier, more ...string) (*Offline, error) {
	o := &Offline{key: key, check: NewCheck(nil, nil)}
	return o, o.add(more, key)
}

// Heads implements [archive.Check].
func (o *Offline) Heads(heads archive.Heads) error {
	key := o.key
	if key == nil && len(heads.Notes) > 0 {
		var err error
		if key, err = note.NewVerifier(heads.Key); err != nil {
			return problem.New(problem.Conflict, "cannot check the archive's signed heads: the key it names is none")
		}
	}
	return o.add(heads.Notes, key)
}

func (o *Offline) add(notes []string, key note.Verifier) error {
	heads := make([]audit.Head, len(notes))
	for i, text := range notes {
		if key == nil {
			return problem.New(problem.Invalid, "cannot check a head without the public key").WithHint("--key names it")
		}
		head, err := audit.OpenHead(text, key)
		if err != nil {
			return problem.Wrap(problem.Conflict, err, "cannot trust a signed head").
				WithHint("the public key must be that of the cell the log is of: pantheon audit head --field key prints it")
		}
		if heads[i] = head; head.Size > o.newest.Size {
			o.newest = audit.SignedHead{Head: head, Note: text}
		}
	}
	o.check.AddHeads(heads)
	return nil
}

// Add implements [archive.Check].
func (o *Offline) Add(links []chain.Link) error {
	for _, link := range links {
		if err := o.See(link); err != nil {
			return err
		}
	}
	return nil
}

// See is Add for one link; jetstream.OpenFiles calls it.
func (o *Offline) See(link chain.Link) error {
	return notSigned(o.check.Add(audit.Leaf{Position: link.Position, Commit: link.Hash}))
}

// Finish implements [archive.Check].
func (o *Offline) Finish() error {
	var err error
	o.state, err = o.check.Finish()
	return notSigned(err)
}

// notSigned says what a broken log means here.
func notSigned(err error) error {
	var broken *eventlog.BrokenError
	if !errors.As(err, &broken) {
		return err
	}
	return problem.Wrap(problem.Conflict, broken, "the log is not the one that was signed").WithHint("keep it as it is, and look for another copy")
}

// State gives the tree after Finish.
func (o *Offline) State() audit.State { return o.state }

// Newest gives the newest head that was compared; its size is 0 when there was
// none.
func (o *Offline) Newest() audit.SignedHead { return o.newest }

// Folder adds what a keeper has in dir: its heads, which must be signed with the
// key, and its leaves, which tell what stood at a position. The caller closes
// them when the check has ended.
func (o *Offline) Folder(dir string) (leaves io.Closer, err error) {
	all, err := ReadHeads(dir)
	if err != nil {
		return nil, err
	}
	var notes []string
	for _, head := range thin(all) {
		notes = append(notes, head.Note)
	}
	if err := o.add(notes, o.key); err != nil {
		return nil, err
	}
	file, err := os.Open(filepath.Join(dir, "leaves"))
	if errors.Is(err, fs.ErrNotExist) {
		return io.NopCloser(nil), nil
	}
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot read the leaves of the audit tree")
	}
	o.check.expected = newLeafReader(file).next
	return file, nil
}
