package jetstream

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/eventlogtest"
	"pantheon/events/problem"
)

// fiveCommits makes a closed log of five commits in two streams and gives the
// records of its only file.
func fiveCommits(t *testing.T) (dir string, records [][]byte) {
	t.Helper()
	dir = t.TempDir()
	log := open(t, dir)
	var tips [2]events.Tip
	for i := range 5 {
		s := i % 2
		tips[s] = eventlogtest.Append(t, log, tips[s], eventlogtest.Commit(eventlogtest.Stream(s), fmt.Sprint(i)))
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(blockPath(dir, 1))
	if err != nil {
		t.Fatal(err)
	}
	for len(data) > 0 {
		size := binary.LittleEndian.Uint32(data) &^ headerFlag
		records, data = append(records, data[:size]), data[size:]
	}
	if len(records) != 5 {
		t.Fatalf("%d records", len(records))
	}
	return dir, records
}

func writeBlock(t *testing.T, dir string, records ...[]byte) {
	t.Helper()
	var data []byte
	for _, r := range records {
		data = append(data, r...)
	}
	if err := os.WriteFile(blockPath(dir, 1), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// resealed gives a changed copy of a record with a right checksum, as somebody
// would make who knows the format.
func resealed(r []byte, change func([]byte)) []byte {
	r = append([]byte(nil), r...)
	change(r)
	subjectLen := int(binary.LittleEndian.Uint16(r[20:]))
	headerStart := recordHeadBytes + subjectLen + 4
	sum := blockHash(1)
	_, _ = sum.Write(r[4:20])
	_, _ = sum.Write(r[recordHeadBytes : recordHeadBytes+subjectLen])
	_, _ = sum.Write(r[headerStart : len(r)-checksumBytes])
	binary.LittleEndian.PutUint64(r[len(r)-checksumBytes:], sum.Sum64())
	return r
}

func swapText(from, to string) func([]byte) {
	return func(r []byte) { copy(r, strings.ReplaceAll(string(r), from, to)) }
}

func seq(position uint64) func([]byte) {
	return func(r []byte) { binary.LittleEndian.PutUint64(r[4:], position) }
}

// damages are what can be done to the files of five commits, and where the log
// then breaks.
var damages = map[string]struct {
	damage   func(t *testing.T, dir string, r [][]byte)
	position events.Position
}{
	"a byte of a message flipped": {func(t *testing.T, dir string, r [][]byte) {
		r[2][len(r[2])-20] ^= 4
		writeBlock(t, dir, r...)
	}, 3},
	"a byte of the first record flipped": {func(t *testing.T, dir string, r [][]byte) {
		r[0][60] ^= 1
		writeBlock(t, dir, r...)
	}, 1},
	"a byte of the last record flipped": {func(t *testing.T, dir string, r [][]byte) {
		r[4][len(r[4])-1] ^= 1
		writeBlock(t, dir, r...)
	}, 5},
	"a length flipped": {func(t *testing.T, dir string, r [][]byte) {
		r[1][1] ^= 0x40
		writeBlock(t, dir, r...)
	}, 2},
	"a record removed": {func(t *testing.T, dir string, r [][]byte) {
		writeBlock(t, dir, r[0], r[1], r[3], r[4])
	}, 3},
	"the first record removed": {func(t *testing.T, dir string, r [][]byte) {
		writeBlock(t, dir, r[1:]...)
	}, 1},
	"two records swapped": {func(t *testing.T, dir string, r [][]byte) {
		writeBlock(t, dir, r[0], r[2], r[1], r[3], r[4])
	}, 2},
	"two records swapped and numbered again": {func(t *testing.T, dir string, r [][]byte) {
		writeBlock(t, dir, r[0], r[1], resealed(r[4], seq(3)), r[3], resealed(r[2], seq(5)))
	}, 3},
	"a record removed and the rest numbered again": {func(t *testing.T, dir string, r [][]byte) {
		writeBlock(t, dir, r[0], r[1], resealed(r[3], seq(3)), resealed(r[4], seq(4)))
	}, 4},
	"a commit rewritten": {func(t *testing.T, dir string, r [][]byte) {
		r[0] = resealed(r[0], swapText("policy/eventlogtest", "policy/eventlogtesT"))
		writeBlock(t, dir, r...)
	}, 3},
	"the newest commit rewritten": {func(t *testing.T, dir string, r [][]byte) {
		r[4] = resealed(r[4], swapText("policy/eventlogtest", "policy/eventlogtesT"))
		writeBlock(t, dir, r...)
	}, 5},
	"a commit under another subject": {func(t *testing.T, dir string, r [][]byte) {
		r[1] = resealed(r[1], func(b []byte) { b[recordHeadBytes+len("events.site.")] = '1' })
		writeBlock(t, dir, r...)
	}, 2},
	"a record erased": {func(t *testing.T, dir string, r [][]byte) {
		r[2] = resealed(r[2], seq(3|erasedFlag))
		writeBlock(t, dir, r...)
	}, 3},
	"the tail cut off": {func(t *testing.T, dir string, r [][]byte) {
		writeBlock(t, dir, r[:3]...)
	}, 4},
	"half of the last record cut off": {func(t *testing.T, dir string, r [][]byte) {
		r[4] = r[4][:len(r[4])/2]
		writeBlock(t, dir, r...)
	}, 5},
	"the file emptied": {func(t *testing.T, dir string, r [][]byte) {
		writeBlock(t, dir)
	}, 1},
	"the stream's folder removed": {func(t *testing.T, dir string, _ [][]byte) {
		if err := os.RemoveAll(filepath.Dir(messagesDir(dir))); err != nil {
			t.Fatal(err)
		}
	}, 1},
}

// Whatever is done to the files, opening refuses with the position where the
// log breaks, the offline check says the same, and neither changes the files.
func TestBrokenLogIsRefused(t *testing.T) {
	for name, test := range damages {
		t.Run(name, func(t *testing.T) {
			dir, records := fiveCommits(t)
			test.damage(t, dir, records)
			before := listing(t, dir)
			_, err := Verify(t.Context(), dir)
			checkBroken(t, "Verify", err, test.position)
			_, err = readFiles(t, dir)
			checkBroken(t, "ReadFiles", err, test.position)
			_, err = Open(t.Context(), Options{Dir: dir})
			checkBroken(t, "Open", err, test.position)
			if after := listing(t, dir); before != after {
				t.Errorf("the files were changed:\n%s\nnow\n%s", before, after)
			}
		})
	}
}

func checkBroken(t *testing.T, what string, err error, position events.Position) {
	t.Helper()
	var broken *eventlog.BrokenError
	if !errors.As(err, &broken) {
		t.Fatalf("%s: %v, want a broken log", what, err)
	}
	if broken.Position != position {
		t.Errorf("%s: broken at %d (%s), want %d", what, broken.Position, broken.Reason, position)
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(&out, "%s %d %x\n", path, len(data), blockSum(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func blockSum(data []byte) uint64 {
	sum := blockHash(0)
	_, _ = sum.Write(data)
	return sum.Sum64()
}

// The server's own files about the stream are no truth: without them the log
// is refused, never created anew over what is there.
func TestStreamDescriptionLost(t *testing.T) {
	dir, _ := fiveCommits(t)
	for _, name := range []string{"meta.inf", "meta.sum"} {
		if err := os.Remove(filepath.Join(filepath.Dir(messagesDir(dir)), name)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Open(t.Context(), Options{Dir: dir})
	checkBroken(t, "Open", err, 1)
	if _, err := Verify(t.Context(), dir); err != nil {
		t.Errorf("the files are whole, but Verify says %v", err)
	}
}

// What a power failure leaves of a commit that was not acknowledged is dropped,
// and the log goes on.
func TestTornTail(t *testing.T) {
	dir, records := fiveCommits(t)
	// The checkpoint is older than the torn record, as after a crash.
	point, err := readCheckpoint(dir)
	if err != nil {
		t.Fatal(err)
	}
	log := open(t, dir)
	tip := lastTip(t, log, 0)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	last := records[4]
	half := last[:len(last)/2]
	for i, tail := range [][]byte{
		last[:1], last[:recordHeadBytes], half, last[:len(last)-1],
		make([]byte, len(last)), make([]byte, 4096), append(bytes.Clone(half), make([]byte, len(last)-len(half))...),
	} {
		writeBlock(t, dir, append(slices.Clone(records[:4]), tail)...)
		if err := writeCheckpoint(dir, checkpoint{}); err != nil {
			t.Fatal(err)
		}
		log := open(t, dir)
		if got := eventlogtest.Collect(t, log.All(t.Context(), 0)); len(got) != 4 {
			t.Fatalf("tail %d: %d commits", i, len(got))
		}
		previous := lastTip(t, log, 0)
		again := eventlogtest.Append(t, log, previous, eventlogtest.Commit(eventlogtest.Stream(0), "4"))
		if again.Hash != tip.Hash || again.Position != tip.Position {
			t.Fatalf("tail %d: %v, want %v", i, again, tip)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if now, err := readCheckpoint(dir); err != nil || now != point {
			t.Fatalf("tail %d: checkpoint %v (%v), want %v", i, now, err, point)
		}
	}
}

func lastTip(t *testing.T, log *Log, stream int) events.Tip {
	t.Helper()
	all := eventlogtest.Collect(t, log.Stream(t.Context(), eventlogtest.Stream(stream), 0))
	return all[len(all)-1].Tip()
}

// Commits behind the last checkpoint are checked like all others, only a lost
// tail among them is not noticed.
func TestCrashWithoutCheckpoint(t *testing.T) {
	dir, records := fiveCommits(t)
	if err := os.Remove(checkpointPath(dir)); err != nil {
		t.Fatal(err)
	}
	if position, err := Verify(t.Context(), dir); err != nil || position != 5 {
		t.Fatalf("Verify: %d, %v", position, err)
	}
	records[2][70] ^= 1
	writeBlock(t, dir, records...)
	_, err := Open(t.Context(), Options{Dir: dir})
	checkBroken(t, "Open", err, 3)
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	log := open(t, dir)
	for range 2 {
		if _, err := Open(t.Context(), Options{Dir: dir}); problem.KindOf(err) != problem.Conflict {
			t.Fatalf("opened twice: %v", err)
		}
		if _, err := Verify(t.Context(), dir); problem.KindOf(err) != problem.Conflict {
			t.Fatalf("verified while open: %v", err)
		}
	}
	eventlogtest.Append(t, log, events.Tip{}, eventlogtest.Commit(eventlogtest.Stream(1), "a"))
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

const childDir = "PANTHEON_TEST_APPEND_IN"

// TestMain turns this binary into a process that appends, or is a member of a
// cluster, until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		appendForEver(dir)
	}
	if spec := os.Getenv(childMember); spec != "" {
		memberForEver(spec)
	}
	os.Exit(m.Run())
}

// appendForEver appends to several streams from several goroutines and prints
// each acknowledged commit.
func appendForEver(dir string) {
	log, err := Open(bg, Options{Dir: dir})
	if err != nil {
		fmt.Println("cannot", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	acknowledged := make(chan events.Tip)
	for w := range 4 {
		go func() {
			var tip events.Tip
			for envelope, err := range log.Stream(bg, eventlogtest.Stream(w), 0) {
				if err != nil {
					panic(err)
				}
				tip = envelope.Tip()
			}
			for {
				text := fmt.Sprintf("%d.%d", w, tip.Revision+1)
				next, err := log.Append(bg, tip, eventlogtest.Commit(eventlogtest.Stream(w), text))
				if err != nil {
					panic(err)
				}
				tip = next
				acknowledged <- tip
			}
		}()
	}
	for tip := range acknowledged {
		fmt.Printf("%d %s\n", tip.Position, tip.Hash)
	}
}

// A process that is killed while it appends loses nothing it was told of, time
// after time on the same log.
func TestKill9(t *testing.T) {
	dir := t.TempDir()
	known := map[string]string{} // position → hash
	for round := range 5 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), childDir+"="+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			position, hash, acknowledged := strings.Cut(lines.Text(), " ")
			if acknowledged {
				known[position] = hash
			}
			if n == 50+round*37 {
				// What is still in the pipe was acknowledged too.
				_ = child.Process.Signal(syscall.SIGKILL)
			}
		}
		_ = child.Wait()
		if position, err := Verify(t.Context(), dir); err != nil || int(position) < len(known) {
			t.Fatalf("round %d: Verify gives %d for %d acknowledged commits (%v)", round, position, len(known), err)
		}
	}
	if len(known) < 300 {
		t.Fatalf("only %d commits were acknowledged", len(known))
	}
	log := open(t, dir)
	for _, envelope := range eventlogtest.Collect(t, log.All(t.Context(), 0)) {
		position := fmt.Sprint(envelope.Position)
		if hash, acknowledged := known[position]; acknowledged && hash != envelope.Hash.String() {
			t.Errorf("position %s holds another commit than was acknowledged", position)
		}
		delete(known, position)
	}
	if len(known) > 0 {
		t.Errorf("%d acknowledged commits are lost", len(known))
	}
}

// tmpfs mounts a small file system; only root can.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a small file system")
	}
	if err := syscall.Mount("pantheon-test", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("needs the right to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// eventually polls for what another goroutine brings about.
func eventually(t testing.TB, what string, condition func() error) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%s: still %v", what, err)
		}
	}
}

// TestDiskFull fills the disk up to the reserve, and beyond it so that the
// server fails in the middle of a write: appends are refused in time with the
// reason, reading goes on, nothing acknowledged is lost, and when there is room
// again the log works by itself.
func TestDiskFull(t *testing.T) {
	for name, reserve := range map[string]uint64{"reserve": 4 << 20, "no reserve": 1} {
		t.Run(name, func(t *testing.T) {
			dir := tmpfs(t, "24m")
			log, err := Open(t.Context(), Options{Dir: filepath.Join(dir, "log"), ReserveBytes: reserve})
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			ballast := filepath.Join(dir, "ballast")
			if err := os.WriteFile(ballast, make([]byte, 12<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			var tip events.Tip
			big := eventlogtest.Commit(eventlogtest.Stream(1), "big")
			big.Events = []events.Event{events.SiteDeletionRequested{Reason: strings.Repeat("x", 200<<10)}}
			count := 0
			for err == nil {
				var next events.Tip
				if next, err = log.Append(t.Context(), tip, big); err == nil {
					tip, count = next, count+1
				}
				if count > 200 {
					t.Fatal("24 MiB took 40")
				}
			}
			if problem.KindOf(err) != problem.Unavailable || problem.HintOf(err) == "" {
				t.Fatalf("refused with %v", err)
			}
			t.Log(err)
			began := time.Now()
			if _, err := log.Append(t.Context(), tip, big); problem.KindOf(err) != problem.Unavailable {
				t.Fatalf("refused the second time with %v", err)
			}
			if took := time.Since(began); took > appendTimeout/2 {
				t.Errorf("the second refusal took %v", took)
			}
			if got := eventlogtest.Collect(t, log.All(t.Context(), 0)); len(got) < count || got[count-1].Tip() != tip {
				t.Fatalf("%d of %d acknowledged commits can be read", len(got), count)
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			eventually(t, "append with room again", func() error {
				for envelope, err := range log.Stream(t.Context(), eventlogtest.Stream(1), tip.Revision) {
					if err != nil {
						return err
					}
					tip = envelope.Tip() // an append whose end was not known
				}
				_, err := log.Append(t.Context(), tip, eventlogtest.Commit(eventlogtest.Stream(1), "room"))
				return err
			})
			all := eventlogtest.Collect(t, log.All(t.Context(), 0))
			if eventlogtest.Text(all[len(all)-1]) != "room" {
				t.Error("the commit after it is not there")
			}
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := Verify(t.Context(), filepath.Join(dir, "log")); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A log on a read-only file system cannot be opened, soon and with the reason;
// it can be verified, and opened when the file system can be written again.
func TestReadOnly(t *testing.T) {
	dir := tmpfs(t, "128m")
	log, err := Open(t.Context(), Options{Dir: dir, ReserveBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	tip := eventlogtest.Append(t, log, events.Tip{}, eventlogtest.Commit(eventlogtest.Stream(1), "a"))
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	remount := func(flags uintptr) {
		if err := syscall.Mount("pantheon-test", dir, "tmpfs", syscall.MS_REMOUNT|flags, "size=128m"); err != nil {
			t.Fatal(err)
		}
	}
	remount(syscall.MS_RDONLY)
	if _, err := Open(t.Context(), Options{Dir: dir, ReserveBytes: 1 << 20}); problem.KindOf(err) != problem.Unavailable {
		t.Fatalf("opened a read-only log: %v", err)
	} else {
		t.Log(err)
	}
	if position, err := Verify(t.Context(), dir); err != nil || position != 1 {
		t.Fatalf("a read-only log cannot be verified: %d, %v", position, err)
	}
	remount(0)
	log = open(t, dir)
	eventlogtest.Append(t, log, tip, eventlogtest.Commit(eventlogtest.Stream(1), "b"))
}

func TestUnwritableFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Options{Dir: filepath.Join(file, "log")})
	if problem.KindOf(err) != problem.Unavailable || !strings.HasPrefix(err.Error(), "cannot open the log") {
		t.Fatal(err)
	}
}

// A server that stops taking writes is started again, and clients of the
// connection live through it.
func TestServerFails(t *testing.T) {
	log := open(t, t.TempDir())
	tip := eventlogtest.Append(t, log, events.Tip{}, eventlogtest.Commit(eventlogtest.Stream(1), "a"))
	for i := range 3 {
		log.wire.current.Load().fail(errors.New("a disk that fails on purpose"))
		if _, err := log.Append(t.Context(), tip, eventlogtest.Commit(eventlogtest.Stream(1), "lost?")); err == nil {
			t.Fatal("a failed server took a commit")
		} else if problem.KindOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "on purpose") {
			t.Fatal(err)
		}
		eventually(t, "append after the failure", func() error {
			for envelope, err := range log.Stream(t.Context(), eventlogtest.Stream(1), tip.Revision) {
				if err != nil {
					return err
				}
				tip = envelope.Tip()
			}
			next, err := log.Append(t.Context(), tip, eventlogtest.Commit(eventlogtest.Stream(1), fmt.Sprint(i)))
			if err == nil {
				tip = next
			}
			return err
		})
	}
}
