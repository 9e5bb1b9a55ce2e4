package remote

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// usual are errors that others' work and lost connections may cause.
var usual = []error{unix.EIO, unix.ENOENT, unix.EEXIST, unix.ENOTEMPTY, unix.ENOTDIR, unix.EISDIR, unix.ESTALE, unix.EINVAL, unix.EBUSY, unix.ELOOP}

// work does something with a few names that others work with.
func work(random *rand.Rand, root string) error {
	name := func() string {
		names := []string{"a", "b", "c", "d", "d/a", "d/b", "d/d", "d/d/a"}
		return filepath.Join(root, names[random.IntN(len(names))])
	}
	switch random.IntN(11) {
	case 0, 1:
		return os.WriteFile(name(), []byte(strings.Repeat(string(rune('a'+random.IntN(26))), random.IntN(300_000))), 0o644)
	case 2, 3:
		content, err := os.ReadFile(name())
		if runs := strings.Count(short(content), "×"); err == nil && runs > 20 {
			return fmt.Errorf("%d runs of letters in a file", runs)
		}
		return err
	case 4:
		return os.Rename(name(), name())
	case 5:
		return os.Remove(name())
	case 6:
		return os.Mkdir(name(), 0o755)
	case 7:
		_, err := os.ReadDir(name())
		return err
	case 8:
		f, err := os.OpenFile(name(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = f.WriteString("x")
		return errors.Join(err, f.Sync(), f.Close())
	case 9:
		return os.Symlink("a", name())
	}
	_, err := os.Stat(name())
	return err
}

// TestSwarm: two machines work in one volume while connections are lost and the
// other side stalls. Everything ends, nothing fails in another way than it may,
// and in the end all see the same.
func TestSwarm(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	b := newBench(t)
	b.silent = 500 * time.Millisecond
	_, one := b.mount()
	_, two := b.mount()
	var working, spoiling sync.WaitGroup
	var done, well atomic.Int64
	stop := make(chan struct{})
	for worker := range 8 {
		random := rand.New(rand.NewPCG(seed, uint64(worker)))
		root := []string{one, two}[worker%2]
		working.Go(func() {
			for i := range 300 {
				began := time.Now()
				err := work(random, root)
				if took := time.Since(began); took > time.Minute {
					t.Errorf("worker %d, operation %d took %v", worker, i, took)
				}
				if err != nil && !slices.ContainsFunc(usual, func(is error) bool { return errors.Is(err, is) }) {
					t.Errorf("worker %d, operation %d: %v", worker, i, err)
				}
				if done.Add(1); !errors.Is(err, unix.EIO) {
					well.Add(1)
				}
			}
		})
	}
	// after waits until more operations have ended, or all have.
	after := func(more int64) (goOn bool) {
		for until := done.Load() + more; ; {
			select {
			case <-stop:
				return false
			case <-time.After(time.Millisecond):
			}
			if done.Load() >= until {
				return true
			}
		}
	}
	random := rand.New(rand.NewPCG(seed, 99))
	spoiling.Go(func() {
		for after(int64(random.IntN(60))) {
			if random.IntN(3) > 0 {
				b.cut()
				continue
			}
			release := b.hold()
			for b.held() < 2 && after(0) {
				continue
			}
			release()
		}
	})
	working.Wait()
	close(stop)
	spoiling.Wait()
	t.Logf("%d operations, %d of them not lost", done.Load(), well.Load())
	for _, root := range []string{one, two} {
		sameAsServed(t, b, root)
	}
}

func sameAsServed(t *testing.T, b *bench, root string) {
	t.Helper()
	var want, got []string
	until(t, func() bool {
		want, got = everything(b.volume.Path), everything(root)
		return slices.Equal(got, want) || t.Failed()
	})
	if !slices.Equal(got, want) {
		t.Errorf("there is\n%s\nand a machine sees\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
}

// TestPanicIsContained: what panics as a tenant fails, and the thread is root's
// again.
func TestPanicIsContained(t *testing.T) {
	b := newBench(t)
	b.volume.Logger = slog.New(slog.DiscardHandler)
	v, err := openVolume(b.volume)
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	asTenant(func() {}) // locks and unlocks, as the following does
	if err := v.as(func() error { panic("a bug") }); !errors.Is(err, status(syscall.EIO)) {
		t.Error(err)
	}
	if uid, _ := unix.SetfsuidRetUid(-1); uid != 0 {
		t.Errorf("this thread acts as %d", uid)
	}
}
