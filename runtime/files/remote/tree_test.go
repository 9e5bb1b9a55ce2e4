package remote

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// asTenant runs what a process of the environment would do.
func asTenant(do func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_, _ = unix.SetfsgidRetGid(int(tenant))
	_, _ = unix.SetfsuidRetUid(int(tenant))
	defer func() {
		_, _ = unix.SetfsuidRetUid(0)
		_, _ = unix.SetfsgidRetGid(0)
	}()
	do()
}

// place of a differential run: the same is done in both.
type side struct {
	root  string
	files map[int]int // open descriptors by slot
}

func (s *side) path(name string) string { return filepath.Join(s.root, name) }

// operation gives what it has seen, as text.
type operation func(s *side) string

func said(err error, more ...any) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return unix.ErrnoName(errno)
	}
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(more...)
}

func look(path string) string {
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		return said(err)
	}
	return describe(&stat)
}

func describe(stat *unix.Stat_t) string {
	text := fmt.Sprintf("%o %d:%d links=%d", stat.Mode, stat.Uid, stat.Gid, stat.Nlink)
	if stat.Mode&unix.S_IFMT == unix.S_IFREG {
		text += fmt.Sprintf(" size=%d", stat.Size)
	}
	return text
}

// names are few, so that operations meet.
var names = []string{"a", "b", "c", "d", "d/a", "d/b", "d/e", "d/e/a", "ü ", strings.Repeat("n", 255), strings.Repeat("n", 256)}

func drawOperation(t *rapid.T) (string, operation) {
	name := rapid.SampledFrom(names).Draw(t, "name")
	other := rapid.SampledFrom(names).Draw(t, "other")
	mode := uint32(rapid.SampledFrom([]int{0o644, 0o600, 0o755, 0o400, 0o200, 0o000}).Draw(t, "mode"))
	special := uint32(rapid.SampledFrom([]int{0o755, 0o2770, 0o1777, 0o500, 0o300}).Draw(t, "special"))
	slot := rapid.IntRange(0, 3).Draw(t, "slot")
	at := int64(rapid.SampledFrom([]int{0, 1, 100, 4095, 4096, 70_000}).Draw(t, "at"))
	size := rapid.SampledFrom([]int{0, 1, 10, 4096, 140_000}).Draw(t, "size")
	flags := rapid.SampledFrom([]int{unix.O_RDONLY, unix.O_WRONLY, unix.O_RDWR}).Draw(t, "access")
	for _, flag := range []int{unix.O_CREAT, unix.O_EXCL, unix.O_TRUNC, unix.O_APPEND} {
		if rapid.Bool().Draw(t, "flag") {
			flags |= flag
		}
	}
	data := []byte(strings.Repeat(string(rune('a'+slot)), size))
	type named struct {
		text string
		do   operation
	}
	return func() (string, operation) {
		all := []named{
			{fmt.Sprintf("open %q %x %o as %d", name, flags, mode, slot), func(s *side) string { return s.open(slot, name, flags, mode) }},
			{fmt.Sprintf("write %d of %d at %d", size, slot, at), func(s *side) string {
				return s.with(slot, func(fd int) string { n, err := unix.Pwrite(fd, data, at); return said(err, n) })
			}},
			{fmt.Sprintf("append %d of %d", size, slot), func(s *side) string {
				return s.with(slot, func(fd int) string { n, err := unix.Write(fd, data); return said(err, n) })
			}},
			{fmt.Sprintf("read %d at %d", slot, at), func(s *side) string { return s.read(slot, at) }},
			{fmt.Sprintf("ftruncate %d to %d", slot, at), func(s *side) string { return s.with(slot, func(fd int) string { return said(unix.Ftruncate(fd, at)) }) }},
			{fmt.Sprintf("fchmod %d %o", slot, mode), func(s *side) string { return s.with(slot, func(fd int) string { return said(unix.Fchmod(fd, mode)) }) }},
			{fmt.Sprintf("fstat %d", slot), func(s *side) string { return s.fstat(slot) }},
			{fmt.Sprintf("fsync %d", slot), func(s *side) string { return s.with(slot, func(fd int) string { return said(unix.Fsync(fd)) }) }},
			{fmt.Sprintf("close %d", slot), func(s *side) string { return s.close(slot) }},
			{fmt.Sprintf("truncate %q to %d", name, at), func(s *side) string { return said(unix.Truncate(s.path(name), at)) }},
			{fmt.Sprintf("rename %q %q", name, other), func(s *side) string { return said(unix.Rename(s.path(name), s.path(other))) }},
			{fmt.Sprintf("rename %q to new %q", name, other), func(s *side) string {
				return said(unix.Renameat2(unix.AT_FDCWD, s.path(name), unix.AT_FDCWD, s.path(other), unix.RENAME_NOREPLACE))
			}},
			{fmt.Sprintf("exchange %q and %q", name, other), func(s *side) string {
				return said(unix.Renameat2(unix.AT_FDCWD, s.path(name), unix.AT_FDCWD, s.path(other), unix.RENAME_EXCHANGE))
			}},
			{fmt.Sprintf("unlink %q", name), func(s *side) string { return said(unix.Unlink(s.path(name))) }},
			{fmt.Sprintf("mkdir %q %o", name, special), func(s *side) string { return said(unix.Mkdir(s.path(name), special)) }},
			{fmt.Sprintf("rmdir %q", name), func(s *side) string { return said(unix.Rmdir(s.path(name))) }},
			{fmt.Sprintf("list %q", name), func(s *side) string { return list(s.path(name)) }},
			{fmt.Sprintf("stat %q", name), func(s *side) string { return look(s.path(name)) }},
			{fmt.Sprintf("chmod %q %o", name, mode), func(s *side) string { return said(unix.Chmod(s.path(name), mode)) }},
			{fmt.Sprintf("chown %q", name), func(s *side) string { return said(unix.Lchown(s.path(name), int(tenant), int(tenant))) }},
			{fmt.Sprintf("give %q away", name), func(s *side) string { return said(unix.Lchown(s.path(name), 7, 7)) }},
			{fmt.Sprintf("utimes %q %d", name, at), func(s *side) string { return s.utimes(name, at) }},
			{fmt.Sprintf("symlink %q to %q", name, other), func(s *side) string { return said(unix.Symlink(other, s.path(name))) }},
			{fmt.Sprintf("readlink %q", name), func(s *side) string { to, err := os.Readlink(s.path(name)); return said(err, to) }},
			{fmt.Sprintf("link %q to %q", name, other), func(s *side) string { return said(unix.Link(s.path(other), s.path(name))) }},
		}
		chosen := all[rapid.IntRange(0, len(all)-1).Draw(t, "operation")]
		return chosen.text, chosen.do
	}()
}

