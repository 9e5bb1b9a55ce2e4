package remote

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/sys/unix"
)

// client speaks to the serving side without a file system in between.
func (b *bench) client() *session {
	b.t.Helper()
	conn := must(b.dial(b.t.Context(), theHost, theEnvironment))
	client, err := sftp.NewClientPipe(conn, conn, sftp.MaxPacketUnchecked(MaxWriteBytes))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = client.Close() })
	return &session{client: client}
}

// secret makes a folder beside the volume that is the tenant's to read, were it
// not for the confinement.
func (b *bench) secret() (dir string) {
	b.t.Helper()
	dir = filepath.Join(filepath.Dir(b.volume.Path), "secret")
	if err := errors.Join(os.Mkdir(dir, 0o777), os.WriteFile(filepath.Join(dir, "key"), []byte("secret"), 0o666),
		os.Chmod(dir, 0o777), os.Chmod(filepath.Join(dir, "key"), 0o666)); err != nil {
		b.t.Fatal(err)
	}
	return dir
}

// TestPathsThatLeadOut: of links and dots, and of a peer that sends what the
// kernel of a mount never would.
func TestPathsThatLeadOut(t *testing.T) {
	b := newBench(t)
	secret := b.secret()
	for name, target := range map[string]string{"absolute": secret, "relative": "../secret", "root": "/", "file": filepath.Join(secret, "key"), "self": ".", "loop": "loop"} {
		link := filepath.Join(b.volume.Path, name)
		if err := errors.Join(os.Symlink(target, link), os.Lchown(link, int(tenant), int(tenant))); err != nil {
			t.Fatal(err)
		}
	}
	s := b.client()
	orders := map[string]func(at place) error{
		"open": func(at place) error {
			at.token = s.tokens.Add(1)
			_, err := s.client.OpenFile(at.String(), os.O_RDONLY)
			return err
		},
		"make": func(at place) error {
			at.token, at.mode = s.tokens.Add(1), 0o644
			_, err := s.client.OpenFile(at.String(), os.O_RDWR|os.O_CREATE)
			return err
		},
		"list":   func(at place) error { _, err := s.client.ReadDir(at.String()); return err },
		"unlink": func(at place) error { return order(s, at, unlinkExtension, "") },
		"mkdir":  func(at place) error { return order(s, at, mkdirExtension, encode(uint32(0o755))) },
		"rename": func(at place) error { return order(s, at, renameExtension, encode(uint32(0))+"/taken") },
		"put": func(at place) error {
			return order(s, place{name: "plain"}, renameExtension, encode(uint32(0))+at.String())
		},
		"link": func(at place) error { return s.client.Link(at.String(), "/linked") },
		"truncate": func(at place) error {
			return order(s, at, setattrExtension, encode(change{Set: setSize}))
		},
	}
	for _, name := range []string{
		"../secret/key", "a/../../secret/key", "absolute/key", "relative/key", "self/../secret/key", "root/etc/hostname",
		"absolute/new", "relative/new/deep", "loop/x",
	} {
		for what, do := range orders {
			write(t, filepath.Join(b.volume.Path, "plain"), "plain")
			if err := do(place{name: name}); err == nil {
				t.Errorf("%s %q was done", what, name)
			}
			if _, err := s.client.Lstat(place{name: name}.String()); err == nil {
				t.Errorf("%q was seen", name)
			}
		}
	}
	// The last element is never followed.
	for _, name := range []string{"absolute", "relative", "root", "file", "loop"} {
		for _, what := range []string{"open", "make", "list", "truncate"} {
			if err := orders[what](place{name: name}); err == nil {
				t.Errorf("%s %q followed the link", what, name)
			}
		}
		if err := order(s, place{name: name}, setattrExtension, encode(change{Set: setMode, Mode: 0})); err == nil {
			t.Errorf("chmod %q followed the link", name)
		}
		if err := order(s, place{name: name}, setattrExtension, encode(change{Set: setModify})); err != nil {
			t.Errorf("the times of link %q: %v", name, err)
		}
	}
	left := everything(secret)
	if want := []string{" 40777 0:0 links=2", `/key 100666 0:0 links=1 size=6 's'×1 'e'×1 'c'×1 'r'×1 'e'×1 't'×1 `}; fmt.Sprint(left) != fmt.Sprint(want) {
		t.Errorf("the folder beside the volume:\n%s\nwant\n%s", strings.Join(left, "\n"), strings.Join(want, "\n"))
	}
	if info := must(os.Stat(secret)); info.ModTime().Unix() == 0 {
		t.Error("the times of what a link leads to were set")
	}
}

