package web

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"

	"pantheon/events/problem"
	"pantheon/runtime/fastcgi"
)

// docroot is the document root with the environment's files mapped into it.
type docroot struct {
	codeDir, filesDir string
	web               bool // the document root is the directory web of the code
	rules             *rules

	mu     sync.Mutex
	roots  *roots // nil at rest
	closed bool
}

// roots are the open folders; they are closed when they are retired and the
// last request that uses them is done.
type roots struct {
	code, files *os.Root // files is nil where the environment has none
	users       int
	retired     bool
}

// use gives the roots, opening them where need be; end gives them back. A
// missing document root is fs.ErrNotExist.
func (d *docroot) use() (*roots, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, fastcgi.ErrClosed
	}
	if d.roots == nil {
		r, err := d.open()
		if err != nil {
			return nil, err
		}
		d.roots = r
	}
	d.roots.users++
	return d.roots, nil
}

func (d *docroot) end(r *roots) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.users--
	r.closeUnused()
}

// rest retires the roots; the next request opens them again.
func (d *docroot) rest() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.roots; r != nil {
		d.roots = nil
		r.retired = true
		r.closeUnused()
	}
}

// close is the last rest.
func (d *docroot) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.rest()
}

func (r *roots) closeUnused() {
	if !r.retired || r.users > 0 {
		return
	}
	r.code.Close()
	if r.files != nil {
		r.files.Close()
	}
}

func (d *docroot) open() (*roots, error) {
	code, err := os.OpenRoot(d.codeDir)
	if err != nil {
		return nil, err
	}
	if d.web {
		outer := code
		code, err = outer.OpenRoot("web")
		outer.Close()
		if err != nil {
			return nil, err
		}
	}
	if d.filesDir == "" {
		return &roots{code: code}, nil
	}
	files, err := os.OpenRoot(d.filesDir)
	if err != nil {
		code.Close()
		return nil, problem.Wrap(problem.Unavailable, err, "cannot open the files of the environment")
	}
	return &roots{code: code, files: files}, nil
}

// at finds the root and the name in it for a path; nil where it has none.
func (d *docroot) at(r *roots, p string) (*os.Root, string) {
	root := r.code
	if d.rules.mounted(p) {
		root, p = r.files, p[len(d.rules.mount):]
	}
	if name := strings.TrimPrefix(p, "/"); name != "" {
		return root, name
	}
	return root, "."
}

// isFile says whether a regular file is there.
func (d *docroot) isFile(r *roots, p string) bool {
	root, name := d.at(r, p)
	if root == nil {
		return false
	}
	info, err := root.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// openFile opens a file or a folder. Absence, and whatever os.Root refuses, is
// fs.ErrNotExist. A FIFO is opened without waiting for its writer and then
// refused like every other special file.
func (d *docroot) openFile(r *roots, p string) (*os.File, fs.FileInfo, error) {
	root, name := d.at(r, p)
	if root == nil {
		return nil, nil, fs.ErrNotExist
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, openError(err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	if mode := info.Mode(); !mode.IsRegular() && !mode.IsDir() {
		f.Close()
		return nil, nil, fs.ErrNotExist
	}
	return f, info, nil
}

// openError keeps what is no fault of the path: a bound of the process or of
// the machine, a missing right.
func openError(err error) error {
	for _, own := range []error{fs.ErrPermission, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO} {
		if errors.Is(err, own) {
			return err
		}
	}
	return fs.ErrNotExist
}
