package sandbox

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pantheon/events/problem"
)

// sh runs a script in a tenant's sandbox.
func (x *tenant) sh(script string, args ...string) Command {
	return x.command("/bin/sh", append([]string{"-c", script, "sh"}, args...)...)
}

func TestIdentityInside(t *testing.T) {
	m := openIsolated(t)
	x := testRoot(t, m, "alpha")
	out, exit := run(t, m, x.sh(`id -u; id -g; id -G; hostname; echo $$; pwd; ls /; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; ulimit -n; ls /proc | grep -c '^[0-9]'`))
	if exit.Code != 0 {
		t.Fatalf("%v\n%s", exit, out)
	}
	uid := strconv.Itoa(int(x.uid))
	want := strings.Join([]string{uid, uid, uid, "alpha", "1", "/",
		"bin", "code", "dev", "etc", "files", "lib", "lib64", "proc", "run", "sbin", "tmp", "usr", "var",
		"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
		"CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "4096"}, "\n")
	// What the top level of /usr is linked to differs between distributions.
	for _, top := range []string{"lib32", "libx32"} {
		out = strings.Replace(out, top+"\n", "", 1)
	}
	if !strings.HasPrefix(out, want) {
		t.Errorf("inside it is\n%s\nwant\n%s", out, want)
	}
}

// TestNeighbours tries from one sandbox what belongs to another.
func TestNeighbours(t *testing.T) {
	m := openIsolated(t)
	a, b := testRoot(t, m, "alpha"), testRoot(t, m, "beta")
	for _, sub := range []string{"code", "files", "tmp"} {
		writeOwned(t, filepath.Join(a.dir, sub, "secret"), "alpha's secret", a.uid)
	}
	listener, err := net.Listen("unix", filepath.Join(a.dir, "tmp", "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	abstract, err := net.Listen("unix", "@pantheon-test-"+strconv.Itoa(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()
	// alpha runs; beta looks for it.
	victim, _ := start(t, m, a.sh(`sleep 60 & wait`))
	pid := strconv.Itoa(victim.Identity().PID)
	for _, c := range []struct{ what, script string }{
		{"read the other's folders", `cat ` + a.dir + `/*/secret`},
		{"see the host's tree", `ls ` + filepath.Dir(a.dir) + ` /root /home /var/lib/mysql /sys /boot`},
		{"read the other's environment", `cat /proc/` + pid + `/environ`},
		{"see other processes", `grep -l sleep /proc/[0-9]*/comm`},
		{"signal the other", `kill -0 ` + pid},
		{"look through the root of a process", `ls /proc/1/root/..` + a.dir},
		{"read the host's users", `grep -q root: /etc/passwd`},
		{"read the host's shadow file", `cat /etc/shadow`},
		{"read a disk", `cat /dev/vda /dev/sda /dev/mem | head -c 1`},
	} {
		if out, exit := run(t, m, b.sh(`(`+c.script+`) 2>/dev/null`)); exit.Code == 0 && strings.TrimSpace(out) != "" {
			t.Errorf("beta can %s: %s", c.what, out)
		}
	}
	if victim.Exited() {
		t.Error("alpha has ended")
	}
	if php := phpPath(t); php != "" {
		script := fmt.Sprintf(`foreach (["unix://%s/tmp/s", "unix://\0pantheon-test-%d"] as $s) { echo @stream_socket_client($s) ? "open " : "shut "; }`, a.dir, os.Getpid())
		want := "shut shut "
		if !m.landlock {
			want = "shut open "
		}
		if out, _ := run(t, m, b.command(php, "-n", "-r", script)); out != want {
			t.Errorf("beta reaches alpha's sockets: %s, want %s", out, want)
		}
	}
}

func writeOwned(t *testing.T, file, text string, uid uint32) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(file, int(uid), int(uid)); err != nil {
		t.Fatal(err)
	}
}

func phpPath(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/bin/php[78].*")
	if len(found) == 0 {
		t.Log("PHP is not installed, its part is left out: apt-get install php-cli")
		return ""
	}
	return found[0]
}

// TestRefusals tries from inside what only the machine's owner may.
func TestRefusals(t *testing.T) {
	m := openIsolated(t)
	x := testRoot(t, m, "alpha")
	php := phpPath(t)
	for _, c := range []struct{ what, script string }{
		{"mount", `mount -t tmpfs x /tmp`},
		{"unmount", `umount /usr`},
		{"bind", `mount --bind /tmp /code`},
		{"make a device", `mknod /tmp/d b 254 0`},
		{"make a user namespace", `unshare -U true`},
		{"make a mount namespace", `unshare -m true`},
		{"enter a namespace", `nsenter -t 1 -m true`},
		{"change root", `chroot /tmp true`},
		{"become root", `setpriv --reuid 0 true`},
		{"change the group", `setpriv --regid 0 --clear-groups true`},
		{"raise a limit", `ulimit -n 100000`},
		{"write the code", `echo x > /code/x`},
		{"write the system", `echo x > /usr/x`},
		{"write the root", `echo x > /x`},
		{"write /etc", `echo x > /etc/passwd`},
		{"write kernel settings", `echo 1 > /proc/sys/kernel/panic`},
		{"write the devices", `rm /dev/null`},
		{"set the host name", `hostname other`},
		{"join a cgroup", `ls /sys/fs/cgroup/*`},
		{"read the kernel log", `dmesg`},
		{"use setuid programs", `su -c true`},
	} {
		if out, exit := run(t, m, x.sh(c.script)); exit.Code == 0 {
			t.Errorf("inside one can %s: %s", c.what, out)
		}
	}
	for _, c := range []string{`echo x > /files/x && cat /files/x`, `echo x > /tmp/x && cat /tmp/x`, `mkfifo /tmp/f`, `echo > /dev/null`, `head -c 1 /dev/urandom | wc -c`, `echo x > /dev/shm/x`} {
		if out, exit := run(t, m, x.sh(c)); exit.Code != 0 {
			t.Errorf("inside one cannot %s: %s", c, out)
		}
	}
	if php == "" {
		return
	}
	ffi := filepath.Join("/usr/lib/php", "*", "ffi.so")
	if found, _ := filepath.Glob(ffi); len(found) > 0 {
		testRawCalls(t, m, x, php, filepath.Dir(found[0]))
	}
}

// testRawCalls asks the kernel itself, past every library.
func testRawCalls(t *testing.T, m *Machine, x *tenant, php, extensions string) {
	const script = `$c = FFI::cdef("long syscall(long n, ...); int *__errno_location(void);");
		foreach ([["ptrace", 101, 0], ["keyctl", 250, 0], ["bpf", 321, 0], ["perf", 298, 0], ["userfaultfd", 323, 0],
			["setns", 308, 0], ["clone-newuser", 56, 0x10000011], ["clone3", 435, 0], ["io_uring", 425, 1],
			["af_packet", 41, 17], ["af_vsock", 41, 40], ["kexec", 246, 0], ["init_module", 175, 0], ["open_tree", 428, 0],
			["setuid", 105, 0]] as [$name, $n, $a])
			{ $r = $c->syscall($n, $a, 3, 0, 0, 0); echo $name, " ", $r < 0 ? $c->__errno_location()[0] : "done", "\n"; }`
	out, exit := run(t, m, x.command(php, "-n", "-d", "extension="+extensions+"/ffi.so", "-d", "ffi.enable=1", "-r", script))
	want := strings.Join([]string{"ptrace 1", "keyctl 1", "bpf 1", "perf 1", "userfaultfd 1", "setns 1", "clone-newuser 1",
		"clone3 38", "io_uring 38", "af_packet 97", "af_vsock 97", "kexec 1", "init_module 1", "open_tree 1", "setuid 1", ""}, "\n")
	if out != want {
		t.Errorf("raw system calls answer (%v)\n%s\nwant\n%s", exit, out, want)
	}
}

func TestCodeWritableWhereAsked(t *testing.T) {
	m := openIsolated(t)
	x := testRoot(t, m, "alpha")
	for i := range x.root.Binds {
		if x.root.Binds[i].Target == "/code" {
			x.root.Binds[i].Writable = true
		}
	}
	if out, exit := run(t, m, x.sh(`echo x > /code/x && cat /code/x`)); exit.Code != 0 {
		t.Errorf("code cannot be written: %s", out)
	}
}

// TestBombs lets one sandbox do its worst while another goes on.
func TestBombs(t *testing.T) {
	m := openIsolated(t)
	bad, good := testRoot(t, m, "bad"), testRoot(t, m, "good")
	neighbour, _ := start(t, m, good.sh(`while :; do date > /files/beat; sleep 0.05; done`))
	beat := func() time.Time {
		info, err := os.Stat(filepath.Join(good.dir, "files", "beat"))
		if err != nil {
			return time.Time{}
		}
		return info.ModTime()
	}
	goesOn := func(after time.Time) {
		t.Helper()
		eventually(t, "the neighbour goes on", func() bool { return beat().After(after) })
	}
	goesOn(time.Time{})

	out, exit := run(t, m, bad.sh(`tail /dev/zero; echo survived $?`))
	if exit.OOMKills == 0 || !strings.Contains(out, "survived 137") {
		t.Errorf("a process that eats memory: %v %s", exit, out)
	}
	goesOn(beat())

	bomb, _ := start(t, m, bad.sh(`b() { b & b; }; b`))
	eventually(t, "the fork bomb has met its bound", func() bool {
		s, err := bomb.Stats()
		return err == nil && s.PIDs >= 30 || bomb.Exited()
	})
	if s, err := bomb.Stats(); err == nil && s.PIDs > 32 {
		t.Errorf("the fork bomb has %d processes", s.PIDs)
	}
	goesOn(beat())
	if err := bomb.Kill(); err != nil {
		t.Error(err)
	}
	if _, err := bomb.Wait(); err != nil {
		t.Error(err)
	}

	loop, _ := start(t, m, bad.sh(`for i in 1 2 3 4; do while :; do :; done & done; wait`))
	before, begin := Stats{}, time.Now()
	eventually(t, "the loop has used half a second", func() bool {
		s, err := loop.Stats()
		if before == (Stats{}) {
			before, begin = s, time.Now()
		}
		return err == nil && s.CPU-before.CPU > 500*time.Millisecond
	})
	after, err := loop.Stats()
	if used, took := after.CPU-before.CPU, time.Since(begin); err != nil || used > took*13/10+200*time.Millisecond {
		t.Errorf("busy loops used %v of processor in %v with a bound of one: %v", used, took, err)
	}
	goesOn(beat())
	if neighbour.Exited() {
		t.Error("the neighbour has ended")
	}
}

func TestNothingIsLeft(t *testing.T) {
	m := openIsolated(t)
	x := testRoot(t, m, "alpha")
	before := x.mounts(t)
	p, _ := start(t, m, x.sh(`setsid sleep 1000 & (trap '' TERM HUP INT; sleep 1000) & echo; wait`))
	g := m.groups.open("alpha")
	eventually(t, "all processes run", func() bool { pids, _ := g.members(); return len(pids) >= 3 })
	pids, _ := g.members()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if exit, err := p.Wait(); err != nil || exit.Signal != syscall.SIGKILL {
		t.Errorf("killed: %v, %v", exit, err)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
			t.Errorf("process %d is still there: %v", pid, err)
		}
	}
	for _, dir := range g.dirs() {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is still there", dir)
		}
	}
	if now := x.mounts(t); now != before {
		t.Errorf("%d mounts, before %d", now, before)
	}
}

// mounts counts those of the tenant's folder that this process sees.
func (x *tenant) mounts(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(data), x.dir)
}

