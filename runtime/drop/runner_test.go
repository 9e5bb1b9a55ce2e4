package drop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/drop/contract"
	"pantheon/runtime/sandbox"
)

// both runs a test in a sandbox and without one.
func both(t *testing.T, test func(t *testing.T, m *sandbox.Machine)) {
	t.Run("isolated", func(t *testing.T) { test(t, newMachine(t, false)) })
	t.Run("bare", func(t *testing.T) { test(t, newMachine(t, true)) })
}

func TestWakeAndSleep(t *testing.T) {
	both(t, func(t *testing.T, m *sandbox.Machine) {
		x := newFixture(t, m, events.Drupal).prepare()
		for range 2 {
			if got := x.page("index.php"); got != "hello" {
				t.Fatalf("the page is %q", got)
			}
			if err := x.runner.Sleep(context.Background(), "operator"); err != nil {
				t.Fatal(err)
			}
			x.phase(Asleep)
		}
		if _, err := x.runner.Dial(context.Background()); err == nil {
			t.Error("something answers while the DROP sleeps")
		}
		x.wantFacts("DropReady", "DropAwoke", "DropSlept", "DropAwoke", "DropSlept")
	})
}

// wantFacts compares the names of the facts so far.
func (x *fixture) wantFacts(want ...string) {
	x.t.Helper()
	var got []string
	for _, f := range x.reported() {
		got = append(got, strings.TrimPrefix(fmt.Sprintf("%T", f), "events."))
	}
	if !slices.Equal(got, want) {
		x.t.Errorf("facts %v, want %v: %+v", got, want, x.reported())
	}
}

// TestContract asks a page for everything that CONTRACT §1 promises.
func TestContract(t *testing.T) {
	both(t, func(t *testing.T, m *sandbox.Machine) {
		x := newFixture(t, m, events.Drupal8)
		x.write("all.php", `<?php echo json_encode(['env' => $_ENV, 'get' => array_map('getenv', array_combine(array_keys($_ENV), array_keys($_ENV))),
			'server' => array_map(fn($v) => is_array($v) ? '' : (string) $v, $_SERVER), 'ini' => array_map('strval', ini_get_all(null, false)),
			'const' => get_defined_constants(true)['user'], 'ext' => get_loaded_extensions(true),
			'tmp' => sys_get_temp_dir(), 'uid' => getmyuid(), 'euid' => posix_geteuid(), 'home' => array_map('file_exists', array_combine(
				['code', 'files', 'tmp', 'certs', 'logs'], array_map(fn($d) => getenv('HOME') . "/$d", ['code', 'files', 'tmp', 'certs', 'logs']))),
			'rolling' => is_writable(getenv('PANTHEON_ROLLING_TMP')), 'all' => function_exists('pantheon_clear_edge_all')]);`)
		x.prepare()
		var got struct {
			Env, Get, Server, Ini map[string]string
			Const                 map[string]any
			Ext                   []string
			Tmp                   string
			EUID                  int `json:"euid"`
			Home                  map[string]bool
			Rolling, All          bool
		}
		body := x.page("all.php", "HTTP_USER_AGENT_HTTPS", "ON")
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		layout, _, _ := x.runner.Layout()
		secrets, _ := x.host.Secrets("", x.spec)
		for _, v := range contract.Environment(contract.Site{Drop: x.runner.paths.Drop, Spec: x.spec, Layout: layout, Secrets: secrets}) {
			if got.Env[v.Name] != v.Value || got.Get[v.Name] != v.Value || got.Server[v.Name] != v.Value {
				t.Errorf("%s: $_ENV %q, getenv() %q, $_SERVER %q, want %q", v.Name, got.Env[v.Name], got.Get[v.Name], got.Server[v.Name], v.Value)
			}
		}
		for name, want := range map[string]string{
			"HTTPS": "on", "HTTP_X_SSL": "ON", "HTTP_USER_AGENT_HTTPS": "ON", "HTTP_X_PANTHEON_CLIENT_IP": "127.0.0.1",
			"PANTHEON_DATABASE_STATE": "ok", "FPM_SOCKETS": "",
		} {
			if got.Server[name] != want {
				t.Errorf("$_SERVER[%s] is %q, want %q", name, got.Server[name], want)
			}
		}
		for name, want := range map[string]string{
			"short_open_tag": "", "request_order": "GP", "variables_order": "EGPCS", "max_input_vars": "10000",
			"session.gc_maxlifetime": "200000", "session.cookie_lifetime": "2000000", "opcache.max_accelerated_files": "32531",
			"apc.shm_size": "128M", "upload_max_filesize": "100M", "post_max_size": "100M", "max_file_uploads": "20", "max_execution_time": "120",
			"memory_limit": "256M", "opcache.validate_timestamps": "0", "opcache.enable": "1", "display_errors": "",
			"user_ini.filename": "", "log_errors": "1", "sendmail_path": "/usr/sbin/sendmail -t -i",
			"mysqli.default_socket": layout.DatabaseSocket, "pdo_mysql.default_socket": layout.DatabaseSocket,
		} {
			// Off is "" or "0", after who has set it.
			if value := got.Ini[name]; value != want && !(want == "" && (value == "0" || value == "Off")) {
				t.Errorf("ini %s is %q, want %q", name, got.Ini[name], want)
			}
		}
		if got.Tmp != layout.Tmp || got.EUID != int(x.spec.UID) && os.Getuid() == 0 || !got.Rolling || !got.All {
			t.Errorf("tmp %q, uid %d, rolling folder writable %v, prepend %v", got.Tmp, got.EUID, got.Rolling, got.All)
		}
		if !got.Home["code"] || !got.Home["files"] || !got.Home["tmp"] || !got.Home["certs"] || !got.Home["logs"] {
			t.Errorf("HOME has %v", got.Home)
		}
		if got.Const["PANTHEON_ENVIRONMENT"] != "dev" || got.Const["PANTHEON_BINDING"] != string(x.runner.paths.Drop) {
			t.Errorf("constants %v", got.Const)
		}
		if !slices.Contains(got.Ext, "Zend OPcache") {
			t.Errorf("extensions %v", got.Ext)
		}
	})
}

