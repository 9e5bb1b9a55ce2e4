package remote

import (
	"context"
	"io"
	"os"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/pkg/sftp"
)

// file is an open file, for as long as the session that opened it.
type file struct {
	node     *node
	session  *session
	remote   *sftp.File
	writable bool
	foreign  bool // it is what the node's name has become, and says nothing of the node
}

var _ = (interface {
	fs.FileReader
	fs.FileWriter
	fs.FileFlusher
	fs.FileReleaser
})((*file)(nil))

func (f *file) alive() bool {
	select {
	case <-f.session.ended:
		return false
	default:
		return true
	}
}

// openFlags are those that the other side opens with.
const openFlags = os.O_RDONLY | os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_TRUNC

// open opens or makes a file.
func (t *tree) open(ctx context.Context, name string, flags int, mode uint32) (*file, attr, syscall.Errno) {
	if t.handles.Add(1) > maxHandles {
		t.handles.Add(-1)
		return nil, attr{}, syscall.ENFILE
	}
	f := &file{writable: flags&(os.O_WRONLY|os.O_RDWR) != 0}
	ask := t.ask
	if flags&(os.O_CREATE|os.O_TRUNC) == 0 {
		ask = t.askAgain
	}
	var a attr
	errno := ask(ctx, func(s *session) (err error) {
		f.session = s
		s.files.Add(1)
		defer func() {
			if err != nil {
				s.files.Add(-1)
			}
		}()
		at := place{name: name, token: s.tokens.Add(1), mode: mode}
		if f.remote, err = s.client.OpenFile(at.String(), flags); err != nil {
			return err
		}
		info, err := f.remote.Stat()
		if err == nil {
			a, err = attrOf(info)
		}
		if err != nil {
			_ = f.remote.Close()
		}
		return err
	})
	if errno != 0 {
		t.handles.Add(-1)
		return nil, attr{}, errno
	}
	return f, a, 0
}

// keep notes an open file at its node, and says how the kernel shall treat it.
func (n *node) keep(f *file, a attr, flags uint32) uint32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.files == nil {
		n.files = map[*file]bool{}
	}
	n.files[f] = true
	how := uint32(fuse.FOPEN_NOFLUSH)
	if flags&syscall.O_APPEND != 0 {
		// What is appended goes where the other side says, which the kernel's own
		// copy of the contents would not know.
		return how | fuse.FOPEN_DIRECT_IO
	}
	now := a.version()
	if now == n.kept && now != (version{}) {
		return how | fuse.FOPEN_KEEP_CACHE
	}
	n.kept = now
	return how
}

// Open opens a file. What the kernel believes of it is forgotten if it is of
// another version, its size too, or it would read no further than that.
func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	at, errno := n.lastPlace()
	if errno != 0 {
		return nil, 0, errno
	}
	f, a, errno := n.tree.open(ctx, at.name, int(flags)&openFlags, 0)
	switch errno {
	case 0:
	case syscall.ENXIO, syscall.ELOOP: // no file by now
		return nil, 0, syscall.ESTALE
	default:
		return nil, 0, gone(errno)
	}
	f.node = n
	if a.stable() != n.StableAttr() {
		if !n.same(a) {
			_ = f.Release(ctx)            // nothing was written to it
			return nil, 0, syscall.ESTALE // the kernel looks the name up again
		}
		f.foreign = true
		return f, fuse.FOPEN_NOFLUSH | fuse.FOPEN_DIRECT_IO, 0
	}
	how := n.keep(f, a, flags)
	if how&fuse.FOPEN_KEEP_CACHE == 0 {
		_ = n.NotifyContent(-1, 0) // attributes alone
	}
	return f, how, 0
}

// Create makes and opens a file.
func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	at, errno := n.child(name)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	f, a, errno := n.tree.open(ctx, at.name, int(flags)&(openFlags|os.O_EXCL)|os.O_CREATE, mode&0o7777)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	inode := n.make(ctx, name, a, out)
	f.node = inode.Operations().(*node)
	return inode, f, f.node.keep(f, a, flags), 0
}

// over runs an operation of the file.
func (f *file) over(ctx context.Context, do func() error) syscall.Errno {
	return f.node.tree.askOver(ctx, f.session, func(*session) error { return do() })
}

// Read reads. Fewer bytes than asked for are the end of the file.
func (f *file) Read(ctx context.Context, dest []byte, at int64) (fuse.ReadResult, syscall.Errno) {
	n := 0
	errno := f.over(ctx, func() (err error) {
		if n, err = f.remote.ReadAt(dest, at); err == io.EOF {
			err = nil
		}
		return err
	})
	return fuse.ReadResultData(dest[:n]), errno
}

// Write writes, and returns when the other side has.
func (f *file) Write(ctx context.Context, data []byte, at int64) (uint32, syscall.Errno) {
	n := 0
	errno := f.over(ctx, func() (err error) {
		n, err = f.remote.WriteAt(data, at)
		return err
	})
	return uint32(n), errno
}

