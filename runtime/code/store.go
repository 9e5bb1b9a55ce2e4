package code

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/require"
)

// Options say where the code lives.
type Options struct {
	// Dir is the store's folder, absolute: <data>/code.
	Dir string
	// SSHIdentity is the private key file with which upstreams are fetched over
	// SSH; empty for none, so that only https, git and file work.
	SSHIdentity string
	// Releases are what hosts of a cell give one another; nil where this host is
	// alone.
	Releases Releases
}

// Store is the code of all sites of a host. Its methods may be called
// concurrently; only one process may use a folder.
type Store struct {
	dir       string
	git       git
	turns     turns
	bootID    string
	published Releases // nil: none
	// blobsInUse is read-locked while a release is made, so that CollectBlobs
	// takes nothing away between its blobs' making and linking.
	blobsInUse sync.RWMutex
}

// Requirements lists what has to be on the machine.
func Requirements() []require.Requirement {
	ssh := require.Program("ssh", "openssh-client", "it fetches upstreams over SSH; others work without it")
	ssh.Optional = true
	return []require.Requirement{require.Program("git", "git", "it keeps the code of every site"), ssh}
}

// Open makes the store's folder where it does not exist, writes git's
// configuration and removes what a killed process left.
func Open(options Options) (*Store, error) {
	if !filepath.IsAbs(options.Dir) {
		return nil, problem.New(problem.Invalid, "cannot use %q for code: it is not an absolute path", options.Dir)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot read the boot id")
	}
	store := &Store{dir: options.Dir, published: options.Releases, bootID: strings.TrimSpace(string(boot))}
	folders := []string{store.dir, store.upstreams(), store.blobs(), store.temporary()}
	if store.published != nil {
		folders = append(folders, store.fetchedDir())
	}
	for _, folder := range folders {
		if err := os.MkdirAll(folder, 0o711); err != nil {
			return nil, problem.Wrap(problem.Unavailable, err, "cannot make the folder of code")
		}
	}
	config := filepath.Join(store.dir, "gitconfig")
	if err := replaceFile(config, []byte(configuration())); err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot write the configuration of git")
	}
	store.git = newGit(require.Find("git"), config, filepath.Join(store.dir, "known_hosts"), options.SSHIdentity)
	store.sweep()
	return store, nil
}

func (s *Store) upstreams() string { return filepath.Join(s.dir, "upstreams") }
func (s *Store) blobs() string     { return filepath.Join(s.dir, "blobs") }

func (s *Store) site(site events.SiteID) string { return filepath.Join(s.dir, string(site)) }

// Repository is the path of a site's bare repository, whether or not it
// exists.
func (s *Store) Repository(site events.SiteID) string {
	return filepath.Join(s.site(site), "repository.git")
}

// temporary holds everything that is under way or on its way out. One folder
// for all sites: sweeping it at a start costs nothing per site.
func (s *Store) temporary() string { return filepath.Join(s.dir, "tmp") }

// fresh makes a folder for something under way.
func (s *Store) fresh() (string, error) {
	path, err := os.MkdirTemp(s.temporary(), "new-")
	if err != nil {
		return "", problem.Wrap(problem.Unavailable, err, "cannot make a temporary folder for code").
			WithHint("look at the free space of %s", s.dir)
	}
	return path, nil
}

// sweep removes what a killed process left. What cannot be removed now is in
// nobody's way and is tried again at the next start.
func (s *Store) sweep() {
	entries, _ := os.ReadDir(s.temporary())
	for _, entry := range entries {
		_ = removeTree(filepath.Join(s.temporary(), entry.Name()))
	}
}

// enter checks the arguments that every method has and waits for the turn to
// change the site.
func (s *Store) enter(ctx context.Context, site events.SiteID) (leave func(), err error) {
	if _, err := events.ParseSiteID(string(site)); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot use the code of a site")
	}
	return s.turns.take(ctx, string(site))
}

var commitPattern = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

func checkCommit(commit string) error {
	if !commitPattern.MatchString(commit) {
		return problem.New(problem.Invalid, "%.80q is no commit: it must be a full object id", commit)
	}
	return nil
}

// Remove removes all code of a site. It is idempotent.
func (s *Store) Remove(ctx context.Context, site events.SiteID) error {
	leave, err := s.enter(ctx, site)
	if err != nil {
		return err
	}
	defer leave()
	return s.discard(s.site(site))
}

// discard removes a tree: by rename first, then piece by piece.
func (s *Store) discard(path string) error {
	grave, err := s.fresh()
	if err != nil {
		return err
	}
	defer os.Remove(grave)
	if err := moveTree(path, filepath.Join(grave, "it")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return problem.Wrap(problem.Unavailable, err, "cannot remove %s", filepath.Base(path))
	}
	if err := removeTree(grave); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot remove %s", filepath.Base(path))
	}
	return nil
}

// moveTree renames a folder that may be read-only and does not replace what
// has its new name: that gives fs.ErrExist. Moving a folder changes its "..",
// so without root it must be writable at that moment.
func moveTree(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if err := os.Chmod(from, info.Mode().Perm()|0o200); err != nil {
		return err
	}
	if err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return os.Chmod(to, info.Mode().Perm())
}

// removeFresh removes what fresh made; what stays of it is swept at the next start.
func removeFresh(path string) { _ = removeTree(path) }

// removeTree removes a tree with read-only folders in it.
func removeTree(path string) error {
	err := os.RemoveAll(path)
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		if entry != nil && entry.IsDir() {
			_ = os.Chmod(path, 0o700) // before its entries are read
		}
		return nil
	})
	return os.RemoveAll(path)
}

// turns lets one caller at a time work on a key. The zero value is ready.
type turns struct {
	mu   sync.Mutex
	keys map[string]*turn
}

type turn struct {
	token chan struct{}
	users int // holding or waiting; the last one removes the entry
}

func (t *turns) take(ctx context.Context, key string) (leave func(), err error) {
	t.mu.Lock()
	if t.keys == nil {
		t.keys = make(map[string]*turn)
	}
	entry := t.keys[key]
	if entry == nil {
		entry = &turn{token: make(chan struct{}, 1)}
		t.keys[key] = entry
	}
	entry.users++
	t.mu.Unlock()
	select {
	case entry.token <- struct{}{}:
		return func() { <-entry.token; t.forget(key, entry) }, nil
	case <-ctx.Done():
		t.forget(key, entry)
		return nil, problem.Wrap(problem.Unavailable, ctx.Err(), "cannot wait for other work on the same code")
	}
}

func (t *turns) forget(key string, entry *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if entry.users--; entry.users == 0 {
		delete(t.keys, key)
	}
}

// replaceFile writes a file by rename.
func replaceFile(path string, content []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(content)
	if err = errors.Join(err, file.Chmod(0o644), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