// TestFolderBecomesALink again and again while it is worked in.
func TestFolderBecomesALink(t *testing.T) {
	b := newBench(t)
	secret := b.secret()
	folder := filepath.Join(b.volume.Path, "folder")
	if err := errors.Join(os.Mkdir(folder, 0o777), os.Symlink(secret, filepath.Join(b.volume.Path, "link"))); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, folder, unix.AT_FDCWD, filepath.Join(b.volume.Path, "link"), unix.RENAME_EXCHANGE)
			}
		}
	})
	s := b.client()
	for i := range 300 {
		at := place{name: "folder/key", token: s.tokens.Add(1), mode: 0o644}
		if f, err := s.client.OpenFile(at.String(), os.O_RDWR|os.O_CREATE); err == nil {
			_, _ = f.Write([]byte("taken over"))
			_ = f.Close()
		}
		_ = order(s, place{name: fmt.Sprintf("folder/%d", i)}, mkdirExtension, encode(uint32(0o755)))
		_ = order(s, place{name: "folder/key"}, unlinkExtension, "")
	}
	close(stop)
	swapping.Wait()
	if content, err := os.ReadFile(filepath.Join(secret, "key")); err != nil || string(content) != "secret" {
		t.Errorf("the folder beside the volume: %q, %v", content, err)
	}
	if entries := must(os.ReadDir(secret)); len(entries) != 1 {
		t.Errorf("the folder beside the volume has %v", entries)
	}
}

// TestTenantsRights: the serving side is root, and does what the environment's
// user may.
func TestTenantsRights(t *testing.T) {
	b := newBench(t)
	if err := errors.Join(
		os.WriteFile(filepath.Join(b.volume.Path, "roots"), []byte("root's"), 0o600),
		os.Mkdir(filepath.Join(b.volume.Path, "rootdir"), 0o755),
		unix.Mkfifo(filepath.Join(b.volume.Path, "pipe"), 0o666),
		os.Chmod(filepath.Join(b.volume.Path, "pipe"), 0o666),
	); err != nil {
		t.Fatal(err)
	}
	s := b.client()
	open := func(name string, flags int) error {
		at := place{name: name, token: s.tokens.Add(1), mode: 0o4755}
		f, err := s.client.OpenFile(at.String(), flags)
		if err == nil {
			_ = f.Close()
		}
		return err
	}
	for what, c := range map[string]struct {
		got  error
		want unix.Errno
	}{
		"a file of root's":         {open("roots", os.O_RDONLY), unix.EACCES},
		"a folder of root's":       {open("rootdir/new", os.O_RDWR|os.O_CREATE), unix.EACCES},
		"a pipe without a writer":  {open("pipe", os.O_RDONLY), unix.ENXIO},
		"a pipe without a reader":  {open("pipe", os.O_WRONLY), unix.ENXIO},
		"a folder":                 {open("rootdir", os.O_RDONLY), unix.ENXIO},
		"the mode of root's":       {order(s, place{name: "roots"}, setattrExtension, encode(change{Set: setMode, Mode: 0o777})), unix.EPERM},
		"the times of root's":      {order(s, place{name: "roots"}, setattrExtension, encode(change{Set: setModify})), unix.EPERM},
		"a file of its own":        {open("own", os.O_RDWR|os.O_CREATE), 0},
		"one that is there":        {open("own", os.O_RDWR|os.O_CREATE|os.O_EXCL), unix.EEXIST},
		"what nobody knows":        {order(s, place{name: "own"}, "chown@pantheon", ""), unix.EOPNOTSUPP},
		"a change that is none":    {order(s, place{name: "own"}, setattrExtension, "x"), unix.EBADMSG},
		"a rename without a place": {order(s, place{name: "own"}, renameExtension, "x"), unix.EBADMSG},
		"a long name":              {open(strings.Repeat("x", 300), os.O_RDONLY), unix.ENAMETOOLONG},
		"a very long name":         {open(strings.Repeat("x/", 3000), os.O_RDONLY), unix.ENAMETOOLONG},
	} {
		if got := errnoOf(c.got); got != c.want {
			t.Errorf("%s: %v, want %v", what, got, c.want)
		}
	}
	var stat unix.Stat_t
	if err := unix.Lstat(filepath.Join(b.volume.Path, "own"), &stat); err != nil || stat.Uid != tenant || stat.Gid != tenant || stat.Mode != unix.S_IFREG|0o4755 {
		t.Errorf("%o of %d:%d, %v", stat.Mode, stat.Uid, stat.Gid, err)
	}
	at := place{name: "own", token: s.tokens.Add(1)}
	own, err := s.client.OpenFile(at.String(), os.O_WRONLY)
	if err == nil {
		_, err = own.Write([]byte("x"))
	}
	if err := errors.Join(err, own.Close(), unix.Lstat(filepath.Join(b.volume.Path, "own"), &stat)); err != nil || stat.Mode != unix.S_IFREG|0o755 {
		t.Errorf("after writing %o, %v", stat.Mode, err)
	}
}

