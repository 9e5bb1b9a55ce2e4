package policy

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"pantheon/events"
)

// exhaustive is choose without the index: it looks at every host.
func (p *planner) exhaustive(d *dropState, refused map[events.HostID]string) (events.HostID, bool) {
	neighbours := p.neighbours(d)
	neighbours.draw = p.draw(d)
	var best Candidate
	for id, h := range p.Hosts {
		if _, no := refused[id]; no || h.closed() != "" {
			continue
		}
		if c := neighbours.candidate(id, h); best.Host == "" || c.compare(best) < 0 {
			best = c
		}
	}
	return best.Host, best.Host != ""
}

// TestIndexChoosesAsLookingAtEveryHostDoes: whatever has happened to the hosts.
func TestIndexChoosesAsLookingAtEveryHostDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hosts := rapid.IntRange(1, 30).Draw(t, "hosts")
		zones := rapid.IntRange(1, 6).Draw(t, "zones")
		s := New()
		for n := range rapid.IntRange(1, 120).Draw(t, "events") {
			id := hostOf(rapid.IntRange(0, hosts-1).Draw(t, "host"))
			s.applyHost(id, 0, hostEvent(t, id, n, zones))
			if rapid.IntRange(0, 9).Draw(t, "restored") == 0 {
				s = restored(t, s)
			}
		}
		for n := range 20 {
			p, d := someSite(t, s, n, hosts)
			refused := map[events.HostID]string{}
			for { // and as every next choice after a refusal
				got, found := p.choose(d, refused)
				want, any := p.exhaustive(d, refused)
				if got != want || found != any {
					t.Fatalf("chosen is %q (%t), by looking at all %q (%t), when %d have refused", got, found, want, any, len(refused))
				}
				if !found {
					break
				}
				refused[got] = "full"
			}
		}
	})
}

func hostOf(n int) events.HostID { return events.HostID(fmt.Sprintf("%032x", n+1)) }

func restored(t *rapid.T, s *State) *State {
	snapshot, err := s.Snapshot()
	if err == nil {
		s, err = Restore(snapshot)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func hostEvent(t *rapid.T, id events.HostID, n, zones int) events.Event {
	switch rapid.IntRange(0, 14).Draw(t, "event") {
	case 0:
		return events.HostLost{Host: id}
	case 1:
		return events.HostReturned{Host: id}
	case 2:
		return events.HostDrainRequested{Host: id}
	case 3:
		return events.HostDrainEnded{Host: id}
	case 4:
		return events.HostRemoved{Host: id}
	case 5:
		return events.HostRolesChanged{Host: id, Roles: rapid.SampledFrom([][]events.HostRole{{events.RoleHost}, {events.RoleDNS}}).Draw(t, "roles")}
	case 6, 7:
		return events.DropAdmitted{Host: id, Drop: events.DropID(fmt.Sprint(n))}
	case 8:
		return events.DropDismissed{Host: id, Drop: events.DropID(fmt.Sprint(rapid.IntRange(0, n).Draw(t, "drop")))}
	case 9:
		return events.BindingAdmitted{Host: id, Binding: events.BindingID(fmt.Sprint(n))}
	}
	return events.HostRegistered{Host: id, Name: "host", Zone: fmt.Sprint("zone-", rapid.IntRange(1, zones).Draw(t, "zone")),
		MemoryMiB: rapid.SampledFrom([]int{0, 1024, 1100, 2048, 8192}).Draw(t, "memory")}
}

// someSite gives a site with a DROP to be placed, or nil for a binding.
func someSite(t *rapid.T, s *State, n, hosts int) (*planner, *dropState) {
	id := events.SiteID(fmt.Sprintf("00000000-0000-4000-8000-%012x", n))
	p := &planner{State: s, id: id, site: &siteState{}}
	on := func() events.HostID { // some are not known
		return rapid.SampledFrom([]events.HostID{"", hostOf(rapid.IntRange(0, hosts-1).Draw(t, "on"))}).Draw(t, "placed")
	}
	known := func(id events.HostID) events.HostID {
		if s.Hosts[id] == nil {
			return ""
		}
		return id
	}
	for range rapid.IntRange(0, 3).Draw(t, "bindings") {
		p.site.Bindings = append(p.site.Bindings, &bindingState{Admitted: on()})
	}
	for i := range rapid.IntRange(0, 5).Draw(t, "siblings") {
		sibling := &dropState{ID: DropIDOf("dev", i), Environment: "dev", Admitted: known(on())}
		if rapid.IntRange(0, 4).Draw(t, "moving") == 0 {
			sibling.Moving, sibling.MovingTo = true, on()
		}
		p.site.Drops = append(p.site.Drops, sibling)
	}
	if rapid.IntRange(0, 3).Draw(t, "binding") == 0 {
		return p, nil
	}
	return p, &dropState{ID: DropIDOf("dev", 9), Environment: "dev"}
}
