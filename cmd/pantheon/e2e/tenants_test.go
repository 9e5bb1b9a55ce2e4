package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// hostilePage does what it is told to and says what came of it. Nothing in it
// is a trick of ours: a tenant can write all of this.
const hostilePage = `<?php
header('Content-Type: application/json');
error_reporting(0);
$a = $_POST['a'] ?? $_GET['a'] ?? '';
function answer($x) { exit(json_encode($x, JSON_INVALID_UTF8_SUBSTITUTE)); }
switch ($_POST['do'] ?? $_GET['do'] ?? '') {
case 'read': answer(file_get_contents($a));
case 'list': answer(scandir($a));
case 'write': answer(file_put_contents($a, 'x') !== false);
case 'environments':
  $all = [];
  foreach (glob('/proc/[0-9]*/environ') as $f) { $all[] = file_get_contents($f); }
  answer(implode("\n", $all));
case 'pids': answer(array_map('basename', glob('/proc/[0-9]*')));
case 'kill': answer(posix_kill((int) $a, (int) ($_POST['signal'] ?? 9)));
case 'run': exec($a . ' 2>&1', $out, $code); answer(['code' => $code, 'out' => implode("\n", $out)]);
case 'connect':
  $s = stream_socket_client($a, $n, $text, 3);
  if (!$s) answer("no: $text");
  fwrite($s, "GET /api/sites HTTP/1.0\r\nHost: x\r\n\r\n"); stream_set_timeout($s, 3);
  answer('yes: ' . fread($s, 200));
case 'sql':
  mysqli_report(MYSQLI_REPORT_OFF);
  $db = mysqli_connect('localhost', $_POST['user'] ?? $_ENV['DB_USER'], $_POST['password'] ?? $_ENV['DB_PASSWORD']);
  if (!$db) answer('no: ' . mysqli_connect_error());
  $r = $db->query($a);
  answer($r === false ? 'no: ' . $db->error : ($r === true ? [] : $r->fetch_all()));
case 'whoami': answer([posix_getuid(), posix_getgid(), posix_getgroups(), getmypid(), gethostname()]);
}
answer('ready');
`

// tenant is one side of the probing.
type tenant struct {
	*visitor
	drop      string
	site      string
	variables map[string]string
}

func tenantOf(t *testing.T, p *platform, name string) tenant {
	t.Helper()
	v := p.site(t, name, "php", map[string]string{"index.php": hostilePage, "secret.inc": "code of " + name})
	v.sees(t, 200, "/", "ready")
	drop := p.drop(t, name+".dev")
	return tenant{v, string(drop.ID), string(drop.Site), p.variables(t, name)}
}

