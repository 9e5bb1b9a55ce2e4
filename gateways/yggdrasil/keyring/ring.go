package keyring

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"pantheon/events/problem"
)

// Ring is the folder of keys. Its methods may be called concurrently.
type Ring struct {
	zones, tsig string // folders

	mu      sync.Mutex // held while files are made and removed
	secrets atomic.Pointer[map[string]secret]
}

// Open makes the folders where they do not exist, and reads the TSIG keys.
func Open(dir string) (*Ring, error) {
	r := &Ring{zones: filepath.Join(dir, "zones"), tsig: filepath.Join(dir, "tsig")}
	for _, folder := range []string{dir, r.zones, r.tsig} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, problem.Wrap(problem.Unavailable, err, "cannot make the folder of DNS keys")
		}
		if err := checkFolder(folder); err != nil {
			return nil, err
		}
	}
	secrets, err := readSecrets(r.tsig)
	r.secrets.Store(&secrets)
	return r, err
}

// checkFolder refuses a folder that another user owns or may enter.
func checkFolder(folder string) error {
	info, err := os.Lstat(folder)
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot read the folder of DNS keys")
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	switch {
	case !info.IsDir():
		return problem.New(problem.Unavailable, "cannot use %s for keys: it is not a folder", folder)
	case int(owner) != os.Geteuid():
		return problem.New(problem.Denied, "cannot use %s for keys: it belongs to user %d and the platform runs as user %d", folder, owner, os.Geteuid()).
			WithHint("chown -R %d %s", os.Geteuid(), folder)
	case info.Mode().Perm()&0o077 != 0:
		return problem.New(problem.Denied, "cannot use %s for keys: others may enter it (mode %04o)", folder, info.Mode().Perm()).
			WithHint("chmod 0700 %s", folder)
	}
	return nil
}

// read gives a key file's text, if nobody else can read it too.
func read(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, problem.Wrap(kindOf(err), err, "cannot read a DNS key")
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot read a DNS key")
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, problem.New(problem.Denied, "cannot use %s: others may read it (mode %04o)", path, info.Mode().Perm()).
			WithHint("replace the key, or chmod 0600 %s", path)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFileBytes))
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot read a DNS key")
	}
	return text, nil
}

func kindOf(err error) problem.Kind {
	if errors.Is(err, fs.ErrNotExist) {
		return problem.NotFound
	}
	return problem.Unavailable
}

// write makes a new key file, durably. One that is there is never replaced.
func write(path string, text []byte) error {
	folder := filepath.Dir(path)
	file, err := os.CreateTemp(folder, ".new-") // mode 0600
	if err != nil {
		return cannotWrite(err)
	}
	defer os.Remove(file.Name())
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return cannotWrite(err)
	}
	if err := os.Link(file.Name(), path); err != nil { // fails where the name is taken
		if errors.Is(err, fs.ErrExist) {
			return problem.New(problem.Conflict, "cannot make the DNS key: there is one of this name")
		}
		return cannotWrite(err)
	}
	return syncFolder(folder)
}

func cannotWrite(err error) error {
	return problem.Wrap(problem.Unavailable, err, "cannot write a DNS key").
		WithHint("look at the free space and the mode of the data folder")
}

// remove forgets a key. Removing it again is no error.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return problem.Wrap(problem.Unavailable, err, "cannot remove a DNS key")
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return cannotWrite(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return cannotWrite(err)
	}
	return nil
}
