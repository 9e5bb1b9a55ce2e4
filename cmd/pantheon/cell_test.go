package main

import (
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
)

func TestClusterAddress(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "10.0.0.1": "10.0.0.1:7600", "10.0.0.1:9000": "10.0.0.1:9000", "web-1.example.org": "web-1.example.org:7600",
		"[2001:db8::1]:9000": "[2001:db8::1]:9000", "2001:db8::1": "[2001:db8::1]:7600",
	} {
		if got, err := completeEndpoint(text); got != want || err != nil {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{":7600", "0.0.0.0", "0.0.0.0:7600", "[::]:7600", "10.0.0.1:0", "10.0.0.1:65534", "10.0.0.1:http", "10.0.0.1:-1"} {
		if _, err := completeEndpoint(text); problem.KindOf(err) != problem.Invalid || problem.HintOf(err) == "" {
			t.Errorf("%q: %v", text, err)
		}
	}
	if got := logAddress("[2001:db8::1]:7600"); got != "[2001:db8::1]:7601" {
		t.Errorf("the log listens at %s", got)
	}
}

// A process that began with join goes on as up, and its token is gone: it was
// used up, and others can read arguments.
func TestArgumentsAfterJoin(t *testing.T) {
	for text, want := range map[string]string{
		"pantheon up --data d":                                    "pantheon up --data d",
		"pantheon join --token ptj1.x --cluster a --data d":       "pantheon up --cluster a --data d",
		"pantheon --data d join --cluster a --token=ptj1.x":       "pantheon --data d up --cluster a",
		"pantheon join --cluster a --token":                       "pantheon up --cluster a",
		"pantheon join --token @join --host-name join --zone one": "pantheon up --host-name join --zone one",
	} {
		if got := strings.Join(upArguments(strings.Fields(text)), " "); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// A connection that was accepted elsewhere is served by a listener, and closed
// where nobody serves any longer.
func TestConnListener(t *testing.T) {
	listener := newConnListener(&net.TCPAddr{})
	near, far := net.Pipe()
	go listener.give(far)
	got, err := listener.Accept()
	if err != nil || got != far {
		t.Fatalf("accepted %v, %v", got, err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	listener.give(far)
	if _, err := near.Read(make([]byte, 1)); err == nil {
		t.Error("a connection that nobody takes stays open")
	}
	if _, err := listener.Accept(); err == nil {
		t.Error("a closed listener accepts")
	}
}

func TestCellSettingsOnDisk(t *testing.T) {
	dir := t.TempDir()
	if _, known, err := loadCellSettings(dir); known || err != nil {
		t.Fatalf("of an empty folder: %t, %v", known, err)
	}
	want := cellSettings{Endpoint: "10.0.0.1:7600", HoldsLog: true, Control: []string{"10.0.0.1:7600"}, Domain: "example.org"}
	if err := want.save(dir); err != nil {
		t.Fatal(err)
	}
	got, known, err := loadCellSettings(dir)
	if !known || err != nil || got.Endpoint != want.Endpoint || !got.HoldsLog || !slices.Equal(got.Control, want.Control) || got.Domain != want.Domain {
		t.Errorf("%+v, %t, %v", got, known, err)
	}
}

// Nobody is asked of a cell that this machine does not know yet.
func TestMayUseNothingOfAnEmptyCell(t *testing.T) {
	p := &platform{}
	if p.mayUse(inventory.State{}, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb") ||
		p.mayUseFiles(inventory.State{}, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "dev.00000001-0000-4000-8000-000000000001") {
		t.Error("a host may use what is not there")
	}
}

func TestVisitorsAreSentToTheMachinesThatAreThere(t *testing.T) {
	machine := func(n int, status inventory.Status, addresses []string, roles ...events.HostRole) (events.HostID, []events.Event) {
		id := events.HostID(fmt.Sprintf("%032x", n))
		all := []events.Event{
			events.HostRegistered{Host: id, Name: fmt.Sprintf("web-%d", n), MemoryMiB: 1024, Cores: 1},
			events.HostAddressesChanged{Host: id, Addresses: addresses},
			events.HostEndpointChanged{Host: id, Endpoint: fmt.Sprintf("10.0.0.%d:7600", n)},
			events.HostRolesChanged{Host: id, Roles: roles},
		}
		if status == inventory.Lost {
			all = append(all, events.HostLost{Host: id})
		}
		return id, all
	}
	state, at := inventory.State{}, events.Position(0)
	has := func(id events.HostID, all []events.Event) {
		for i, event := range all {
			at++
			state = state.Apply(events.Envelope{Commit: events.Commit{Stream: id.Stream(), Events: []events.Event{event}}, Revision: events.Revision(i + 1), Position: at})
		}
	}
	has(machine(1, inventory.Ready, []string{"192.0.2.1"}, events.RoleControl, events.RoleEntry))
	has(machine(2, inventory.Ready, []string{"127.0.0.1"}, events.RoleEntry))
	has(machine(3, inventory.Lost, []string{"192.0.2.3"}, events.RoleEntry))
	has(machine(4, inventory.Ready, []string{"192.0.2.4"}, events.RoleHost))
	for _, c := range []struct {
		name      string
		now, want []string
	}{
		{"those that are there", []string{"192.0.2.1"}, []string{"10.0.0.2", "192.0.2.1"}},
		{"as it is", []string{"10.0.0.2", "192.0.2.1"}, []string{"10.0.0.2", "192.0.2.1"}},
		{"one that is lost", []string{"192.0.2.1", "192.0.2.3"}, []string{"10.0.0.2", "192.0.2.1"}},
		{"a load balancer's", []string{"203.0.113.7"}, []string{"203.0.113.7"}},
	} {
		if got := tended(state, events.RoleEntry, c.now); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, not %v", c.name, got, c.want)
		}
	}
	entry, ns1 := []string{"10.0.0.2", "192.0.2.1"}, "ns1.example.org"
	if got := tendedServers(state, ns1, nil, entry); got != nil {
		t.Errorf("nobody answers for names alone: %v", got)
	}
	has(machine(5, inventory.Ready, []string{"192.0.2.5"}, events.RoleDNS))
	own := []events.NameServer{{Name: ns1, Addresses: []string{"192.0.2.5"}}}
	others := []events.NameServer{{Name: "ns.example.net"}}
	for _, c := range []struct {
		name      string
		now, want []events.NameServer
	}{
		{"those that answer for names", nil, own}, {"as it is", own, own}, {"of somebody else", others, others},
		{"one that answers no longer", []events.NameServer{{Name: ns1, Addresses: []string{"192.0.2.1"}}}, own},
	} {
		if got := tendedServers(state, ns1, c.now, entry); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, not %v", c.name, got, c.want)
		}
	}
	if got := tended(state, "nothing", []string{"192.0.2.1"}); !slices.Equal(got, []string{"192.0.2.1"}) {
		t.Errorf("nobody has the role: %v", got)
	}
}
