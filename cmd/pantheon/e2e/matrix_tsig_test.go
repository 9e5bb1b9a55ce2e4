package e2e

import (
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"pantheon/gateways/api"
)

// tsigWithin is how long a key that was made or removed may take to all machines
// that answer for names.
const tsigWithin = 10 * time.Second

// namesCell starts three machines that answer for names: two control machines,
// and one that does nothing else.
func namesCell(t *testing.T) *cell {
	t.Helper()
	requireNetwork(t)
	net, err := newNetwork(3)
	if err != nil {
		t.Fatal(err)
	}
	c := &cell{net: net, homes: map[string]*machine{}}
	t.Cleanup(func() {
		if err := c.stop(); err != nil {
			t.Error(err)
		}
	})
	for i, roles := range []string{"", "control,dns", "dns"} {
		m := c.machine(i + 1)
		m.args = append(m.args, "--dns", m.nameServer())
		c.roles, c.machines = roles, append(c.machines, m)
		if i == 0 {
			c.asked, err = m, m.up()
		} else {
			err = c.join(m)
		}
		if err != nil {
			t.Fatal(err)
		}
		m.dumpOnFailure(t)
		c.awaits(t, m, "ready")
	}
	return c
}

func (m *machine) nameServer() string { return net.JoinHostPort(m.ip, "8053") }

// addresses gives those that a machine has of a name, sorted.
func (m *machine) addresses(name string) []string {
	out, _ := exec.Command("dig", "@"+m.ip, "-p", "8053", "+time=5", "+tries=1", "+short", name, "A").Output()
	return slices.Sorted(strings.FieldsSeq(string(out)))
}

// transfers says whether a machine gives a zone to who has a key.
func (m *machine) transfers(zone, key, secret string) bool {
	out, _ := exec.Command("dig", "@"+m.ip, "-p", "8053", "+time=5", "+tries=1", "-y", "hmac-sha256:"+key+":"+secret, zone, "AXFR").CombinedOutput()
	return strings.Contains(string(out), "XFR size") && !strings.Contains(string(out), "Transfer failed")
}

// TestMatrixTSIG: a key of transfers that is made on one control machine is known
// within seconds to every machine that answers for names, and forgotten as fast.
func TestMatrixTSIG(t *testing.T) {
	requireTools(t, "dig")
	c := namesCell(t)
	first, second := c.machines[0], c.machines[1]
	eventually(t, "names lead to the machines that take part", func() bool {
		return slices.Equal(second.addresses("ns1.pantheon.localhost"), []string{first.ip, second.ip, c.machines[2].ip})
	})
	asks := c.net.address(254) // where these tests are
	first.ok(t, "dns", "zone", "add", "example.org", "--name-server", "ns1.example.org=192.0.2.1")
	everywhere := func(what, key, secret string, want bool) {
		t.Helper()
		began := time.Now()
		for _, m := range c.machines {
			if err := wait(tsigWithin, func() (bool, error) { return m.transfers("example.org", key, secret) == want, nil }); err != nil {
				t.Errorf("%s: %s transfers the zone: %t, and should: %t", what, m.name, !want, want)
			}
		}
		t.Logf("%s: everywhere after %s", what, time.Since(began).Round(time.Millisecond))
	}
	for i, by := range []*machine{first, second} {
		key := fmt.Sprintf("second-%d.example.net", i)
		secret := strings.TrimSpace(by.ok(t, "dns", "tsig", "create", key))
		by.ok(t, "dns", "secondary", "add", "example.org", asks, "--tsig", key, "--no-notify")
		everywhere("made on "+by.name, key, secret, true)
		if kept := decode[[]api.TSIGKey](t, c.machines[1-i].platform, "dns", "tsig", "list"); len(kept) != 1 {
			t.Errorf("the other control machine lists %+v", kept)
		}
		by.ok(t, "dns", "secondary", "remove", "example.org", asks)
		c.machines[1-i].ok(t, "dns", "tsig", "remove", key)
		by.ok(t, "dns", "secondary", "add", "example.org", asks, "--no-notify")
		everywhere("removed on "+c.machines[1-i].name, key, secret, false)
		by.ok(t, "dns", "secondary", "remove", "example.org", asks)
	}
}
