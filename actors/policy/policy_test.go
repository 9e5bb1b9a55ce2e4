package policy_test

import (
	"strings"
	"testing"

	"pantheon/actors/environment"
	"pantheon/actors/host"
	"pantheon/actors/policy"
	"pantheon/actors/workflow"
	"pantheon/events"
)

func (w *world) create(n int, siteName string) events.SiteID {
	id := siteID(n)
	w.must(workflowID(n).Stream(), workflow.Start{
		Workflow: workflowID(n), Type: events.WorkflowCreateSite, Description: "Create site " + siteName,
		Site: id, Environment: events.EnvironmentOf(id, "dev"),
		Create: &events.CreateSite{Name: siteName, Label: siteName, Framework: events.WordPress,
			Owner: "00000000-0000-4000-8000-000000000000", Upstream: "00000000-0000-4000-8000-000000000001",
			Source: events.CodeSource{Location: "/usr/share/wordpress"}, Settings: environment.DefaultSettings("dev")}})
	return id
}

func (w *world) delete(n int, id events.SiteID) {
	w.must(workflowID(n).Stream(), workflow.Start{Workflow: workflowID(n), Type: events.WorkflowDeleteSite,
		Description: "Delete site", Site: id})
}

func (w *world) last(eventName string) events.Event {
	w.t.Helper()
	for i := len(w.log) - 1; i >= 0; i-- {
		for _, event := range w.log[i].Events {
			if events.NameOf(event) == eventName {
				return event
			}
		}
	}
	w.t.Fatalf("no %s in the log", eventName)
	return nil
}

func (w *world) expect(counts map[string]int) {
	w.t.Helper()
	for eventName, want := range counts {
		if got := w.count(eventName); got != want {
			w.t.Errorf("%d × %s, want %d", got, eventName, want)
		}
	}
}

func TestCreateSiteServes(t *testing.T) {
	w := newWorld(t, hostID(1))
	id := w.create(1, "blog")
	w.settle()
	w.expect(map[string]int{"SiteCreated": 1, "SiteActivated": 1, "EnvironmentCreated": 1, "CodeDeployed": 1,
		"BindingProvisioned": 3, "DropAdmitted": 1, "DropReady": 1, "WorkflowSucceeded": 1, "WorkflowFailed": 0})

	spec := w.last("DropAdmitted").(events.DropAdmitted).Spec
	if spec.Commit == "" || spec.Generation != 1 || spec.UID < events.FirstUID || len(spec.Services) != 3 {
		t.Errorf("the DROP's spec is not complete: %+v", spec)
	}
	if !spec.Settings.WebDocroot || len(spec.Settings.ProtectedWebPaths) != 1 {
		t.Errorf("pantheon.yml of the code did not reach the DROP: %+v", spec.Settings)
	}
	if spec.Environment != events.EnvironmentOf(id, "dev") {
		t.Errorf("the DROP serves %s", spec.Environment)
	}
}

