package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"pantheon/actors"
	"pantheon/actors/binding"
	"pantheon/actors/drop"
	"pantheon/actors/host"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
	"pantheon/projections/zone"
)

// # How a machine without the control role has something decided
//
// It asks a control machine at "control.<host>.<roles>.<control machine>", which
// looks whether it may, has its actors decide, and answers with the receipt or
// the error. Any control machine may decide; the one whose policies act, and
// whose actors so are those that the command most likely meets, is asked first.
// The log's server lets a machine publish below the name and the roles of its
// certificate alone: who asks needs no proof.

// asker is a machine that is no control machine, as the log's server knows it.
type asker struct {
	id    events.HostID
	roles []events.HostRole // sorted
}

// token names it in subjects.
func (a asker) token() string { return string(a.id) + "." + rolesToken(a.roles) }

func rolesToken(roles []events.HostRole) string {
	texts := make([]string, len(roles))
	for i, role := range slices.Sorted(slices.Values(roles)) {
		texts[i] = string(role)
	}
	return strings.Join(texts, "-")
}

func (a asker) subject(decider string) string { return "control." + a.token() + "." + decider }

// askerOf is the inverse of subject.
func askerOf(subject string) asker {
	tokens := strings.Split(subject, ".") // the server has matched it
	from := asker{id: events.HostID(tokens[1])}
	for role := range strings.SplitSeq(tokens[2], "-") {
		from.roles = append(from.roles, events.HostRole(role))
	}
	return from
}

// openCommander opens what carries commands out: this machine's actors, or the
// way to those of the control machines.
func (p *platform) openCommander(log actors.Log) error {
	if !p.control() {
		p.remote = actors.NewRemote(actors.RemoteOptions{Deciders: p.deciders, Ask: p.askDecider})
		p.commander = p.remote
		return nil
	}
	var err error
	if p.system, err = actors.New(actors.Options{Log: log, Logger: p.options.logger}); err != nil {
		return err
	}
	p.onClose(p.system.Close)
	p.commander, p.reception = p.system, actors.NewReception(p.system)
	return nil
}

// deciders are the control machines, the one that leads first, those that are
// lost last.
func (p *platform) deciders() []events.HostID {
	state := p.inventory.Snapshot()
	leader := p.leader()
	order := func(id events.HostID) int {
		known, _ := state.Host(id)
		switch {
		case id == leader:
			return 0
		case known.Status != inventory.Lost:
			return 1
		}
		return 2
	}
	all := p.cell.controlHosts()
	slices.SortStableFunc(all, func(a, b events.HostID) int { return order(a) - order(b) })
	return all
}

func (p *platform) askDecider(ctx context.Context, decider events.HostID, request []byte) ([]byte, error) {
	own := p.cell.node.Host()
	answer, err := p.log.Conn().RequestWithContext(ctx, asker{own.ID, own.Roles}.subject(string(decider)), request)
	if err != nil {
		return nil, err
	}
	return answer.Data, nil
}

// serveControl has other machines' commands decided until ctx ends.
func (p *platform) serveControl(ctx context.Context) error {
	defer p.reception.Wait()
	subscription, err := p.log.Conn().Subscribe(asker{"*", []events.HostRole{"*"}}.subject(string(p.host.ID)), func(message *nats.Msg) {
		from := askerOf(message.Subject)
		p.reception.Take(ctx, actors.Visit{
			From: from.id, Text: message.Data,
			Admit: func(ctx context.Context, request *actors.Request) error {
				return p.admitCommand(ctx, from, message.Header, request)
			},
			Respond: func(answer []byte) { _ = message.Respond(answer) }, // who asked may be gone
		})
	})
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot listen for the commands of other machines")
	}
	defer func() { _ = subscription.Unsubscribe() }() // fails where the connection is gone, and with it the subscription
	<-ctx.Done()
	return ctx.Err()
}

// admitCommand refuses what a machine may not have decided. What the views of
// this machine refuse they may not have heard of yet.
func (p *platform) admitCommand(ctx context.Context, from asker, header nats.Header, request *actors.Request) error {
	for name := range header {
		if name != "Nats-Request-Info" { // the server's own
			return deniedTo(from, request, "it came with header %.40q: it is a copy of something else", name)
		}
	}
	request.Meta.Time, request.Meta.Address = time.Now().UTC(), ""
	err := mayCommand(p.inventory.Snapshot(), from, request)
	if err == nil && request.Meta.Cause <= p.inventory.Position() {
		return nil
	}
	state := p.caughtUp(ctx)
	if request.Meta.Cause > p.inventory.Position() {
		return deniedTo(from, request, "it names position %d as its cause, and the log does not reach there", request.Meta.Cause)
	}
	return mayCommand(&state, from, request)
}

