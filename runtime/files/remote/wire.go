package remote

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/pkg/sftp"
)

// What both ends know of one another beyond SFTP version 3; see the package
// comment.

// The types of extended attributes. statExtension is in answers, the others are
// orders in SSH_FXP_SETSTAT.
const (
	statExtension    = "stat@pantheon"
	setattrExtension = "setattr@pantheon"
	fsyncExtension   = "fsync@pantheon"
	mkdirExtension   = "mkdir@pantheon"
	unlinkExtension  = "unlink@pantheon"
	rmdirExtension   = "rmdir@pantheon"
	renameExtension  = "rename@pantheon"
)

// attr is what stat(2) says.
type attr struct {
	Ino, Size, Blocks       uint64
	Mode, Nlink, UID, GID   uint32
	Access, Modify, Changed int64 // nanoseconds since 1970
	// Settled is 1 if the last change is settleTime ago: another one will have
	// another time.
	Settled uint32
}

// version tells contents from those before.
type version struct {
	size            uint64
	modify, changed int64
}

// version gives none, the zero one, while the next might look the same.
func (a *attr) version() version {
	if a.Settled == 0 {
		return version{}
	}
	return version{a.Size, a.Modify, a.Changed}
}

// change is what is to be set of attributes.
type change struct {
	Set            uint32 // bits below
	Mode           uint32
	Size           uint64
	Access, Modify int64 // nanoseconds since 1970
}

const (
	setMode = 1 << iota
	setSize
	setAccess
	setModify
)

func encode(v any) string {
	b, err := binary.Append(nil, binary.BigEndian, v)
	if err != nil {
		panic(err) // of fixed size, all of them
	}
	return string(b)
}

func decode(text string, v any) error {
	if n, err := binary.Decode([]byte(text), binary.BigEndian, v); err != nil || n != len(text) {
		return syscall.EBADMSG
	}
	return nil
}

// attrOf finds the attributes in an answer.
func attrOf(info os.FileInfo) (attr, error) {
	var a attr
	stat, ok := info.Sys().(*sftp.FileStat)
	if !ok {
		return a, syscall.EBADMSG
	}
	for _, extended := range stat.Extended {
		if extended.ExtType == statExtension {
			return a, decode(extended.ExtData, &a)
		}
	}
	return a, syscall.EBADMSG
}

// A place is what a path names: a name below the volume's root ("" is the root
// itself), and, if token is not zero, the open file of that name.
type place struct {
	name  string
	token uint64
	mode  uint32 // of a file that is made
}

// tokenMark begins the first element of a path with a token: no name has it.
const tokenMark = "/\x00"

func (p place) String() string {
	if p.token == 0 {
		return "/" + p.name
	}
	return fmt.Sprintf("%s%d,%o/%s", tokenMark, p.token, p.mode, p.name)
}

func parsePlace(path string) (place, error) {
	if len(path) > maxNameBytes {
		return place{}, syscall.ENAMETOOLONG
	}
	rest, marked := strings.CutPrefix(path, tokenMark)
	if !marked {
		rest, rooted := strings.CutPrefix(path, "/")
		if !rooted || strings.Contains(rest, "\x00") {
			return place{}, syscall.EINVAL
		}
		return place{name: rest}, nil
	}
	head, name, _ := strings.Cut(rest, "/")
	number, mode, _ := strings.Cut(head, ",")
	token, err := strconv.ParseUint(number, 10, 64)
	bits, modeErr := strconv.ParseUint(mode, 8, 12)
	if err != nil || modeErr != nil || token == 0 || strings.Contains(name, "\x00") {
		return place{}, syscall.EINVAL
	}
	return place{name, token, uint32(bits)}, nil
}

// status is an errno on its way to the other side. It is none to the library,
// which would fold EACCES and EPERM, and most others, into one.
type status syscall.Errno

const statusText = "errno "

func (s status) Error() string { return statusText + strconv.Itoa(int(s)) }

// asStatus says what the other side may know of an error.
func asStatus(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	var errno syscall.Errno
	switch {
	case errors.As(err, new(status)):
		return err
	case errors.As(err, &errno):
		return status(errno)
	case errors.Is(err, os.ErrClosed):
		return status(syscall.EBADF)
	case errors.As(err, new(*os.PathError)):
		return status(syscall.EACCES) // os.Root: the path leads out
	}
	return status(syscall.EIO)
}

// errnoOf gives the errno of an answer. Whatever is no answer, such as what
// became of a connection, is EIO.
func errnoOf(err error) syscall.Errno {
	var answer *sftp.StatusError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, os.ErrNotExist):
		return syscall.ENOENT
	case errors.Is(err, os.ErrClosed):
		return syscall.EBADF // closed here, a moment ago
	case errors.As(err, &answer):
		var number int
		_, text, _ := strings.Cut(answer.Error(), statusText)
		if n, _ := fmt.Sscanf(text, "%d", &number); n == 1 && number > 0 {
			return syscall.Errno(number)
		}
	}
	return syscall.EIO
}

// unanswered says that an error is none of the other side's: the connection is
// lost.
func unanswered(err error) bool {
	return err != nil && !errors.As(err, new(*sftp.StatusError)) && !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrClosed) &&
		!errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) && !errors.Is(err, syscall.EBADMSG)
}

// packets joins what the library writes in two pieces, a packet's head and its
// payload, as long as they are small, and reads ahead. The library writes one
// packet at a time.
type packets struct {
	io.ReadWriteCloser
	in  *bufio.Reader
	out []byte
}

func newPackets(conn io.ReadWriteCloser) *packets {
	return &packets{ReadWriteCloser: conn, in: bufio.NewReaderSize(conn, readBufferBytes)}
}

func (p *packets) Read(b []byte) (int, error) { return p.in.Read(b) }

func (p *packets) Write(b []byte) (int, error) {
	p.out = append(p.out, b...)
	if len(p.out) >= 4 && len(p.out) < 4+int(binary.BigEndian.Uint32(p.out)) && len(p.out) < readBufferBytes {
		return len(b), nil
	}
	_, err := p.ReadWriteCloser.Write(p.out)
	if p.out = p.out[:0]; cap(p.out) > 4*MaxWriteBytes {
		p.out = nil
	}
	if err != nil {
		return 0, err
	}
	return len(b), nil
}
