package main

import (
	"net"
	"slices"
	"strings"
	"testing"

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