// mayCommand is THE table of what a machine that is no control machine may have
// decided: who it is itself, and facts about what it holds. No gateway of an entry
// or a name server sends commands: the API, which asks who somebody is, is on
// control machines alone. A host that is lost says no less: what was taken from
// it, it does not hold.
func mayCommand(state *inventory.State, from asker, request *actors.Request) error {
	if state.Removed(from.id) {
		return deniedTo(from, request, "it was removed from the cell")
	}
	if own := from.id.Stream().String(); request.Meta.Principal != own {
		return deniedTo(from, request, "it speaks as %.80q, and is %s", request.Meta.Principal, own)
	}
	switch c := request.Command.(type) {
	case host.Register:
		if err := ofItself(from, request); err != nil {
			return err
		}
		return mayBear(state, from.id, c.Name)
	case host.ReportAddresses, host.ReportEndpoint:
		return ofItself(from, request)
	case host.ReportSoftware:
		if !speaks(c.Protocol, cellProtocol) { // the others would end for the sake of it
			return deniedTo(from, request, "it speaks protocol %d, and this machine %d", c.Protocol, cellProtocol)
		}
		return ofItself(from, request)
	case host.TakeRoles:
		if rolesToken(c.Roles) != rolesToken(from.roles) {
			return deniedTo(from, request, "it takes the roles %.80q, and its certificate gives it %s", rolesToken(c.Roles), rolesToken(from.roles))
		}
		return ofItself(from, request)
	case drop.Report:
		known, is := state.Drop(events.DropID(request.To.ID))
		return ofWhatItHolds(state, from, request, c.Host, is && known.Host != from.id)
	case binding.Report:
		known, is := state.Binding(events.BindingID(request.To.ID))
		_, gone := c.Fact.(events.BindingRetired) // also of what it should not have had
		return ofWhatItHolds(state, from, request, c.Host, is && known.Host != from.id && !gone)
	}
	return deniedTo(from, request, "control machines alone decide that")
}

// ofItself lets a machine say what its start says.
func ofItself(from asker, request *actors.Request) error {
	if request.To != from.id.Stream() {
		return deniedTo(from, request, "it may speak of itself alone")
	}
	return through(from, request, zone.StartGateway, "start:")
}

// ofWhatItHolds lets a machine say what its agent says. elsewhere: the object is
// not placed on it.
func ofWhatItHolds(state *inventory.State, from asker, request *actors.Request, witness events.HostID, elsewhere bool) error {
	switch {
	case witness != from.id:
		return deniedTo(from, request, "it says what machine %.40q saw", witness)
	case elsewhere && !state.HasAdmitted(from.id, request.To): // what it has admitted will be placed there
		return deniedTo(from, request, "the machine does not hold it")
	}
	return through(from, request, "agent", "agent:"+string(from.id)+":")
}

// through keeps a machine to the gateway and the ids of such commands: one that
// bore the id of an intent would be taken for it.
func through(from asker, request *actors.Request, gateway, ids string) error {
	switch {
	case request.Meta.Gateway != gateway:
		return deniedTo(from, request, "it names %.40q as its gateway, which is %q", request.Meta.Gateway, gateway)
	case !strings.HasPrefix(string(request.Meta.Command), ids):
		return deniedTo(from, request, "its id %.80q does not begin with %q", request.Meta.Command, ids)
	}
	return nil
}

// mayBear refuses the name of another machine. One that was there already stays.
func mayBear(state *inventory.State, id events.HostID, name string) error {
	other, taken := state.HostByName(name)
	if known, is := state.Host(id); !taken || other.ID == id || is && known.Name == name {
		return nil
	}
	return problem.New(problem.Conflict, "cannot register machine %s as %.80s: another machine of the cell has this name", id, name).
		WithHint("--host-name takes another one")
}

func deniedTo(from asker, request *actors.Request, why string, args ...any) error {
	return problem.New(problem.Denied, "machine %s may not have %T decided for %s: "+why, append([]any{from.id, request.Command, request.To}, args...)...)
}
