package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"time"

	zones "pantheon/actors/zone"
	"pantheon/events"
	"pantheon/projections/inventory"
)

// Where visitors and resolvers are sent to: in a cell, all machines with the role
// entry, or dns, but for those that are lost. The control machine that leads keeps it so
// in the settings of the platform's zone. What a person has chosen (dns zone set),
// and addresses of no machine, as of a load balancer, it leaves alone.

// entriesPause is between two looks at changes among hosts.
const entriesPause = 500 * time.Millisecond

func (p *platform) tendEntries(ctx context.Context) error {
	return p.eachChange(ctx, entriesPause, func(state inventory.State) error {
		if !p.leads() {
			return nil
		}
		domain := events.ZoneName(p.options.domain)
		now, chosen := p.zoneSettings(domain)
		next := now
		p.tend(state, &next, chosen)
		if reflect.DeepEqual(next, now) {
			return nil
		}
		key := fmt.Sprintf("entries/%s/%d", p.startID(), p.zones.Position())
		err := p.command(ctx, key, domain.Stream(), zones.Configure{Zone: domain, Role: events.ZonePlatform, Settings: next})
		if err != nil && ctx.Err() == nil {
			p.options.logger.Warn("cannot change where visitors are sent to; trying again with the next change among hosts", "error", err)
		}
		return nil
	})
}

// tend brings settings in line with the machines, but for what people have chosen.
func (p *platform) tend(state inventory.State, settings *events.ZoneSettings, chosen events.ZoneSettings) {
	if len(chosen.Entry) == 0 {
		settings.Entry = tended(state, events.RoleEntry, settings.Entry)
	}
	if len(chosen.NameServers) == 0 {
		settings.NameServers = tendedServers(state, "ns1."+p.options.domain, settings.NameServers, settings.Entry)
	}
}

// tended gives the addresses of the machines with a role, where those that are
// there now are of machines.
func tended(state inventory.State, role events.HostRole, now []string) []string {
	known := map[string]bool{}
	for _, host := range state.Hosts() {
		for _, address := range append(addressesOf(host), endpointAddress(host)...) {
			known[address] = true
		}
	}
	all := addressesWithRole(state, role)
	if len(all) == 0 || slices.ContainsFunc(now, func(address string) bool { return !known[address] }) {
		return now
	}
	return all
}

// tendedServers gives the name servers, where they are what follows from the
// machines: one name, for the machines with the role dns. None stands for that with
// the addresses of the entry.
func tendedServers(state inventory.State, name string, now []events.NameServer, entry []string) []events.NameServer {
	addresses := entry
	if len(now) > 0 {
		if len(now) > 1 || now[0].Name != name {
			return now
		}
		addresses = now[0].Addresses
	}
	next := tended(state, events.RoleDNS, addresses)
	switch {
	case len(now) > 0 && slices.Equal(next, addresses):
		return now // also where they are of no machine
	case slices.Equal(next, entry):
		return nil
	}
	return []events.NameServer{{Name: name, Addresses: next}}
}

// addressesWithRole of the machines that are not lost; of all, where all are.
func addressesWithRole(state inventory.State, role events.HostRole) []string {
	var there, all []string
	for _, host := range state.Hosts() {
		if len(host.Roles) > 0 && !slices.Contains(host.Roles, role) {
			continue
		}
		all = append(all, addressesOf(host)...)
		if host.Status != inventory.Lost {
			there = append(there, addressesOf(host)...)
		}
	}
	if len(there) == 0 {
		there = all
	}
	slices.SortFunc(there, func(a, b string) int {
		return netip.MustParseAddr(a).Compare(netip.MustParseAddr(b))
	})
	return slices.Compact(there)
}

// addressesOf a machine: those that it sends from to the world, else the one
// where the cell reaches it.
func addressesOf(host inventory.Host) []string {
	var all []string
	for _, text := range host.Addresses {
		if address, err := netip.ParseAddr(text); err == nil && !address.IsLoopback() {
			all = append(all, text)
		}
	}
	if len(all) == 0 {
		return endpointAddress(host)
	}
	return all
}

func endpointAddress(host inventory.Host) []string {
	text, _, err := net.SplitHostPort(host.Endpoint)
	if _, parseErr := netip.ParseAddr(text); err != nil || parseErr != nil {
		return nil
	}
	return []string{text}
}