// does has the tenant's PHP do something; more are further POST fields.
func (x tenant) does(t *testing.T, what, with string, more ...string) string {
	t.Helper()
	form := url.Values{"do": {what}, "a": {with}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	answer := x.post(t, "/", form)
	answer.wants(t, 200)
	var value any
	if err := json.Unmarshal([]byte(answer.body), &value); err != nil {
		t.Fatalf("%s %s: %v: %s", what, with, err, answer)
	}
	return fmt.Sprint(value)
}

// TestHostileTenants: two sites side by side; the PHP of one tries to get at
// everything that is the other's or the platform's.
func TestHostileTenants(t *testing.T) {
	p := shared(t)
	evil, good := tenantOf(t, p, "evil"), tenantOf(t, p, "good")
	good.does(t, "write", "/files/private-of-good")
	good.does(t, "write", "/tmp/temporary-of-good")
	good.does(t, "sql", "CREATE TABLE `"+good.variables["DB_NAME"]+"`.treasure (x INT)")

	t.Run("files", func(t *testing.T) { probeFiles(t, p, evil, good) })
	t.Run("processes", func(t *testing.T) { probeProcesses(t, evil, good) })
	t.Run("database", func(t *testing.T) { probeDatabase(t, evil, good) })
	t.Run("sockets", func(t *testing.T) { probeSockets(t, p, evil, good) })
	t.Run("kernel", func(t *testing.T) { probeKernel(t, evil) })
	good.sees(t, 200, "/", "ready")
	if left := good.does(t, "read", "/files/private-of-good") + good.does(t, "read", "/tmp/temporary-of-good"); left != "xx" {
		t.Errorf("the other's files hold %q now", left)
	}
}

func probeFiles(t *testing.T, p *platform, evil, good tenant) {
	t.Helper()
	drops := filepath.Join(p.data, "hosts", p.hostID(), "drops", good.drop)
	for _, path := range []string{
		p.data, filepath.Join(p.data, "keys"), filepath.Join(p.data, "log"), filepath.Join(p.data, "code", good.site), filepath.Join(p.data, "files", "dev."+good.site),
		drops, filepath.Join(drops, "tmp"), "/root", "/home", "/etc/shadow", "/sys/fs/cgroup", "/var/lib", "/opt", base,
	} {
		if got := evil.does(t, "list", path); got != "false" && got != "<nil>" {
			t.Errorf("it lists %s: %s", path, got)
		}
	}
	for path, secret := range map[string]string{
		"/files/private-of-good": "x", "/tmp/temporary-of-good": "x", "/etc/shadow": "root:", "/proc/1/environ": good.variables["DB_PASSWORD"],
		"/proc/self/root/../../../.." + p.data + "/keys/api": "\x00", filepath.Join(p.data, "host.json"): "id",
		filepath.Join(p.data, "code", good.site, "repository.git", "HEAD"): "ref", "/proc/sysrq-trigger": "x", "/proc/kcore": "ELF",
	} {
		if got := evil.does(t, "read", path); strings.Contains(got, secret) {
			t.Errorf("it reads %s: %.100q", path, got)
		}
	}
	for _, path := range []string{"/code/x", "/code/index.php", "/etc/passwd", "/usr/x", "/srv/includes/pantheon.php", "/x", "/proc/sys/kernel/core_pattern", "/dev/x", "/run/mysqld/x", "/logs/x"} {
		if got := evil.does(t, "write", path); got != "false" && path != "/logs/x" {
			t.Errorf("it writes %s", path)
		}
	}
	if got := evil.does(t, "read", "/etc/passwd"); strings.Contains(got, "mysql") || !strings.Contains(got, evil.drop) {
		t.Errorf("the users it sees: %s", got)
	}
}

func probeProcesses(t *testing.T, evil, good tenant) {
	t.Helper()
	if got := evil.does(t, "environments", ""); strings.Contains(got, good.variables["DB_PASSWORD"]) || strings.Contains(got, good.site) {
		t.Errorf("it sees the other's variables")
	}
	pids := strings.Fields(strings.Trim(evil.does(t, "pids", ""), "[]"))
	if len(pids) > 12 {
		t.Errorf("it sees %d processes: %v", len(pids), pids)
	}
	its, others := master(t, evil.drop), master(t, good.drop)
	for _, pid := range []int{others.pid, its.pid, os.Getpid()} {
		if got := evil.does(t, "kill", fmt.Sprint(pid)); got != "false" {
			t.Errorf("it can signal process %d of the machine", pid)
		}
	}
	evil.does(t, "kill", "-1", "signal", "18") // SIGCONT to all that it may reach: harmless at home
	if now := master(t, good.drop); now != others {
		t.Errorf("the other's php-fpm was %v and is %v", others, now)
	}
	who := evil.does(t, "whoami", "")
	if who == good.does(t, "whoami", "") || strings.HasPrefix(who, "[0 ") {
		t.Errorf("it is %s", who)
	}
}

func probeDatabase(t *testing.T, evil, good tenant) {
	t.Helper()
	if got := evil.does(t, "sql", "SHOW DATABASES"); strings.Contains(got, good.variables["DB_NAME"]) || !strings.Contains(got, evil.variables["DB_NAME"]) || strings.Contains(got, "mysql") {
		t.Errorf("the databases it sees: %s", got)
	}
	other := "`" + good.variables["DB_NAME"] + "`"
	for _, statement := range []string{
		"SELECT * FROM " + other + ".treasure", "USE " + other, "DROP DATABASE " + other, "CREATE TABLE " + other + ".t (x INT)", "CREATE DATABASE more",
		"SELECT user, authentication_string FROM mysql.user", "SELECT LOAD_FILE('/etc/passwd')", "SELECT 1 INTO OUTFILE '/tmp/out'",
		"CREATE USER more", "GRANT ALL ON *.* TO CURRENT_USER", "SET GLOBAL general_log = 1", "SHUTDOWN", "KILL 1",
		"LOAD DATA INFILE '/etc/passwd' INTO TABLE `" + evil.variables["DB_NAME"] + "`.x", "INSTALL SONAME 'ha_blackhole'",
	} {
		if got := evil.does(t, "sql", statement); !strings.HasPrefix(got, "no: ") && got != "[[<nil>]]" {
			t.Errorf("%s: %s", statement, got)
		}
	}
	if got := evil.does(t, "sql", "SHOW FULL PROCESSLIST"); strings.Contains(got, good.variables["DB_USER"]) {
		t.Errorf("it sees the other's queries: %s", got)
	}
	for _, account := range [][2]string{{"root", ""}, {"mysql", ""}, {good.variables["DB_USER"], ""}, {good.variables["DB_USER"], evil.variables["DB_PASSWORD"]}, {"", ""}} {
		if got := evil.does(t, "sql", "SELECT 1", "user", account[0], "password", account[1]); !strings.HasPrefix(got, "no: ") {
			t.Errorf("it is let in as %q: %s", account[0], got)
		}
	}
}

func probeSockets(t *testing.T, p *platform, evil, good tenant) {
	t.Helper()
	for _, address := range []string{
		"unix://" + filepath.Join(p.data, "run", "api.sock"), "unix:///run/api.sock", "unix:///data/run/api.sock",
		"unix://" + filepath.Join(p.data, "hosts", p.hostID(), "drops", good.drop, "run", "php.sock"), "unix:///run/dbus/system_bus_socket", "unix:///var/run/docker.sock",
	} {
		if got := evil.does(t, "connect", address); !strings.HasPrefix(got, "no: ") {
			t.Errorf("it reaches %s: %s", address, got)
		}
	}
	// The public entry it may use, like everybody.
	if got := evil.does(t, "connect", "tcp://"+p.address); !strings.HasPrefix(got, "yes: HTTP/1") || strings.Contains(got, "good") {
		t.Errorf("the entry says %s", got)
	}
}

func probeKernel(t *testing.T, evil tenant) {
	t.Helper()
	for _, command := range []string{
		"mount -t tmpfs none /tmp", "umount /files", "unshare -U true", "unshare -m true", "chroot / true", "nsenter -t 1 -m true", "mknod /tmp/disk b 8 0",
		"dmesg", "su -c true", "sudo -n true", "gdb -p 1 -batch", "strace -p 1", "insmod x", "iptables -L", "hostname other", "date -s 2001-01-01",
	} {
		if got := evil.does(t, "run", command); strings.HasPrefix(got, "map[code:0 ") {
			t.Errorf("%s works: %s", command, got)
		}
	}
	// CapEff, CapBnd and NoNewPrivs, as the kernel has them.
	status := evil.does(t, "read", "/proc/self/status")
	for _, line := range []string{"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(status, line) {
			t.Errorf("no %q in its status:\n%s", line, status)
		}
	}
	if got := evil.does(t, "run", "php -r 'var_dump(@pcntl_unshare(CLONE_NEWUSER));' ; cp /bin/true /tmp/suid && chmod 4755 /tmp/suid && /tmp/suid; id -u"); strings.HasSuffix(strings.TrimSuffix(got, "]"), "\n0") {
		t.Errorf("it became root: %s", got)
	}
}

