package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pantheon/gateways/api"
	"pantheon/runtime/identity"
)

// token makes a token for the spare machine.
func (c *cell) token(t testing.TB, more ...string) string {
	t.Helper()
	return strings.TrimSpace(c.machines[0].ok(t, append([]string{"host", "token", "create", "--roles", "host,entry", "--field", "token"}, more...)...))
}

// spare prepares the machine that comes and goes.
func (c *cell) spare() *machine { return c.machine(len(c.machines) + 1) }

// joining runs join with a token, which has to end; the folder is made anew.
func (m *machine) joining(t testing.TB, token string, more ...string) ran {
	t.Helper()
	keep := []string{"join", "--token", "@" + m.tokenFile()}
	if err := os.MkdirAll(filepath.Dir(m.data), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.tokenFile(), []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return m.run(append(append(keep, m.args...), more...)...)
}

// forged gives a token with one thing changed.
func forged(t testing.TB, token string, change func(*identity.Token)) string {
	t.Helper()
	parsed, err := identity.ParseToken(token)
	if err != nil {
		t.Fatal(err)
	}
	change(&parsed)
	text, err := parsed.Text()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestMatrixBadTokens: what cannot let a machine in is refused, with the reason
// and what to do; nothing of the machine is in the cell then.
func TestMatrixBadTokens(t *testing.T) {
	c := matrix(t)
	first, spare := c.machines[0], c.spare()
	good := c.token(t)
	expired := c.token(t, "--expires", "1s")
	revoked := c.token(t)
	first.ok(t, "host", "token", "revoke", tokenID(t, revoked))
	used, err := os.ReadFile(c.machines[1].tokenFile())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the token expires", func() bool {
		return strings.Contains(first.ok(t, "host", "token", "list", "--format", "csv"), tokenID(t, expired)+",expired")
	})
	anotherAuthority := strings.Repeat("0123456789abcdef", 4)
	for _, one := range []struct {
		what, token string
		code        int
		texts       []string
		more        []string
	}{
		{what: "no token", token: "", code: 64, texts: []string{"it is empty", "host token create"}},
		{what: "no token at all", token: "sesame", code: 64, texts: []string{"does not begin with ptj1.", "hint: "}},
		{what: "a token that is cut off", token: good[:len(good)-9], code: 64, texts: []string{"damaged", "hint: "}},
		{what: "a token of a later version", token: "ptj2." + good[5:], code: 64, texts: []string{"newer version", "hint: "}},
		{what: "a wrong secret", token: forged(t, good, func(t *identity.Token) { t.Secret = identity.NewSecret() }), code: 77, texts: []string{"not one of this cell", "hint: "}},
		{what: "another cell's token", token: forged(t, good, func(t *identity.Token) { t.Authority = anotherAuthority }), code: 69, texts: []string{"cannot reach a control machine", "hint: "}},
		{what: "a token of machines that are away", token: forged(t, good, func(t *identity.Token) { t.Addresses = []string{c.net.address(3) + ":1"} }), code: 69, texts: []string{"cannot reach a control machine", "hint: "}},
		{what: "a token of a machine without control", token: forged(t, good, func(t *identity.Token) { t.Addresses = []string{c.net.address(2) + ":7600"} }), code: 69, texts: []string{"no control machine", "hint: "}},
		{what: "a token that was used", token: string(used), code: 77, texts: []string{"was used by another machine, " + c.machines[1].hostID(), "hint: "}},
		{what: "a token that has expired", token: expired, code: 77, texts: []string{"has expired", "hint: "}},
		{what: "a token that was revoked", token: revoked, code: 77, texts: []string{"was revoked", "hint: "}},
		{what: "a name that is taken", token: good, code: 65, texts: []string{"another machine of the cell has this name", "hint: --host-name"}, more: []string{"--host-name", "web-2"}},
		{what: "no address", token: good, code: 64, texts: []string{"hint: "}, more: []string{"--cluster", ""}},
		{what: "an address of another machine", token: good, code: 64, texts: []string{"does not have that address", "hint: "}, more: []string{"--cluster", c.net.address(2)}},
		{what: "an address that nobody reaches", token: good, code: 64, texts: []string{"must be able to reach it", "hint: "}, more: []string{"--cluster", "0.0.0.0"}},
	} {
		checkRefusal(t, one.what, spare.joining(t, one.token, one.more...), one.code, one.texts)
		if strings.Contains(first.ok(t, "host", "list", "--field", "name"), spare.name) {
			t.Errorf("%s: the machine is in the cell", one.what)
		}
	}
	first.ok(t, "host", "token", "revoke", tokenID(t, good))
}

func tokenID(t testing.TB, text string) string {
	t.Helper()
	parsed, err := identity.ParseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(parsed.Invitation)
}