// TestTreeLeftByAnEarlierProcess starts under a name whose processes an agent
// has forgotten.
func TestTreeLeftByAnEarlierProcess(t *testing.T) {
	m := openIsolated(t)
	x := testRoot(t, m, "alpha")
	old, _ := start(t, m, x.sh(`sleep 1000`))
	if out, exit := run(t, m, x.sh(`echo new`)); out != "new\n" {
		t.Errorf("the new one: %v %s", exit, out)
	}
	if exit, _ := old.Wait(); exit.Signal != syscall.SIGKILL {
		t.Errorf("the old one: %v", exit)
	}
}

func TestAdopt(t *testing.T) {
	m := openIsolated(t)
	x := testRoot(t, m, "alpha")
	p, _ := start(t, m, x.sh(`sleep 1000`))
	adopted, err := m.Adopt(p.Identity())
	if err != nil {
		t.Fatal(err)
	}
	if s, err := adopted.Stats(); err != nil || s.PIDs == 0 || s.MemoryBytes == 0 {
		t.Errorf("stats of the adopted process: %+v %v", s, err)
	}
	if err := adopted.Kill(); err != nil {
		t.Fatal(err)
	}
	if exit, err := adopted.Wait(); err != nil || exit.Known {
		t.Errorf("the adopted process: %v %v", exit, err)
	}
	if exit, _ := p.Wait(); exit.Signal != syscall.SIGKILL {
		t.Errorf("the same process for its parent: %v", exit)
	}
	if _, err := m.Adopt(p.Identity()); problem.KindOf(err) != problem.NotFound {
		t.Errorf("adopting an ended process: %v", err)
	}
	other := p.Identity()
	other.PID, other.StartTicks = os.Getpid(), 1
	if _, err := m.Adopt(other); problem.KindOf(err) != problem.NotFound {
		t.Errorf("adopting a pid given to another process: %v", err)
	}
}

