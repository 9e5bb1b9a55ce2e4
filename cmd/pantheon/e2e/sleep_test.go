package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pantheon/events"
)

// facts counts the commits about a DROP that hold an event of a type.
func (p *platform) facts(t *testing.T, drop events.DropID, event string) int {
	t.Helper()
	return len(p.commits(t, "--stream", "drop/"+string(drop), "--type", event))
}

const helloPage = "<?php echo 'hello from ', getmypid();"

// TestSleepAndWake: asleep, a DROP has no process; the requests that come then
// all wait for one start, and all are answered.
func TestSleepAndWake(t *testing.T) {
	p := shared(t)
	v := p.site(t, "sleeper", "php", map[string]string{"index.php": helloPage, "file.txt": "static"})
	v.sees(t, 200, "/", "hello")
	drop := p.drop(t, "sleeper.dev")
	p.ok(t, "env", "sleep", "sleeper.dev")
	if state := p.drop(t, "sleeper.dev").State; state != "asleep" || len(inSandbox(string(drop.ID))) > 0 {
		t.Fatalf("the DROP is %s with %v", state, inSandbox(string(drop.ID)))
	}
	v.sees(t, 200, "/file.txt", "static")
	if left := inSandbox(string(drop.ID)); len(left) > 0 {
		t.Errorf("a static file has woken %v", left)
	}
	before := p.facts(t, drop.ID, "DropAwoke")
	const visitors = 50
	var all sync.WaitGroup
	failed := make(chan string, visitors)
	for range visitors {
		all.Go(func() {
			if answer, err := p.visitor("sleeper").try("GET", "/", nil); err != nil || answer.status != 200 || !strings.HasPrefix(answer.body, "hello") {
				failed <- fmt.Sprint(err, answer)
			}
		})
	}
	all.Wait()
	close(failed)
	for text := range failed {
		t.Errorf("a first request failed: %s", text)
	}
	eventually(t, "the wake is in the log", func() bool { return p.drop(t, "sleeper.dev").State == "awake" })
	if awoke := p.facts(t, drop.ID, "DropAwoke") - before; awoke != 1 {
		t.Errorf("%d visitors woke it %d times", visitors, awoke)
	}
}

// TestSleepsByItself: after the time that is set for its environment a DROP
// without traffic sleeps; a change of the time needs no start of anything.
func TestSleepsByItself(t *testing.T) {
	p := shared(t)
	v := p.site(t, "idler", "php", map[string]string{"index.php": helloPage})
	v.sees(t, 200, "/", "hello")
	for _, wrong := range []string{"1ms", "5s", "1000h", "soon", "-1s"} {
		p.refused(t, 64, nil, "env", "set", "idler.dev", "--idle-after", wrong)
	}
	p.ok(t, "env", "set", "idler.dev", "--idle-after", "10s")
	v.sees(t, 200, "/", "hello") // the change stops no request
	drop := p.drop(t, "idler.dev").ID
	eventually(t, "the change has been carried out", func() bool { return p.facts(t, drop, "DropReady") == 2 })
	v.sees(t, 200, "/", "hello")
	used := time.Now()
	eventually(t, "it is awake", func() bool { return p.drop(t, "idler.dev").State == "awake" })
	eventually(t, "it sleeps by itself", func() bool { return p.drop(t, "idler.dev").State == "asleep" })
	if idle := time.Since(used); idle < 9*time.Second {
		t.Errorf("it slept after %s without a request, want 10 s", idle)
	}
	for _, one := range inSandbox(string(drop)) {
		if strings.HasPrefix(one.command, "php-fpm") {
			t.Errorf("asleep it has %v", one)
		}
	}
	slept := p.commits(t, "--stream", "drop/"+string(drop), "--type", "DropSlept")
	if len(slept) == 0 || !strings.Contains(string(slept[len(slept)-1].Events[0].Payload), `"idle"`) {
		t.Errorf("the log does not say why: %+v", slept)
	}
	v.sees(t, 200, "/", "hello")
}

// TestSettingsChangeUnderLoad: a change of settings ends the generation that
// serves, and php-fpm with it; visitors who come all the time notice nothing.
// A request that met that end was once answered 503.
func TestSettingsChangeUnderLoad(t *testing.T) {
	p := shared(t)
	v := p.site(t, "changer", "php", map[string]string{"index.php": helloPage})
	v.sees(t, 200, "/", "hello")
	drop := p.drop(t, "changer.dev").ID
	const visitors, changes = 4, 20
	failed := make(chan string, visitors)
	changed := make(chan struct{})
	var all sync.WaitGroup
	var served atomic.Int64
	for range visitors {
		all.Go(func() {
			for visitor := p.visitor("changer"); ; served.Add(1) {
				if answer, err := visitor.try("GET", "/", nil); err != nil || answer.status != 200 || !strings.HasPrefix(answer.body, "hello") {
					failed <- fmt.Sprint(err, answer)
					return
				}
				select {
				case <-changed:
					return
				default:
				}
			}
		})
	}
	before := p.facts(t, drop, "DropReady")
	for n := range changes {
		earlier := served.Load()
		p.ok(t, "env", "set", "changer.dev", "--idle-after", fmt.Sprintf("%ds", 60+n))
		eventually(t, "the change has been carried out", func() bool { return p.facts(t, drop, "DropReady") > before+n })
		eventually(t, "visitors come and go", func() bool { return served.Load() > earlier || len(failed) == visitors })
	}
	close(changed)
	all.Wait()
	close(failed)
	for text := range failed {
		t.Errorf("a visitor noticed a change of settings: %s", text)
	}
}

