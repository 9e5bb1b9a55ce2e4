package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// network is a switch with machines on it: network namespaces of this process's
// own, in a subnet of RFC 2544's range that nobody else here has. The switch
// has a namespace too, where no firewall of the machine is.
//
// A direction of a link is cut by an address of the link layer that nobody has:
// frames are sent and arrive nowhere, as with a broken cable. No packet filter
// has to be installed for it.
type network struct {
	name   string // of the link in the tests' own namespace; begins the others'
	subnet string // its first three octets
	size   int
}

// nowhere is an address of the link layer that no machine has.
const nowhere = "02:00:00:00:00:fe"

const namespaces = "/run/netns"

var ourNamespace = regexp.MustCompile(`^pe(\d+)[a-z]-`)

// networks counts those that this process has made.
var networks atomic.Int32

// newNetwork builds one with machines 1 to size.
func newNetwork(size int) (*network, error) {
	removeStale()
	n := &network{name: fmt.Sprintf("pe%d%c", os.Getpid(), 'a'+networks.Add(1)%26), size: size}
	taken, err := exec.Command("ip", "-4", "address").Output()
	if err != nil {
		return nil, err
	}
	for i := range 512 {
		number := (os.Getpid() + i) % 512
		n.subnet = fmt.Sprintf("198.%d.%d", 18+number/256, number%256)
		if !strings.Contains(string(taken), " "+n.subnet+".") {
			break
		}
	}
	if err := n.build(); err != nil {
		return nil, errors.Join(err, n.remove())
	}
	return n, nil
}

func (n *network) build() error {
	hub := n.namespace(0)
	if err := ip("netns add %s", hub); err != nil {
		return err
	}
	if err := errors.Join(
		ip("-n %s link add switch type bridge", hub), ip("-n %s link set switch up", hub),
		ip("link add %s type veth peer name outside netns %s", n.name, hub),
		ip("-n %s link set outside master switch up", hub),
		ip("address add %s.254/24 dev %s", n.subnet, n.name), ip("link set %s up", n.name),
	); err != nil {
		return err
	}
	for i := 1; i <= n.size; i++ {
		one := n.namespace(i)
		if err := errors.Join(
			ip("netns add %s", one), ip("link add eth0 netns %s type veth peer name m%d netns %s", one, i, hub),
			ip("-n %s link set m%d master switch up", hub, i), ip("-n %s address add %s/24 dev eth0", one, n.address(i)),
			ip("-n %s link set lo up", one), ip("-n %s link set eth0 up", one),
			ip("-n %s route add default via %s", one, n.address(254)),
		); err != nil {
			return err
		}
	}
	return nil
}

// remove takes everything away; links go with their namespaces.
func (n *network) remove() error {
	var all error
	for i := range n.size + 1 {
		if _, err := os.Stat(filepath.Join(namespaces, n.namespace(i))); err == nil {
			all = errors.Join(all, ip("netns delete %s", n.namespace(i)))
		}
	}
	return all
}

// removeStale removes what a test has left that was killed.
func removeStale() {
	entries, _ := os.ReadDir(namespaces)
	for _, entry := range entries {
		match := ourNamespace.FindStringSubmatch(entry.Name())
		if match == nil {
			continue
		}
		pid, _ := strconv.Atoi(match[1])
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = ip("netns delete %s", entry.Name())
		}
	}
}

func (n *network) namespace(i int) string { return fmt.Sprintf("%s-%d", n.name, i) }

func (n *network) address(i int) string { return fmt.Sprintf("%s.%d", n.subnet, i) }

// enter is what runs a command on a machine. `ip netns exec` would hide
// /sys/fs/cgroup.
func (n *network) enter(i int) []string {
	return []string{"nsenter", "--net=" + filepath.Join(namespaces, n.namespace(i))}
}

// mute lets nothing of one machine arrive at another.
func (n *network) mute(t testing.TB, from, to int) {
	t.Helper()
	n.must(t, "-n %s neighbour replace %s lladdr %s nud permanent dev eth0", n.namespace(from), n.address(to), nowhere)
}

// unmute takes that back.
func (n *network) unmute(t testing.TB, from, to int) {
	t.Helper()
	n.must(t, "-n %s neighbour delete %s dev eth0", n.namespace(from), n.address(to))
}

// cut separates two machines.
func (n *network) cut(t testing.TB, a, b int) {
	t.Helper()
	n.mute(t, a, b)
	n.mute(t, b, a)
}

func (n *network) mend(t testing.TB, a, b int) {
	t.Helper()
	n.unmute(t, a, b)
	n.unmute(t, b, a)
}

// unplug takes a machine's cable out; plug puts it back.
func (n *network) unplug(t testing.TB, i int) {
	t.Helper()
	n.must(t, "-n %s link set m%d down", n.namespace(0), i)
}

func (n *network) plug(t testing.TB, i int) {
	t.Helper()
	n.must(t, "-n %s link set m%d up", n.namespace(0), i)
}

func (n *network) must(t testing.TB, format string, args ...any) {
	t.Helper()
	if err := ip(format, args...); err != nil {
		t.Fatal(err)
	}
}

// ip runs ip(8) with words that hold no space.
func ip(format string, args ...any) error {
	words := strings.Fields(fmt.Sprintf(format, args...))
	if out, err := exec.Command("ip", words...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(words, " "), err, out)
	}
	return nil
}
