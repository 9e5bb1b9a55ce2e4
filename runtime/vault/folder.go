package vault

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"pantheon/events/problem"
)

// folder reads and writes the files of secrets below a folder. It goes down from
// it folder by folder and follows no symbolic link, so that what a name leads to
// lies below it. A name is a path with slashes.
type folder struct {
	path string
	skip []string // names in the folder itself that are not looked at
}

const (
	temporaryPrefix = ".mirror-" // no owner's
	temporarySuffix = ".new"     // of what owners are writing
)

// errUnusable is a file that is no regular one, or too large.
var errUnusable = errors.New("it is no regular file, or larger than a secret may be")

// valid says whether a file of this name is kept the same on all machines. Names
// that begin with a dot are this machine's own, and so is what ends with .new:
// somebody is writing it.
func (f *folder) valid(name string) bool {
	parts := strings.Split(name, "/")
	if len(name) > maxNameBytes-len(filePrefix) || len(parts) > maxDepth || !utf8.ValidString(name) || slices.Contains(f.skip, parts[0]) {
		return false
	}
	for _, part := range parts {
		if part == "" || len(part) > 255 || part[0] == '.' || strings.ContainsFunc(part, unicode.IsControl) {
			return false
		}
	}
	return !strings.HasSuffix(name, temporarySuffix)
}

// open makes the folder where there is none, and refuses one that others may
// enter.
func (f *folder) open() error {
	if err := os.MkdirAll(f.path, 0o700); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot make the folder of keys")
	}
	info, err := os.Lstat(f.path)
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot read the folder of keys")
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	if !info.IsDir() || int(owner) != os.Geteuid() || info.Mode().Perm()&0o077 != 0 {
		return problem.New(problem.Denied, "cannot use %s for keys: it must be a folder of user %d that nobody else may enter", f.path, os.Geteuid()).
			WithHint("chown %d %s; chmod 0700 %s", os.Geteuid(), f.path, f.path)
	}
	return nil
}

// clean removes what a killed process left.
func (f *folder) clean() {
	_ = fs.WalkDir(os.DirFS(f.path), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil
		case entry.IsDir() && name != "." && !f.valid(name):
			return fs.SkipDir
		case entry.Type().IsRegular() && strings.HasPrefix(path.Base(name), temporaryPrefix):
			_ = f.remove(name)
		}
		return nil
	})
}

// names lists the files below the folder, and how many entries there are that
// cannot be used.
func (f *folder) names() (names []string, strange int, err error) {
	err = fs.WalkDir(os.DirFS(f.path), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && name != ".":
			return nil // it went meanwhile
		case err != nil:
			return err
		case name == ".":
			return nil
		case !f.valid(name) && entry.IsDir():
			return fs.SkipDir
		case !f.valid(name):
			return nil
		case entry.IsDir():
			return nil
		case !entry.Type().IsRegular():
			strange++
			return nil
		}
		if names = append(names, name); len(names) > MaxFiles {
			return problem.New(problem.Exhausted, "cannot share the files of %s: there are more than %d", f.path, MaxFiles)
		}
		return nil
	})
	if err != nil && problem.KindOf(err) == problem.Internal {
		err = problem.Wrap(problem.Unavailable, err, "cannot list the folder of keys")
	}
	return names, strange, err
}

// parent opens the folder that a name is in. NotExist where there is none, and
// ENOTDIR or ELOOP where something else is in the way.
func (f *folder) parent(name string, create bool) (fd int, err error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	if fd, err = unix.Open(f.path, flags, 0); err != nil {
		return -1, err
	}
	parts := strings.Split(path.Dir(name), "/")
	for _, part := range parts {
		if part == "." {
			continue
		}
		if create {
			if err := unix.Mkdirat(fd, part, 0o700); err == nil {
				err = unix.Fsync(fd)
				if err != nil {
					unix.Close(fd)
					return -1, err
				}
			} else if !errors.Is(err, unix.EEXIST) {
				unix.Close(fd)
				return -1, err
			}
		}
		next, err := unix.Openat(fd, part, flags, 0)
		unix.Close(fd)
		if err != nil {
			return -1, err
		}
		fd = next
	}
	return fd, nil
}

// read gives a file's content; found is false where there is no file. What is
// there and is no file for us is errUnusable.
func (f *folder) read(name string) (content []byte, found bool, err error) {
	return f.readUpTo(name, MaxContentBytes)
}

func (f *folder) readUpTo(name string, most int64) (content []byte, found bool, err error) {
	parent, err := f.parent(name, false)
	if err != nil {
		return nil, false, ignoreMissing(err)
	}
	defer unix.Close(parent)
	fd, err := unix.Openat(parent, path.Base(name), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, false, ignoreMissing(err)
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, false, cannotRead(err)
	}
	if !info.Mode().IsRegular() || info.Size() > most {
		return nil, false, errUnusable
	}
	content, err = io.ReadAll(io.LimitReader(file, most+1))
	if err != nil {
		return nil, false, cannotRead(err)
	}
	if int64(len(content)) > most {
		return nil, false, errUnusable
	}
	return content, true, nil
}

func ignoreMissing(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ENXIO):
		return errUnusable
	}
	return cannotRead(err)
}

func cannotRead(err error) error {
	return problem.Wrap(problem.Unavailable, err, "cannot read a file of secrets")
}

// write puts a file in place as a whole, durably, mode 0600.
func (f *folder) write(name string, content []byte) error {
	parent, err := f.parent(name, true)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		return errUnusable
	}
	if err != nil {
		return f.cannotWrite(err)
	}
	defer unix.Close(parent)
	var old unix.Stat_t
	err = unix.Fstatat(parent, path.Base(name), &old, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && old.Mode&unix.S_IFMT != unix.S_IFREG {
		return errUnusable
	}
	temporary := temporaryPrefix + rand.Text()
	fd, err := unix.Openat(parent, temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return f.cannotWrite(err)
	}
	file := os.NewFile(uintptr(fd), name)
	_, err = file.Write(content)
	if err = errors.Join(err, file.Chmod(0o600), file.Sync(), file.Close()); err == nil {
		err = unix.Renameat(parent, temporary, parent, path.Base(name))
	}
	if err == nil {
		err = unix.Fsync(parent)
	} else {
		_ = unix.Unlinkat(parent, temporary, 0)
	}
	if err != nil {
		return f.cannotWrite(err)
	}
	return nil
}

func (f *folder) cannotWrite(err error) error {
	return problem.Wrap(problem.Unavailable, err, "cannot write a file of secrets").
		WithHint("look at the free space and the mount options of %s", f.path)
}

// remove overwrites a file and removes it, durably. None is no error.
func (f *folder) remove(name string) error {
	parent, err := f.parent(name, false)
	if err != nil {
		return ignoreMissing(err)
	}
	defer unix.Close(parent)
	fd, err := unix.Openat(parent, path.Base(name), unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return ignoreMissing(err)
	}
	file := os.NewFile(uintptr(fd), name)
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		_ = file.Close()
		return errUnusable
	}
	if err == nil && info.Size() <= MaxContentBytes && info.Sys().(*syscall.Stat_t).Nlink == 1 {
		_, err = file.WriteAt(make([]byte, info.Size()), 0)
	}
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = unix.Unlinkat(parent, path.Base(name), 0)
	}
	if err == nil {
		err = unix.Fsync(parent)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return f.cannotWrite(err)
	}
	return nil
}
