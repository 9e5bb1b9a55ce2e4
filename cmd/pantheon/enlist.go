package main

import (
	"context"
	"errors"
	"slices"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"pantheon/events/eventlog/jetstream"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
)

// Machines that shall hold the log are asked all before the first is told. When
// one that was told fails nevertheless, the others are told that nothing came of
// it; one that cannot be told finds out when it starts the next time.

const (
	// checkMemberTimeout is for an answer that takes no work.
	checkMemberTimeout = 5 * time.Second
	// pendingTimeout is for one look for the log, among the members or elsewhere.
	pendingTimeout = 5 * time.Second
)

// enlist has hosts be ready to hold the log, beside those that do.
func (p *platform) enlist(ctx context.Context, hosts []inventory.Host, holding []string) error {
	request := memberRequest{Members: endpointsOf(hosts)}
	hosts = slices.DeleteFunc(slices.Clone(hosts), func(h inventory.Host) bool { return slices.Contains(holding, h.Endpoint) })
	check := request
	check.Check = true
	for _, host := range hosts {
		asking, cancel := context.WithTimeout(ctx, checkMemberTimeout)
		err := p.awaitMember(asking, host, check)
		cancel()
		if err != nil {
			return problem.Wrap(problem.KindOf(err), err, "cannot grow").WithHint("%s", problem.HintOf(err))
		}
	}
	for i, host := range hosts {
		if err := p.awaitMember(ctx, host, request); err != nil {
			p.discharge(ctx, hosts[:i+1], len(holding))
			return problem.Wrap(problem.KindOf(err), err, "cannot grow").WithHint("%s", problem.HintOf(err))
		}
	}
	return nil
}

// discharge tells hosts that nothing came of it.
func (p *platform) discharge(ctx context.Context, hosts []inventory.Host, holding int) {
	for _, host := range hosts {
		asking, cancel := context.WithTimeout(ctx, checkMemberTimeout)
		err := p.askMember(asking, host, memberRequest{Holder: p.cell.known().Endpoint})
		cancel()
		if err == nil && p.cell.member != nil {
			err = jetstream.Narrow(ctx, p.cell.member, holding, []string{string(host.ID)})
		}
		if err != nil {
			p.options.logger.Warn("a machine does not know that the log has not grown; it finds out at its next start", "machine", host.Name, "error", err)
		}
	}
}

// errNeverGrew is why a machine does not hold the log as it was to.
var errNeverGrew = errors.New("the log has not grown: another machine holds it alone")

// pendingLog opens the log by this machine's replica or, where nothing came of
// the growth that it was for, as that of the machine that has it.
func (p *platform) pendingLog(ctx context.Context, member *jetstream.Member) (cellLog, error) {
	c := p.cell
	log, err := p.awaitLog(ctx, func(ctx context.Context) (cellLog, error) {
		looking, cancel := context.WithTimeout(ctx, pendingTimeout)
		defer cancel()
		log, err := member.Client(looking)
		if err != nil && p.heldAlone(ctx) {
			return nil, problem.Wrap(problem.Conflict, errNeverGrew, "cannot hold the log")
		}
		if looking.Err() != nil && ctx.Err() == nil {
			err = problem.Wrap(problem.Unavailable, err, "cannot find the log among the machines that shall hold it")
		}
		return log, err
	})
	switch {
	case err == nil:
		return log, c.change(func(s *cellSettings) { s.Pending = false })
	case !errors.Is(err, errNeverGrew):
		return nil, err
	}
	p.options.logger.Warn("this machine was to hold the log with others; nothing came of it")
	c.member = nil
	err = errors.Join(member.Close(), c.change(func(s *cellSettings) { s.Members, s.Pending = nil, false }))
	if err != nil {
		return nil, err
	}
	return p.findLog(ctx)
}

// heldAlone says whether one of the other control machines has the log by itself.
func (p *platform) heldAlone(ctx context.Context) bool {
	settings := p.cell.known()
	return slices.ContainsFunc(settings.Control, func(endpoint string) bool {
		return endpoint != settings.Endpoint && p.holdsAlone(ctx, endpoint)
	})
}

func (p *platform) holdsAlone(ctx context.Context, endpoint string) bool {
	ctx, cancel := context.WithTimeout(ctx, pendingTimeout)
	defer cancel()
	client, err := jetstream.Dial(ctx, jetstream.DialOptions{
		Addresses: []string{logAddress(endpoint)}, TLS: p.cell.node.Client(""), Name: string(p.host.ID), Logger: p.options.logger,
	})
	if err != nil {
		return false
	}
	defer func() { _ = client.Close() }() // nothing was written
	js, err := natsjs.New(client.Conn())
	if err != nil {
		return false
	}
	stream, err := js.Stream(ctx, "events")
	if err != nil {
		return false
	}
	cluster := stream.CachedInfo().Cluster
	return cluster == nil || cluster.Name == "" // a server that is alone is of no cluster
}
