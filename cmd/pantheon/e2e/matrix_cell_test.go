package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"pantheon/gateways/api"
)

// The machines of a cell under test. Machine 1 holds the log and has every
// role, the others are hosts and entries.
const (
	cellSize  = 3
	spareSize = 1 // namespaces for machines that come and go
	// offeredMiB by each machine: more than there is, the sites are small.
	offeredMiB = "65536"
	// lostWithin bounds how long a host that is dead is listed as one that lives:
	// its lease of 1.5 s, a look at it and a command, on a machine that is busy.
	lostWithin = 10 * time.Second
	// hostRoles of a machine that joins where nothing else is said.
	hostRoles = "host,entry"
	// apiPort is where each machine's API is served beside its socket.
	apiPort = "8081"
)

// machine is a platform with a network of its own.
type machine struct {
	*platform
	number int
	name   string
	net    *network
}

// cell is machines and the network between them.
type cell struct {
	net      *network
	machines []*machine
	homes    map[string]*machine // where the tests want the DROPs of their sites
	roles    string              // of those that join
	asked    *machine            // takes the tests' commands
	args     []string            // of every machine beside its own
}

// newCell starts the first machine and lets the others join it.
func newCell(size, spare int, roles string, args ...string) (*cell, error) {
	net, err := newNetwork(size + spare)
	if err != nil {
		return nil, err
	}
	c := &cell{net: net, homes: map[string]*machine{}, roles: roles, args: args}
	for i := range size {
		c.machines = append(c.machines, c.machine(i+1))
	}
	c.asked = c.machines[0]
	if err := c.asked.up(); err != nil {
		return c, err
	}
	joined := make([]error, size)
	var all sync.WaitGroup
	for i, m := range c.machines[1:] {
		all.Go(func() { joined[i] = c.join(m) })
	}
	all.Wait()
	return c, errors.Join(joined...)
}

