package remote

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pantheon/events"
	"pantheon/events/problem"
)

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestConnectionIsLost in the middle of a read: what was asked fails, what was
// open stays lost, and the next operation finds a connection again.
func TestConnectionIsLost(t *testing.T) {
	b := newBench(t)
	_, path := b.mount()
	write(t, filepath.Join(path, "f"), "before")
	open, err := os.OpenFile(filepath.Join(path, "f"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	release := b.hold()
	failed := make(chan error)
	go func() {
		_, err := open.ReadAt(make([]byte, 6), 0)
		failed <- err
	}()
	until(t, func() bool { return b.held() > 0 })
	b.cut()
	if err := <-failed; !errors.Is(err, unix.EIO) {
		t.Errorf("a read in the middle: %v, want EIO", err)
	}
	release()
	if _, err := open.WriteAt([]byte("lost"), 0); !errors.Is(err, unix.EIO) {
		t.Errorf("a file of the lost connection: %v, want EIO", err)
	}
	if content, err := os.ReadFile(filepath.Join(path, "f")); err != nil || string(content) != "before" {
		t.Errorf("after the loss: %q, %v", content, err)
	}
	write(t, filepath.Join(path, "f"), "after")
	if content, err := os.ReadFile(filepath.Join(b.volume.Path, "f")); err != nil || string(content) != "after" {
		t.Errorf("after the loss: %q, %v", content, err)
	}
}

// TestHostOfTheFilesIsGone: nobody waits long, the folder itself is there (a
// sandbox that is made now binds it), and when the host is back so are the files.
func TestHostOfTheFilesIsGone(t *testing.T) {
	b := newBench(t)
	m, path := b.mount()
	write(t, filepath.Join(path, "f"), "here")
	b.refuse(errGone)
	b.cut()
	began := time.Now()
	for range 20 {
		if _, err := os.Stat(filepath.Join(path, "g")); !errors.Is(err, unix.EIO) {
			t.Fatalf("stat: %v, want EIO", err)
		}
	}
	if took := time.Since(began); took > 2*connectWait {
		t.Errorf("20 operations took %v", took)
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		t.Errorf("the folder itself: %v", err)
	}
	if again, err := m.Mount(t.Context(), theHost, theEnvironment); err != nil || again != path {
		t.Errorf("Mount of what is mounted: %q, %v", again, err)
	}
	b.refuse(nil)
	until(t, func() bool {
		content, err := os.ReadFile(filepath.Join(path, "f"))
		return err == nil && string(content) == "here"
	})
}

// TestHostOfTheFilesIsBackSoon: its agent has started anew, and nobody notices.
func TestHostOfTheFilesIsBackSoon(t *testing.T) {
	b := newBench(t)
	_, path := b.mount()
	write(t, filepath.Join(path, "f"), "here")
	b.refuse(errGone)
	b.cut()
	read := make(chan error)
	for range 4 {
		go func() {
			_, err := os.ReadFile(filepath.Join(path, "f"))
			read <- err
		}()
	}
	until(t, func() bool { return b.refusals() > 2 })
	b.refuse(nil)
	for range 4 {
		if err := <-read; err != nil {
			t.Error(err)
		}
	}
}

func TestMountNeedsTheHost(t *testing.T) {
	b := newBench(t)
	b.refuse(problem.New(problem.Denied, "cannot: the host holds no DROP").WithHint("look at the DROP"))
	m := b.machine(filepath.Join(openDir(t), "mounts"))
	_, err := m.Mount(t.Context(), theHost, theEnvironment)
	if problem.KindOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "holds no DROP") || problem.HintOf(err) == "" {
		t.Errorf("%v, hint %q", err, problem.HintOf(err))
	}
	for _, bad := range []events.EnvironmentID{"", "..", "../../etc", "dev"} {
		if _, err := m.Mount(t.Context(), theHost, bad); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := m.Mount(t.Context(), "../../etc", theEnvironment); problem.KindOf(err) != problem.Invalid {
		t.Error(err)
	}
	b.refuse(nil)
	until(t, func() bool {
		_, err := m.Mount(t.Context(), theHost, theEnvironment)
		return err == nil
	})
}

// TestHostOfTheFilesSaysNothing: its disk hangs, and the mesh is well.
func TestHostOfTheFilesSaysNothing(t *testing.T) {
	b := newBench(t)
	b.silent = 300 * time.Millisecond
	_, path := b.mount()
	write(t, filepath.Join(path, "f"), "here")
	release := b.hold()
	began := time.Now()
	_, err := os.ReadFile(filepath.Join(path, "f"))
	if took := time.Since(began); !errors.Is(err, unix.EIO) || took > 20*b.silent {
		t.Errorf("%v after %v, want EIO", err, took)
	}
	release()
	until(t, func() bool {
		_, err := os.ReadFile(filepath.Join(path, "f"))
		return err == nil
	})
}

// TestNobodyAsks: a mount that is not used has no connection, unless a file is
// open; and nobody notices.
func TestNobodyAsks(t *testing.T) {
	b := newBench(t)
	b.silent, b.idle = 160*time.Millisecond, time.Millisecond
	_, path := b.mount()
	until(t, func() bool { return b.connections() == 0 })
	write(t, filepath.Join(path, "f"), "content")
	until(t, func() bool { return b.connections() == 0 })

	b.silent, b.idle = time.Minute, time.Hour
	m, path := b.mount()
	way := m.get(key{theHost, theEnvironment}).live.link
	endIdle := func() {
		way.mu.Lock()
		s := way.session
		way.mu.Unlock()
		if s != nil {
			way.endIdle(s)
		}
	}
	open, err := os.OpenFile(filepath.Join(path, "f"), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	endIdle()
	if _, err := open.WriteString("other"); err != nil {
		t.Errorf("a file that is open: %v", err)
	}
	open.Close()
	stop := make(chan struct{})
	var ending sync.WaitGroup
	ending.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				endIdle()
			}
		}
	})
	for i := range 300 {
		if content, err := os.ReadFile(filepath.Join(path, "f")); err != nil || string(content) != "other" {
			t.Errorf("%d: %q, %v", i, content, err)
		}
	}
	until(t, func() bool { return b.connections() == 0 })
	close(stop)
	ending.Wait()
}

