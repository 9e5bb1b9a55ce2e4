package e2e

import (
	"bytes"
	"debug/elf"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pantheon/gateways/api"
)

// clock steps the wall clock of one process. No namespace has a wall clock of its
// own, and Go asks the kernel's vDSO, not the C library; so the process' copy of
// the vDSO is what is changed: clock_gettime asks the kernel and adds an offset to
// CLOCK_REALTIME. Other clocks stay as they are.
type clock struct {
	pid  int
	file *os.File // of its memory
	at   int64    // of clock_gettime
}

// askAndAdd is clock_gettime(edi, rsi) for amd64; an offset in seconds and a ret
// follow it.
var askAndAdd = []byte{
	0xb8, 0xe4, 0, 0, 0, // mov eax, SYS_clock_gettime
	0x0f, 0x05, // syscall
	0x85, 0xff, // test edi, edi: CLOCK_REALTIME
	0x75, 0x07, // jne to the ret
	0x48, 0x81, 0x06, // add qword [rsi], the offset
}

// clockOf prepares the clock of a machine; a restart of it ends that.
func clockOf(t testing.TB, m *machine) *clock {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("steps clocks by machine code for amd64")
	}
	c := &clock{pid: m.cmd.Process.Pid}
	first, last := int64(0), int64(0)
	for line := range strings.Lines(procText(fmt.Sprintf("/proc/%d", c.pid), "maps")) {
		if strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			if _, err := fmt.Sscanf(line, "%x-%x", &first, &last); err != nil {
				t.Fatal(err)
			}
		}
	}
	var err error
	if c.file, err = os.OpenFile(fmt.Sprintf("/proc/%d/mem", c.pid), os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.file.Close() })
	image := make([]byte, last-first)
	if _, err := c.file.ReadAt(image, first); err != nil || len(image) == 0 {
		t.Fatalf("cannot read the vDSO of process %d: %v", c.pid, err)
	}
	vdso, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := vdso.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, symbol := range symbols {
		if symbol.Name == "__vdso_clock_gettime" && symbol.Size > uint64(len(askAndAdd)+5) {
			c.at = first + int64(symbol.Value)
		}
	}
	if c.at == 0 {
		t.Skip("the kernel's vDSO has no clock_gettime")
	}
	c.halted(t, first, last)
	return c
}

// halted changes the function while no thread is in it.
func (c *clock) halted(t testing.TB, first, last int64) {
	t.Helper()
	defer func() { _ = syscall.Kill(c.pid, syscall.SIGCONT) }()
	eventually(t, "no thread asks for the time", func() bool {
		_ = syscall.Kill(c.pid, syscall.SIGSTOP)
		if c.stands(first, last) {
			return true
		}
		_ = syscall.Kill(c.pid, syscall.SIGCONT)
		return false
	})
	c.write(t, c.at, append(append([]byte{}, askAndAdd...), 0, 0, 0, 0, 0xc3))
}

// stands says whether every thread has stopped, outside of a piece of memory.
func (c *clock) stands(first, last int64) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", c.pid))
	for _, thread := range threads {
		fields := strings.Fields(procText(thread, "syscall")) // the program counter is the last
		if len(fields) == 0 || fields[0] == "running" {
			return false
		}
		at, err := strconv.ParseInt(fields[len(fields)-1], 0, 64)
		if err != nil || at >= first && at < last {
			return false
		}
	}
	return len(threads) > 0
}

// step sets how far the clock is before the right time.
func (c *clock) step(t testing.TB, by time.Duration) {
	t.Helper()
	seconds := uint32(int32(by / time.Second))
	c.write(t, c.at+int64(len(askAndAdd)), []byte{byte(seconds), byte(seconds >> 8), byte(seconds >> 16), byte(seconds >> 24)})
}

func (c *clock) write(t testing.TB, at int64, what []byte) {
	t.Helper()
	if _, err := c.file.WriteAt(what, at); err != nil {
		t.Fatalf("cannot change the clock of process %d: %v", c.pid, err)
	}
}

