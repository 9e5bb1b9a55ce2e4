package e2e

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pantheon/gateways/api"
)

// apart makes a site whose data is on machine 2 and whose DROP is on machine 3,
// awake, and gives the DROP.
func (c *cell) apart(t testing.TB, site string) api.Drop {
	t.Helper()
	first := c.machines[0]
	c.siteOn(t, c.machines[1], site, map[string]string{"index.php": whoAmI})
	c.settles(t, site, c.machines[2])
	first.visitor(site).sees(t, 200, "/?note="+site, "written")
	drop := first.drop(t, site+".dev")
	answer := first.visitor(site).sees(t, 200, "/", "drop="+string(drop.ID), "note="+site)
	if !c.machines[2].answered(answer) {
		t.Fatalf("another machine has answered: %s", answer)
	}
	return drop
}

// endpoint names the host whose DROP has answered.
const endpoint = "X-Pantheon-Endpoint"

func (m *machine) answered(answer page) bool { return answer.header.Get(endpoint) == m.hostID() }

// runs gives the processes of a DROP on this machine.
func (m *machine) runs(drop api.Drop) []process {
	id := m.hostID()
	return processes(func(proc string) bool {
		group := procText(proc, "cgroup")
		return strings.Contains(group, id) && strings.Contains(group, string(drop.ID))
	})
}

// certified checks that a DROP here has the certificate that another machine,
// which has the CA, signed for it.
func (m *machine) certified(t testing.TB, drop api.Drop) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.data, "hosts", m.hostID(), "drops", string(drop.ID), "certs", "binding.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		t.Fatal(err)
	}
	if of := pair.Leaf.Subject.OrganizationalUnit; len(of) != 1 || of[0] != string(drop.ID) {
		t.Errorf("the certificate is that of %v, want %s", of, drop.ID)
	}
}

// TestMatrixElsewhere: a machine loses power whose DROPs have their data
// elsewhere. They are served by other machines soon, and with the machine
// nothing of the old comes back.
func TestMatrixElsewhere(t *testing.T) {
	c := matrix(t)
	first, third := c.machines[0], c.machines[2]
	old := c.apart(t, "moved")
	third.certified(t, old)
	began := time.Now()
	third.crash()
	served := c.servedElsewhere(t, "moved", third)
	t.Logf("served elsewhere after %s", served.Sub(began).Round(time.Millisecond))
	if took := served.Sub(began); took > lostWithin {
		t.Errorf("it took %s until another machine served it", took)
	}
	if err := third.up(); err != nil {
		t.Fatal(err)
	}
	c.awaits(t, third, "ready")
	if left := third.runs(old); len(left) > 0 {
		t.Errorf("the DROP that was lost runs: %v", left)
	}
	for _, m := range c.machines {
		answer := m.visitor("moved").sees(t, 200, "/", "sum=42 note=moved")
		if third.answered(answer) {
			t.Errorf("the machine that was lost answers through %s: %s", m.name, answer)
		}
	}
	if now := first.drop(t, "moved.dev"); now.HostName == third.name {
		t.Errorf("the DROP is still on %s", now.HostName)
	}
}

// servedElsewhere waits until another machine's DROP answers through the first one.
func (c *cell) servedElsewhere(t testing.TB, site string, lost *machine) time.Time {
	t.Helper()
	v := c.machines[0].visitor(site)
	v.client.Timeout = answerWithin
	var answer page
	if err := wait(patience, func() (bool, error) {
		var err error
		answer, err = v.try("GET", "/", nil)
		return err == nil && answer.status == 200 && !lost.answered(answer), nil
	}); err != nil {
		t.Fatalf("%s: %v: %s", site, err, answer)
	}
	answer.wants(t, 200, "sum=42 note="+site)
	return time.Now()
}

// TestMatrixFence: a machine stands still while its DROP is given to another
// one. Requests that wait for it at the moment when it goes on are not answered
// by the DROP that it has lost, and that DROP ends.
func TestMatrixFence(t *testing.T) {
	c := matrix(t)
	third := c.machines[2]
	old := c.apart(t, "fenced")
	rounds := 1
	if long() {
		rounds = 20
	}
	for range rounds {
		checkFence(t, c, "fenced", old)
		c.settles(t, "fenced", third)
		third.visitor("fenced").sees(t, 200, "/", "note=fenced")
		old = c.machines[0].drop(t, "fenced.dev")
	}
}

// waiting is how many requests wait at the machine that stands still.
const waiting = 16

func checkFence(t *testing.T, c *cell, site string, old api.Drop) {
	t.Helper()
	third := c.machines[2]
	third.signal(syscall.SIGSTOP)
	defer third.signal(syscall.SIGCONT)
	c.lost(t, third)
	c.servedElsewhere(t, site, third)
	answers := make([]string, waiting)
	var all sync.WaitGroup
	for i := range answers {
		conn, err := net.Dial("tcp", third.address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: " + third.visitor(site).host + "\r\nConnection: close\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			answer, _ := io.ReadAll(conn)
			answers[i] = string(answer)
		})
	}
	third.signal(syscall.SIGCONT)
	all.Wait()
	statuses := map[int]int{}
	for _, answer := range answers {
		statuses[statusOf(answer)]++
		if strings.Contains(answer, endpoint+": "+third.hostID()) {
			t.Errorf("the DROP that was lost has answered: %s", answer)
		}
	}
	t.Logf("requests that waited were answered with %v", statuses)
	c.awaits(t, third, "ready")
	eventually(t, "the DROP that was lost ends", func() bool { return len(third.runs(old)) == 0 })
	third.back(t, site, "sum=42 note="+site)
}
