package e2e

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// gone waits until a machine answers for a site whose data cannot be reached
// with a page that says so, and gives it.
func (m *machine) gone(t testing.TB, site string) page {
	t.Helper()
	var answer page
	v := m.visitor(site)
	if err := wait(patience, func() (bool, error) {
		began := time.Now()
		var err error
		answer, err = v.try("GET", "/", nil)
		if took := time.Since(began); took > answerWithin {
			t.Errorf("the answer through %s took %s", m.name, took)
		}
		return err == nil && answer.status >= 500, nil
	}); err != nil {
		t.Fatalf("%s through %s: %v: %s", site, m.name, err, answer)
	}
	return answer
}

// back waits until a machine serves a site again.
func (m *machine) back(t testing.TB, site string, texts ...string) {
	t.Helper()
	var answer page
	v := m.visitor(site)
	v.client.Timeout = answerWithin
	if err := wait(patience, func() (bool, error) {
		var err error
		answer, err = v.try("GET", "/", nil)
		return err == nil && answer.status == 200, nil
	}); err != nil {
		t.Fatalf("%s through %s: %v: %s", site, m.name, err, answer)
	}
	answer.wants(t, 200, texts...)
}

// lost waits until the cell has given a machine up, which must not take long.
func (c *cell) lost(t testing.TB, m *machine) {
	t.Helper()
	took := c.awaits(t, m, "lost")
	t.Logf("%s was lost after %s", m.name, took.Round(time.Millisecond))
	if took > lostWithin {
		t.Errorf("it took %s until %s was lost", took, m.name)
	}
}

// TestMatrixHostKilled: a machine loses power. The cell says so, others are
// served on, and with the machine its sites come back, and what they had.
func TestMatrixHostKilled(t *testing.T) {
	c := matrix(t)
	first, second, third := c.machines[0], c.machines[1], c.machines[2]
	c.siteOn(t, second, "dark", map[string]string{"index.php": noteBook})
	c.siteOn(t, third, "bright", map[string]string{"index.php": helloPage})
	first.visitor("dark").sees(t, 200, "/?note=before", "written")
	first.visitor("bright").sees(t, 200, "/", "hello")
	visitors := visit(t, first, "hello", "bright")
	second.crash()
	c.lost(t, second)
	for _, m := range []*machine{first, third} {
		m.gone(t, "dark")
	}
	first.ok(t, "env", "set", "bright.dev", "--workers", "3")
	c.another(t, "meanwhile", "bright")
	first.visitor("meanwhile").sees(t, 200, "/", "hello")
	visitors.goesOn(t, 10)
	if err := second.up(); err != nil {
		t.Fatal(err)
	}
	c.awaits(t, second, "ready")
	for _, m := range c.machines {
		m.back(t, "dark", "before kept")
	}
	visitors.wantsNone(t, "a site of another machine")
}

// TestMatrixHostPaused: a machine stands still for longer than its lease. When
// it goes on it learns what became of it, and serves what is its own.
func TestMatrixHostPaused(t *testing.T) {
	c := matrix(t)
	first, second := c.machines[0], c.machines[1]
	c.siteOn(t, second, "still", map[string]string{"index.php": noteBook})
	first.visitor("still").sees(t, 200, "/?note=before", "written")
	second.signal(syscall.SIGSTOP)
	t.Cleanup(func() { second.signal(syscall.SIGCONT) })
	c.lost(t, second)
	first.gone(t, "still")
	conn, err := net.Dial("tcp", second.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: " + first.visitor("still").host + "\r\nConnection: close\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	second.signal(syscall.SIGCONT)
	_ = conn.SetReadDeadline(time.Now().Add(answerWithin))
	answer := make([]byte, 16<<10)
	if n, err := conn.Read(answer); err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 ") {
		t.Errorf("the request that waited was answered by %q, %v", answer[:n], err)
	}
	c.awaits(t, second, "ready")
	for _, m := range c.machines {
		m.back(t, "still", "before kept")
	}
}

// TestMatrixControlKilled: without a machine that commands, sites are served on
// and commands are refused with the reason; when it is back everybody is.
func TestMatrixControlKilled(t *testing.T) {
	c := matrix(t)
	first, second, third := c.machines[0], c.machines[1], c.machines[2]
	token := strings.TrimSpace(first.ok(t, "token", "create", "--field", "token"))
	c.siteOn(t, second, "headless", map[string]string{"index.php": noteBook})
	first.visitor("headless").sees(t, 200, "/?note=before", "written")
	near, far := visit(t, second, "before", "headless"), visit(t, third, "before", "headless")
	near.goesOn(t, 5)
	far.goesOn(t, 5)
	first.crash()
	began := time.Now()
	for time.Since(began) < 5*time.Second { // longer than a lease
		near.goesOn(t, 1)
		far.goesOn(t, 1)
	}
	second.env = append(second.env, "PANTHEON_TOKEN="+token)
	defer func() { second.env = nil }()
	second.refused(t, 69, []string{"cannot reach a control machine", "hint: "}, "--api", "http://"+c.net.address(2)+":"+apiPort, "site", "list")
	if err := first.up(); err != nil {
		t.Fatal(err)
	}
	for _, m := range c.machines {
		c.awaits(t, m, "ready")
		m.back(t, "headless", "before kept")
	}
	near.wantsNone(t, "through the machine that has the site")
	far.wantsNone(t, "through another machine")
	first.ok(t, "env", "set", "headless.dev", "--workers", "3")
}
