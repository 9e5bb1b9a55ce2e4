package policy_test

import (
	"strings"
	"testing"

	"pantheon/actors/environment"
	"pantheon/actors/host"
	"pantheon/actors/policy"
	"pantheon/events"
)

// has says what is installed on hosts.
func (w *world) has(id events.HostID, php ...string) {
	w.t.Helper()
	w.must(id.Stream(), host.ReportSoftware{Protocol: 1, PHP: php})
}

func (w *world) setPHP(version string) {
	w.t.Helper()
	for id := range w.environments {
		w.must(events.EnvironmentID(id).Stream(), environment.ChangeSettings{Change: environment.SettingsChange{PHPVersion: &version}})
	}
	w.settle()
}

// A DROP goes where its version of PHP is. It serves on as it was until another
// one is ready there.
func TestPlacementGoesByPHP(t *testing.T) {
	w := newWorld(t, hostID(1), hostID(2), hostID(3))
	w.has(hostID(1), "8.2")
	w.has(hostID(2), "8.2", "8.3")
	w.has(hostID(3), "8.1")
	w.create(1, "blog")
	w.settle()
	if _, on := w.only(); on == hostID(3) {
		t.Errorf("a DROP of PHP 8.2 is on the host that has 8.1 alone")
	}
	w.setPHP("8.3")
	if _, on := w.only(); on != hostID(2) {
		t.Errorf("a DROP of PHP 8.3 is on %s", on)
	}
	old, _ := w.only()
	w.setPHP("8.1")
	next, on := w.only()
	if on != hostID(3) {
		t.Errorf("a DROP of PHP 8.1 is on %s", on)
	}
	w.wantReplaced(old)
	for _, c := range w.state.Explain(next) {
		if want := map[bool]string{true: "", false: "it has no PHP 8.1"}[c.Host == hostID(3)]; c.Refused != want {
			t.Errorf("%s: refused because %q, want %q", c.Host, c.Refused, want)
		}
	}
	w.setPHP("7.4") // which nobody has: it serves on
	if now, _ := w.only(); now != next {
		t.Errorf("%s serves, not %s", now, next)
	}
	w.has(hostID(1), "7.4", "8.2")
	w.settle()
	if _, on := w.only(); on != hostID(1) {
		t.Errorf("a DROP of PHP 7.4 is on %s", on)
	}
}

// A host that has not said what it has takes what it is given, as before hosts
// said it.
func TestPlacementOnAHostThatHasNotSaidItsPHP(t *testing.T) {
	w := newWorld(t, hostID(1), hostID(2))
	w.has(hostID(1), "8.1")
	w.create(1, "blog")
	w.settle()
	if _, on := w.only(); on != hostID(2) {
		t.Errorf("a DROP of PHP 8.2 is on %s", on)
	}
}

func TestSiteThatNoHostHasThePHPOfIsRefusedWithTheReason(t *testing.T) {
	w := newWorld(t, hostID(1), hostID(2))
	w.has(hostID(1), "8.1")
	w.has(hostID(2))
	w.create(1, "blog")
	w.settle()
	w.expect(map[string]int{"DropAdmitted": 0, "WorkflowFailed": 1})
	if failed := w.last("WorkflowFailed").(events.WorkflowFailed); !strings.Contains(failed.Reason, "no host has PHP 8.2") {
		t.Errorf("the reason is lost: %+v", failed)
	}
}

// What is known of hosts' PHP is in a snapshot, also that one has none.
func TestPHPIsRestored(t *testing.T) {
	w := newWorld(t, hostID(1), hostID(2))
	w.has(hostID(1))
	snapshot, err := w.state.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if w.state, err = policy.Restore(snapshot); err != nil {
		t.Fatal(err)
	}
	w.create(1, "blog")
	w.settle()
	if _, on := w.only(); on != hostID(2) {
		t.Errorf("the DROP is on %s, which has no PHP", on)
	}
}