// TestWakeByCommand: the operator can do what visitors do.
func TestWakeByCommand(t *testing.T) {
	p := shared(t)
	p.site(t, "waker", "php", map[string]string{"index.php": helloPage})
	p.ok(t, "env", "wake", "waker.dev")
	drop := p.drop(t, "waker.dev")
	if drop.State != "awake" || len(inSandbox(string(drop.ID))) == 0 {
		t.Errorf("after wake: %v, %v", drop, inSandbox(string(drop.ID)))
	}
	p.ok(t, "env", "wake", "waker.dev")
	p.ok(t, "env", "sleep", "waker.dev")
	p.ok(t, "env", "sleep", "waker.dev")
	if left := inSandbox(string(drop.ID)); len(left) > 0 {
		t.Errorf("after sleep: %v", left)
	}
}

// TestCrashedPHP: a php-fpm that was killed is replaced by the next request,
// which does not notice; the log does.
func TestCrashedPHP(t *testing.T) {
	p := shared(t)
	v := p.site(t, "crasher", "php", map[string]string{"index.php": helloPage})
	v.sees(t, 200, "/", "hello")
	drop := p.drop(t, "crasher.dev").ID
	for round := 1; round <= 3; round++ {
		old := master(t, string(drop))
		if err := syscall.Kill(old.pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		v.sees(t, 200, "/", "hello") // its last worker may have lived long enough for this one
		eventually(t, "the crash is in the log", func() bool { return p.facts(t, drop, "DropCrashed") == round })
		v.sees(t, 200, "/", "hello")
		if now := master(t, string(drop)); now.pid == old.pid && now.started == old.started {
			t.Fatalf("php-fpm %d was killed and serves", old.pid)
		}
	}
	// A worker alone: its master makes another, and no crash is reported.
	workers := func() (found []process) {
		for _, one := range inSandbox(string(drop)) {
			if strings.HasPrefix(one.command, "php-fpm: pool") {
				found = append(found, one)
			}
		}
		return found
	}
	for _, worker := range workers() {
		if err := syscall.Kill(worker.pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	v.sees(t, 200, "/", "hello")
	if crashes := p.facts(t, drop, "DropCrashed"); crashes != 3 {
		t.Errorf("%d crashes in the log, want 3", crashes)
	}
}

// TestDropThatCannotStart: visitors see the right page at once, the log has the
// reason, and it heals by itself.
func TestDropThatCannotStart(t *testing.T) {
	p := shared(t)
	v := p.site(t, "broken", "php", map[string]string{"index.php": helloPage, "file.txt": "static"})
	drop := p.drop(t, "broken.dev").ID
	folder := filepath.Join(p.data, "hosts", p.hostID(), "drops", string(drop))
	var configuration string
	if err := filepath.WalkDir(folder, func(name string, entry os.DirEntry, err error) error {
		if err == nil && entry.Name() == "php-fpm.conf" {
			configuration = name
		}
		return nil
	}); err != nil || configuration == "" {
		t.Fatalf("no php-fpm.conf below %s: %v", folder, err)
	}
	good, err := os.ReadFile(configuration)
	if err != nil {
		t.Fatal(err)
	}
	p.ok(t, "env", "sleep", "broken.dev")
	if err := os.WriteFile(configuration, []byte("this = is no [configuration"), 0o644); err != nil {
		t.Fatal(err)
	}
	v.sees(t, 504, "/", "504 Target Not Responding")
	v.sees(t, 200, "/file.txt", "static")
	eventually(t, "the reason is in the log", func() bool {
		for _, commit := range p.commits(t, "--stream", "drop/"+string(drop), "--type", "DropStartFailed") {
			return strings.Contains(string(commit.Events[0].Payload), "unknown entry 'this'")
		}
		return false
	})
	// It backs off: a crowd of requests is refused without as many starts.
	for range 20 {
		v.sees(t, 504, "/", "504 Target Not Responding")
	}
	if starts := p.facts(t, drop, "DropStartFailed"); starts > 5 {
		t.Errorf("21 requests made %d starts", starts)
	}
	if state := p.drop(t, "broken.dev"); state.State != "failed" || state.Reason == "" {
		t.Errorf("drop list shows %+v", state)
	}
	p.refused(t, 69, []string{"cannot wake DROP"}, "env", "wake", "broken.dev")
	if err := os.WriteFile(configuration, good, 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it starts again", func() bool { return v.get(t, "/").status == 200 })
}

// TestMissingPHPVersion: the setting is refused and says what to install; what
// ran goes on.
func TestMissingPHPVersion(t *testing.T) {
	p := shared(t)
	v := p.site(t, "oldphp", "php", map[string]string{"index.php": helloPage})
	v.sees(t, 200, "/", "hello")
	p.refused(t, 64, []string{"PHP"}, "env", "set", "oldphp.dev", "--php-version", "newest")
	const version = "8.4"
	if _, err := os.Stat("/usr/sbin/php-fpm" + version); err == nil {
		t.Skipf("PHP %s is installed here", version)
	}
	p.refused(t, 65, []string{"PHP " + version, "apt-get install php" + version + "-fpm"}, "env", "set", "oldphp.dev", "--php-version", version)
	v.sees(t, 200, "/", "hello")
	p.ok(t, "env", "set", "oldphp.dev", "--php-version", "8.2")
	eventually(t, "it serves", func() bool { return v.get(t, "/").status == 200 })
}
