package api_test

import (
	"fmt"
	"testing"

	"pantheon/actors/binding"
	"pantheon/actors/host"
	"pantheon/events"
	"pantheon/gateways/api"
)

// bound gives an environment of a site a database on a host.
func (s *server) bound(id events.SiteID, on events.HostID) events.BindingID {
	s.t.Helper()
	database := events.BindingID(fmt.Sprintf("%032x", 0x300))
	spec := events.BindingSpec{Kind: events.DBServer, Site: id, Environment: events.EnvironmentOf(id, "dev"), MemoryMiB: 8}
	s.must(database.Stream(), binding.Request{Binding: database, Spec: spec})
	s.must(on.Stream(), host.AdmitBinding{Binding: database, Spec: spec})
	s.must(database.Stream(), binding.Place{Host: on})
	s.must(database.Stream(), binding.Report{Host: on, Fact: events.BindingProvisioned{Binding: database, Host: on}})
	return database
}

func (s *server) environment(name string) (record api.Environment) {
	s.t.Helper()
	s.operator().expect(200, "GET", "sites/"+name+"/environments/dev", "").into(s.t, &record)
	return record
}

func TestLostMachineIsWrittenOff(t *testing.T) {
	s := start(t, nil)
	alice, bob := s.user(aliceID), s.user(bobID)
	site := s.makeSite(alice, "blog")
	hosts := s.matrix(2)
	database := s.bound(site, hosts[0])
	var there []api.Binding
	s.operator().expect(200, "GET", "bindings?host=host1", "").into(t, &there)
	if len(there) != 1 || there[0].ID != database {
		t.Errorf("on host1 are %+v", there)
	}
	s.operator().expect(200, "GET", "bindings?host=host2", "").into(t, &there)
	if len(there) != 0 {
		t.Errorf("on host2 are %+v", there)
	}
	s.operator().expect(404, "GET", "bindings?host=host9", "")
	s.operator().expect(409, "DELETE", "hosts/host1", "")
	s.operator().expect(409, "DELETE", "hosts/host1?lost=true", "")
	s.must(hosts[0].Stream(), host.ReportLost{Reason: "its lease ran out"})
	alice.expect(403, "DELETE", "hosts/host1?lost=true", "")
	alice.expect(409, "POST", "sites/blog/environments/dev/renew", "")
	s.operator().expect(204, "DELETE", "hosts/host1?lost=true", "")
	if removed := s.host(string(hosts[0])); removed.State != "removed" {
		t.Errorf("removed: %+v", removed)
	}
	s.must(database.Stream(), binding.Lose{Host: hosts[0]})
	if record := s.environment("blog"); len(record.Losses) == 0 || record.Losses[0].Effect != "gone" || record.Losses[0].HostName != "host1" {
		t.Errorf("the environment is %+v", record.Losses)
	}
	s.operator().expect(200, "GET", "bindings?site=blog", "").into(t, &there)
	if len(there) != 1 || there[0].State != "lost" || there[0].HostName != "host1" {
		t.Errorf("its bindings are %+v", there)
	}
	bob.expect(404, "POST", "sites/blog/environments/dev/renew", "")
	alice.expect(200, "POST", "sites/blog/environments/dev/renew", "")
	if got := s.eventNames(database.Stream().String()); got != "BindingRequested BindingPlaced BindingProvisioned BindingLost BindingRenewalRequested" {
		t.Errorf("the database's stream is %s", got)
	}
}
