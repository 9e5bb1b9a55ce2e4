package policy_test

import (
	"testing"

	"pantheon/actors/drop"
	"pantheon/actors/environment"
	"pantheon/actors/host"
	"pantheon/events"
)

// zoned gives a cell with a host in each of the zones, and a site in it.
func zoned(t *testing.T, zones ...string) (*world, events.EnvironmentID) {
	w := newWorld(t)
	for n, zone := range zones {
		id := hostID(n + 1)
		w.must(id.Stream(), host.Register{Host: id, Name: "host", Zone: zone, MemoryMiB: 8192, Cores: 2, Version: "test"})
	}
	return w, events.EnvironmentOf(w.create(1, "blog"), "dev")
}

func (w *world) scale(env events.EnvironmentID, drops int) {
	w.t.Helper()
	w.must(env.Stream(), environment.ChangeSettings{Change: environment.SettingsChange{Drops: &drops}})
	w.settle()
}

// spread counts hosts and zones that have DROPs.
func (w *world) spread() (hosts map[events.HostID]int, zones map[string]int) {
	hosts, zones = map[events.HostID]int{}, map[string]int{}
	for _, on := range w.where() {
		hosts[on]++
		zones[w.hosts[string(on)].Registered.Zone]++
	}
	return hosts, zones
}

func TestScaleDownKeepsTheSpread(t *testing.T) {
	for name, c := range map[string]struct {
		zones                 []string
		from, to              int
		wantHosts, wantedZone int
	}{
		"the newest is alone in its zone": {[]string{"a", "a", "b"}, 3, 2, 2, 2},
		"two share a host":                {[]string{"a", "a", "b"}, 4, 3, 3, 2},
		"several at once":                 {[]string{"a", "a", "b", "b", "c"}, 7, 3, 3, 3},
		"one zone":                        {[]string{"", "", ""}, 5, 3, 3, 1},
		"to one":                          {[]string{"a", "b", "c"}, 3, 1, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w, env := zoned(t, c.zones...)
			w.settle()
			w.scale(env, c.from)
			data := w.last("DropAdmitted").(events.DropAdmitted).Spec.Services[1].Host
			w.scale(env, c.to)
			hosts, zones := w.spread()
			if len(w.where()) != c.to || len(hosts) != c.wantHosts || len(zones) != c.wantedZone {
				t.Errorf("left are %v in zones %v", hosts, zones)
			}
			if hosts[data] == 0 {
				t.Errorf("none is left on %s beside the data: %v", data, hosts)
			}
			w.expect(map[string]int{"DropRetired": c.from - c.to, "DropRequested": c.from})
		})
	}
}

// TestScaleDownRetiresWhatDoesNotServe: the spread would be better without the one
// that serves, but nothing else would be left that does.
func TestScaleDownRetiresWhatDoesNotServe(t *testing.T) {
	w, env := zoned(t, "a", "b")
	w.settle()
	serving, _ := w.only()
	w.prepareFails = true
	w.scale(env, 3)
	w.scale(env, 1)
	if left, _ := w.only(); left != serving {
		t.Errorf("%s is left, which was never ready", left)
	}
	w.expect(map[string]int{"DropRetired": 2})
}

func TestScaleDownRetiresWhatIsLostFirst(t *testing.T) {
	w, env := zoned(t, "a", "b", "c")
	w.settle()
	w.scale(env, 2)
	data := w.last("DropAdmitted").(events.DropAdmitted).Spec.Services[1].Host
	w.must(data.Stream(), host.ReportLost{Reason: "its lease ran out"})
	w.scale(env, 1)
	if _, on := w.only(); on == data {
		t.Error("the DROP of the lost host is left")
	}
}

// TestOnlyOneIsRetiredAtATime: what would be best to retire may change before the
// first retirement is known; then nobody else goes with it.
func TestOnlyOneIsRetiredAtATime(t *testing.T) {
	w, env := zoned(t, "a", "a", "b")
	w.settle()
	w.scale(env, 3)
	two := 2
	w.must(env.Stream(), environment.ChangeSettings{Change: environment.SettingsChange{Drops: &two}})
	gaps := map[string]events.StreamID{}
	for _, zone := range []string{"a", "b", "c"} {
		for n := range 3 {
			id := hostID(n + 1)
			w.must(id.Stream(), host.Register{Host: id, Name: "host", Zone: zone, MemoryMiB: 8192, Cores: 2, Version: "test"})
			w.state.Again(env.Site())
			for _, intent := range w.state.Plan() {
				if _, retires := intent.Command.(drop.RequestRetirement); retires {
					gaps[intent.Gap()] = intent.To
				}
			}
		}
	}
	if len(gaps) != 1 {
		t.Errorf("the policies want %v", gaps)
	}
}

// More DROPs, or fewer, are no change of those that serve.
func TestScalingLeavesTheOthersAsTheyAre(t *testing.T) {
	w, env := zoned(t, "a", "b", "c")
	w.settle()
	w.scale(env, 3)
	w.scale(env, 2)
	if n := w.count("DropSpecChanged"); n > 0 {
		t.Errorf("%d DROPs that serve have begun anew", n)
	}
	workers := 7
	w.must(env.Stream(), environment.ChangeSettings{Change: environment.SettingsChange{Workers: &workers}})
	w.settle()
	changed, _ := w.last("DropSpecChanged").(events.DropSpecChanged)
	if changed.Spec.Settings.Workers != workers || changed.Spec.Settings.Drops != 2 {
		t.Errorf("the change of its workers gave %+v", changed)
	}
}