// Flush has the kernel not ask again: nothing waits here for close(2).
func (f *file) Flush(context.Context) syscall.Errno { return syscall.ENOSYS }

// Release closes the file; nobody waits for it.
func (f *file) Release(ctx context.Context) syscall.Errno {
	f.node.mu.Lock()
	delete(f.node.files, f)
	f.node.mu.Unlock()
	defer f.node.tree.handles.Add(-1)
	defer f.session.files.Add(-1)
	return f.over(context.WithoutCancel(ctx), f.remote.Close)
}

func (f *file) stat(ctx context.Context) (a attr, errno syscall.Errno) {
	errno = f.over(ctx, func() error {
		info, err := f.remote.Stat()
		if err == nil {
			a, err = attrOf(info)
		}
		return err
	})
	return a, errno
}

func (f *file) order(ctx context.Context, what, data string) syscall.Errno {
	return f.over(ctx, func() error {
		return f.remote.SetExtendedData("", []sftp.StatExtended{{ExtType: what, ExtData: data}})
	})
}

// folder is an open folder. It is read at the first need, whole.
type folder struct {
	node    *node
	entries []os.FileInfo
	read    bool
	next    int
}

var _ = (interface {
	fs.FileReaddirenter
	fs.FileLookuper
	fs.FileSeekdirer
	fs.FileReleasedirer
	fs.FileFsyncdirer
})((*folder)(nil))

// OpendirHandle opens a folder.
func (n *node) OpendirHandle(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if n.tree.handles.Add(1) > maxHandles {
		n.tree.handles.Add(-1)
		return nil, 0, syscall.ENFILE
	}
	return &folder{node: n}, 0, 0
}

// load reads the folder. go-fuse calls one method of a handle at a time.
func (d *folder) load(ctx context.Context) syscall.Errno {
	t := d.node.tree
	select {
	case t.listings <- struct{}{}:
	case <-ctx.Done():
		return syscall.EINTR
	}
	defer func() { <-t.listings }()
	at, errno := d.node.place()
	if errno != 0 {
		return errno
	}
	var entries []os.FileInfo
	errno = t.askAgain(ctx, func(s *session) (err error) {
		entries, err = s.client.ReadDir(at.String())
		return err
	})
	if errno != 0 {
		return gone(errno)
	}
	if t.listed.Add(int64(len(entries))) > maxListedEntries {
		t.listed.Add(-int64(len(entries)))
		return syscall.ENFILE
	}
	d.entries, d.read = entries, true
	return 0
}

// dots come before a folder's entries, as on a disk.
var dots = [...]string{".", ".."}

// Readdirent gives the next entry.
func (d *folder) Readdirent(ctx context.Context) (*fuse.DirEntry, syscall.Errno) {
	if !d.read {
		if errno := d.load(ctx); errno != 0 {
			return nil, errno
		}
	}
	if d.next >= len(dots)+len(d.entries) {
		return nil, 0
	}
	at := d.next
	d.next++
	if at < len(dots) {
		return &fuse.DirEntry{Name: dots[at], Ino: d.node.StableAttr().Ino, Mode: syscall.S_IFDIR, Off: uint64(d.next)}, 0
	}
	info := d.entries[at-len(dots)]
	a, err := attrOf(info)
	if err != nil {
		return nil, syscall.EIO
	}
	return &fuse.DirEntry{Name: info.Name(), Ino: a.Ino, Mode: a.Mode & syscall.S_IFMT, Off: uint64(d.next)}, 0
}

// Lookup gives the entry that was read last, without asking again.
func (d *folder) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	last := d.next - len(dots) - 1
	if last < 0 || d.entries[last].Name() != name {
		return d.node.Lookup(ctx, name, out)
	}
	a, err := attrOf(d.entries[last])
	if err != nil || a.Ino == 0 {
		return d.node.Lookup(ctx, name, out) // it is only known what it is
	}
	return d.node.enter(ctx, name, a, out), 0
}

// Seekdir goes to an entry; 0 is the start, which reads the folder anew.
func (d *folder) Seekdir(_ context.Context, off uint64) syscall.Errno {
	if off == 0 {
		d.forget()
	}
	if off > uint64(len(dots)+len(d.entries)) {
		return syscall.EINVAL
	}
	d.next = int(off)
	return 0
}

func (d *folder) forget() {
	d.node.tree.listed.Add(-int64(len(d.entries)))
	d.entries, d.read, d.next = nil, false, 0
}

// Releasedir closes the folder.
func (d *folder) Releasedir(context.Context, uint32) {
	d.forget()
	d.node.tree.handles.Add(-1)
}

// Fsyncdir makes the folder durable.
func (d *folder) Fsyncdir(ctx context.Context, _ uint32) syscall.Errno {
	return d.node.Fsync(ctx, nil, 0)
}