// noise is what a bad neighbour does with all its workers.
var noise = map[string]string{
	"loops": `<?php set_time_limit(0); while (true) { $x = md5(random_bytes(8)); }`,
	"forks": `<?php $all = []; while (true) { $p = @proc_open('sleep 60 & sleep 60', [], $pipes); if ($p) { $all[] = $p; } else { usleep(1000); } }`,
	"eats":  `<?php ini_set('memory_limit', '-1'); $all = []; while (true) { $all[] = str_repeat(random_bytes(1024), 1024); }`,
	"disk":  `<?php for ($i = 0; $i < 200; $i++) { file_put_contents("/tmp/big-$i", random_bytes(1 << 20)); } while (true) { md5_file('/tmp/big-1'); }`,
}

// TestNoisyNeighbour: a site whose PHP loops, forks or eats memory hurts only
// itself. The neighbour's latency is measured before and meanwhile.
func TestNoisyNeighbour(t *testing.T) {
	p := shared(t)
	files := map[string]string{"index.php": "<?php echo 'noise';"}
	for name, code := range noise {
		files[name+".php"] = code
	}
	noisy := p.site(t, "noisy", "php", files)
	quiet := p.site(t, "quiet", "php", map[string]string{"index.php": helloPage})
	quiet.sees(t, 200, "/", "hello")
	before := latency(t, quiet)
	t.Logf("alone: %s", before)
	for name := range noise {
		t.Run(name, func(t *testing.T) {
			noisy.sees(t, 200, "/", "noise")
			drop := string(p.drop(t, "noisy.dev").ID)
			var work sync.WaitGroup
			for range 4 { // as many as it has workers
				work.Go(func() {
					stranger := p.visitor("noisy")
					stranger.client.Timeout = 3 * time.Second
					_, _ = stranger.try("GET", "/"+name+".php", nil) // how it ends is its own affair
				})
			}
			eventually(t, "it is at work", func() bool { return len(inSandbox(drop)) >= 3 })
			during := latency(t, quiet)
			t.Logf("beside %s: %s", name, during)
			if during.p95 > max(10*before.p95, 250*time.Millisecond) {
				t.Errorf("the neighbour's p95 was %s and is %s", before.p95, during.p95)
			}
			if left := len(inSandbox(drop)); left > 300 {
				t.Errorf("it has %d processes", left)
			}
			p.ok(t, "host", "list")
			work.Wait()
			// Everything it has started ends with its php-fpm.
			if err := syscall.Kill(master(t, drop).pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			eventually(t, "all its processes end", func() bool { return len(inSandbox(drop)) == 0 })
		})
	}
	noisy.sees(t, 200, "/", "noise")
}