// TestTokens: an open file has one, of the client's choice.
func TestTokens(t *testing.T) {
	b := newBench(t)
	s := b.client()
	made, err := s.client.OpenFile(place{name: "own", token: 76, mode: 0o644}.String(), os.O_RDWR|os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.client.OpenFile(place{name: "own\x00", token: 78}.String(), os.O_RDONLY); errnoOf(err) != unix.EINVAL {
		t.Errorf("a name with NUL: %v", err)
	}
	same := place{name: "own", token: 77}
	first, err := s.client.OpenFile(same.String(), os.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.OpenFile(same.String(), os.O_RDONLY); errnoOf(err) != unix.EINVAL {
		t.Errorf("one token twice: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.client.OpenFile("/own", os.O_RDONLY); errnoOf(err) != unix.EINVAL {
		t.Errorf("no token: %v", err)
	}
	if _, err := s.client.Stat("/own"); err == nil {
		t.Error("stat follows, and is not offered")
	}
}

// TestFoldersThatAreTooMuch: too many open ones are refused by the serving side
// too, and so is one that is too large.
func TestFoldersThatAreTooMuch(t *testing.T) {
	b := newBench(t)
	v, err := openVolume(b.volume)
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	for i := range maxHandles {
		l, err := v.list(place{})
		if err != nil {
			t.Fatal(i, err)
		}
		defer l.Close()
	}
	if _, err := v.list(place{}); err != status(unix.ENFILE) {
		t.Errorf("one too many: %v", err)
	}
	write(t, filepath.Join(b.volume.Path, "f"), "")
	l := &listing{volume: v, folder: must(os.Open(b.volume.Path)), listed: maxFolderEntries}
	defer l.folder.Close()
	if _, err := l.ListAt(make([]os.FileInfo, 10), 0); err != status(unix.EOVERFLOW) {
		t.Errorf("an entry too many: %v", err)
	}
}

// TestGarbage on a connection ends it, and nothing else.
func TestGarbage(t *testing.T) {
	b := newBench(t)
	init := []byte{0, 0, 0, 5, 1, 0, 0, 0, 3}
	packet := func(kind byte, body string) []byte {
		head := binary.BigEndian.AppendUint32(nil, uint32(len(body)+1))
		return append(append(head, kind), body...)
	}
	for name, bytes := range map[string][]byte{
		"nothing":            nil,
		"an endless packet":  {0xff, 0xff, 0xff, 0xff, 1},
		"an empty packet":    {0, 0, 0, 0},
		"half a packet":      {0, 0, 1, 0, 3, 0},
		"an unknown kind":    append(bytes.Clone(init), packet(77, "\x00\x00\x00\x01")...),
		"an open of nothing": append(bytes.Clone(init), packet(3, "\x00\x00\x00\x01\xff\xff\xff\xff")...),
		"a foreign handle":   append(bytes.Clone(init), packet(5, "\x00\x00\x00\x01\x00\x00\x00\x019\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff")...),
		"setstat of nothing": append(bytes.Clone(init), packet(9, "\x00\x00\x00\x01\x00\x00\x00\x01/\x80\x00\x00\x00\xff\xff\xff\xff")...),
		"many extensions":    append(bytes.Clone(init), packet(9, "\x00\x00\x00\x01\x00\x00\x00\x01/\x80\x00\x00\x00\x00\x00\xff\xff\x00\x00")...),
	} {
		near, far := pair(t)
		served := make(chan error)
		go func() { served <- Serve(context.Background(), far, b.volume) }()
		if _, err := near.Write(bytes); err != nil {
			t.Error(name, err)
		}
		_ = near.(*net.UnixConn).CloseWrite()
		_, _ = io.Copy(io.Discard, near)
		<-served
		near.Close()
	}
}

// TestEndOfContext ends the serving.
func TestEndOfContext(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	near, far := pair(t)
	defer near.Close()
	served := make(chan error)
	go func() { served <- Serve(ctx, far, b.volume) }()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := Serve(t.Context(), far, Volume{Path: b.volume.Path + "/none", UID: tenant}); err == nil {
		t.Error("a volume that is not there was served")
	}
}
