package api_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pantheon/actors/drop"
	"pantheon/actors/host"
	"pantheon/actors/policy"
	"pantheon/events"
	"pantheon/gateways/api"
)

// fakePlacement stands in for the policies: it answers with what a test says.
type fakePlacement struct {
	hosts []policy.Candidate
	err   error
	asked int
}

func (f *fakePlacement) Explain(context.Context, events.DropID) ([]policy.Candidate, error) {
	f.asked++
	return append([]policy.Candidate(nil), f.hosts...), f.err
}

// matrix adds hosts called host1, host2 …
func (s *server) matrix(n int) []events.HostID {
	s.t.Helper()
	ids := make([]events.HostID, n)
	for i := range ids {
		ids[i] = events.HostID(fmt.Sprintf("%032x", 0x100+i))
		s.must(ids[i].Stream(), host.Register{Host: ids[i], Name: fmt.Sprintf("host%d", i+1), MemoryMiB: 1024, Cores: 1, Version: "v1"})
	}
	return ids
}

// waitingDrop asks for another DROP of a site's dev environment, which nobody
// places.
func (s *server) waitingDrop(id events.SiteID, n int) events.DropID {
	s.t.Helper()
	waiting := events.DropID(fmt.Sprintf("%032x", 0x200+n))
	s.must(waiting.Stream(), drop.Request{Drop: waiting, Environment: events.EnvironmentOf(id, "dev"), MemoryMiB: 512})
	return waiting
}

func TestUnplacedDrops(t *testing.T) {
	placement := &fakePlacement{}
	s := start(t, func(o *api.Options) { o.Placement = placement })
	alice := s.user(aliceID)
	site := s.makeSite(alice, "blog")
	hosts := s.matrix(8)
	waiting := string(s.waitingDrop(site, 0))
	s.must(hosts[7].Stream(), host.TakeRoles{Roles: []events.HostRole{events.RoleEntry}})
	closed := func(n int, refused string) policy.Candidate {
		return policy.Candidate{Host: hosts[n], Name: fmt.Sprintf("host%d", n+1), Refused: refused}
	}
	full := closed(1, "cannot admit DROP "+waiting+": host host2 offers 1024 MiB, 1536 would be needed")
	gone := policy.Candidate{Host: "00000000000000000000000000000fff", Name: "gone", Refused: "it has no role as a host"}
	for _, c := range []struct {
		name     string
		hosts    []policy.Candidate
		operator string
		owner    string
		failed   error
	}{
		{name: "not known yet"},
		{name: "one may", hosts: []policy.Candidate{closed(0, ""), full}},
		{
			name: "all refuse", hosts: []policy.Candidate{closed(0, "it is lost"), full, closed(7, "it has no role as a host"), gone},
			operator: "no host can take it: host1: it is lost; host host2 offers 1024 MiB, 1536 would be needed",
			owner:    "no host can take it now",
		},
		{name: "none is there", hosts: []policy.Candidate{gone}, operator: "no host can take it: the cell has none", owner: "no host can take it now"},
		{
			name: "many", operator: "no host can take it: host1: x; host2: x; host3: x; host4: x; host5: x; and 2 more hosts", owner: "no host can take it now",
			hosts: []policy.Candidate{closed(0, "x"), closed(1, "x"), closed(2, "x"), closed(3, "x"), closed(4, "x"), closed(5, "x"), closed(6, "x")},
		},
		{name: "no answer", failed: errors.New("busy")},
	} {
		placement.hosts, placement.err = c.hosts, c.failed
		for who, want := range map[*as]string{ptr(s.operator()): c.operator, &alice: c.owner} {
			var one api.Drop
			who.expect(200, "GET", "drops/"+waiting, "").into(t, &one)
			var all []api.Drop
			who.expect(200, "GET", "drops?site=blog", "").into(t, &all)
			var environment api.Environment
			who.expect(200, "GET", "sites/blog/environments/dev", "").into(t, &environment)
			if one.Unplaced != want || len(all) != 2 || all[1] != one || all[0].Unplaced != "" || environment.Drops[1] != one {
				t.Errorf("%s: %q, want %q; all %+v", c.name, one.Unplaced, want, all)
			}
		}
	}
	placement.hosts, placement.err = []policy.Candidate{full, gone}, nil
	var candidates []api.Candidate
	s.operator().expect(200, "GET", "drops/"+waiting+"/placement", "").into(t, &candidates)
	if len(candidates) != 1 || candidates[0].HostName != "host2" {
		t.Errorf("candidates %+v", candidates)
	}
}

func ptr[T any](value T) *T { return &value }

// TestFewPlacementsAreExplained: a list of many DROPs that wait does not keep
// the policies from their work, and policies that do not answer keep nobody.
func TestFewPlacementsAreExplained(t *testing.T) {
	placement := &fakePlacement{hosts: []policy.Candidate{}}
	s := start(t, func(o *api.Options) { o.Placement = placement })
	site := s.makeSite(s.user(aliceID), "blog")
	for n := range 40 {
		s.waitingDrop(site, n)
	}
	s.operator().expect(200, "GET", "drops", "")
	if placement.asked != 32 {
		t.Errorf("the policies were asked %d times", placement.asked)
	}
	placement.asked, placement.err = 0, errors.New("busy")
	s.operator().expect(200, "GET", "drops", "")
	if placement.asked != 1 {
		t.Errorf("policies that do not answer were asked %d times", placement.asked)
	}
}

func TestDropsByHostAndState(t *testing.T) {
	s := start(t, nil)
	alice := s.user(aliceID)
	for n, name := range []string{"a", "b", "c"} {
		site := s.makeSite(alice, name)
		s.waitingDrop(site, n)
	}
	s.matrix(1)
	count := func(query string) int {
		var all []api.Drop
		alice.expect(200, "GET", "drops?"+query, "").into(t, &all)
		return len(all)
	}
	for query, want := range map[string]int{
		"": 6, "host=one": 3, "host=" + string(hostID): 3, "host=host1": 0, "state=requested": 3, "state=preparing": 3, "state=awake": 0,
		"host=one&state=requested": 0, "site=b&state=requested": 1, "state=requested&limit=2": 2,
		"state=requested&start=00000000000000000000000000000200": 2,
	} {
		if got := count(query); got != want {
			t.Errorf("%s: %d DROPs, want %d", query, got, want)
		}
	}
	alice.expect(404, "GET", "drops?host=nowhere", "")
	if got := alice.expect(400, "GET", "drops?state=flying", ""); !strings.Contains(got.body, "states are requested, ") {
		t.Errorf("a state that is none: %s", got.body)
	}
}
