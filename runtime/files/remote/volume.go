package remote

import (
	"io"
	"log/slog"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/sys/unix"

	"pantheon/events/problem"
)

// Volume is a folder of this host, and whose it is.
type Volume struct {
	Path string
	UID  uint32
	// Logger hears of bugs; it may be nil.
	Logger *slog.Logger
}

// volume is an open Volume and what one connection has open of it.
type volume struct {
	root    *os.Root
	dir     *os.File // the root itself
	device  uint64
	uid     int
	changes bool // this process is root, and becomes the user
	logger  *slog.Logger

	mu    sync.Mutex
	files map[uint64]*openFile
	open  int // files and folders
}

func openVolume(v Volume) (*volume, error) {
	root, err := os.OpenRoot(v.Path)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot open the files of an environment")
	}
	opened := &volume{root: root, uid: int(v.UID), changes: os.Geteuid() == 0, logger: v.Logger, files: map[uint64]*openFile{}}
	if opened.logger == nil {
		opened.logger = slog.Default()
	}
	var stat unix.Stat_t
	if opened.dir, err = root.Open("."); err == nil {
		err = unix.Fstat(int(opened.dir.Fd()), &stat)
	}
	if err != nil {
		opened.close()
		return nil, problem.Wrap(problem.Unavailable, err, "cannot open the files of an environment")
	}
	opened.device = stat.Dev
	if err := opened.checkUser(); err != nil {
		opened.close()
		return nil, err
	}
	return opened, nil
}

// checkUser sees that this process can be the user: setfsuid(2) does not say.
func (v *volume) checkUser() error {
	uid, gid := v.uid, v.uid
	_ = v.as(func() error {
		if v.changes {
			uid, _ = unix.SetfsuidRetUid(-1)
			gid, _ = unix.SetfsgidRetGid(-1)
		}
		return nil
	})
	if uid != v.uid || gid != v.uid {
		return problem.New(problem.Unsupported, "cannot serve the files of user %d: this process may not act for it", v.uid).
			WithHint("run pantheon with CAP_SETUID and CAP_SETGID")
	}
	return nil
}

func (v *volume) close() {
	if v.dir != nil {
		_ = v.dir.Close()
	}
	v.root.Close()
}

// as runs what looks at permissions, as the environment's user. fsuid and
// fsgid are a thread's own; with the fsuid go the capabilities that override
// permissions, and come back with it (capabilities(7)).
func (v *volume) as(do func() error) (err error) {
	defer func() {
		if caught := recover(); caught != nil {
			v.logger.Error("internal error: an operation on files panicked", "panic", caught, "stack", string(debug.Stack()))
			err = syscall.EIO
		}
		err = asStatus(err)
	}()
	if !v.changes {
		return do()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, err := unix.SetfsgidRetGid(v.uid); err != nil {
		return err
	}
	defer func() { _, _ = unix.SetfsgidRetGid(0) }()
	if _, err := unix.SetfsuidRetUid(v.uid); err != nil {
		return err
	}
	defer func() { _, _ = unix.SetfsuidRetUid(0) }()
	return do()
}

// at calls with the folder of a name, open, and the last element of the name,
// which is for system calls that do not follow.
func (v *volume) at(name string, do func(dir int, base string) error) error {
	folder, base := path.Split(name)
	if folder == "" {
		if base == "" {
			base = "."
		}
		return do(int(v.dir.Fd()), base)
	}
	parent, err := v.root.OpenFile(path.Clean(folder), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer parent.Close()
	return do(int(parent.Fd()), base)
}

// openFile is a file that a connection has open.
type openFile struct {
	*os.File
	volume  *volume
	token   uint64
	appends bool
}

// Close is called by the library, once.
func (f *openFile) Close() error {
	f.volume.mu.Lock()
	delete(f.volume.files, f.token)
	f.volume.open--
	f.volume.mu.Unlock()
	return asStatus(f.File.Close())
}

// ReadAt and WriteAt are called by several goroutines of the library.
func (f *openFile) ReadAt(b []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(b, at)
	return n, asStatus(err)
}

// Writing is the user's, so that it takes set-user-ID bits away (inode(7)).
func (f *openFile) WriteAt(b []byte, at int64) (n int, err error) {
	err = f.volume.as(func() (err error) {
		if f.appends {
			n, err = f.Write(b) // at the end, wherever that is by now
		} else {
			n, err = f.File.WriteAt(b, at)
		}
		return err
	})
	return n, err
}

// find gives the open file of a token.
func (v *volume) find(token uint64) (*openFile, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if f := v.files[token]; f != nil {
		return f, nil
	}
	return nil, syscall.EBADF
}

// enter counts an open file or folder; Close or leave gives it back.
func (v *volume) enter() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.open >= maxHandles {
		return syscall.ENFILE
	}
	v.open++
	return nil
}

func (v *volume) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.open--
}