func (s *side) with(slot int, do func(fd int) string) string {
	fd, open := s.files[slot]
	if !open {
		return "not open"
	}
	return do(fd)
}

func (s *side) open(slot int, name string, flags int, mode uint32) string {
	s.close(slot)
	fd, err := unix.Open(s.path(name), flags|unix.O_CLOEXEC|unix.O_NONBLOCK, mode)
	if err == nil {
		s.files[slot] = fd
	}
	return said(err)
}

func (s *side) close(slot int) string {
	return s.with(slot, func(fd int) string {
		delete(s.files, slot)
		return said(unix.Close(fd))
	})
}

func (s *side) read(slot int, at int64) string {
	return s.with(slot, func(fd int) string {
		content := make([]byte, 300_000)
		n, err := unix.Pread(fd, content, at)
		return said(err, n, " ", short(content[:max(n, 0)]))
	})
}

// short says what is in a file by the lengths of its runs.
func short(content []byte) string {
	var text strings.Builder
	for len(content) > 0 {
		n := 1
		for n < len(content) && content[n] == content[0] {
			n++
		}
		fmt.Fprintf(&text, "%q×%d ", content[0], n)
		content = content[n:]
	}
	return text.String()
}

func (s *side) fstat(slot int) string {
	return s.with(slot, func(fd int) string {
		var stat unix.Stat_t
		err := unix.Fstat(fd, &stat)
		return said(err, describe(&stat))
	})
}

func (s *side) utimes(name string, at int64) string {
	times := []unix.Timespec{{Sec: 1_600_000_000 + at, Nsec: 123_456_789}, {Sec: 1_700_000_000 + at, Nsec: 987_654_321}}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, s.path(name), times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return said(err)
	}
	var stat unix.Stat_t
	err := unix.Lstat(s.path(name), &stat)
	return said(err, stat.Atim, stat.Mtim)
}

func list(path string) string {
	entries, err := os.ReadDir(path)
	if err != nil {
		return said(err)
	}
	var text []string
	for _, entry := range entries {
		text = append(text, fmt.Sprint(entry.Name(), entry.Type()))
	}
	return strings.Join(text, " ")
}

// everything tells all there is below a folder.
func everything(root string) []string {
	var text []string
	_ = filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		name := strings.TrimPrefix(path, root)
		line := name + " " + look(path)
		switch {
		case err != nil:
			line += " " + said(err)
		case entry.Type().IsRegular():
			content, err := os.ReadFile(path)
			line += " " + said(err, short(content))
		case entry.Type()&os.ModeSymlink != 0:
			to, err := os.Readlink(path)
			line += " " + said(err, to)
		}
		text = append(text, line)
		return nil
	})
	return text
}

// TestLikeALocalFolder does the same in a local folder and in a mounted one,
// and sees the same.
func TestLikeALocalFolder(t *testing.T) {
	b := newBench(t)
	_, mounted := b.mount()
	local := filepath.Join(openDir(t), "local")
	var runs atomic.Int64
	make := func(t *rapid.T, root string, run int64) *side {
		s := &side{filepath.Join(root, fmt.Sprint(run)), map[int]int{}}
		if err := errors.Join(os.MkdirAll(root, 0o755), os.Mkdir(s.root, 0o755), os.Chown(s.root, int(tenant), int(tenant))); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if err := unix.Chmod(b.volume.Path, 0o755); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		run := runs.Add(1)
		want, got := make(t, local, run), make(t, mounted, run)
		defer asTenant(func() {
			for slot := range 4 {
				want.close(slot)
				got.close(slot)
			}
		})
		for range rapid.IntRange(1, 40).Draw(t, "length") {
			text, do := drawOperation(t)
			var expected, found string
			asTenant(func() { expected, found = do(want), do(got) })
			if expected != found {
				t.Fatalf("%s: %s in a local folder, %s in a mounted one", text, expected, found)
			}
		}
		for name, root := range map[string]string{"mounted": got.root, "served": filepath.Join(b.volume.Path, fmt.Sprint(run))} {
			var a, b []string
			asTenant(func() { a, b = everything(want.root), everything(root) })
			if !slices.Equal(a, b) {
				t.Fatalf("a local folder:\n%s\n%s:\n%s", strings.Join(a, "\n"), name, strings.Join(b, "\n"))
			}
		}
	})
}