func TestUserIDsAreUnique(t *testing.T) {
	w := newWorld(t, hostID(1))
	for n := 1; n <= 5; n++ {
		w.create(n, "site-"+string(rune('a'+n)))
	}
	w.settle()
	seen := map[uint32]bool{}
	for _, envelope := range w.log {
		for _, event := range envelope.Events {
			if e, ok := event.(events.EnvironmentCreated); ok {
				if seen[e.UID] {
					t.Errorf("user id %d was given twice", e.UID)
				}
				seen[e.UID] = true
			}
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d environments, want 5", len(seen))
	}
}

func TestEveryReplyLostChangesNothing(t *testing.T) {
	once, twice := newWorld(t, hostID(1)), newWorld(t, hostID(1))
	twice.repeatEvery = 1
	for _, w := range []*world{once, twice} {
		id := w.create(1, "blog")
		w.settle()
		w.delete(2, id)
		w.settle()
	}
	if len(once.log) != len(twice.log) {
		t.Errorf("%d commits when every command is sent twice, %d when once", len(twice.log), len(once.log))
	}
}

func TestTakenNameFailsAtOnce(t *testing.T) {
	w := newWorld(t, hostID(1))
	w.create(1, "blog")
	w.settle()
	w.create(2, "blog")
	w.settle()
	failed := w.last("WorkflowFailed").(events.WorkflowFailed)
	if failed.Workflow != workflowID(2) || !strings.Contains(failed.Reason, "taken") {
		t.Errorf("got %+v", failed)
	}
	w.expect(map[string]int{"SiteCreated": 1, "NameClaimed": 1})
}

func TestUnreachableCodeRollsBack(t *testing.T) {
	w := newWorld(t, hostID(1))
	w.importFails = "cannot clone https://example.invalid/x.git: could not resolve host"
	w.create(1, "blog")
	w.settle()
	if failed := w.last("WorkflowFailed").(events.WorkflowFailed); !strings.Contains(failed.Reason, "could not resolve host") {
		t.Errorf("the reason is lost: %+v", failed)
	}
	w.expect(map[string]int{"SiteDeleted": 1, "NameReleased": 1, "EnvironmentDeleted": 1, "BindingRetired": 3, "DropRequested": 0})

	w.importFails = ""
	w.create(2, "blog") // the name is free again
	w.settle()
	w.expect(map[string]int{"SiteActivated": 1})
}

func TestUnreachableCodeIsNotTriedForEver(t *testing.T) {
	w := newWorld(t, hostID(1))
	w.importFails, w.importRetries = "cannot reach the upstream: connection refused", true
	w.create(1, "blog")
	w.settle()
	if failed := w.last("WorkflowFailed").(events.WorkflowFailed); !strings.Contains(failed.Reason, "connection refused") {
		t.Errorf("the reason is lost: %+v", failed)
	}
	w.expect(map[string]int{"SiteDeleted": 1, "NameReleased": 1})
}

func TestSiteThatNoHostCanTakeRollsBack(t *testing.T) {
	w := newWorld(t)
	w.must(hostID(1).Stream(), host.Register{Host: hostID(1), Name: "small", MemoryMiB: 300, Cores: 1, Version: "test"})
	w.create(1, "blog")
	w.settle()
	if failed := w.last("WorkflowFailed").(events.WorkflowFailed); !strings.Contains(failed.Reason, "300 MiB") {
		t.Errorf("the reason does not say what is missing: %+v", failed)
	}
	w.expect(map[string]int{"DropAdmitted": 0, "DropRetired": 1, "SiteDeleted": 1, "NameReleased": 1})
}

// TestDeletionDuringCreation deletes the site after every number of intents
// that a creation takes: both workflows end, and nothing is left.
func TestDeletionDuringCreation(t *testing.T) {
	for after := range 40 {
		w := newWorld(t, hostID(1))
		id := w.create(1, "blog")
		for range after {
			intents := w.state.Plan()
			if len(intents) == 0 {
				break
			}
			for _, intent := range intents {
				w.carryOut(intent)
			}
		}
		w.delete(2, id) // also of a site that is not there yet: it is on its way
		w.settle()
		ends := w.count("WorkflowSucceeded") + w.count("WorkflowFailed")
		if ends != 2 || w.count("SiteDeleted") != 1 || w.count("NameReleased") != 1 ||
			w.count("BindingRequested") != w.count("BindingRetired") || w.count("DropRequested") != w.count("DropRetired") {
			t.Errorf("deleted after %d rounds: %d workflows ended, site deleted %d times, %d of %d bindings and %d of %d DROPs retired", after,
				ends, w.count("SiteDeleted"), w.count("BindingRetired"), w.count("BindingRequested"), w.count("DropRetired"), w.count("DropRequested"))
		}
	}
}

func TestDropThatCannotBePreparedRollsBack(t *testing.T) {
	w := newWorld(t, hostID(1))
	w.prepareFails = true
	w.create(1, "blog")
	w.settle()
	if failed := w.last("WorkflowFailed").(events.WorkflowFailed); !strings.Contains(failed.Reason, "disk full") {
		t.Errorf("the reason is lost: %+v", failed)
	}
	w.expect(map[string]int{"SiteActivated": 0, "SiteDeleted": 1, "DropRetired": 1, "BindingRetired": 3, "NameReleased": 1})
}

func TestDeleteGivesEverythingBack(t *testing.T) {
	w := newWorld(t, hostID(1))
	id := w.create(1, "blog")
	w.settle()
	w.delete(2, id)
	w.settle()
	w.expect(map[string]int{"DropRetired": 1, "DropDismissed": 1, "BindingDismissed": 3, "BindingRetired": 3,
		"EnvironmentDeleted": 1, "SiteDeleted": 1, "NameReleased": 1, "WorkflowSucceeded": 2})
}

func TestScaleUpAndDown(t *testing.T) {
	w := newWorld(t, hostID(1), hostID(2))
	id := w.create(1, "blog")
	w.settle()
	dev := events.EnvironmentOf(id, "dev")
	drops := 3
	w.must(dev.Stream(), environment.ChangeSettings{Change: environment.SettingsChange{Drops: &drops}})
	w.settle()
	w.expect(map[string]int{"DropAdmitted": 3, "DropPlaced": 3})
	drops = 1
	w.must(dev.Stream(), environment.ChangeSettings{Change: environment.SettingsChange{Drops: &drops}})
	w.settle()
	w.expect(map[string]int{"DropRetired": 2})
}

func TestDeployReachesEveryDrop(t *testing.T) {
	w := newWorld(t, hostID(1))
	id := w.create(1, "blog")
	w.settle()
	next := "89abcdef0123456789abcdef0123456789abcdef"
	w.must(events.EnvironmentOf(id, "dev").Stream(), environment.Deploy{Commit: next, Message: "second"})
	w.settle()
	changed := w.last("DropSpecChanged").(events.DropSpecChanged)
	if changed.Spec.Commit != next || changed.Spec.Deployment != 2 || changed.Spec.Generation != 2 {
		t.Errorf("got %+v", changed.Spec)
	}
}

// beside gives a cell of three hosts whose only environment has one DROP beside
// its data and one elsewhere.
func beside(t *testing.T) (w *world, data, elsewhere events.HostID) {
	t.Helper()
	w = newWorld(t, hostID(1), hostID(2), hostID(3))
	id := w.create(1, "blog")
	w.settle()
	data = w.last("DropPlaced").(events.DropPlaced).Host
	two := 2
	w.must(events.EnvironmentOf(id, "dev").Stream(), environment.ChangeSettings{Change: environment.SettingsChange{Drops: &two}})
	w.settle()
	elsewhere = w.last("DropPlaced").(events.DropPlaced).Host
	for _, service := range w.last("DropAdmitted").(events.DropAdmitted).Spec.Services {
		if service.Host != data || elsewhere == data {
			t.Fatalf("%s is on %s, the DROPs are on %s and %s", service.Kind, service.Host, data, elsewhere)
		}
	}
	return w, data, elsewhere
}

func TestLostHostsDropsMoveAndBindingsStay(t *testing.T) {
	w, _, elsewhere := beside(t)
	w.must(elsewhere.Stream(), host.ReportLost{Reason: "lease expired"})
	w.settle()
	if moved := w.last("DropPlaced").(events.DropPlaced); moved.Host == elsewhere {
		t.Errorf("the DROP is still on the lost host")
	}
	w.expect(map[string]int{"DropDismissed": 1, "DropDisplaced": 1, "DropPlaced": 3, "BindingDismissed": 0})
}

// TestLostHostKeepsDropsBesideTheirData: nobody else could serve them, and the
// host's own fence lets it go on.
func TestLostHostKeepsDropsBesideTheirData(t *testing.T) {
	w, data, elsewhere := beside(t)
	w.must(data.Stream(), host.ReportLost{Reason: "lease expired"})
	w.settle()
	w.expect(map[string]int{"DropDismissed": 0, "DropDisplaced": 0, "DropPlaced": 2})
	w.must(data.Stream(), host.ReportReturned{})
	w.must(elsewhere.Stream(), host.ReportLost{Reason: "lease expired"})
	w.settle()
	w.expect(map[string]int{"DropDismissed": 1, "DropDisplaced": 1, "DropPlaced": 3})
}

// TestLostHostGivesUpRetiredDrops: to be beside its data keeps no DROP that
// nobody wants any longer.
func TestLostHostGivesUpRetiredDrops(t *testing.T) {
	w, data, _ := beside(t)
	w.must(data.Stream(), host.ReportLost{Reason: "lease expired"})
	w.delete(2, siteID(1))
	w.settle()
	w.expect(map[string]int{"DropDismissed": 2, "DropRetired": 2, "SiteDeleted": 1})
}

func TestFullHostsLeaveDropsWaitingUntilRoomComes(t *testing.T) {
	w := newWorld(t)
	w.create(1, "blog")
	w.settle()
	w.expect(map[string]int{"BindingAdmitted": 0, "WorkflowSucceeded": 0})
	w.must(hostID(1).Stream(), host.Register{Host: hostID(1), Name: "late", MemoryMiB: 8192, Cores: 2, Version: "test"})
	w.settle()
	w.expect(map[string]int{"BindingAdmitted": 3, "WorkflowSucceeded": 1})
}

func TestSnapshotGivesTheSameState(t *testing.T) {
	w := newWorld(t, hostID(1))
	for n := 1; n <= 3; n++ {
		w.create(n, "site-"+string(rune('a'+n)))
		if n < 3 {
			w.settle()
		}
	}
	snapshot, err := w.state.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	restored, err := policy.Restore(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	w.state = restored
	w.settle() // goes on in the middle of the third site
	again, err := w.state.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	refolded := policy.New()
	for _, envelope := range w.log {
		refolded.Apply(envelope)
	}
	refolded.Plan()
	whole, err := refolded.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != string(whole) {
		t.Errorf("the restored fold differs from the whole one:\n%s\n%s", again, whole)
	}
	w.expect(map[string]int{"WorkflowSucceeded": 3})
}
