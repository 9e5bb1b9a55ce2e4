package policy

import (
	"fmt"
	"testing"

	"pantheon/events"
)

// BenchmarkRebalance looks at the sites of a balanced cell of 1,000 hosts with a
// hundred DROPs each, half of them beside their data; an operation is one look.
func BenchmarkRebalance(b *testing.B) {
	const hosts, sites = 1000, 50_000
	s := New()
	at := events.Position(0)
	fold := func(to events.StreamID, list ...events.Event) {
		at++
		s.Apply(events.Envelope{Commit: events.Commit{Stream: to, Events: list}, Position: at})
	}
	for n := range hosts {
		fold(hostOf(n).Stream(), events.HostRegistered{Host: hostOf(n), Name: "host", MemoryMiB: 64 << 10, Cores: 1})
	}
	for n := range sites {
		site := events.SiteID(fmt.Sprintf("%08x-0000-4000-8000-%012x", n, n))
		env, data := events.EnvironmentOf(site, "dev"), hostOf(n%hosts)
		settings := events.EnvironmentSettings{Drops: 2, MemoryMiB: 128}
		spec := events.DropSpec{Generation: 1, Environment: env, Commit: "c", Deployment: 1, Seed: 1, Settings: settings}
		fold(site.Stream(), events.SiteCreated{Site: site})
		fold(env.Stream(), events.EnvironmentCreated{Environment: env, Settings: settings}, events.CodeDeployed{Environment: env, Commit: "c", Deployment: 1})
		for _, kind := range []events.BindingKind{events.DBServer, events.FileServer} {
			id := BindingIDOf(kind, string(env))
			bound := events.BindingSpec{Kind: kind, Site: site, Environment: env}
			fold(id.Stream(), events.BindingRequested{Binding: id, Spec: bound}, events.BindingPlaced{Binding: id, Host: data}, events.BindingProvisioned{Binding: id, Host: data})
			fold(data.Stream(), events.BindingAdmitted{Host: data, Binding: id, Spec: bound})
			spec.Services = append(spec.Services, events.BoundService{Kind: kind, Binding: id, Host: data})
		}
		for i, on := range []events.HostID{data, hostOf((n + hosts/2) % hosts)} {
			id := DropIDOf(env, i)
			fold(id.Stream(), events.DropRequested{Drop: id, Environment: env})
			fold(on.Stream(), events.DropAdmitted{Host: on, Drop: id, Spec: spec})
			fold(id.Stream(), events.DropPlaced{Drop: id, Environment: env, Host: on}, events.DropReady{Drop: id, Host: on, Generation: 1})
		}
	}
	s.Plan()
	for b.Loop() {
		if intent, found := s.Rebalance(); found {
			b.Fatalf("a balanced cell moves %+v", intent)
		}
	}
}
