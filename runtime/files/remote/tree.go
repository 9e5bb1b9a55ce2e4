package remote

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/pkg/sftp"
	"golang.org/x/sys/unix"
)

// tree is the file system of one mount: what its nodes share.
type tree struct {
	link     *link
	slots    chan struct{} // a place for each operation in flight
	handles  atomic.Int64  // open files and folders
	listed   atomic.Int64  // entries kept by open folders
	listings chan struct{} // a place for each folder that is read
	root     atomic.Pointer[attr]
}

func newTree(l *link) *tree {
	return &tree{link: l, slots: make(chan struct{}, maxInFlight), listings: make(chan struct{}, maxListings)}
}

// ask runs an operation over the session there is.
func (t *tree) ask(ctx context.Context, do func(s *session) error) syscall.Errno {
	errno, _ := t.askOnce(ctx, do)
	return errno
}

// askAgain is ask for what may be done twice: it is, if the connection is lost
// before it is answered.
func (t *tree) askAgain(ctx context.Context, do func(s *session) error) syscall.Errno {
	errno, lost := t.askOnce(ctx, do)
	if lost {
		errno, _ = t.askOnce(ctx, do)
	}
	return errno
}

func (t *tree) askOnce(ctx context.Context, do func(s *session) error) (errno syscall.Errno, lost bool) {
	s, errno := t.link.use(ctx)
	if errno != 0 {
		return errno, false
	}
	defer s.answered()
	errno, lost = t.take(ctx, s, do)
	if lost {
		t.link.forget(s)
	}
	return errno, lost
}

// askOver runs an operation over one session: that of an open file.
func (t *tree) askOver(ctx context.Context, s *session, do func(s *session) error) syscall.Errno {
	s.ask()
	defer s.answered()
	errno, _ := t.take(ctx, s, do)
	return errno
}

// take runs an operation when it is its turn.
func (t *tree) take(ctx context.Context, s *session, do func(s *session) error) (errno syscall.Errno, lost bool) {
	select {
	case t.slots <- struct{}{}:
	case <-s.ended:
		return errDown, true
	case <-ctx.Done():
		return syscall.EINTR, false
	}
	defer func() { <-t.slots }()
	err := do(s)
	return errnoOf(err), unanswered(err)
}

// order has the other side do what plain SFTP cannot say.
func order(s *session, at place, what, data string) error {
	return s.client.SetExtendedData(at.String(), []sftp.StatExtended{{ExtType: what, ExtData: data}})
}

func lstat(s *session, name string) (attr, error) {
	info, err := s.client.Lstat(place{name: name}.String())
	if err != nil {
		return attr{}, err
	}
	return attrOf(info)
}

func (a *attr) fill(out *fuse.Attr) {
	const second = 1e9
	out.Ino, out.Size, out.Blocks = a.Ino, a.Size, a.Blocks
	out.Mode, out.Nlink, out.Owner = a.Mode, a.Nlink, fuse.Owner{Uid: a.UID, Gid: a.GID}
	out.Atime, out.Atimensec = uint64(a.Access/second), uint32(a.Access%second)
	out.Mtime, out.Mtimensec = uint64(a.Modify/second), uint32(a.Modify%second)
	out.Ctime, out.Ctimensec = uint64(a.Changed/second), uint32(a.Changed%second)
	out.Blksize = 4096
}

func (a *attr) stable() fs.StableAttr {
	return fs.StableAttr{Mode: a.Mode & syscall.S_IFMT, Ino: a.Ino}
}

// node is a file, folder or link. Its name is where it is in go-fuse's tree.
type node struct {
	fs.Inode
	tree *tree

	mu    sync.Mutex
	files map[*file]bool // open ones
	kept  version        // of the contents that the kernel may have

	lookedUp atomic.Int64          // nanoseconds since start
	last     atomic.Pointer[named] // where it was then, or was moved since
}

// named is a name in a folder.
type named struct {
	folder *node
	name   string
}

var _ = (interface {
	fs.NodeLookuper
	fs.NodeGetattrer
	fs.NodeSetattrer
	fs.NodeOpener
	fs.NodeCreater
	fs.NodeMkdirer
	fs.NodeMknoder
	fs.NodeUnlinker
	fs.NodeRmdirer
	fs.NodeRenamer
	fs.NodeSymlinker
	fs.NodeReadlinker
	fs.NodeLinker
	fs.NodeOpendirHandler
	fs.NodeStatfser
	fs.NodeFsyncer
})((*node)(nil))

// place gives where the node is. What go-fuse knows of a file that was removed
// or replaced is where it was below something else that was: nothing to go by.
func (n *node) place() (place, syscall.Errno) {
	var names []string
	root := n.Root()
	for at := n.EmbeddedInode(); at != root; {
		name, parent := at.Parent()
		if parent == nil {
			return place{}, syscall.ESTALE
		}
		names, at = append(names, name), parent
	}
	slices.Reverse(names)
	return place{name: strings.Join(names, "/")}, 0
}