// TestMatrixMachineComesAndGoes: a machine joins, is known, cannot be of a
// second cell, and leaves for good when it holds nothing.
func TestMatrixMachineComesAndGoes(t *testing.T) {
	c := matrix(t)
	first, spare := c.machines[0], c.spare()
	checkCellOfItsOwn(t, c, spare)
	if err := c.join(spare); err != nil {
		t.Fatal(err)
	}
	gone := false
	t.Cleanup(func() {
		if !gone {
			_ = spare.end(os.Interrupt)
			first.run("host", "remove", spare.name, "--yes")
		}
	})
	spare.dumpOnFailure(t)
	c.awaits(t, spare, "ready")
	checkMember(t, c, spare)
	checkRefusal(t, "a machine that runs", spare.joining(t, c.token(t)), 65, []string{"another pantheon runs on", "hint: "})
	if err := spare.end(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	args := spare.args
	at := slices.Index(args, "--cluster")
	spare.args = slices.Delete(slices.Clone(args), at, at+2) // it is remembered
	if err := spare.up(); err != nil {
		t.Fatal(err)
	}
	spare.args = args
	c.awaits(t, spare, "ready")
	first.refused(t, 64, []string{"add --yes"}, "host", "remove", spare.name)
	first.ok(t, "host", "remove", spare.name, "--yes")
	gone = true
	if host := c.host(t, spare.hostID()); host.State != "removed" {
		t.Errorf("the machine is %q", host.State)
	}
	checkRemoved(t, c, spare)
}

// checkCellOfItsOwn: a folder with a platform, and with a cell that it has begun,
// is not given to another cell.
func checkCellOfItsOwn(t *testing.T, c *cell, spare *machine) {
	t.Helper()
	alone := &platform{options: options{data: spare.data, enter: spare.enter}, logPath: spare.logPath}
	if err := os.MkdirAll(filepath.Dir(spare.data), 0o755); err != nil {
		t.Fatal(err)
	}
	runs := func() {
		t.Helper()
		if err := alone.up(); err != nil {
			t.Fatal(err)
		}
		alone.ok(t, "host", "list")
		if err := alone.end(os.Interrupt); err != nil {
			t.Fatal(err)
		}
	}
	token := c.token(t)
	runs()
	checkRefusal(t, "a platform of its own", spare.joining(t, token), 65, []string{"holds a platform of its own", "hint: --data"})
	alone.args = []string{"--cluster", c.net.address(spare.number)}
	runs()
	checkRefusal(t, "a cell of its own", spare.joining(t, token), 65, []string{"belongs to another cell", "hint: --data"})
	if err := os.RemoveAll(spare.data); err != nil {
		t.Fatal(err)
	}
}

func checkMember(t *testing.T, c *cell, m *machine) {
	t.Helper()
	host := c.host(t, m.name)
	if string(host.ID) != m.hostID() || host.MemoryMiB != 65536 || host.Cores == 0 || len(host.Roles) != 2 || host.Endpoint != c.net.address(m.number)+":7600" {
		t.Errorf("the new machine is %+v", host)
	}
	var made api.HostToken
	for _, token := range decode[[]api.HostToken](t, c.machines[0].platform, "host", "token", "list") {
		if token.Host == host.ID {
			made = token
		}
	}
	if made.State != "used" || made.HostName != m.name {
		t.Errorf("its token is %+v", made)
	}
}

// checkRemoved: a machine that was removed ends or is refused, and is not let
// in again with what it has.
func checkRemoved(t *testing.T, c *cell, m *machine) {
	t.Helper()
	if !m.hasEnded() {
		if err := m.end(os.Interrupt); err != nil {
			t.Error(err)
		}
	}
	r := m.run(append([]string{"up"}, m.args...)...)
	checkRefusal(t, "a start of a machine that was removed", r, 65, []string{"was removed from", "hint: "})
	if left := m.leftovers(); len(left) > 0 {
		t.Errorf("it has left %v", left)
	}
	if err := os.RemoveAll(filepath.Join(m.data, "cell")); err != nil {
		t.Fatal(err)
	}
	checkRefusal(t, "another token", m.joining(t, c.token(t)), 65, []string{"was removed from this cell", "hint: ", "empty data folder"})
}

// TestMatrixHostsThatStay: a machine that holds something is not removed, and
// neither is the last one that can command.
func TestMatrixHostsThatStay(t *testing.T) {
	c := matrix(t)
	c.siteOn(t, c.machines[1], "holder", map[string]string{"index.php": helloPage})
	c.machines[0].refused(t, 65, []string{"it holds", "DROPs", "hint: "}, "host", "remove", "web-2", "--yes")
	c.machines[0].refused(t, 65, []string{"control", "hint: "}, "host", "remove", "web-1", "--yes")
	c.machines[0].refused(t, 66, []string{"cannot find host", "hint: "}, "host", "remove", "web-9", "--yes")
	c.machines[1].visitor("holder").sees(t, 200, "/", "hello")
}
