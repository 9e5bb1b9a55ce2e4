package main

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"pantheon/events"
	"pantheon/events/eventlog/jetstream"
	"pantheon/events/problem"
	"pantheon/projections"
	"pantheon/projections/inventory"
)

// Machines that shall hold the log are asked all before the first is told. When
// one that was told fails nevertheless, the others are told that nothing came of
// it; one that cannot be told finds out when it starts the next time, as does one
// that was away when the log shrank.

const (
	// checkMemberTimeout is for an answer that takes no work.
	checkMemberTimeout = 5 * time.Second
	// sharedTimeout is for one look for the log among the machines that hold it,
	// aloneTimeout for one at a machine that may hold it alone.
	sharedTimeout = 10 * time.Second
	aloneTimeout  = 5 * time.Second
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
			return problem.Wrap(problem.KindOf(err), err, "cannot grow")
		}
	}
	for i, host := range hosts {
		if err := p.awaitMember(ctx, host, request); err != nil {
			p.discharge(ctx, hosts[:i+1], len(holding))
			return problem.Wrap(problem.KindOf(err), err, "cannot grow")
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

// errHeldAlone is why a machine does not hold the log as it was to.
var errHeldAlone = errors.New("another machine holds the log alone")

// sharedLog opens the log by this machine's replica or, where it is not held so
// (any longer), as that of the machine that has it: nothing came of a growth, or
// this machine was away when the log shrank.
func (p *platform) sharedLog(ctx context.Context, member *jetstream.Member) (cellLog, error) {
	c := p.cell
	log, err := p.awaitLog(ctx, func(ctx context.Context) (cellLog, error) {
		looking, cancel := context.WithTimeout(ctx, sharedTimeout)
		defer cancel()
		log, err := member.Client(looking)
		if err != nil && p.heldAlone(ctx) {
			return nil, problem.Wrap(problem.Conflict, errHeldAlone, "cannot hold the log")
		}
		if looking.Err() != nil && ctx.Err() == nil {
			err = problem.Wrap(problem.Unavailable, err, "cannot find the log among the machines that hold it")
		}
		return log, err
	})
	if !errors.Is(err, errHeldAlone) {
		return log, err
	}
	p.options.logger.Warn("this machine does not hold the log, as another one holds it alone")
	c.member = nil
	err = errors.Join(member.Close(), c.change(func(s *cellSettings) { s.Members, s.HoldsLog, s.Founder = nil, false, false }))
	if err != nil {
		return nil, err
	}
	return p.findLog(ctx)
}

// heldAlone says whether one of the other control machines has the log by itself:
// all of it that this machine has seen, which an old copy has not.
func (p *platform) heldAlone(ctx context.Context) bool {
	settings, seen := p.cell.known(), p.seen(ctx)
	others := append(slices.Clone(settings.Members), settings.Control...)
	slices.Sort(others)
	return slices.ContainsFunc(slices.Compact(others), func(endpoint string) bool {
		return endpoint != settings.Endpoint && p.holdsAlone(ctx, endpoint, seen)
	})
}

// seen is how far a view of the log that was saved here has come.
func (p *platform) seen(ctx context.Context) (position events.Position) {
	_ = projections.Files{Dir: p.path("views")}.Load(ctx, clockView, func(header projections.Header, _ iter.Seq2[[]byte, error]) error {
		position = header.Position
		return nil
	}) // what was not saved was not seen
	return position
}

func (p *platform) holdsAlone(ctx context.Context, endpoint string, seen events.Position) bool {
	ctx, cancel := context.WithTimeout(ctx, aloneTimeout)
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
	info := stream.CachedInfo()
	alone := info.Cluster == nil || info.Cluster.Name == "" // such a server is of no cluster
	return alone && info.State.LastSeq >= uint64(seen)
}