// lastPlace is place, and for a young node that has lost its name what has that
// now: see young.
func (n *node) lastPlace() (place, syscall.Errno) {
	at, errno := n.place()
	if last := n.last.Load(); errno != 0 && last != nil && n.young() {
		return last.folder.child(last.name)
	}
	return at, errno
}

func (n *node) child(name string) (place, syscall.Errno) {
	at, errno := n.place()
	if at.name != "" {
		name = at.name + "/" + name
	}
	return place{name: name}, errno
}

// askAt runs an operation on the node.
func (n *node) askAt(ctx context.Context, do func(s *session, at place) error) syscall.Errno {
	at, errno := n.place()
	if errno != 0 {
		return errno
	}
	return gone(n.tree.ask(ctx, func(s *session) error { return do(s, at) }))
}

// gone has the kernel look a name up again that is not there as it was: that
// says ENOENT if it has to.
func gone(errno syscall.Errno) syscall.Errno {
	if errno == syscall.ENOENT {
		return syscall.ESTALE
	}
	return errno
}

// askChild runs an operation on a name in the node.
func (n *node) askChild(ctx context.Context, name string, do func(s *session, at place) error) syscall.Errno {
	at, errno := n.child(name)
	if errno != 0 {
		return errno
	}
	return n.tree.ask(ctx, func(s *session) error { return do(s, at) })
}

// young says that the node was looked up a moment ago: if its name is another
// file's by now, looking it up again is a race that may be lost for ever, and
// what the name has is what is meant.
func (n *node) young() bool { return sinceStart()-time.Duration(n.lookedUp.Load()) < youngTime }

// same says whether attributes are the node's.
func (n *node) same(a attr) bool {
	return a.stable() == n.StableAttr() || a.stable().Mode == n.StableAttr().Mode && n.young()
}

// anyFile gives an open file of the node: what it says of itself is true also
// when the name is gone, or another's.
func (n *node) anyFile() *file {
	n.mu.Lock()
	defer n.mu.Unlock()
	for f := range n.files {
		if f.alive() {
			return f
		}
	}
	return nil
}

// make makes the node of a name.
func (n *node) make(ctx context.Context, name string, a attr, out *fuse.EntryOut) *fs.Inode {
	a.fill(&out.Attr)
	made := &node{tree: n.tree}
	made.seenAt(n, name)
	return n.NewInode(ctx, made, a.stable())
}

func (n *node) seenAt(folder *node, name string) {
	n.last.Store(&named{folder, name})
	n.lookedUp.Store(int64(sinceStart()))
}

// enter gives the node of a name.
func (n *node) enter(ctx context.Context, name string, a attr, out *fuse.EntryOut) *fs.Inode {
	if known := n.GetChild(name); known != nil && known.StableAttr() == a.stable() {
		a.fill(&out.Attr)
		known.Operations().(*node).seenAt(n, name)
		return known
	}
	return n.make(ctx, name, a, out)
}

// found looks a name up and gives its node.
func (n *node) found(ctx context.Context, name string, out *fuse.EntryOut, before func(s *session, at place) error) (*fs.Inode, syscall.Errno) {
	if before != nil {
		if errno := n.askChild(ctx, name, before); errno != 0 {
			return nil, errno
		}
	}
	at, errno := n.child(name)
	if errno != 0 {
		return nil, errno
	}
	var a attr
	errno = n.tree.askAgain(ctx, func(s *session) (err error) {
		a, err = lstat(s, at.name)
		return err
	})
	if errno != 0 {
		return nil, errno
	}
	return n.enter(ctx, name, a, out), 0
}

// Lookup finds a name.
func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.found(ctx, name, out, nil)
}

// Getattr asks an open file, if there is one, else the name. If the name is
// another file's by now, the kernel is told to look it up again.
func (n *node) Getattr(ctx context.Context, handle fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	a, errno := n.stat(ctx, handle)
	if n.IsRoot() {
		// The root is there also without a connection: sandboxes are made then.
		if errno == 0 {
			n.tree.root.Store(&a)
		} else if known := n.tree.root.Load(); known != nil {
			a, errno = *known, 0
		}
	}
	if errno != 0 {
		return errno
	}
	if !n.IsRoot() && !n.same(a) {
		return syscall.ESTALE
	}
	a.fill(&out.Attr)
	return 0
}

func (n *node) stat(ctx context.Context, handle fs.FileHandle) (a attr, errno syscall.Errno) {
	f, _ := handle.(*file)
	if f == nil || f.foreign || !f.alive() {
		f = n.anyFile()
	}
	if f != nil {
		// It may be closed, or lost, at this moment: then its name is asked.
		if a, errno = f.stat(ctx); errno != syscall.EBADF && errno != errDown {
			return a, errno
		}
	}
	at, errno := n.lastPlace()
	if errno != 0 {
		return a, errno
	}
	errno = n.tree.askAgain(ctx, func(s *session) (err error) {
		a, err = lstat(s, at.name)
		return err
	})
	return a, gone(errno)
}