// TestMatrixClock: the clock of one machine is stepped by an hour. Leases and
// DROPs stay where they are, pages and commands are answered, certificates hold
// for new connections, and the log goes on in order.
func TestMatrixClock(t *testing.T) {
	c := matrix(t)
	first, second, third := c.machines[0], c.machines[1], c.machines[2]
	c.siteOn(t, second, "ticking", map[string]string{"index.php": whoAmI})
	c.siteOn(t, third, "beside", map[string]string{"index.php": whoAmI})
	for _, m := range []*machine{second, first} {
		clock := clockOf(t, m)
		for _, by := range []time.Duration{time.Hour, -time.Hour} {
			if !long() && (m == second) != (by > 0) {
				continue // one of a kind
			}
			t.Run(fmt.Sprintf("%s by %s", m.name, by), func(t *testing.T) {
				defer clock.step(t, 0)
				checkStep(t, c, m, func() { clock.step(t, by) }, by)
			})
		}
	}
	first.ok(t, "audit", "head")
}

func checkStep(t *testing.T, c *cell, m *machine, step func(), by time.Duration) {
	t.Helper()
	first, second, third := c.machines[0], c.machines[1], c.machines[2]
	before := first.drop(t, "ticking.dev")
	lost := len(first.commits(t, "--type", "HostLost"))
	from, through := visit(t, first, "sum=42", "ticking"), visit(t, second, "sum=42", "beside")
	from.goesOn(t, slowFor)
	through.goesOn(t, slowFor)
	end := c.unrefused(t, "ticks")
	step()
	if shown := shownBy(t, m); shown < by-time.Minute || shown > by+time.Minute {
		t.Errorf("the clock of %s is %s before the right time, and should be %s", m.name, shown, by)
	}
	began := time.Now()
	for time.Since(began) < restAfter {
		from.goesOn(t, 1)
		through.goesOn(t, 1)
	}
	end()
	from.wantsNone(t, "a site of "+second.name)
	through.wantsNone(t, "through "+second.name)
	if err := third.end(os.Interrupt); err != nil { // its connections are made anew
		t.Fatal(err)
	}
	if err := third.up(); err != nil {
		t.Fatal(err)
	}
	c.awaits(t, third, "ready")
	for _, one := range []*machine{first, second} {
		one.back(t, "beside", "sum=42")
	}
	third.back(t, "ticking", "sum=42")
	if now := first.drop(t, "ticking.dev"); now.ID != before.ID || now.HostName != second.name {
		t.Errorf("DROP %s on %s is %s on %s now", before.ID, before.HostName, now.ID, now.HostName)
	}
	if left := third.runs(before); len(left) > 0 {
		t.Errorf("%s runs on %s as well: %v", before.ID, third.name, left)
	}
	checkTimes(t, first, lost, m == first, by)
}

// shownBy gives how far a machine's clock is before the right time, as the access
// log of its router has it.
func shownBy(t testing.TB, m *machine) time.Duration {
	t.Helper()
	var off time.Duration
	asked := fmt.Sprintf("/index.php/clock-%d", time.Now().UnixNano())
	m.visitor("ticking").sees(t, http.StatusOK, asked)
	file := filepath.Join(m.data, "logs", "styx-access.log")
	if err := wait(patience, func() (bool, error) {
		text, err := os.ReadFile(file)
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, asked) {
				_, after, _ := strings.Cut(line, "[")
				stamp, _, _ := strings.Cut(after, "]")
				at, err := time.Parse("02/Jan/2006:15:04:05 -0700", stamp)
				off = time.Until(at)
				return true, err
			}
		}
		return false, err
	}); err != nil {
		t.Fatalf("the request is not in %s: %v", file, err)
	}
	return off
}

// checkTimes: no host was lost, and commits have the time of who decided them;
// their order is that of their positions.
func checkTimes(t *testing.T, first *machine, lost int, decides bool, by time.Duration) {
	t.Helper()
	if now := len(first.commits(t, "--type", "HostLost")); now != lost {
		t.Errorf("%d hosts were held for lost", now-lost)
	}
	first.ok(t, "token", "create")
	commits := decode[[]api.Commit](t, first.platform, "events", "tail", "--limit", "20")
	for i, commit := range commits {
		if i > 0 && commit.Position <= commits[i-1].Position {
			t.Errorf("position %d follows %d", commit.Position, commits[i-1].Position)
		}
	}
	want := time.Duration(0)
	if decides {
		want = by
	}
	if off := time.Until(commits[len(commits)-1].Time); off < want-time.Minute || off > want+time.Minute {
		t.Errorf("the newest commit was written %s from now, and should be %s from now", off, want)
	}
}