// startCell is newCell for one test, which ends it.
func startCell(t testing.TB, size, spare int, roles string, args ...string) *cell {
	t.Helper()
	requireNetwork(t)
	c, err := newCell(size, spare, roles, args...)
	if c != nil {
		t.Cleanup(func() {
			if err := c.stop(); err != nil {
				t.Error(err)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range c.machines {
		m.dumpOnFailure(t)
		c.awaits(t, m, "ready")
	}
	return c
}

func requireNetwork(t testing.TB) {
	t.Helper()
	requireSandbox(t)
	requireFile(t, "/usr/bin/nsenter", "apt-get install -y util-linux")
	requireFile(t, "/usr/sbin/ip", "apt-get install -y iproute2")
}

// machine prepares the machine of a number; nothing of it is made.
func (c *cell) machine(number int) *machine {
	m := &machine{number: number, name: fmt.Sprintf("web-%d", number), net: c.net}
	address := c.net.address(number)
	m.platform = &platform{logPath: filepath.Join(base, c.net.namespace(number)+".log"), options: options{
		data: filepath.Join(base, c.net.name, m.name, "data"), enter: c.net.enter(number), ip: address,
		args: append([]string{"--http", address + ":8080", "--api-listen", address + ":" + apiPort, "--cluster", address, "--host-name", m.name,
			"--dns", "off", "--memory", offeredMiB}, c.args...),
	}}
	return m
}

// join lets a machine in and starts it.
func (c *cell) join(m *machine) error {
	token := c.asked.run("host", "token", "create", "--roles", c.roles, "--field", "token")
	if token.code != 0 {
		return fmt.Errorf("host token create: %s", token.said)
	}
	file := m.tokenFile()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(token.out), 0o600)); err != nil {
		return err
	}
	return m.begin("join", "--token", "@"+file)
}

func (m *machine) tokenFile() string { return filepath.Join(filepath.Dir(m.data), "join.token") }

// stop ends the machines, the one with the log last, and their network.
func (c *cell) stop() error {
	var all error
	for i := len(c.machines) - 1; i >= 0; i-- {
		if m := c.machines[i]; m.cmd != nil {
			all = errors.Join(all, m.stop())
		}
	}
	return errors.Join(all, c.net.remove())
}

// commonCell is the cell that tests share, each leaving it as it was.
var commonCell struct {
	once sync.Once
	c    *cell
	err  error
}

// matrix gives the cell that tests share, with every machine ready.
func matrix(t *testing.T) *cell {
	t.Helper()
	requireNetwork(t)
	commonCell.once.Do(func() { commonCell.c, commonCell.err = newCell(cellSize, spareSize, hostRoles) })
	if commonCell.err != nil {
		t.Fatal(commonCell.err)
	}
	c := commonCell.c
	for _, m := range c.machines {
		m.dumpOnFailure(t)
	}
	c.restore(t)
	return c
}

// restore makes good what a test that failed has left.
func (c *cell) restore(t testing.TB) {
	t.Helper()
	for _, m := range c.machines {
		if m.hasEnded() {
			if err := m.up(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, m := range c.machines {
		if c.host(t, m.name).State == "draining" {
			c.asked.ok(t, "host", "undrain", m.name)
		}
		c.awaits(t, m, "ready")
	}
}

func stopCommonCell() error {
	if commonCell.c == nil {
		return nil
	}
	return commonCell.c.stop()
}

// host gives a machine as the cell's log has it.
func (c *cell) host(t testing.TB, name string) api.Host {
	t.Helper()
	return decode[api.Host](t, c.asked.platform, "host", "info", name)
}

// asked is decode of what the cell says; known is false while it cannot.
func asked[T any](t testing.TB, c *cell, args ...string) (value T, known bool) {
	t.Helper()
	r := c.asked.run(append(args, "--format", "json")...)
	if r.code == 69 || r.code == 75 { // down, or busy, for a moment
		return value, false
	}
	if r.code != 0 {
		t.Fatalf("pantheon %s: exit code %d\n%s", strings.Join(args, " "), r.code, r.said)
	}
	if err := json.Unmarshal([]byte(r.out), &value); err != nil {
		t.Fatal(err)
	}
	return value, true
}

// awaits waits until the cell says that a machine is in a state, and gives how
// long that took.
func (c *cell) awaits(t testing.TB, m *machine, state string) time.Duration {
	t.Helper()
	began := time.Now()
	var host api.Host
	if err := wait(patience, func() (bool, error) {
		var known bool
		host, known = asked[api.Host](t, c, "host", "info", m.name)
		return known && host.State == state, nil
	}); err != nil {
		t.Fatalf("%s is %q, and should be %q: %v", m.name, host.State, state, err)
	}
	return time.Since(began)
}

// only gives a function that lets all hosts take DROPs and services again; until
// then one machine alone does.
func (c *cell) only(t testing.TB, m *machine) (all func()) {
	t.Helper()
	for _, other := range c.machines {
		if other != m {
			c.asked.ok(t, "host", "drain", other.name, "--wait=false")
		}
	}
	return func() {
		t.Helper()
		for _, other := range c.machines {
			if other != m {
				c.asked.ok(t, "host", "undrain", other.name)
			}
		}
	}
}

// siteOn makes a site whose services and DROP are on one machine, for the length
// of the test.
func (c *cell) siteOn(t testing.TB, m *machine, name string, files map[string]string) {
	t.Helper()
	c.sitesOn(t, m, files, name)
}

// sitesOn is siteOn for several sites of the same code.
func (c *cell) sitesOn(t testing.TB, m *machine, files map[string]string, names ...string) {
	t.Helper()
	first := c.asked
	first.ok(t, "upstream", "add", names[0], folder(t, files), "--framework", "php")
	all := c.only(t, m)
	made := sideBySide(names, func(name string) ran { return first.run("site", "create", name, "--upstream", names[0]) })
	all()
	t.Cleanup(func() {
		for _, name := range names {
			delete(c.homes, name)
		}
		sideBySide(names, func(name string) ran { return first.run("site", "delete", name, "--yes") })
		first.run("upstream", "remove", names[0])
	})
	for i, r := range made {
		if r.code != 0 {
			t.Fatalf("site create %s: exit code %d\n%s", names[i], r.code, r.said)
		}
	}
	for _, name := range names {
		c.homes[name] = m
	}
	for name, home := range c.homes {
		c.settles(t, name, home)
	}
}

// another makes one more site of an upstream, wherever the cell places it, for
// the length of the test.
func (c *cell) another(t testing.TB, name, upstream string) {
	t.Helper()
	c.asked.ok(t, "site", "create", name, "--upstream", upstream)
	c.leaves(t, name)
}

// leaves deletes a site at the test's end.
func (c *cell) leaves(t testing.TB, name string) {
	t.Cleanup(func() { c.asked.run("site", "delete", name, "--yes") })
}

// atOnce is how many commands run side by side.
const atOnce = 4

func sideBySide(names []string, run func(string) ran) []ran {
	results := make([]ran, len(names))
	var all errgroup.Group
	all.SetLimit(atOnce)
	for i, name := range names {
		all.Go(func() error { results[i] = run(name); return nil })
	}
	_ = all.Wait() // the results say it
	return results
}

// settles has the only DROP of a site's dev environment on a machine: one that
// had to leave while the machine was drained for another site is sent back.
func (c *cell) settles(t testing.TB, site string, m *machine) {
	t.Helper()
	c.homes[site] = m
	first := c.asked
	asked := ""
	var drops []api.Drop
	if err := wait(patience, func() (bool, error) {
		drops = decode[[]api.Drop](t, first.platform, "drop", "list", site+".dev")
		if len(drops) != 1 || drops[0].State != "ready" && drops[0].State != "awake" && drops[0].State != "asleep" {
			return false, nil
		}
		if drops[0].HostName == m.name {
			return true, nil
		}
		if asked != string(drops[0].ID) {
			asked = string(drops[0].ID)
			first.run("drop", "move", asked, "--to", m.name, "--reason", "a test wants it there", "--no-wait")
		}
		return false, nil
	}); err != nil {
		t.Fatalf("%s.dev should have its DROP on %s: %v: %+v", site, m.name, err, drops)
	}
}

// processes gives everything that runs on the machine.
func (m *machine) processes() []int {
	pids := []int{m.cmd.Process.Pid}
	id := m.hostID()
	for _, one := range processes(func(proc string) bool {
		return strings.Contains(procText(proc, "cgroup"), id) || strings.Contains(procText(proc, "cmdline"), m.data)
	}) {
		pids = append(pids, one.pid)
	}
	return pids
}

// signal sends a signal to everything that runs on the machine.
func (m *machine) signal(signal syscall.Signal) {
	for _, pid := range m.processes() {
		_ = syscall.Kill(pid, signal)
	}
}

// crash ends everything on the machine at once, as a power failure does.
func (m *machine) crash() {
	m.signal(syscall.SIGKILL)
	<-m.ended
	m.signal(syscall.SIGKILL) // what was just being started
}