func TestEveryFrameworkLoads(t *testing.T) {
	m := newMachine(t, false)
	for _, f := range []events.Framework{events.Drupal, events.Drupal8, events.WordPress, events.Backdrop, events.PHP} {
		x := newFixture(t, m, f)
		x.write("ext.php", `<?php echo implode(' ', array_map('strtolower', array_merge(get_loaded_extensions(), get_loaded_extensions(true))));`)
		x.prepare()
		loaded := strings.Fields(x.page("ext.php"))
		php, _ := FindPHP("8.2")
		for _, e := range installed(webExtensions(f), php.Available) {
			if e != "opcache" && !slices.Contains(loaded, e) {
				t.Errorf("%s: %s is not loaded", f, e)
			}
		}
		if log := x.log("php-error.log") + x.log("php-fpm-error.log") + x.runner.startLog(); log != "" {
			t.Errorf("%s: logs say %s", f, log)
		}
	}
}

// TestPlatformFunctions calls the functions of the prepend that need an
// extension, in the frameworks whose modules call them.
func TestPlatformFunctions(t *testing.T) {
	m := newMachine(t, false)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, body)
	}))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	for _, f := range []events.Framework{events.Drupal, events.Backdrop, events.Drupal8, events.WordPress, events.PHP} {
		x := newFixture(t, m, f)
		x.write("set.php", `<?php var_dump(pantheon_cache_set('ctools:a', ['css' => 1], 60));`)
		x.write("get.php", `<?php echo json_encode(pantheon_cache_get('ctools:a'));`)
		x.write("clear.php", `<?php pantheon_cache_clear(); echo json_encode(pantheon_cache_get('ctools:a'));`)
		x.write("curl.php", `<?php list($handle, $options) = pantheon_curl_setup('`+server.URL+`/solr', 'x=1', `+port+`, 'POST');
			echo is_array($options) && $options ? 'options ' : 'none ', substr(strrchr(curl_exec($handle), "\n"), 1);`)
		x.prepare()
		done := x.wake() // one php-fpm for all: the cache is its own
		for _, c := range []struct{ script, want string }{
			{"set.php", "bool(true)\n"}, {"get.php", `{"css":1}`}, {"clear.php", "false"}, {"curl.php", "options POST /solr x=1"},
		} {
			if got := x.page(c.script); got != c.want {
				t.Errorf("%s: %s answers %q, want %q", f, c.script, got, c.want)
			}
		}
		done()
	}
}