func TestSupervised(t *testing.T) {
	m := openIsolated(t)
	x := testRoot(t, m, "alpha")
	c := x.command("/bin/sleep", "1000")
	c.Supervised = true
	p, _ := start(t, m, c)
	g := m.groups.open("alpha")
	eventually(t, "the command runs", func() bool { pids, _ := g.members(); return len(pids) == 2 })
	eventually(t, "the command has ended of a signal", func() bool {
		if err := p.SignalAll(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		return p.Exited()
	})
	if exit, err := p.Wait(); err != nil || exit.Code != 128+int(syscall.SIGTERM) {
		t.Errorf("ended with %v, %v", exit, err)
	}
	c = x.command("/bin/sh", "-c", "exit 7")
	c.Supervised = true
	if _, exit := run(t, m, c); exit.Code != 7 {
		t.Errorf("exit status %v, want 7", exit)
	}
}

func TestStartFailures(t *testing.T) {
	m := openIsolated(t)
	x := testRoot(t, m, "alpha")
	for _, c := range []struct {
		change func(*Command)
		want   string
	}{
		{func(c *Command) { c.Path = "/usr/bin/absent" }, "cannot start absent: cannot execute: no such file or directory"},
		{func(c *Command) { c.Dir = "/absent" }, "cannot enter the working folder"},
		{func(c *Command) { c.UID = 0 }, "cannot run as root"},
		{func(c *Command) { c.Name = "../x" }, `sandbox name "../x" is not valid`},
		{func(c *Command) { c.Path = "sh" }, "must be absolute"},
		{func(c *Command) { c.Root.Binds = append(c.Root.Binds[:0:0], Bind{Source: "/absent", Target: "/usr"}) }, "cannot bind /usr: no such file"},
	} {
		command := x.command("/bin/true")
		c.change(&command)
		if p, err := m.Start(command); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("start gave %v, %v, want %q", p, err, c.want)
		}
	}
	if names, err := m.groups.names(); err != nil || len(names) != 0 {
		t.Errorf("left after failures: %v %v", names, err)
	}
}

