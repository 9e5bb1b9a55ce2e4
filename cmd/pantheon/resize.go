package main

import (
	"cmp"
	"context"
	"slices"
	"time"

	"pantheon/events"
	"pantheon/events/eventlog/jetstream"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
)

// From three machines that hold the log to five, and back: the log stays where it
// is, and commands go on but for elections. See jetstream.Widen and jetstream.Narrow for what keeps
// it safe.
//
// Every machine knows the members, for its next start; one that was away when
// they changed learns of it when it is back.

// moveLog runs one move of the log at a time; it goes on when who asked has left.
func (p *platform) moveLog(ctx context.Context, what string, move func(context.Context) error) error {
	if !p.cell.moving.TryLock() {
		return problem.New(problem.Busy, "cannot %s: the log is being moved", what).WithHint("pantheon cell info shows how far it is")
	}
	done := make(chan error, 1)
	go func() {
		defer p.cell.moving.Unlock()
		done <- move(context.WithoutCancel(ctx))
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return problem.Wrap(problem.Unavailable, context.Cause(ctx), "cannot wait for the move of the log any longer; it goes on")
	}
}

// widen has further control machines hold the log.
func (p *platform) widen(ctx context.Context, settings cellSettings) error {
	hosts, err := p.growTo(len(settings.Members))
	if err != nil {
		return err
	}
	endpoints := endpointsOf(hosts)
	for _, endpoint := range settings.Members {
		if !slices.Contains(endpoints, endpoint) {
			return problem.New(problem.Conflict, "cannot grow: the machine at %s holds the log and is no control machine of the cell any more", endpoint).
				WithHint("pantheon cluster shrink, then grow, leaves it out")
		}
	}
	if err := p.enlist(ctx, hosts, settings.Members); err != nil {
		return err
	}
	if err := jetstream.Widen(ctx, p.cell.member, len(endpoints)); err != nil {
		return err
	}
	return p.agreeOn(ctx, endpoints)
}

func endpointsOf(hosts []inventory.Host) []string {
	endpoints := make([]string, len(hosts))
	for i, host := range hosts {
		endpoints[i] = host.Endpoint
	}
	return endpoints
}

// agreeOn tells all members who they are.
func (p *platform) agreeOn(ctx context.Context, endpoints []string) error {
	if err := p.cell.change(func(s *cellSettings) { s.Members = endpoints }); err != nil {
		return err
	}
	for _, endpoint := range endpoints {
		if host := p.at(endpoint); host != "" && host != p.host.ID {
			if err := p.askMember(ctx, inventory.Host{ID: host, Name: endpoint}, memberRequest{Members: endpoints}); err != nil {
				p.options.logger.Warn("a machine does not know yet who holds the log", "machine", endpoint, "error", err)
			}
		}
	}
	return nil
}

// narrow has fewer machines hold the log.
func (p *platform) narrow(ctx context.Context, settings cellSettings, machines int) error {
	leaving := p.leaving(settings, len(settings.Members)-machines)
	var names []string
	for _, host := range leaving {
		names = append(names, string(host.ID))
	}
	if err := jetstream.Narrow(ctx, p.cell.member, machines, names); err != nil {
		return err
	}
	gone := endpointsOf(leaving)
	staying := slices.DeleteFunc(slices.Clone(settings.Members), func(endpoint string) bool { return slices.Contains(gone, endpoint) })
	if err := p.agreeOn(ctx, staying); err != nil {
		return err
	}
	for _, host := range leaving {
		if err := p.askMember(ctx, host, memberRequest{Holder: p.cell.known().Endpoint}); err != nil {
			p.options.logger.Warn("a machine does not know yet that it does not hold the log any more", "machine", host.Name, "error", err)
		}
	}
	return nil
}

// leaving chooses which members go: those that are lost, then those that came
// last; never this one.
func (p *platform) leaving(settings cellSettings, count int) []inventory.Host {
	var members []inventory.Host
	known := p.inventory.Snapshot()
	for _, host := range known.Hosts() {
		if slices.Contains(settings.Members, host.Endpoint) && host.ID != p.host.ID {
			members = append(members, host)
		}
	}
	lost := func(h inventory.Host) int {
		if h.Status == inventory.Lost {
			return 0
		}
		return 1
	}
	slices.SortFunc(members, func(a, b inventory.Host) int {
		return cmp.Or(cmp.Compare(lost(a), lost(b)), b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID))
	})
	return members[:min(count, len(members))]
}

// tellLeavers has control machines that held the log, and were away when that
// ended, use it as the others do. It is asked of those that are there and are no
// members, by the one that leads.
func (p *platform) tellLeavers(ctx context.Context) error {
	told := make(map[events.HostID]time.Time) // since when it is there
	return p.eachChange(ctx, controlPause, func(state inventory.State) error {
		settings := p.cell.known()
		if len(settings.Members) == 0 || p.cell.member == nil || !p.leads() || !p.cell.moving.TryLock() {
			return nil
		}
		defer p.cell.moving.Unlock()
		for _, host := range state.Hosts() {
			if !slices.Contains(host.Roles, events.RoleControl) || host.Status == inventory.Lost || slices.Contains(settings.Members, host.Endpoint) ||
				told[host.ID].Equal(host.Changed) {
				continue
			}
			var answer memberAnswer
			if err := p.askHost(ctx, host.ID, askMember, memberRequest{Holder: settings.Endpoint}, &answer); err != nil {
				continue // it is asked again with the next change
			}
			told[host.ID] = host.Changed
			if answer.Left {
				if err := jetstream.Narrow(ctx, p.cell.member, len(settings.Members), []string{string(host.ID)}); err != nil {
					p.options.logger.Warn("cannot take a machine that was away out of those that hold the log", "machine", host.Name, "error", err)
				}
			}
		}
		return nil
	})
}
