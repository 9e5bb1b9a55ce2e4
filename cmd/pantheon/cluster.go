package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"pantheon/events"
	"pantheon/events/eventlog/jetstream"
	"pantheon/events/problem"
	"pantheon/gateways/api"
	"pantheon/projections/inventory"
	"pantheon/runtime/keys"
	"pantheon/runtime/vault"
	"pantheon/runtime/vault/natsbucket"
)

// What several machines hold together: the log, and the secrets of the cell.
//
// pantheon cluster grow takes the log from one machine to all control machines.
// That one asks the others to start their members, which wait for a majority;
// then it notes that the log is to move, and begins anew in its process, with
// its sites left running: opening the log is when nobody has it open. What is
// noted is carried out again after a crash, until it is done.

// patiently does what needs other machines, as often as needed: they may start
// later than this one.
func (p *platform) patiently(ctx context.Context, do func(context.Context) error) error {
	for {
		err := do(ctx)
		if err == nil || ctx.Err() != nil || problem.KindOf(err) != problem.Unavailable {
			return err
		}
		p.options.logger.Warn("the cell cannot be reached yet; trying again", "error", err)
		select {
		case <-time.After(cellRetry):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

const cellRetry = time.Second

func (p *platform) awaitLog(ctx context.Context, open func(context.Context) (cellLog, error)) (log cellLog, err error) {
	err = p.patiently(ctx, func(ctx context.Context) (err error) {
		log, err = open(ctx)
		return err
	})
	return log, err
}

// memberLog opens this machine's replica of the log, and the log by it.
func (p *platform) memberLog(ctx context.Context) (cellLog, error) {
	c := p.cell
	member, err := p.openMember(ctx, c.settings.Members)
	if err != nil {
		return nil, err
	}
	if c.settings.Growing {
		err := p.patiently(ctx, func(ctx context.Context) error { return jetstream.Grow(ctx, p.path("log"), member) })
		if err != nil {
			return nil, err
		}
		if err := c.change(func(s *cellSettings) { s.Growing, s.HoldsLog = false, false }); err != nil {
			return nil, err
		}
	}
	return p.sharedLog(ctx, member)
}

func (p *platform) openMember(ctx context.Context, endpoints []string) (*jetstream.Member, error) {
	c := p.cell
	var peers []string
	for _, endpoint := range endpoints {
		if endpoint != c.settings.Endpoint {
			peers = append(peers, portAbove(endpoint, 2))
		}
	}
	member, err := jetstream.OpenMember(ctx, jetstream.Options{
		Dir: p.path("log-member"), Logger: p.options.logger,
		Listen: &jetstream.Listen{Address: logAddress(c.settings.Endpoint), TLS: c.node.LogServer(), Admit: p.admitToLog},
		Cluster: &jetstream.Cluster{
			Name: string(c.node.Host().Cell), Host: string(p.host.ID), Address: portAbove(c.settings.Endpoint, 2),
			TLS: p.logMemberTLS(), Peers: peers,
		},
	})
	if err != nil {
		return nil, err
	}
	c.member = member
	p.onClose(member.Close)
	return member, nil
}

// openSharedKeys opens the keys of a cell's control machines: those of this
// machine's folder, kept the same on all of them.
func (p *platform) openSharedKeys(ctx context.Context) error {
	c := p.cell
	caKey, err := c.authority.Key()
	if err != nil {
		return err
	}
	bucket := natsbucket.New(p.log.Conn(), secretsBucket, max(1, len(c.settings.Members)))
	store, err := vault.New(vault.Options{Bucket: bucket, CAKey: caKey, Cell: string(c.authority.Cell()), Logger: p.options.logger})
	if err != nil {
		return err
	}
	p.ring, err = keys.OpenShared(p.path("keys", "sites"), keys.SharedOptions{Vault: store, Logger: p.options.logger, Destroyed: func(owner events.Owner) {
		if err := p.box.Forget(owner); err != nil {
			p.options.logger.Warn("cannot forget what another control machine has forgotten", "error", err)
		}
	}})
	if err != nil {
		return err
	}
	c.secrets, err = vault.NewMirror(vault.MirrorOptions{Store: store, Dir: p.path("keys"), Skip: []string{"sites"}, Logger: p.options.logger, Changed: p.secretChanged})
	if err != nil {
		return err
	}
	err = p.shareKeys(ctx, store)
	if problem.KindOf(err) != problem.Unavailable {
		return err
	}
	if met, metErr := c.secrets.Met(ctx); metErr != nil || !met {
		return errors.Join(err, metErr) // the cell may have what this machine would make
	}
	p.options.logger.Warn("the secrets of the cell are those of this machine until the others can be reached", "error", err)
	return nil
}

func (p *platform) shareKeys(ctx context.Context, store *vault.Store) error {
	if p.cell.settings.Founder {
		if err := p.contribute(ctx, store); err != nil {
			return err
		}
	}
	if err := p.cell.secrets.Reconcile(ctx); err != nil {
		return err
	}
	return p.ring.Reconcile(ctx)
}

// contribute puts in what the cell had before it had a vault.
func (p *platform) contribute(ctx context.Context, store *vault.Store) error {
	if _, err := loadAPIKey(p.path("keys", "api")); err != nil { // the first start has not made it yet
		return err
	}
	if err := p.ring.Contribute(ctx); err != nil {
		return err
	}
	if err := p.cell.secrets.Contribute(ctx); err != nil {
		return err
	}
	return store.Found(ctx)
}

// cellFacts says who holds the log.
func (p *platform) cellFacts(ctx context.Context) (api.CellFacts, error) {
	facts := api.CellFacts{ID: string(p.cell.node.Host().Cell), MostReplicas: jetstream.MaxMembers}
	settings := p.cell.known()
	if len(settings.Members) == 0 {
		holder := p.host.ID
		if !settings.HoldsLog {
			holder = p.at(settings.Control[0])
		}
		there := settings.HoldsLog || p.log.Conn().IsConnected()
		facts.Replicas = []api.LogReplica{{Host: holder, Leader: there, Current: there}}
		return facts, nil
	}
	js, err := natsjs.New(p.log.Conn())
	if err != nil {
		return facts, err
	}
	stream, err := js.Stream(ctx, "events")
	if err != nil {
		return facts, problem.Wrap(problem.Unavailable, err, "cannot ask who holds the log")
	}
	cluster := stream.CachedInfo().Cluster
	if cluster == nil {
		return facts, nil
	}
	if cluster.Leader != "" {
		facts.Replicas = append(facts.Replicas, api.LogReplica{Host: events.HostID(cluster.Leader), Leader: true, Current: true})
	}
	for _, replica := range cluster.Replicas {
		facts.Replicas = append(facts.Replicas, api.LogReplica{Host: events.HostID(replica.Name), Current: replica.Current && !replica.Offline})
	}
	return facts, nil
}

// at gives the machine with an endpoint.
func (p *platform) at(endpoint string) events.HostID {
	for _, host := range p.inventory.Snapshot().Hosts() {
		if host.Endpoint == endpoint {
			return host.ID
		}
	}
	return ""
}

// grow spreads the log over all control machines.
func (p *platform) grow(ctx context.Context) error {
	c := p.cell
	settings := c.known()
	switch {
	case len(settings.Members) > 0:
		return p.moveLog(ctx, "grow", func(ctx context.Context) error { return p.widen(ctx, settings) })
	case !settings.HoldsLog:
		return problem.New(problem.Conflict, "cannot grow from here: the log is on another machine").
			WithHint("run pantheon cluster grow on the machine that pantheon cell info shows")
	}
	return p.moveLog(ctx, "grow", p.growHere)
}

func (p *platform) growHere(ctx context.Context) error {
	hosts, err := p.growTo(1)
	if err != nil {
		return err
	}
	endpoints := endpointsOf(hosts)
	if err := p.enlist(ctx, hosts, []string{p.cell.known().Endpoint}); err != nil {
		return err
	}
	if err := p.cell.change(func(s *cellSettings) { s.Members, s.Growing = endpoints, true }); err != nil {
		return err
	}
	p.askRestart()
	return nil
}

// shrink has so many machines hold the log, this one among them. For one alone
// commits are refused until it has the log; the other machines begin anew as users
// of this one's log.
func (p *platform) shrink(ctx context.Context, machines int) error {
	settings := p.cell.known()
	if err := jetstream.CheckShrink(max(1, len(settings.Members)), machines); err != nil {
		return err
	}
	return p.moveLog(ctx, "shrink", func(ctx context.Context) error {
		if machines > 1 {
			return p.narrow(ctx, settings, machines)
		}
		return p.shrinkHere(ctx, settings.Members)
	})
}

func (p *platform) shrinkHere(ctx context.Context, members []string) error {
	c := p.cell
	if err := jetstream.Shrink(ctx, p.path("log"), c.member); err != nil {
		p.options.logger.Error("cannot take the log back to this machine", "error", err)
		return errors.Join(err, jetstream.Thaw(ctx, p.path("log"), c.member))
	}
	err := c.change(func(s *cellSettings) { s.Members, s.HoldsLog, s.Founder = nil, true, true })
	if err != nil {
		return err
	}
	for _, endpoint := range members {
		if host := p.at(endpoint); host != "" && host != p.host.ID {
			if err := p.askMember(ctx, inventory.Host{ID: host, Name: endpoint}, memberRequest{Holder: c.known().Endpoint}); err != nil {
				p.options.logger.Warn("a machine does not know yet that the log has moved", "machine", endpoint, "error", err)
			}
		}
	}
	p.askRestart()
	return nil
}

// growTo gives the machines that would hold the log after so many.
func (p *platform) growTo(holding int) ([]inventory.Host, error) {
	hosts := p.controlMachines()
	if err := jetstream.CheckGrow(holding, len(hosts)); err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(hosts, func(h inventory.Host) bool { return h.Status == inventory.Lost }); i >= 0 {
		return nil, problem.New(problem.Unavailable, "cannot grow: control machine %s is lost", hosts[i].Name).
			WithHint("start it, or take it out: pantheon host remove %s, with --lost where it will not come back", hosts[i].Name)
	}
	return hosts, nil
}

func (p *platform) controlMachines() []inventory.Host {
	return slices.DeleteFunc(p.inventory.Snapshot().Hosts(), func(h inventory.Host) bool { return !slices.Contains(h.Roles, events.RoleControl) })
}

// memberRequest asks a control machine to become a member, or to be none any
// longer.
type memberRequest struct {
	Members []string `json:"members,omitzero"`
	// Check asks only whether it would.
	Check bool `json:"check,omitzero"`
	// Holder is the machine that holds the log alone from now on.
	Holder string `json:"holder,omitzero"`
}

// memberAnswer says what became of one that asks to be none any longer.
type memberAnswer struct {
	Left bool `json:"left,omitzero"` // it was one
}

func includes(all, some []string) bool {
	return !slices.ContainsFunc(some, func(one string) bool { return !slices.Contains(all, one) })
}

// memberTimeout is for a server's start.
const memberTimeout = 30 * time.Second

// awaitMember is askMember for a machine that may be beginning anew just now.
func (p *platform) awaitMember(ctx context.Context, host inventory.Host, request memberRequest) error {
	ctx, cancel := context.WithTimeout(ctx, memberTimeout)
	defer cancel()
	var last error
	err := poll(ctx, func() (bool, error) {
		last = p.askMember(ctx, host, request)
		return !errors.Is(last, nats.ErrNoResponders), nil
	})
	return cmp.Or(last, err)
}

func (p *platform) askMember(ctx context.Context, host inventory.Host, request memberRequest) error {
	ctx, cancel := context.WithTimeout(ctx, memberTimeout)
	defer cancel()
	err := p.askHost(ctx, host.ID, askMember, request, nil)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil || errors.Is(err, nats.ErrNoResponders):
		return problem.Wrap(problem.Unavailable, cmp.Or(ctx.Err(), nats.ErrNoResponders), "machine %s does not answer", host.Name).
			WithHint("pantheon host list; try again when it is there, or take it out: pantheon host remove %s", host.Name)
	}
	return problem.Wrap(problem.KindOf(err), err, "machine %s refuses", host.Name)
}

// leaveMembers has this machine use the log of another one, when it has begun
// anew.
func (p *platform) leaveMembers(holder string) error {
	if len(p.cell.known().Members) == 0 {
		return nil
	}
	if _, _, err := net.SplitHostPort(holder); err != nil {
		return problem.Wrap(problem.Invalid, err, "cannot find the log at %.100q", holder)
	}
	err := p.cell.change(func(s *cellSettings) {
		others := slices.DeleteFunc(slices.Clone(s.Control), func(endpoint string) bool { return endpoint == holder })
		s.Members, s.HoldsLog, s.Founder, s.Control = nil, false, false, append([]string{holder}, others...)
	})
	if err == nil {
		time.AfterFunc(restartPause, p.askRestart)
	}
	return err
}

// restartPause lets the answer to who asked go out first.
const restartPause = 200 * time.Millisecond

func (p *platform) becomeMember(ctx context.Context, text []byte) (any, error) {
	asked, err := readQuestion[memberRequest](text)
	if err != nil {
		return nil, err
	}
	c := p.cell
	settings := c.known()
	if asked.Holder != "" {
		return memberAnswer{Left: len(settings.Members) > 0}, p.leaveMembers(asked.Holder)
	}
	for _, endpoint := range asked.Members {
		if _, _, err := net.SplitHostPort(endpoint); err != nil {
			return nil, problem.Wrap(problem.Invalid, err, "cannot hold the log with machine %.100q", endpoint)
		}
	}
	switch {
	case !slices.Contains(asked.Members, settings.Endpoint):
		return nil, problem.New(problem.Invalid, "cannot hold the log: %s is not among its machines", settings.Endpoint)
	case slices.Equal(settings.Members, asked.Members):
		return nil, nil
	}
	among := c.member != nil && (includes(asked.Members, settings.Members) || includes(settings.Members, asked.Members))
	switch {
	case len(settings.Members) > 0 && !among:
		return nil, problem.New(problem.Conflict, "cannot hold the log with %v: this machine does with %v", asked.Members, settings.Members)
	case asked.Check:
		return nil, nil
	case among:
		return nil, c.change(func(s *cellSettings) { s.Members = asked.Members })
	}
	if _, err := p.openMember(ctx, asked.Members); err != nil {
		return nil, err
	}
	return nil, c.change(func(s *cellSettings) { s.Members = asked.Members })
}
