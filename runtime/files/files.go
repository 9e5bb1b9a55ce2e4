// Package files keeps the files of environments: one folder each, at
// <data>/files/<environment id>, which PHP sees at /files and the code tree
// links to.
//
// Things enter through Create and Remove, which the host's agent calls for a
// file server's binding. State is the folders themselves. A folder appears by
// rename, complete and with its owner; it disappears by rename too, and is
// emptied afterwards, so a kill in between leaves nothing half-made under its
// name (Sweep empties what is left).
//
// A folder belongs to the environment's user with mode 0700: other tenants
// cannot enter, the platform can, because it is root (or, without root, the
// same user). Its content belongs to a hostile tenant: everything here goes
// through os.Root and follows no link out of the folder.
//
// On other hosts a folder appears by package remote.
package files

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/durable"
)

const (
	freshPrefix   = ".new-"
	removedPrefix = ".removed-"
)

// Store is the folder of all environments' files. Its methods may be called
// concurrently.
type Store struct{ dir string }

// Open makes the store's folder where it does not exist.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot make the folder of files")
	}
	return &Store{dir: dir}, nil
}

// Path is the folder of an environment, whether or not it exists.
func (s *Store) Path(environment events.EnvironmentID) string {
	return filepath.Join(s.dir, string(environment))
}

// folders are those that an application expects to find. The private one is
// never served by the web server (see the original's protected paths).
func folders(framework events.Framework) []string {
	switch framework {
	case events.Drupal, events.Drupal8, events.Backdrop:
		return []string{"private", "tmp"}
	case events.WordPress, events.PHP:
		return []string{"private"}
	}
	return nil
}

// Create makes the environment's folder with the sub-folders of its framework,
// all owned by uid. It is idempotent, and it brings back sub-folders that the
// application has removed.
func (s *Store) Create(environment events.EnvironmentID, uid uint32, framework events.Framework) error {
	if err := check(environment); err != nil {
		return err
	}
	path := s.Path(environment)
	info, err := os.Lstat(path)
	switch {
	case err == nil:
		return s.complete(path, info, uid, framework)
	case !errors.Is(err, fs.ErrNotExist):
		return problem.Wrap(problem.Unavailable, err, "cannot look for the files of %s", environment)
	}
	fresh, err := os.MkdirTemp(s.dir, freshPrefix) // mode 0700
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot make the files of %s", environment)
	}
	defer os.RemoveAll(fresh)
	if err := populate(fresh, uid, framework); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot make the files of %s", environment)
	}
	if err := own(fresh, uid); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot give the files of %s to their user", environment)
	}
	err = unix.Renameat2(unix.AT_FDCWD, fresh, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return problem.Wrap(problem.Unavailable, err, "cannot make the files of %s", environment)
	}
	return syncFolder(s.dir)
}

// complete brings an existing folder up to date. Another owner is refused:
// an environment's user never changes, so something else is wrong.
func (s *Store) complete(path string, info fs.FileInfo, uid uint32, framework events.Framework) error {
	if !info.IsDir() {
		return problem.New(problem.Conflict, "cannot use %s for files: it is not a folder", path)
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; os.Geteuid() == 0 && owner != uid {
		return problem.New(problem.Conflict, "cannot use %s for files: it belongs to user %d and not to %d", path, owner, uid)
	}
	if err := populate(path, uid, framework); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot complete the files in %s", path)
	}
	return nil
}

func populate(path string, uid uint32, framework events.Framework) error {
	root, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range folders(framework) {
		err := root.Mkdir(name, 0o700)
		if errors.Is(err, fs.ErrExist) {
			continue // also where the tenant has put something else there
		}
		if err == nil && os.Geteuid() == 0 {
			err = root.Lchown(name, int(uid), int(uid))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func own(path string, uid uint32) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return os.Lchown(path, int(uid), int(uid))
}

// Remove removes the environment's files. It is idempotent.
func (s *Store) Remove(environment events.EnvironmentID) error {
	if err := check(environment); err != nil {
		return err
	}
	grave, err := os.MkdirTemp(s.dir, removedPrefix)
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot remove the files of %s", environment)
	}
	err = os.Rename(s.Path(environment), filepath.Join(grave, "files"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		_ = os.Remove(grave)
		return problem.Wrap(problem.Unavailable, err, "cannot remove the files of %s", environment)
	}
	if err := syncFolder(s.dir); err != nil {
		return err
	}
	if err := os.RemoveAll(grave); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot remove the files of %s", environment)
	}
	return nil
}

// Sweep empties what a killed process left. Call it before the first Create or
// Remove.
func (s *Store) Sweep() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot list the folder of files")
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), freshPrefix) && !strings.HasPrefix(entry.Name(), removedPrefix) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.dir, entry.Name())); err != nil {
			return problem.Wrap(problem.Unavailable, err, "cannot remove what was left in the folder of files")
		}
	}
	return nil
}

// Usage is what an environment's files take.
type Usage struct {
	Entries int   // files, folders and links
	Bytes   int64 // on the disk, in whole blocks
	// Partial: there are more than maxUsageEntries, and the rest is not counted.
	Partial bool
}

var errEnough = errors.New("enough")

// Usage walks the environment's files. A file that vanishes meanwhile is not
// counted; one with several names is counted under each.
func (s *Store) Usage(ctx context.Context, environment events.EnvironmentID) (Usage, error) {
	var usage Usage
	if err := check(environment); err != nil {
		return usage, err
	}
	root, err := os.OpenRoot(s.Path(environment))
	if errors.Is(err, fs.ErrNotExist) {
		return usage, problem.New(problem.NotFound, "%s has no files", environment)
	}
	if err != nil {
		return usage, problem.Wrap(problem.Unavailable, err, "cannot open the files of %s", environment)
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if path == "." || err != nil {
			return nil // vanished; or a folder, counted already, that may not be entered
		}
		if usage.Entries == maxUsageEntries {
			usage.Partial = true
			return errEnough
		}
		usage.Entries++
		if info, err := entry.Info(); err == nil {
			usage.Bytes += info.Sys().(*syscall.Stat_t).Blocks * 512 // st_blocks, stat(2)
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return usage, problem.Wrap(problem.Unavailable, err, "cannot walk the files of %s", environment)
	}
	return usage, nil
}

func check(environment events.EnvironmentID) error {
	if _, err := events.ParseEnvironmentID(string(environment)); err != nil {
		return problem.Wrap(problem.Invalid, err, "cannot use files")
	}
	return nil
}

func syncFolder(dir string) error {
	if err := durable.Sync(dir); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot make the folder of files durable")
	}
	return nil
}