// TestUnified runs the version 2 driver; where the controllers are on version
// 1, as on a hybrid machine, without them: clone into the group, kill, remove.
func TestUnified(t *testing.T) {
	m := openIsolated(t)
	mounts, err := cgroupMounts()
	if err != nil {
		t.Fatal(err)
	}
	for _, mount := range mounts {
		if mount.kind != "cgroup2" {
			continue
		}
		if _, is := m.groups.(*unified); !is {
			u, err := newUnified(mount.path, "pantheon-test/unified", nil)
			if err != nil {
				t.Fatal(err)
			}
			m = &Machine{isolated: true, groups: u}
			t.Cleanup(func() { m.Close() })
		}
		x := testRoot(t, m, "alpha")
		if out, exit := run(t, m, x.sh(`echo hello`)); out != "hello\n" || exit.Code != 0 {
			t.Errorf("%v %s", exit, out)
		}
		p, _ := start(t, m, x.sh(`setsid sleep 1000 & wait`))
		g := m.groups.open("alpha")
		eventually(t, "both run", func() bool { pids, _ := g.members(); return len(pids) == 2 })
		if err := g.killAll(); err != nil {
			t.Error(err)
		}
		if exit, err := p.Wait(); err != nil || exit.Signal != syscall.SIGKILL {
			t.Errorf("%v %v", exit, err)
		}
		if names, err := m.groups.names(); err != nil || len(names) != 0 {
			t.Errorf("left: %v %v", names, err)
		}
		return
	}
	t.Skip("needs cgroup v2 mounted somewhere: mount -t cgroup2 none /sys/fs/cgroup/unified")
}