// openAs opens or makes the file that a request names.
func (v *volume) openAs(r *sftp.Request) (opened *openFile, err error) {
	at, err := parsePlace(r.Filepath)
	if err == nil && at.token == 0 {
		err = syscall.EINVAL
	}
	if err != nil {
		return nil, asStatus(err)
	}
	if err := v.enter(); err != nil {
		return nil, asStatus(err)
	}
	var fd int
	err = v.as(func() error {
		return v.at(at.name, func(dir int, base string) (err error) {
			fd, err = openOrMake(dir, base, r.Pflags(), at.mode)
			return err
		})
	})
	if err != nil {
		v.leave()
		return nil, err
	}
	file := &openFile{os.NewFile(uintptr(fd), base(at.name)), v, at.token, r.Pflags().Append}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.files[at.token] != nil {
		_ = file.File.Close()
		v.open--
		return nil, status(syscall.EINVAL)
	}
	v.files[at.token] = file
	return file, nil
}

func base(name string) string { return path.Base("/" + name) }

// openOrMake does what O_CREAT would, so that it is known whether the file was
// made: only then it gets its mode, past this process's mask. O_NONBLOCK is for
// what is no regular file.
func openOrMake(dir int, name string, flags sftp.FileOpenFlags, mode uint32) (int, error) {
	how := unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	switch {
	case flags.Read && flags.Write:
		how |= unix.O_RDWR
	case flags.Write:
		how |= unix.O_WRONLY
	}
	if flags.Append {
		how |= unix.O_APPEND
	}
	for range maxCreateRaces {
		if flags.Creat {
			fd, err := unix.Openat(dir, name, how|unix.O_CREAT|unix.O_EXCL, mode)
			if err == nil {
				return regular(fd, unix.Fchmod(fd, mode))
			}
			if err != unix.EEXIST || flags.Excl {
				return -1, err
			}
		}
		trunc := 0
		if flags.Trunc {
			trunc = unix.O_TRUNC
		}
		fd, err := unix.Openat(dir, name, how|trunc, 0)
		if err == nil {
			return regular(fd, nil)
		}
		if err != unix.ENOENT || !flags.Creat {
			return -1, err
		}
	}
	return -1, unix.EBUSY
}