// TestLeaseHasLapsed: nothing that PHP still does here reaches the files.
func TestLeaseHasLapsed(t *testing.T) {
	b := newBench(t)
	m, path := b.mount()
	open, err := os.Create(filepath.Join(path, "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if _, err := open.WriteString("before"); err != nil {
		t.Fatal(err)
	}
	m.Cut() // refuses nothing
	if _, err := open.WriteString(" and"); err != nil {
		t.Errorf("Cut without a reason: %v", err)
	}
	b.lapse(problem.New(problem.Unavailable, "the lease has lapsed"))
	m.Cut()
	if _, err := open.WriteString(" after"); !errors.Is(err, unix.EIO) {
		t.Errorf("a file that was open: %v, want EIO", err)
	}
	if err := os.WriteFile(filepath.Join(path, "g"), nil, 0o644); !errors.Is(err, unix.EIO) {
		t.Errorf("a new file: %v, want EIO", err)
	}
	if content, err := os.ReadFile(filepath.Join(b.volume.Path, "f")); err != nil || string(content) != "before and" {
		t.Errorf("%q, %v", content, err)
	}
	b.lapse(nil)
	until(t, func() bool { return os.WriteFile(filepath.Join(path, "g"), nil, 0o644) == nil })
}

// TestTwoMachinesAppend to one file, and no line is lost or broken.
func TestTwoMachinesAppend(t *testing.T) {
	b := newBench(t)
	const lines = 300
	var writing sync.WaitGroup
	for machine := range 2 {
		_, path := b.mount()
		writing.Go(func() {
			f, err := os.OpenFile(filepath.Join(path, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			for i := range lines {
				if _, err := fmt.Fprintf(f, "%d %03d %s\n", machine, i, strings.Repeat("x", i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writing.Wait()
	content, err := os.ReadFile(filepath.Join(b.volume.Path, "log"))
	if err != nil {
		t.Fatal(err)
	}
	next := [2]int{}
	for line := range strings.Lines(string(content)) {
		var machine, i int
		var rest string
		if n, _ := fmt.Sscanf(line, "%d %d %s", &machine, &i, &rest); n < 2 || i != next[machine] || len(rest) != i {
			t.Fatalf("line %q, want %d of machine %d", line, next[machine], machine)
		}
		next[machine]++
	}
	if next != [2]int{lines, lines} {
		t.Errorf("%v lines", next)
	}
}

// TestOtherMachinesSeeIt: what was written here at the next opening there, what
// became of names after cacheTime.
func TestOtherMachinesSeeIt(t *testing.T) {
	b := newBench(t)
	_, here := b.mount()
	_, there := b.mount()
	for _, content := range []string{"first", "other", "a longer one", strings.Repeat("long", 50_000), "", "short", "other"} {
		write(t, filepath.Join(here, "f"), content)
		for range 2 {
			if got, err := os.ReadFile(filepath.Join(there, "f")); err != nil || string(got) != content {
				t.Errorf("written over: %.20q (%d bytes), %v, want %.20q", got, len(got), err, content)
			}
		}
		write(t, filepath.Join(here, "g"), content)
		if err := os.Rename(filepath.Join(here, "g"), filepath.Join(here, "f")); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(there, "f")); err != nil || string(got) != content {
			t.Errorf("put in its place: %.20q (%d bytes), %v, want %.20q", got, len(got), err, content)
		}
	}
	if err := os.Rename(filepath.Join(here, "f"), filepath.Join(here, "g")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(there, "g")); err != nil {
		t.Errorf("a new name: %v", err)
	}
	until(t, func() bool {
		_, err := os.Stat(filepath.Join(there, "f"))
		return errors.Is(err, os.ErrNotExist)
	})
	// Another file of the same name while the first is looked at.
	if _, err := os.Stat(filepath.Join(there, "g")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(b.volume.Path, "h"), "another")
	if err := os.Rename(filepath.Join(b.volume.Path, "h"), filepath.Join(b.volume.Path, "g")); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool {
		info, err := os.Stat(filepath.Join(there, "g"))
		return err == nil && info.Size() == 7
	})
}

// TestReplacedWhileItIsRead: a file that is written anew and renamed into its
// place, as applications do, is there at every moment and whole.
func TestReplacedWhileItIsRead(t *testing.T) {
	b := newBench(t)
	_, here := b.mount()
	_, there := b.mount()
	replace := func(i int) error {
		content := strings.Repeat(fmt.Sprintf("%08d", i), 1+i%2000)
		if err := os.WriteFile(filepath.Join(here, "new"), []byte(content), 0o644); err != nil {
			return err
		}
		return os.Rename(filepath.Join(here, "new"), filepath.Join(here, "f"))
	}
	if err := replace(0); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var reading sync.WaitGroup
	for _, path := range []string{here, here, there, there} {
		reading.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				content, err := os.ReadFile(filepath.Join(path, "f"))
				if err != nil {
					t.Errorf("read %d: %v", n, err)
					continue
				}
				var i int
				if _, err := fmt.Sscanf(string(content[:min(len(content), 8)]), "%d", &i); err != nil || len(content) != 8*(1+i%2000) {
					t.Errorf("read %d: %d bytes of version %d", n, len(content), i)
				}
				if _, err := os.Stat(filepath.Join(path, "f")); err != nil {
					t.Errorf("stat %d: %v", n, err)
				}
			}
		})
	}
	for i := range 500 {
		if err := replace(i); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	reading.Wait()
}

// TestNameIsGone: what is done to a file that has no name any more, and is not
// open, is done to nothing: neither to the folder nor to its successor.
func TestNameIsGone(t *testing.T) {
	b := newBench(t)
	_, path := b.mount()
	if err := os.Mkdir(filepath.Join(path, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	for what, gone := range map[string]func(name string) error{
		"removed":  os.Remove,
		"replaced": func(name string) error { write(t, name+"2", "2"); return os.Rename(name+"2", name) },
	} {
		for _, name := range []string{"f", "d/f"} {
			write(t, filepath.Join(path, name), "1")
			held, err := unix.Open(filepath.Join(path, name), unix.O_PATH, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := gone(filepath.Join(path, name)); err != nil {
				t.Fatal(err)
			}
			before := everything(b.volume.Path)
			self := fmt.Sprintf("/proc/self/fd/%d", held)
			for _, err := range []error{unix.Chmod(self, 0o777), unix.Truncate(self, 0), os.Remove(self + "/x")} {
				if err == nil {
					t.Errorf("%s %s was changed", what, name)
				}
			}
			if after := everything(b.volume.Path); fmt.Sprint(before) != fmt.Sprint(after) {
				t.Errorf("%s %s: before\n%s\nand after\n%s", what, name, strings.Join(before, "\n"), strings.Join(after, "\n"))
			}
			unix.Close(held)
		}
	}
}

// TestLargeFolder is read whole, from the start again, and by others meanwhile.
func TestLargeFolder(t *testing.T) {
	b := newBench(t)
	_, path := b.mount()
	const entries = 5000
	for i := range entries {
		write(t, filepath.Join(b.volume.Path, fmt.Sprintf("file-%05d", i)), "")
	}
	folder, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	for range 2 {
		found, err := folder.ReadDir(-1)
		if err != nil || len(found) != entries {
			t.Errorf("%d entries, %v", len(found), err)
		}
		if _, err := folder.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
	}
	for _, entry := range must(os.ReadDir(path)) {
		if info, err := entry.Info(); err != nil || info.Size() != 0 {
			t.Fatal(info, err)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestManyHandles: what is too much fails, and nothing else does.
func TestManyHandles(t *testing.T) {
	b := newBench(t)
	_, path := b.mount()
	var open []*os.File
	defer func() {
		for _, f := range open {
			f.Close()
		}
	}()
	for i := range maxHandles {
		f, err := os.Create(filepath.Join(path, fmt.Sprint(i)))
		if err != nil {
			t.Fatalf("file %d: %v", i, err)
		}
		open = append(open, f)
	}
	if _, err := os.Open(filepath.Join(path, "0")); !errors.Is(err, unix.ENFILE) {
		t.Errorf("one too many: %v, want ENFILE", err)
	}
	if _, err := os.Stat(filepath.Join(path, "0")); err != nil {
		t.Error(err)
	}
	open[0].Close()
	open = open[1:]
	until(t, func() bool { // closing is not waited for
		f, err := os.Open(filepath.Join(path, "0"))
		if err == nil {
			open = append(open, f)
		}
		return err == nil
	})
}

// TestManyAtOnce: more than may be in flight.
func TestManyAtOnce(t *testing.T) {
	b := newBench(t)
	_, path := b.mount()
	var all sync.WaitGroup
	for i := range 4 * maxInFlight {
		all.Go(func() {
			name := filepath.Join(path, fmt.Sprint(i))
			content := strings.Repeat(fmt.Sprint(i%10), 200_000)
			if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
				t.Error(err)
			}
			if got, err := os.ReadFile(name); err != nil || string(got) != content {
				t.Errorf("%d: %d bytes, %v", i, len(got), err)
			}
			if err := os.Remove(name); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if left := must(os.ReadDir(b.volume.Path)); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestForkWithOpenFiles: between fork and exec a child closes what its parent
// has open, and the parent can answer nothing.
func TestForkWithOpenFiles(t *testing.T) {
	b := newBench(t)
	_, path := b.mount()
	write(t, filepath.Join(path, "f"), "content")
	for range 8 {
		open, err := os.Open(filepath.Join(path, "f"))
		if err != nil {
			t.Fatal(err)
		}
		defer open.Close()
	}
	b.hold()
	for range 50 {
		collected := make(chan struct{})
		go func() {
			runtime.GC() // has to stop all threads
			close(collected)
		}()
		if err := exec.CommandContext(t.Context(), "/bin/true").Run(); err != nil {
			t.Fatal(err)
		}
		<-collected
	}
}

// TestUploadOfPHP is what an application does with a file that a visitor sends.
func TestUploadOfPHP(t *testing.T) {
	b := newBench(t)
	php, err := exec.LookPath("php8.2")
	if err != nil {
		t.Skip("needs PHP: apt-get install -y php8.2-cli")
	}
	_, path := b.mount()
	source := filepath.Join(openDir(t), "upload.php")
	write(t, source, uploadScript)
	var out []byte
	command := exec.CommandContext(t.Context(), php, "-d", "display_errors=1", source, path)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &credential}
	if out, err = command.CombinedOutput(); err != nil || string(out) != "ok" {
		t.Fatalf("%s, %v", out, err)
	}
	kept := filepath.Join(b.volume.Path, "sites", "default", "files", "photo.jpg")
	info, err := os.Stat(kept)
	if err != nil || info.Size() != 3_000_000 || info.Mode().Perm() != 0o664 {
		t.Errorf("%v, %v", info, err)
	}
	if got := info.Sys().(*syscall.Stat_t); got.Uid != tenant || got.Gid != tenant {
		t.Errorf("it belongs to %d:%d", got.Uid, got.Gid)
	}
}

// uploadScript says "ok" when everything was as on a disk.
const uploadScript = `<?php
$root = $argv[1];
$dir = "$root/sites/default/files";
function want($condition, $what) { if (!$condition) { echo "$what\n"; exit(1); } }
set_error_handler(function ($no, $text, $file, $line) { if (!(error_reporting() & $no)) return; echo "line $line: $text\n"; exit(1); });
want(mkdir($dir, 0775, true), 'mkdir');
want(is_writable($dir), 'is_writable');
$content = str_repeat('0123456789', 300000);
$temporary = tempnam($dir, 'upload');
want(dirname($temporary) === realpath($dir), 'tempnam');
want(file_put_contents($temporary, $content, LOCK_EX) === 3000000, 'file_put_contents');
want(rename($temporary, "$dir/photo.jpg"), 'rename');
want(chmod("$dir/photo.jpg", 0664), 'chmod');
clearstatcache();
want(filesize("$dir/photo.jpg") === 3000000, 'filesize');
want(file_get_contents("$dir/photo.jpg") === $content, 'file_get_contents');
want(touch("$dir/photo.jpg", 1700000000), 'touch');
clearstatcache();
want(filemtime("$dir/photo.jpg") === 1700000000, 'filemtime');
want(scandir($dir) === ['.', '..', 'photo.jpg'], 'scandir');
$log = fopen("$dir/log", 'a+');
want(flock($log, LOCK_EX), 'flock');
for ($i = 0; $i < 10; $i++) { fwrite($log, "line $i\n"); fflush($log); }
rewind($log);
want(count(explode("\n", trim(stream_get_contents($log)))) === 10, 'append and read');
want(ftruncate($log, 7) && fstat($log)['size'] === 7, 'ftruncate');
want(flock($log, LOCK_UN) && fclose($log), 'unlock');
want(@fopen("$dir/log", 'x') === false, 'O_EXCL');
want(copy("$dir/photo.jpg", "$dir/copy.jpg") && md5_file("$dir/copy.jpg") === md5($content), 'copy');
want(symlink('photo.jpg', "$dir/link.jpg") && readlink("$dir/link.jpg") === 'photo.jpg', 'symlink');
want(filesize("$dir/link.jpg") === 3000000, 'through the link');
$open = fopen("$dir/copy.jpg", 'r');
want(unlink("$dir/copy.jpg") && unlink("$dir/link.jpg") && unlink("$dir/log"), 'unlink');
want(strlen(stream_get_contents($open)) === 3000000, 'read after unlink');
want(fstat($open)['nlink'] === 0, 'fstat after unlink');
fclose($open);
want(disk_free_space($root) > 0, 'disk_free_space');
want(mkdir("$root/tmp") && rmdir("$root/tmp"), 'rmdir');
echo 'ok';
`

var credential = syscall.Credential{Uid: tenant, Gid: tenant}
