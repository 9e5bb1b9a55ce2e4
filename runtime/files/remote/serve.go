package remote

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"

	"github.com/pkg/sftp"
	"golang.org/x/sys/unix"
)

// Serve answers one connection from a volume, until the connection or ctx ends.
// It closes conn. Files that are still open then are closed.
func Serve(ctx context.Context, conn io.ReadWriteCloser, of Volume) error {
	defer conn.Close()
	v, err := openVolume(of)
	if err != nil {
		return err
	}
	defer v.close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	server := sftp.NewRequestServer(newPackets(conn),
		sftp.Handlers{FileGet: handlers{v}, FilePut: handlers{v}, FileCmd: handlers{v}, FileList: handlers{v}},
		sftp.WithRSMaxTxPacket(MaxWriteBytes))
	err = server.Serve()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || ctx.Err() != nil {
		return nil
	}
	return err
}

// handlers are what the library calls, from several goroutines.
type handlers struct{ v *volume }

// Fileread opens for reading.
func (h handlers) Fileread(r *sftp.Request) (io.ReaderAt, error) { return h.v.openAs(r) }

// Filewrite opens for writing.
func (h handlers) Filewrite(r *sftp.Request) (io.WriterAt, error) { return h.v.openAs(r) }

// OpenFile opens for both.
func (h handlers) OpenFile(r *sftp.Request) (sftp.WriterAtReaderAt, error) { return h.v.openAs(r) }

// Filelist answers opendir and fstat.
func (h handlers) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	at, err := parsePlace(r.Filepath)
	switch {
	case err != nil:
		return nil, asStatus(err)
	case r.Method == "List":
		return h.v.list(at)
	case r.Method == "Stat" && at.token != 0:
		return h.one(at)
	}
	return nil, sftp.ErrSSHFxOpUnsupported // nothing here follows
}

// Lstat answers lstat.
func (h handlers) Lstat(r *sftp.Request) (sftp.ListerAt, error) {
	at, err := parsePlace(r.Filepath)
	if err != nil {
		return nil, asStatus(err)
	}
	return h.one(at)
}

func (h handlers) one(at place) (sftp.ListerAt, error) {
	e, err := h.v.stat(at)
	if err != nil {
		return nil, err
	}
	return single{e}, nil
}

// single is one entry.
type single struct{ entry entry }

func (s single) ListAt(infos []os.FileInfo, _ int64) (int, error) {
	infos[0] = s.entry
	return 1, nil
}

// Readlink answers readlink.
func (h handlers) Readlink(path string) (target string, err error) {
	at, err := parsePlace(path)
	if err != nil {
		return "", asStatus(err)
	}
	err = h.v.as(func() error {
		return h.v.at(at.name, func(dir int, base string) error {
			buffer := make([]byte, maxNameBytes)
			n, err := unix.Readlinkat(dir, base, buffer)
			target = string(buffer[:max(n, 0)])
			return err
		})
	})
	return target, err
}

// StatVFS answers statvfs.
func (h handlers) StatVFS(*sftp.Request) (*sftp.StatVFS, error) {
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(h.v.dir.Fd()), &s); err != nil {
		return nil, asStatus(err)
	}
	return &sftp.StatVFS{
		Bsize: uint64(s.Bsize), Frsize: uint64(s.Frsize), Blocks: s.Blocks, Bfree: s.Bfree, Bavail: s.Bavail,
		Files: s.Files, Ffree: s.Ffree, Favail: s.Ffree, Namemax: uint64(s.Namelen),
	}, nil
}

// Filecmd does everything else.
func (h handlers) Filecmd(r *sftp.Request) error {
	at, err := parsePlace(r.Filepath)
	if r.Method == "Symlink" {
		at, err = parsePlace(r.Target) // the library's Filepath is what the link says
	}
	if err != nil {
		return asStatus(err)
	}
	switch r.Method {
	case "Symlink":
		return h.v.as(func() error {
			return h.v.at(at.name, func(dir int, base string) error { return unix.Symlinkat(r.Filepath, dir, base) })
		})
	case "Link":
		to, err := parsePlace(r.Target)
		if err != nil {
			return asStatus(err)
		}
		return h.v.as(func() error {
			return h.v.between(at, to, func(fromDir int, from string, toDir int, to string) error {
				return unix.Linkat(fromDir, from, toDir, to, 0)
			})
		})
	case "Setstat":
		asked := r.Attributes() // nil where they cannot be read
		if asked == nil || len(asked.Extended) != 1 {
			return status(syscall.EINVAL)
		}
		what := asked.Extended[0]
		if what.ExtType == fsyncExtension {
			return asStatus(h.v.sync(at)) // whoever has it open may, whatever it has become
		}
		return h.v.as(func() error { return h.order(at, what.ExtType, what.ExtData) })
	}
	return sftp.ErrSSHFxOpUnsupported
}

// order does what an extended attribute says.
func (h handlers) order(at place, what, data string) error {
	switch what {
	case setattrExtension:
		var c change
		if err := decode(data, &c); err != nil {
			return err
		}
		return h.v.apply(at, c)
	case mkdirExtension:
		var mode uint32
		if err := decode(data, &mode); err != nil {
			return err
		}
		return h.v.mkdir(at, mode&0o7777)
	case unlinkExtension:
		return h.v.at(at.name, func(dir int, base string) error { return unix.Unlinkat(dir, base, 0) })
	case rmdirExtension:
		return h.v.at(at.name, func(dir int, base string) error { return unix.Unlinkat(dir, base, unix.AT_REMOVEDIR) })
	case renameExtension:
		var flags uint32
		if len(data) < 4 {
			return syscall.EBADMSG
		}
		if err := decode(data[:4], &flags); err != nil {
			return err
		}
		to, err := parsePlace(data[4:])
		if err != nil {
			return err
		}
		return h.v.between(at, to, func(fromDir int, from string, toDir int, to string) error {
			return unix.Renameat2(fromDir, from, toDir, to, uint(flags))
		})
	}
	return syscall.EOPNOTSUPP
}
