package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/api"
)

func TestNextBinaryIsChecked(t *testing.T) {
	says := func(protocol int) string {
		return fmt.Sprintf("#!/bin/sh\n[ \"$*\" = 'version --format json' ] && echo '{\"version\": \"v9\", \"protocol\": %d}'\n", protocol)
	}
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		kind       problem.Kind
		says       string
	}{
		{"the same protocol", says(cellProtocol), 0o755, 0, ""},
		{"the next protocol", says(cellProtocol + 1), 0o755, 0, ""},
		{"a version further on", says(cellProtocol + 2), 0o755, problem.Unsupported, "cannot become version v9"},
		{"an older protocol", says(cellProtocol - 1), 0o755, problem.Unsupported, "cannot become version v9"},
		{"a crash", "#!/bin/sh\nkill -9 $$\n", 0o755, problem.Unavailable, "as the next version"},
		{"another program", "#!/bin/sh\necho hello\n", 0o755, problem.Unavailable, "as the next version"},
		{"no permission", says(cellProtocol), 0o644, problem.Unavailable, "as the next version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pantheon")
			if err := os.WriteFile(path, []byte(c.text), c.mode); err != nil {
				t.Fatal(err)
			}
			err := checkBinary(t.Context(), path)
			switch {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (err == nil || problem.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) || problem.HintOf(err) == ""):
				t.Errorf("%v (%v)", err, problem.HintOf(err))
			}
		})
	}
	if err := checkBinary(t.Context(), filepath.Join(t.TempDir(), "none")); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("no file: %v", err)
	}
}

func TestControlMachinesAreUpgradedFirst(t *testing.T) {
	all := []api.Host{
		{Name: "a", State: "ready", Roles: []events.HostRole{events.RoleHost}},
		{Name: "b", State: "ready", Roles: []events.HostRole{events.RoleControl}},
		{Name: "c", State: "ready", Roles: []events.HostRole{events.RoleEntry}},
		{Name: "d", State: "ready", Roles: []events.HostRole{events.RoleHost, events.RoleControl}},
	}
	for names, want := range map[string]string{"": "b d a c", "c b": "c b"} {
		chosen, err := chooseHosts(all, strings.Fields(names))
		var got []string
		for _, h := range chosen {
			got = append(got, h.Name)
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: %v, %v", names, got, err)
		}
	}
	all[3].State = "lost"
	if _, err := chooseHosts(all, nil); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("one is lost: %v", err)
	}
	if _, err := chooseHosts(all, []string{"b", "x"}); problem.KindOf(err) != problem.NotFound {
		t.Errorf("nobody has the name: %v", err)
	}
}

// A visitor who comes between two turns is served by the second.
func TestKeptSocket(t *testing.T) {
	ctx := context.Background()
	kept := &keptSocket{}
	first, err := kept.listen(ctx, "127.0.0.1:0", "--http")
	if err != nil {
		t.Fatal(err)
	}
	address := first.Addr().String()
	kept.keep("127.0.0.1:0", first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	visitor, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatalf("a visitor between two turns: %v", err)
	}
	defer func() { _ = visitor.Close() }()
	second, err := kept.listen(ctx, "127.0.0.1:0", "--http")
	if err != nil || second.Addr().String() != address {
		t.Fatalf("%v, not at %s: %v", second.Addr(), address, err)
	}
	served, err := second.Accept()
	if err != nil || served.RemoteAddr().String() != visitor.LocalAddr().String() {
		t.Fatalf("%v came, %v", served, err)
	}
	_ = served.Close()

	kept.keep("127.0.0.1:0", second)
	_ = second.Close()
	other, err := kept.listen(ctx, "localhost:0", "--http") // the option was changed
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if conn, err := net.Dial("tcp", address); err == nil {
		_ = conn.Close()
		t.Error("somebody still listens at the former address")
	}
	_ = other.Close()
	kept.keep("localhost:0", other)
	if kept.file != nil {
		t.Error("a socket is kept that was closed before")
	}
}