// Setattr changes mode, size and times. The owner stays.
func (n *node) Setattr(ctx context.Context, handle fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	var c change
	if mode, ok := in.GetMode(); ok {
		c.Set, c.Mode = c.Set|setMode, mode
	}
	if size, ok := in.GetSize(); ok {
		c.Set, c.Size = c.Set|setSize, size
	}
	if at, ok := in.GetATime(); ok {
		c.Set, c.Access = c.Set|setAccess, at.UnixNano()
	}
	if at, ok := in.GetMTime(); ok {
		c.Set, c.Modify = c.Set|setModify, at.UnixNano()
	}
	if errno := n.sameOwner(ctx, handle, in); errno != 0 {
		return errno
	}
	if c.Set != 0 {
		if errno := n.change(ctx, handle, c); errno != 0 {
			return errno
		}
	}
	return n.Getattr(ctx, handle, out)
}

// sameOwner lets a change of the owner through that is none.
func (n *node) sameOwner(ctx context.Context, handle fs.FileHandle, in *fuse.SetAttrIn) syscall.Errno {
	uid, hasUID := in.GetUID()
	gid, hasGID := in.GetGID()
	if !hasUID && !hasGID {
		return 0
	}
	a, errno := n.stat(ctx, handle)
	if errno == 0 && (hasUID && uid != a.UID || hasGID && gid != a.GID) {
		return syscall.EPERM
	}
	return errno
}

func (n *node) change(ctx context.Context, handle fs.FileHandle, c change) syscall.Errno {
	f, _ := handle.(*file)
	if f == nil {
		// A file that was opened for reading cannot be cut by its handle.
		if f = n.anyFile(); f != nil && c.Set&setSize != 0 && !f.writable {
			f = nil
		}
	}
	if f != nil {
		if errno := f.order(ctx, setattrExtension, encode(c)); errno != syscall.EBADF || f == handle {
			return errno
		}
	}
	return n.askAt(ctx, func(s *session, at place) error { return order(s, at, setattrExtension, encode(c)) })
}

// Mkdir makes a folder.
func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.found(ctx, name, out, func(s *session, at place) error {
		return order(s, at, mkdirExtension, encode(mode&0o7777))
	})
}

// Mknod makes nothing: there are files, folders and links.
func (n *node) Mknod(context.Context, string, uint32, uint32, *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, syscall.EPERM
}

// Unlink removes a name.
func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	return n.askChild(ctx, name, func(s *session, at place) error { return order(s, at, unlinkExtension, "") })
}

// Rmdir removes a folder.
func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	return n.askChild(ctx, name, func(s *session, at place) error { return order(s, at, rmdirExtension, "") })
}

// Rename moves, over what is there or as flags say (renameat2(2)).
func (n *node) Rename(ctx context.Context, name string, to fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	folder := to.(*node)
	target, errno := folder.child(newName)
	if errno != 0 {
		return errno
	}
	errno = n.askChild(ctx, name, func(s *session, at place) error {
		return order(s, at, renameExtension, encode(flags)+target.String())
	})
	if errno != 0 {
		return errno
	}
	moved, other := n.GetChild(name), folder.GetChild(newName)
	if moved != nil {
		moved.Operations().(*node).last.Store(&named{folder, newName})
	}
	if other != nil && flags&unix.RENAME_EXCHANGE != 0 {
		other.Operations().(*node).last.Store(&named{n, name})
	}
	return 0
}

// Symlink makes a link; what it says is nobody's business here.
func (n *node) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.found(ctx, name, out, func(s *session, at place) error { return s.client.Symlink(target, at.String()) })
}

// Readlink says what a link says.
func (n *node) Readlink(ctx context.Context) (target []byte, errno syscall.Errno) {
	at, errno := n.place()
	if errno != 0 {
		return nil, errno
	}
	errno = n.tree.askAgain(ctx, func(s *session) error {
		text, err := s.client.ReadLink(at.String())
		target = []byte(text)
		return err
	})
	return target, gone(errno)
}

// Link gives a file another name.
func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	from, errno := target.(*node).place()
	if errno != 0 {
		return nil, errno
	}
	return n.found(ctx, name, out, func(s *session, at place) error { return s.client.Link(from.String(), at.String()) })
}

// Statfs tells how much room there is.
func (n *node) Statfs(ctx context.Context, out *fuse.StatfsOut) syscall.Errno {
	return n.tree.askAgain(ctx, func(s *session) error {
		v, err := s.client.StatVFS(place{}.String())
		if err != nil {
			return err
		}
		out.Blocks, out.Bfree, out.Bavail = v.Blocks, v.Bfree, v.Bavail
		out.Files, out.Ffree = v.Files, v.Ffree
		out.Bsize, out.Frsize, out.NameLen = uint32(v.Bsize), uint32(v.Frsize), uint32(v.Namemax)
		return nil
	})
}

// Fsync makes a folder durable, or a file by its handle.
func (n *node) Fsync(ctx context.Context, handle fs.FileHandle, _ uint32) syscall.Errno {
	if f, ok := handle.(*file); ok {
		return f.order(ctx, fsyncExtension, "")
	}
	return n.askAt(ctx, func(s *session, at place) error { return order(s, at, fsyncExtension, "") })
}