func TestBare(t *testing.T) {
	m, err := Open(Options{Bare: true})
	if err != nil || m.Isolated() {
		t.Fatalf("bare: %v %v", m.Isolated(), err)
	}
	c := Command{Name: "alpha", Path: "/bin/sh", Args: []string{"-c", "echo hello; exit 3"}, Dir: "/", Env: []string{"A=b"}}
	if out, exit := run(t, m, c); out != "hello\n" || exit.Code != 3 {
		t.Errorf("%v %q", exit, out)
	}
	c.Args[1] = "sleep 1000 & sleep 1000"
	p, out := start(t, m, c)
	adopted, err := m.Adopt(p.Identity())
	if err != nil {
		t.Fatal(err)
	}
	if err := adopted.Kill(); err != nil {
		t.Fatal(err)
	}
	<-adopted.Done()
	if exit, err := p.Wait(); err != nil || exit.Signal != syscall.SIGKILL {
		t.Errorf("%v %v", exit, err)
	}
	out() // returns when no process holds the pipe any more
}

// TestManyAtOnce starts from many goroutines, and checks that this process is
// as it was: restrictions belong to threads, and theirs have gone.
func TestManyAtOnce(t *testing.T) {
	m := openIsolated(t)
	root, _ := os.Readlink("/proc/self/ns/mnt")
	const many = 24
	done := make(chan string, many)
	for i := range many {
		x := testRoot(t, m, "many-"+strconv.Itoa(i))
		go func() {
			out, exit := run(t, m, x.sh(`cat /proc/1/status | grep -c Seccomp:; ls /code`))
			done <- fmt.Sprint(exit.Code, out)
		}()
	}
	for range many {
		if got := <-done; got != "01\n" {
			t.Errorf("one of many: %q", got)
		}
	}
	tasks, _ := filepath.Glob("/proc/self/task/*/status")
	for _, file := range tasks {
		status, err := os.ReadFile(file)
		if err == nil && !strings.Contains(string(status), "NoNewPrivs:\t0") {
			// A thread may still be on its way out.
			eventually(t, "the restricted thread has gone", func() bool { _, err := os.ReadFile(file); return err != nil })
		}
	}
	if now, _ := os.Readlink("/proc/self/ns/mnt"); now != root {
		t.Errorf("this process is in namespace %s, was in %s", now, root)
	}
}