// regular lets through what is a regular file.
func regular(fd int, err error) (int, error) {
	var stat unix.Stat_t
	if err == nil {
		err = unix.Fstat(fd, &stat)
	}
	if err == nil && stat.Mode&unix.S_IFMT != unix.S_IFREG {
		err = unix.ENXIO
	}
	if err == nil {
		err = unix.SetNonblock(fd, false)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// attrOf gives the attributes that the other side sees. A file system in the
// volume that is not the volume's own has inode numbers of its own.
func (v *volume) attrOf(s *unix.Stat_t) attr {
	a := attr{
		Ino: s.Ino, Size: uint64(s.Size), Blocks: uint64(s.Blocks), Mode: s.Mode, Nlink: uint32(s.Nlink), UID: s.Uid, GID: s.Gid,
		Access: s.Atim.Nano(), Modify: s.Mtim.Nano(), Changed: s.Ctim.Nano(),
	}
	if time.Since(time.Unix(0, a.Changed)) > settleTime {
		a.Settled = 1
	}
	if s.Dev != v.device {
		a.Ino ^= s.Dev * 0x9e3779b97f4a7c15
	}
	return a
}

// stat gives the attributes of a name, or of an open file.
func (v *volume) stat(at place) (entry, error) {
	var stat unix.Stat_t
	if at.token != 0 {
		f, err := v.find(at.token)
		if err == nil {
			err = unix.Fstat(int(f.Fd()), &stat)
		}
		return entry{base(at.name), v.attrOf(&stat)}, asStatus(err)
	}
	err := v.as(func() error {
		return v.at(at.name, func(dir int, base string) error {
			return unix.Fstatat(dir, base, &stat, unix.AT_SYMLINK_NOFOLLOW)
		})
	})
	return entry{base(at.name), v.attrOf(&stat)}, err
}

// entry is what the library wants to know of a file.
type entry struct {
	name string
	attr attr
}

func (e entry) Name() string       { return e.name }
func (e entry) Size() int64        { return int64(e.attr.Size) }
func (e entry) IsDir() bool        { return e.attr.Mode&unix.S_IFMT == unix.S_IFDIR }
func (e entry) ModTime() time.Time { return time.Unix(0, e.attr.Modify) }
func (e entry) Sys() any           { return nil }
func (e entry) Uid() uint32        { return e.attr.UID } //nolint:staticcheck // sftp.FileInfoUidGid calls it so
func (e entry) Gid() uint32        { return e.attr.GID } //nolint:staticcheck // sftp.FileInfoUidGid calls it so

func (e entry) Mode() os.FileMode {
	mode := os.FileMode(e.attr.Mode & 0o777)
	switch e.attr.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		mode |= os.ModeDir
	case unix.S_IFLNK:
		mode |= os.ModeSymlink
	}
	return mode
}

// Extended carries what the rest cannot.
func (e entry) Extended() []sftp.StatExtended {
	return []sftp.StatExtended{{ExtType: statExtension, ExtData: encode(e.attr)}}
}

// listing is a folder that is being read. The library calls it from one
// goroutine.
type listing struct {
	volume *volume
	folder *os.File
	listed int
	once   sync.Once
}

func (v *volume) list(at place) (*listing, error) {
	if err := v.enter(); err != nil {
		return nil, asStatus(err)
	}
	var fd int
	err := v.as(func() error {
		return v.at(at.name, func(dir int, base string) (err error) {
			fd, err = unix.Openat(dir, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
			return err
		})
	})
	if err != nil {
		v.leave()
		return nil, err
	}
	// The name is for file systems that do not say what an entry is: it is asked.
	return &listing{volume: v, folder: os.NewFile(uintptr(fd), "/proc/self/fd/"+strconv.Itoa(fd))}, nil
}

// Close is called by the library.
func (l *listing) Close() (err error) {
	l.once.Do(func() {
		l.volume.leave()
		err = l.folder.Close()
	})
	return err
}

// ListAt gives the next entries, whatever the offset: it is always theirs.
// What vanishes meanwhile is left out; in a folder that may be read but not
// entered it is only known what kind of file they are.
func (l *listing) ListAt(infos []os.FileInfo, _ int64) (n int, err error) {
	err = l.volume.as(func() error {
		for n == 0 {
			found, err := l.folder.ReadDir(len(infos))
			if err != nil {
				return err
			}
			if l.listed += len(found); l.listed > maxFolderEntries {
				return syscall.EOVERFLOW
			}
			for _, one := range found {
				var stat unix.Stat_t
				switch err := unix.Fstatat(int(l.folder.Fd()), one.Name(), &stat, unix.AT_SYMLINK_NOFOLLOW); err {
				case nil:
					infos[n] = entry{one.Name(), l.volume.attrOf(&stat)}
				case unix.ENOENT:
					continue
				default:
					infos[n] = entry{one.Name(), attr{Mode: kindOf(one.Type())}}
				}
				n++
			}
		}
		return nil
	})
	return n, err
}

// kindOf gives the bits of a mode that say what a file is.
func kindOf(mode os.FileMode) uint32 {
	switch {
	case mode.IsRegular():
		return unix.S_IFREG
	case mode.IsDir():
		return unix.S_IFDIR
	case mode.Type() == os.ModeSymlink:
		return unix.S_IFLNK
	}
	return 0
}

// apply changes attributes of a name, or of an open file.
func (v *volume) apply(at place, c change) error {
	if at.token != 0 {
		f, err := v.find(at.token)
		if err != nil {
			return err
		}
		return applyTo(int(f.Fd()), c, func() error { return f.Truncate(int64(c.Size)) })
	}
	return v.at(at.name, func(dir int, base string) error {
		fd, err := unix.Openat(dir, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return applyTo(fd, c, func() error {
			file, err := unix.Openat(dir, base, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(file)
			return unix.Ftruncate(file, int64(c.Size))
		})
	})
}

// applyTo changes what a descriptor is of, which may be one of O_PATH, and of a
// link.
func applyTo(fd int, c change, truncate func() error) error {
	if c.Set&setSize != 0 {
		if err := truncate(); err != nil {
			return err
		}
	}
	self := "/proc/self/fd/" + strconv.Itoa(fd)
	if c.Set&setMode != 0 {
		// Of a link: ELOOP or EOPNOTSUPP, links have no mode.
		if err := unix.Fchmodat(unix.AT_FDCWD, self, c.Mode&0o7777, 0); err != nil {
			return err
		}
	}
	if c.Set&(setAccess|setModify) == 0 {
		return nil
	}
	times := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
	if c.Set&setAccess != 0 {
		times[0] = unix.NsecToTimespec(c.Access)
	}
	if c.Set&setModify != 0 {
		times[1] = unix.NsecToTimespec(c.Modify)
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, self, times[:], 0)
}

// sync makes a file or folder durable.
func (v *volume) sync(at place) error {
	if at.token != 0 {
		f, err := v.find(at.token)
		if err != nil {
			return err
		}
		return f.Sync()
	}
	return v.at(at.name, func(dir int, base string) error {
		fd, err := unix.Openat(dir, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Fsync(fd)
	})
}

// mkdir gives the folder its mode past this process's mask.
func (v *volume) mkdir(at place, mode uint32) error {
	return v.at(at.name, func(dir int, base string) error {
		if err := unix.Mkdirat(dir, base, mode); err != nil {
			return err
		}
		fd, err := unix.Openat(dir, base, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return applyTo(fd, change{Set: setMode, Mode: mode}, nil)
	})
}

// between calls with the folders and last elements of two names.
func (v *volume) between(from, to place, do func(fromDir int, from string, toDir int, to string) error) error {
	return v.at(from.name, func(fromDir int, from string) error {
		return v.at(to.name, func(toDir int, to string) error { return do(fromDir, from, toDir, to) })
	})
}

var _ io.Closer = (*listing)(nil)
