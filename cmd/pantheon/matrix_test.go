package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"pantheon/actors/host"
	"pantheon/events"
	"pantheon/gateways/api"
)

func TestHostCommands(t *testing.T) {
	var one events.HostID
	p := startControlPlane(t, func(o *api.Options) {
		o.Health = func() map[events.HostID]api.HostHealth {
			return map[events.HostID]api.HostHealth{one: {Connected: true, RoundTrip: 420 * time.Microsecond, AwakeDrops: 7, Load1: 1.5}}
		}
	})
	p.register("one")
	out, _ := p.run(0, "host info --field id")
	one = events.HostID(strings.TrimSpace(out))
	p.register("two")
	p.do("addresses", one.Stream(), host.ReportAddresses{Addresses: []string{"192.0.2.1"}})
	p.do("endpoint", one.Stream(), host.ReportEndpoint{Endpoint: "192.0.2.1:8100"})
	p.do("roles", one.Stream(), host.TakeRoles{Roles: []events.HostRole{events.RoleHost, events.RoleControl}})
	p.run(0, "host drain two --wait=false")
	if out, _ := p.run(0, "host list --fields name,state,connected,load,roles"); !strings.Contains(out, "one   ready     yes        1.50  control,host\n") ||
		!strings.Contains(out, "two   draining  -          -     control,dns,entry,host\n") {
		t.Errorf("hosts\n%s", out)
	}
	if out, _ := p.run(0, "host info one --fields addresses,endpoint,round_trip,awake_drops,cores,memory_mib"); out != ""+
		"addresses    192.0.2.1\nendpoint     192.0.2.1:8100\nround_trip   0.42 ms\nawake_drops  7\ncores        2\nmemory_mib   4096\n" {
		t.Errorf("one\n%s", out)
	}
	p.shows("host info two --fields connected,awake_drops", "connected    -", "awake_drops  0")
	p.do("lost", one.Stream(), host.ReportLost{Reason: "its lease ran out"})
	p.shows("host info one --fields state,reason", "lost", "its lease ran out")
	p.do("returned", one.Stream(), host.ReportReturned{})
	p.run(0, "host remove one --yes")
	p.shows("host info "+string(one)+" --fields name,state", "one", "removed")
	if _, said := p.run(66, "host info one"); !strings.Contains(said, "hint: pantheon host list") {
		t.Errorf("a name that is gone: %s", said)
	}
	for _, line := range []string{"info", "drain", "undrain", "remove"} {
		p.shows("__complete host "+line+" t", "two\n")
	}
	p.shows("__complete drop move x --to t", "two\n")
}

func TestCellInfo(t *testing.T) {
	var replicas []api.LogReplica
	p := startControlPlane(t, func(o *api.Options) {
		o.Cell = func(context.Context) (api.CellFacts, error) {
			return api.CellFacts{ID: "c0ffee", Replicas: replicas}, nil
		}
	})
	p.register("one")
	p.shows("cell info --fields log_on,spare,if_lost", "log_on   -", "spare    -", "is not known here")
	out, _ := p.run(0, "host info --field id")
	one := events.HostID(strings.TrimSpace(out))
	replicas = []api.LogReplica{{Host: one, Leader: true, Current: true}}
	p.shows("cell info", "id       c0ffee\n", "domain   pantheon.localhost\n", "control  one\n", "dns      one\n", "log_on   one\n", "spare    0\n",
		"if_lost  1 of 1: losing one stops commands, and DROPs away from their data, until it is back\n")
	p.register("two")
	p.do("lost", one.Stream(), host.ReportLost{Reason: "its lease ran out"})
	replicas = append(replicas, api.LogReplica{Host: "0000000000000000000000000000000c"})
	p.shows("cell info", "host     one (lost), two\n", "log_on   one (leads), 0000000000000000000000000000000c (behind or away)\n", "spare    -1\n")
	p.shows("cell info --format json", `"leader": true`)
}