func (x *fixture) log(name string) string {
	data, _ := os.ReadFile(filepath.Join(x.runner.paths.Dir, "logs", "php", name))
	return string(data)
}

func TestCrashes(t *testing.T) {
	both(t, func(t *testing.T, m *sandbox.Machine) {
		x := newFixture(t, m, events.Drupal)
		x.write("pid.php", `<?php echo getmypid();`)
		x.write("die.php", `<?php posix_kill(getmypid(), 9);`)
		x.prepare()
		x.page("index.php")
		master := x.runner.running().Identity().PID
		if err := syscall.Kill(master, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		x.phase(Asleep)
		if got := x.page("index.php"); got != "hello" {
			t.Errorf("after the crash: %q", got)
		}
		x.wantFacts("DropReady", "DropAwoke", "DropCrashed", "DropAwoke")
		if crashed := x.reported()[2].(events.DropCrashed); crashed.Reason != "signal: killed" {
			t.Errorf("the reason is %q", crashed.Reason)
		}
		// A worker alone is replaced by php-fpm.
		done := x.wake()
		if body, err := x.get(context.Background(), "die.php"); err == nil {
			t.Errorf("a killed worker answered %q", body)
		}
		done()
		if got := x.page("index.php"); got != "hello" {
			t.Errorf("after a worker's death: %q", got)
		}
		x.wantFacts("DropReady", "DropAwoke", "DropCrashed", "DropAwoke")
	})
}

func TestStartFailures(t *testing.T) {
	both(t, func(t *testing.T, m *sandbox.Machine) {
		x := newFixture(t, m, events.Drupal).prepare()
		clock := &fakeClock{now: time.Now()}
		x.host.Now = clock.Now
		good, _ := FindPHP("8.2")
		fail := func(what, want string) {
			t.Helper()
			_, err := x.runner.Wake(context.Background(), "http")
			if err == nil || !strings.Contains(reason(err), want) || problem.KindOf(err) != problem.Unavailable {
				t.Errorf("%s: %v", what, err)
			}
			fact, is := x.reported()[len(x.reported())-1].(events.DropStartFailed)
			if !is || !strings.Contains(fact.Reason, want) {
				t.Errorf("%s: fact %+v, want a reason with %q", what, fact, want)
			}
			again := time.Now()
			if _, err := x.runner.Wake(context.Background(), "http"); err == nil || !strings.Contains(err.Error(), want) || time.Since(again) > time.Second {
				t.Errorf("%s: during the delay: %v after %v", what, err, time.Since(again))
			}
			clock.add(MaxRetry)
		}
		with := func(change func(*PHP)) {
			x.host.PHP = func(string) (PHP, error) { p := good; change(&p); return findPHP(p) }
		}
		with(func(p *PHP) { p.FPM = "/usr/sbin/php-fpm0" })
		fail("no program", "cannot find PHP 8.2")
		fail("no program, hint", "apt-get install php8.2-fpm")
		with(func(p *PHP) { p.Extensions = "/usr/lib/php/absent" })
		fail("no extensions", "cannot read the extensions of PHP 8.2")
		with(func(p *PHP) { p.FPM = "/bin/false" })
		fail("a program that ends", "php-fpm ended at its start with exit status 1")
		with(func(p *PHP) {})
		x.spoilConfiguration()
		fail("a broken configuration", "nonsense")
		x.prepare()
		if x.runner.State().Phase != Asleep {
			t.Errorf("prepared anew it is %s", x.runner.State().Phase)
		}
		if got := x.page("index.php"); got != "hello" {
			t.Errorf("mended: %q", got)
		}
	})
}

// spoilConfiguration breaks php-fpm.conf where it lies.
func (x *fixture) spoilConfiguration() {
	x.t.Helper()
	file := x.runner.paths.sub("root", "etc", "php", "8.2", "fpm", "php-fpm.conf")
	if !x.host.Machine.Isolated() {
		file = x.runner.paths.sub("etc", "fpm", "php-fpm.conf")
	}
	if err := os.WriteFile(file, []byte("[global]\nnonsense = 1\n"), 0o644); err != nil {
		x.t.Fatal(err)
	}
}

type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *fakeClock) Now() time.Time      { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
func (c *fakeClock) add(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

func TestManyWakesAreOne(t *testing.T) {
	x := newFixture(t, newMachine(t, false), events.Drupal).prepare()
	var group sync.WaitGroup
	for range 40 {
		group.Go(func() {
			done, err := x.runner.Wake(context.Background(), "http")
			if err != nil {
				t.Error(err)
				return
			}
			defer done()
			if body, err := x.get(context.Background(), "index.php"); err != nil || body != "hello" {
				t.Error(body, err)
			}
		})
	}
	group.Wait()
	x.wantFacts("DropReady", "DropAwoke")
	if s := x.runner.State(); s.Serving != 0 || s.Waiting != 0 {
		t.Errorf("left %+v", s)
	}
}

func TestAbandonedWake(t *testing.T) {
	x := newFixture(t, newMachine(t, false), events.Drupal).prepare()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if done, err := x.runner.Wake(ctx, "http"); err == nil {
		done()
	}
	x.phase(Awake)
	x.eventually("nobody is served", func() bool { s := x.runner.State(); return s.Serving == 0 && s.Waiting == 0 })
}

func TestIdleSleep(t *testing.T) {
	x := newFixture(t, newMachine(t, false), events.Drupal)
	x.spec.Settings.IdleAfterSeconds = 1
	x.prepare()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- x.host.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	held := x.wake()
	x.page("index.php")
	begin := time.Now()
	x.eventually("an idle check has passed", func() bool { return time.Since(begin) > 1200*time.Millisecond })
	if got := x.runner.State().Phase; got != Awake {
		t.Errorf("with a request under way it is %s", got)
	}
	held()
	held() // once counts
	x.phase(Asleep)
	x.wantFacts("DropReady", "DropAwoke", "DropSlept")
	if slept := x.reported()[2].(events.DropSlept); slept.Trigger != "idle" || slept.IdleSeconds < 1 {
		t.Errorf("%+v", slept)
	}
	if x.runner.place != -1 || len(x.host.idle) != 0 {
		t.Error("a sleeping DROP is still in the heap")
	}
}

func TestUpdateLetsRequestsEnd(t *testing.T) {
	x := newFixture(t, newMachine(t, false), events.Drupal)
	x.write("slow.php", `<?php touch('/tmp/began'); while (!file_exists('/tmp/go')) usleep(1000); echo 'old';`)
	x.prepare()
	result := make(chan string, 1)
	go func() {
		done, err := x.runner.Wake(context.Background(), "http")
		if err != nil {
			result <- err.Error()
			return
		}
		defer done()
		body, err := x.get(context.Background(), "slow.php")
		result <- fmt.Sprint(body, err)
	}()
	tmp := filepath.Join(x.runner.paths.Dir, "tmp")
	x.eventually("the slow page has begun", func() bool { _, err := os.Stat(tmp + "/began"); return err == nil })

	x.places.Code = x.places.Code + "-2"
	x.write("index.php", `<?php echo 'new';`)
	x.spec.Generation, x.spec.Deployment, x.spec.Commit = 2, 2, strings.Repeat("b", 40)
	x.prepare()
	next := make(chan string, 1)
	go func() { next <- x.page("index.php") }()
	if err := os.WriteFile(tmp+"/go", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := <-result; got != "old<nil>" {
		t.Errorf("the request under way: %s", got)
	}
	if got := <-next; got != "new" {
		t.Errorf("the request after: %s", got)
	}
	x.wantFacts("DropReady", "DropAwoke", "DropReady", "DropSlept", "DropAwoke")
}

// TestStopWaitsForWhoWasLetThrough: a request that was let through and has not
// reached php-fpm when a stop is ordered is served all the same. php-fpm, told
// to end, cut it off, and the visitor got 502.
func TestStopWaitsForWhoWasLetThrough(t *testing.T) {
	x := newFixture(t, newMachine(t, false), events.Drupal).prepare()
	done := x.wake()
	x.spec.Generation, x.spec.Deployment = 2, 2
	x.prepare()
	if phase := x.runner.State().Phase; phase != Stopping {
		t.Fatalf("it is %s", phase)
	}
	for range 20 {
		if body, err := x.get(context.Background(), "index.php"); body != "hello" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
	}
	done()
	x.phase(Asleep)
	x.wantFacts("DropReady", "DropAwoke", "DropReady", "DropSlept")
}

func TestConnectionModes(t *testing.T) {
	m := newMachine(t, false)
	for _, mode := range []events.ConnectionMode{events.ConnectionGit, events.ConnectionSFTP} {
		x := newFixture(t, m, events.Drupal)
		x.write("try.php", `<?php foreach (['/code/x', '/files/x', '/tmp/x', getenv('HOME') . '/files/y'] as $f) echo (int) (@file_put_contents($f, 'x') === 1);`)
		x.spec.Settings.Connection = mode
		x.prepare()
		want := map[events.ConnectionMode]string{events.ConnectionGit: "0111", events.ConnectionSFTP: "1111"}[mode]
		if got := x.page("try.php"); got != want {
			t.Errorf("%s: written %s, want %s", mode, got, want)
		}
		x.page("index.php")
		x.write("index.php", "<?php echo 'changed';")
		if got := x.page("index.php"); (got == "changed") != (mode == events.ConnectionSFTP) {
			t.Errorf("%s: a changed file gives %q", mode, got)
		}
	}
}

// TestTenantsApart lets a page of one DROP look for everything of another.
func TestTenantsApart(t *testing.T) {
	m := newMachine(t, false)
	a, b := newFixture(t, m, events.PHP), newFixture(t, m, events.PHP)
	a.write("index.php", `<?php file_put_contents('/files/s', 'SECRET'); file_put_contents('/tmp/s', 'SECRET');
		apcu_store('s', 'SECRET'); $k = shm_attach(77, 1000); shm_put_var($k, 1, 'SECRET'); echo getmypid();`)
	a.prepare()
	a.page("index.php")
	places, _ := json.Marshal([]string{a.places.Code + "/index.php", a.places.Files + "/s", a.runner.paths.Dir + "/tmp/s",
		a.runner.paths.Dir + "/run/identity.json", a.runner.paths.Dir, a.runner.Paths().Socket(), "/proc/1/environ", "/files/s", "/tmp/s"})
	b.write("index.php", `<?php $found = [];
		foreach (json_decode('`+string(places)+`') as $f) if (!str_starts_with($f, '/proc/1/') && @file_exists($f)) $found[] = $f;
		foreach (glob('/proc/[0-9]*/environ') as $f) if (str_contains((string) @file_get_contents($f), '`+string(a.runner.paths.Drop)+`')) $found[] = $f;
		if (apcu_fetch('s')) $found[] = 'apcu';
		$k = shm_attach(77, 1000); if (@shm_get_var($k, 1)) $found[] = 'shm';
		foreach (['/code/x', '/usr/x', '/etc/x', '/x', '/srv/includes/x', '/run/mysqld/x', '/proc/sys/kernel/hostname'] as $f) if (@file_put_contents($f, 'x')) $found[] = "wrote $f";
		foreach (['mount -t tmpfs x /tmp', 'unshare -Ur true', 'mknod /tmp/n c 1 1', 'chroot / true', 'kill -9 `+strconv.Itoa(a.runner.running().Identity().PID)+`'] as $c) { exec("$c 2>/dev/null", $o, $r); if ($r === 0) $found[] = $c; }
		if (count(glob('/proc/[0-9]*')) > 4) $found[] = 'processes';
		echo 'found ', implode(', ', $found);`)
	b.prepare()
	if got := b.page("index.php"); got != "found " {
		t.Error(got)
	}
	if a.runner.running() == nil {
		t.Error("the other DROP has ended")
	}
}

func TestAdoption(t *testing.T) {
	both(t, func(t *testing.T, m *sandbox.Machine) {
		x := newFixture(t, m, events.Drupal).prepare()
		x.page("index.php")
		pid := x.runner.running().Identity().PID

		// A second agent on the same folder.
		y := &fixture{t: t, spec: x.spec, places: x.places, docroot: x.docroot}
		options := x.host.Options
		options.Report = func(_ events.DropID, e events.Event) { y.mu.Lock(); defer y.mu.Unlock(); y.facts = append(y.facts, e) }
		y.host = NewHost(options)
		y.runner = y.host.Runner(x.runner.paths.Drop, x.runner.paths.Dir)
		if there, err := y.runner.Adopt(context.Background()); err != nil || !there {
			t.Fatalf("adopted %v, %v", there, err)
		}
		if got := y.page("index.php"); got != "hello" {
			t.Errorf("through the second agent: %q", got)
		}
		y.prepare()
		if s, err := y.runner.Stats(); err != nil || s.MemoryBytes == 0 {
			t.Errorf("stats of the adopted process: %+v %v", s, err)
		}
		if got := y.runner.running().Identity().PID; got != pid {
			t.Errorf("process %d was replaced by %d", pid, got)
		}
		if err := y.runner.Sleep(context.Background(), "operator"); err != nil {
			t.Fatal(err)
		}
		y.phase(Asleep)
		y.wantFacts("DropReady", "DropSlept")
		x.eventually("the first agent has seen it", func() bool { return x.runner.State().Phase == Asleep })

		z := y.host.Runner(x.runner.paths.Drop, x.runner.paths.Dir)
		if there, err := z.Adopt(context.Background()); err != nil || there {
			t.Errorf("nothing runs: adopted %v, %v", there, err)
		}
	})
}

func TestExec(t *testing.T) {
	both(t, func(t *testing.T, m *sandbox.Machine) {
		x := newFixture(t, m, events.Drupal).prepare()
		run := func(stdin string, argv ...string) (string, string, sandbox.Exit) {
			t.Helper()
			var out, errs bytes.Buffer
			exit, err := x.runner.Exec(context.Background(), Command{
				Argv: argv, Env: []string{"TRACE_ID=abc"}, Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs,
			})
			if err != nil {
				t.Fatal(err)
			}
			return out.String(), errs.String(), exit
		}
		if out, _, _ := run("", "sh", "-c", "echo $PANTHEON_SITE_NAME $TRACE_ID; pwd"); out != "hello abc\n"+x.docroot+"\n" {
			t.Errorf("variables: %q", out)
		}
		if out, _, _ := run("some text", "cat"); out != "some text" {
			t.Errorf("standard input: %q", out)
		}
		if _, errs, exit := run("", "sh", "-c", "echo no >&2; exit 3"); errs != "no\n" || exit.Code != 3 {
			t.Errorf("exit %v, standard error %q", exit, errs)
		}
		if _, _, exit := run("", "absent-command"); exit.Code != 127 {
			t.Errorf("an absent command: %v", exit)
		}
		x.write("cli.php", `<?php echo PANTHEON_ENVIRONMENT, ' ', getenv('PANTHEON_ENVIRONMENT'), ' ', $_ENV['PANTHEON_SITE_NAME'], ' ',
			isset($_SERVER['PANTHEON_ENVIRONMENT']) ? 'set' : 'unset', ' ', strlen($_SERVER['PRESSFLOW_SETTINGS']) > 100 ? 'settings' : '', ' ',
			ini_get('memory_limit'), ' ', ini_get('variables_order'), ' ', extension_loaded('readline') ? 'all' : 'few';`)
		if out, errs, _ := run("", "php8.2", "cli.php"); out != "dev dev hello unset settings -1 EGPCS all" {
			t.Errorf("php on the command line: %q %q", out, errs)
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		command := Command{Argv: []string{"sh", "-c", "sleep 1000 & sleep 1000"}, Started: func(*sandbox.Process) { cancel(errors.New("enough")) }}
		if _, err := x.runner.Exec(ctx, command); err == nil || !strings.Contains(err.Error(), "enough") {
			t.Errorf("a command that was ended: %v", err)
		}
		if x.runner.State().Phase != Asleep {
			t.Error("a command has woken php-fpm")
		}
	})
}

func TestExecBound(t *testing.T) {
	x := newFixture(t, newMachine(t, false), events.Drupal).prepare()
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	var running sync.WaitGroup
	running.Add(MaxCommands)
	for range MaxCommands {
		group.Go(func() {
			x.runner.Exec(ctx, Command{Argv: []string{"sleep", "1000"}, Started: func(*sandbox.Process) { running.Done() }})
		})
	}
	running.Wait()
	if _, err := x.runner.Exec(ctx, Command{Argv: []string{"true"}}); problem.KindOf(err) != problem.Busy {
		t.Errorf("one more: %v", err)
	}
	cancel()
	group.Wait()
	if exit, err := x.runner.Exec(context.Background(), Command{Argv: []string{"true"}}); err != nil || exit.Code != 0 {
		t.Errorf("afterwards: %v %v", exit, err)
	}
}

func TestWarm(t *testing.T) {
	x := newFixture(t, newMachine(t, false), events.Drupal)
	x.write("includes/a.inc", `<?php function a() { return 1; }`)
	x.write("broken.php", `<?php function {`)
	x.write("includes/b.php", `<?php class B extends NotThere {}`)
	x.write("tests/skip.php", `<?php`)
	x.prepare()
	if err := x.runner.Warm(context.Background()); err != nil {
		t.Fatal(err)
	}
	var cached []string
	filepath.WalkDir(x.runner.paths.sub("cache"), func(path string, e os.DirEntry, err error) error {
		if strings.HasSuffix(path, ".bin") {
			cached = append(cached, filepath.Base(path))
		}
		return err
	})
	slices.Sort(cached)
	if got := strings.Join(cached, " "); got != "a.inc.bin b.php.bin index.php.bin pantheon.php.bin" {
		t.Errorf("cached %s", got)
	}
	if got := x.page("index.php"); got != "hello" {
		t.Error(got)
	}
}

func TestPurges(t *testing.T) {
	both(t, func(t *testing.T, m *sandbox.Machine) {
		x := newFixture(t, m, events.WordPress)
		x.write("purge.php", `<?php pantheon_clear_edge_keys(['post-1']); echo 'ok';`)
		x.prepare()
		if got := x.page("purge.php"); got != "ok" {
			t.Fatal(got)
		}
		purges, err := x.runner.TakePurges()
		if err != nil || len(purges) != 1 || len(purges[0].Keys) != 1 || purges[0].Keys[0] != "post-1" {
			t.Errorf("%+v %v", purges, err)
		}
		if purges, err := x.runner.TakePurges(); err != nil || len(purges) != 0 {
			t.Errorf("taken twice: %+v %v", purges, err)
		}
		spool := filepath.Join(x.runner.paths.Dir, "spool", "purge")
		os.WriteFile(spool, []byte("{not json\n"), 0o644)
		if purges, err := x.runner.TakePurges(); err != nil || len(purges) != 1 || !purges[0].All {
			t.Errorf("a spoilt spool: %+v %v", purges, err)
		}
		os.Remove(spool)
		os.Symlink("/etc/passwd", spool)
		if purges, err := x.runner.TakePurges(); err == nil {
			t.Errorf("a link: %+v", purges)
		}
	})
}

func TestRemove(t *testing.T) {
	x := newFixture(t, newMachine(t, false), events.Drupal).prepare()
	x.page("index.php")
	if err := x.runner.Remove(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(x.runner.paths.Dir); !os.IsNotExist(err) {
		t.Errorf("the folder: %v", err)
	}
	if _, err := x.runner.Wake(context.Background(), "http"); problem.KindOf(err) != problem.NotFound {
		t.Errorf("woken: %v", err)
	}
}

// TestTwoHundredWakes wakes in a row, ending php-fpm in different ways, and
// counts what is left.
func TestTwoHundredWakes(t *testing.T) {
	m := newMachine(t, false)
	x := newFixture(t, m, events.Drupal).prepare()
	x.page("index.php")
	if err := x.runner.Sleep(context.Background(), "operator"); err != nil {
		t.Fatal(err)
	}
	before := x.leftovers()
	var took []time.Duration
	for i := range 200 {
		begin := time.Now()
		if got := x.page("index.php"); got != "hello" {
			t.Fatal(got)
		}
		took = append(took, time.Since(begin))
		if i%10 == 0 {
			syscall.Kill(x.runner.running().Identity().PID, syscall.SIGKILL)
			x.phase(Asleep)
		} else if err := x.runner.Sleep(context.Background(), "operator"); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("200 wakes to the body: p50 %v p99 %v", quantile(took, 50), quantile(took, 99))
	x.eventually("nothing is left: "+before, func() bool { return x.leftovers() == before })
}

// leftovers counts the DROP's mounts and cgroups, and this process's children
// and descriptors.
func (x *fixture) leftovers() string {
	x.t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		x.t.Fatal(err)
	}
	groups, _ := filepath.Glob("/sys/fs/cgroup/*/pantheon-test/drop-*/*" + string(x.runner.paths.Drop) + "*")
	children, _ := os.ReadFile("/proc/self/task/" + strconv.Itoa(os.Getpid()) + "/children")
	files, _ := os.ReadDir("/proc/self/fd")
	return fmt.Sprintf("%d mounts, %d cgroups, children %q, %d descriptors",
		bytes.Count(mounts, []byte(x.runner.paths.Dir)), len(groups), children, len(files))
}
