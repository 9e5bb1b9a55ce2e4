package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pantheon/actors/host"
	"pantheon/events"
	"pantheon/gateways/api"
)

func (s *server) host(name string) api.Host {
	s.t.Helper()
	var record api.Host
	s.operator().expect(200, "GET", "hosts/"+name, "").into(s.t, &record)
	return record
}

func TestHostRecords(t *testing.T) {
	var health map[events.HostID]api.HostHealth
	s := start(t, func(o *api.Options) {
		o.Health = func() map[events.HostID]api.HostHealth { return health }
	})
	hosts := s.matrix(4)
	s.must(hosts[0].Stream(), host.ReportAddresses{Addresses: []string{"192.0.2.1", "2001:db8::1"}})
	s.must(hosts[0].Stream(), host.ReportEndpoint{Endpoint: "192.0.2.1:8100"})
	s.must(hosts[1].Stream(), host.TakeRoles{Roles: []events.HostRole{events.RoleEntry}})
	health = map[events.HostID]api.HostHealth{
		hosts[0]: {Connected: true, RoundTrip: 1500 * time.Microsecond, AwakeDrops: 3, Load1: 0.5},
		hosts[1]: {Load1: 7},
		hosts[2]: {Connected: true},
	}
	one := s.host("host1")
	if strings.Join(one.Addresses, " ") != "192.0.2.1 2001:db8::1" || one.Endpoint != "192.0.2.1:8100" || len(one.Roles) != 4 || one.Since.IsZero() {
		t.Errorf("host1 %+v", one)
	}
	if live := one.Live; live == nil || !live.Connected || *live.RoundTripMS != 1.5 || *live.AwakeDrops != 3 || *live.Load1 != 0.5 {
		t.Errorf("host1 is %+v", one.Live)
	}
	two := s.host("host2")
	if fmt.Sprint(two.Roles) != "[entry]" || two.Live == nil || *two.Live != (api.HostLive{}) {
		t.Errorf("host2 %+v, %+v", two, two.Live)
	}
	if live := s.host("host3").Live; live == nil || *live != (api.HostLive{Connected: true}) {
		t.Errorf("host3 is %+v", live)
	}
	if live := s.host("host4").Live; live != nil {
		t.Errorf("host4 is %+v", live)
	}
	var all []api.Host
	s.operator().expect(200, "GET", "hosts", "").into(t, &all)
	if len(all) != 4 || all[0].Live == nil || all[3].Live != nil {
		t.Errorf("hosts %+v", all)
	}
}

func TestHostStates(t *testing.T) {
	s := start(t, nil)
	hosts := s.matrix(2)
	first := hosts[0].Stream()
	s.operator().expect(200, "POST", "hosts/host1/drain", "")
	if got := s.host("host1"); got.State != "draining" {
		t.Errorf("drained: %+v", got)
	}
	s.must(first, host.ReportLost{Reason: "its lease ran out"})
	if got := s.host("host1"); got.State != "lost" || got.Reason != "its lease ran out" {
		t.Errorf("lost: %+v", got)
	}
	s.must(first, host.ReportReturned{})
	s.operator().expect(200, "POST", "hosts/host1/undrain", "")
	if got := s.host("host1"); got.State != "ready" || got.Reason != "" {
		t.Errorf("back: %+v", got)
	}
	s.operator().expect(204, "DELETE", "hosts/host1", "")
	removed := s.host(string(hosts[0]))
	if removed.State != "removed" || removed.Name != "host1" || removed.MemoryMiB != 1024 || removed.Since.IsZero() {
		t.Errorf("removed: %+v", removed)
	}
	s.operator().expect(404, "GET", "hosts/host1", "")
	s.operator().expect(404, "POST", "hosts/"+string(hosts[0])+"/drain", "")
	s.operator().expect(409, "DELETE", "hosts/host2", "")
}
