package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"pantheon/actors/account"
	"pantheon/actors/host"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/api"
	"pantheon/projections"
	"pantheon/projections/inventory"
	"pantheon/runtime/drop"
	"pantheon/runtime/identity"
	"pantheon/runtime/keys"
	"pantheon/runtime/lease"
	"pantheon/runtime/lease/terms"
	"pantheon/runtime/mesh"
)

// directory is the mesh's view of the machines.
type directory struct {
	view *projections.View[inventory.State]
}

func (d directory) Addresses(id events.HostID) []string {
	if host, known := d.view.Snapshot().Host(id); known && host.Endpoint != "" {
		return []string{host.Endpoint}
	}
	return nil
}

func (d directory) Removed(id events.HostID) bool { return d.view.Snapshot().Removed(id) }

// caughtUp gives the inventory as of now: what was committed before it was
// asked is in it. Where the log cannot be asked it gives what there is.
func (p *platform) caughtUp(ctx context.Context) inventory.State {
	state, _ := p.catchUp(ctx)
	return state
}

func (p *platform) catchUp(ctx context.Context) (inventory.State, error) {
	ctx, cancel := context.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	head, err := p.log.Head(ctx)
	if err == nil {
		err = p.inventory.Wait(ctx, head)
	}
	return *p.inventory.Snapshot(), err
}

// agrees gives the refusal of what another host asks for unless the inventory
// shows that it may. What gave it the right may be committed and not be here yet:
// while that cannot be known, nothing is refused for good.
func (p *platform) agrees(ctx context.Context, may func(inventory.State) bool, refusal *problem.Error) error {
	if may(*p.inventory.Snapshot()) {
		return nil
	}
	switch state, err := p.catchUp(ctx); {
	case may(state):
		return nil
	case err != nil:
		return problem.Wrap(problem.Unavailable, err, "cannot know yet whether it is so: %s", refusal.Text)
	}
	return refusal
}

// catchUpTimeout bounds how long another machine's question waits for a view.
const catchUpTimeout = time.Second

// sockets opens the databases of this host to the hosts of their DROPs.
type sockets struct{ *platform }

func (s sockets) Socket(ctx context.Context, from events.HostID, request mesh.SocketRequest) (string, error) {
	if err := s.agrees(ctx, func(state inventory.State) bool { return s.mayUse(state, from, request.Binding) },
		problem.New(problem.Denied, "host %s holds no DROP that has binding %s", from, request.Binding)); err != nil {
		return "", err
	}
	if err := s.machine.database.Ensure(ctx); err != nil {
		return "", err
	}
	return s.machine.database.Socket(), nil
}

// mayUse says whether a host holds a DROP that has a database of this one.
func (p *platform) mayUse(state inventory.State, from events.HostID, id events.BindingID) bool {
	bound, known := state.Binding(id)
	if !known || bound.Host != p.host.ID || bound.Kind != events.DBServer {
		return false
	}
	_, holds := state.Admitted(from, bound.Environment)
	return holds
}

// cutStaleSockets ends what is open to hosts that no longer may. It looks at the
// newest inventory, not at that of the change: some of what is open was allowed
// since.
func (p *platform) cutStaleSockets(ctx context.Context) error {
	return p.eachChange(ctx, socketPause, func(inventory.State) error {
		p.cell.mesh.CutSockets(func(from events.HostID, request mesh.SocketRequest) bool {
			return !p.mayUse(*p.inventory.Snapshot(), from, request.Binding)
		})
		p.cell.mesh.CutFiles(func(from events.HostID, request mesh.FilesRequest) bool {
			return !p.mayUseFiles(*p.inventory.Snapshot(), from, request.Environment)
		})
		return nil
	})
}

// siteKeys gives the keys of sites to the hosts that hold a part of them.
type siteKeys struct{ *platform }

func (k siteKeys) SiteKey(ctx context.Context, from events.HostID, site events.SiteID) ([]byte, error) {
	if !k.caughtUp(ctx).HoldsOf(from, site) {
		return nil, problem.New(problem.Denied, "host %s holds nothing of site %s", from, site)
	}
	key, err := k.ring.Site(site)
	if err != nil {
		return nil, err
	}
	return key.Lend(), nil
}

// fetchKey is how a host that is no control machine gets them.
func (p *platform) fetchKey(ctx context.Context, site events.SiteID) (keys.Key, error) {
	secret, err := askControl(ctx, p.cell, func(ctx context.Context, control events.HostID) ([]byte, error) {
		return p.cell.mesh.SiteKey(ctx, control, site)
	})
	if err != nil {
		return keys.Key{}, err
	}
	return keys.Borrowed(secret)
}

// borrowedSealingKeys opens the sealed texts of the sites that a host holds.
type borrowedSealingKeys struct{ borrower *keys.Borrower }

func (k borrowedSealingKeys) Key(owner events.Owner, _ bool) (string, error) {
	if owner.Site == "" {
		return "", problem.New(problem.Unavailable, "cannot have the key of an account: control machines alone have those")
	}
	key, err := k.borrower.Site(owner.Site)
	if err != nil {
		return "", err
	}
	return key.Derive(sealedTexts, "", 1), nil
}

func (k borrowedSealingKeys) Destroy(owner events.Owner) error {
	k.borrower.Forget(owner.Site)
	return nil
}

// renewer signs the next certificate of a machine.
type renewer struct{ *platform }

func (r renewer) Renew(ctx context.Context, id events.HostID, csr []byte) (mesh.Certificate, error) {
	host, known := r.caughtUp(ctx).Host(id)
	if !known || len(host.Roles) == 0 {
		return mesh.Certificate{}, problem.New(problem.NotFound, "cannot renew the certificate of machine %s: the cell does not know it", id)
	}
	return r.sign(csr, id, host.Roles)
}

func (r renewer) sign(csr []byte, id events.HostID, roles []events.HostRole) (answer mesh.Certificate, err error) {
	if answer.Certificate, err = r.cell.authority.SignHost(csr, id, roles, time.Now()); err != nil {
		return answer, err
	}
	if slices.Contains(roles, events.RoleControl) {
		answer.AuthorityKey, err = r.cell.authority.Key()
	}
	return answer, err
}

// joiner lets machines in that have a token.
type joiner struct{ *platform }

func (j joiner) Join(ctx context.Context, request mesh.JoinRequest) (mesh.JoinReply, error) {
	var reply mesh.JoinReply
	secret, err := identity.ParseSecret(request.Secret)
	if err != nil {
		return reply, err
	}
	if err := j.welcome(j.caughtUp(ctx), request); err != nil {
		return reply, err
	}
	_, err = j.system.Do(ctx, events.Meta{
		Command:   events.CommandID("join:" + string(request.Invitation) + ":" + string(request.Host)),
		Principal: request.Host.Stream().String(), Gateway: "mesh", Time: time.Now().UTC(),
	},
		operatorAccount.Stream(), account.UseInvitation{Invitation: request.Invitation, Hash: secret.Hash(), Host: request.Host, Now: time.Now().UTC()})
	if err != nil {
		return reply, err
	}
	roles, err := j.invited(ctx, request.Invitation)
	if err != nil {
		return reply, err
	}
	if reply.Certificate, err = renewer(j).sign(request.CSR, request.Host, roles); err != nil {
		return reply, err
	}
	reply.Cell, reply.Authority = j.cell.authority.Cell(), j.cell.authority.Certificate()
	reply.Control = map[string][]string{"mesh": j.cell.known().Control}
	reply.Settings = map[string]string{"domain": j.cell.settings.Domain, "internal_domain": j.cell.settings.InternalDomain}
	return reply, nil
}

// welcome refuses what a token cannot mend, before it is used up.
func (j joiner) welcome(state inventory.State, request mesh.JoinRequest) error {
	if state.Removed(request.Host) {
		return problem.New(problem.Conflict, "cannot join: machine %s was removed from this cell", request.Host).
			WithHint("a machine that shall come back joins with an empty data folder")
	}
	if other, taken := state.HostByName(request.Name); taken && other.ID != request.Host {
		return problem.New(problem.Conflict, "cannot join as %s: another machine of the cell has this name", request.Name).
			WithHint("--host-name takes another one")
	}
	if request.Protocol != cellProtocol {
		return problem.New(problem.Unsupported, "cannot join: the machine speaks protocol %d (pantheon %.60s), and the cell %d (pantheon %s)",
			request.Protocol, request.Version, cellProtocol, versionText()).
			WithHint("install version %s on the new machine; pantheon upgrade renews the machines of a cell", versionText())
	}
	return nil
}

// invited gives the roles that an invitation allows.
func (j joiner) invited(ctx context.Context, id events.TokenID) ([]events.HostRole, error) {
	for envelope, err := range j.log.Stream(ctx, operatorAccount.Stream(), 0) {
		if err != nil {
			return nil, err
		}
		for _, event := range envelope.Events {
			if invited, is := event.(events.HostInvited); is && invited.Invitation == id {
				return invited.Roles, nil
			}
		}
	}
	return nil, problem.New(problem.NotFound, "cannot find invitation %s", id)
}

// leasedHosts are those whose leases are looked at.
func (p *platform) leasedHosts() []events.HostID {
	all := p.inventory.Snapshot().Hosts()
	ids := make([]events.HostID, len(all))
	for i, host := range all {
		ids[i] = host.ID
	}
	return ids
}

func (p *platform) leaseMembers() []terms.Member {
	var members []terms.Member
	for _, host := range p.inventory.Snapshot().Hosts() {
		if host.Endpoint != "" {
			members = append(members, terms.Member{Host: host.ID, Lost: host.Status == inventory.Lost})
		}
	}
	return members
}

// leaseReports tells a host's actor.
type leaseReports struct{ *platform }

func (r leaseReports) Lost(ctx context.Context, id events.HostID) error {
	return r.report(ctx, id, host.ReportLost{Reason: "its lease ran out"})
}

func (r leaseReports) Returned(ctx context.Context, id events.HostID) error {
	if host, known := r.inventory.Snapshot().Host(id); known && host.Protocol != 0 && !speaks(host.Protocol, cellProtocol) {
		return nil // it learns so itself, and says what it speaks when that has changed
	}
	if _, refused := r.cell.away.Load(id); refused {
		return nil // what is left of its lease is that of the process before
	}
	return r.report(ctx, id, host.ReportReturned{})
}

func (r leaseReports) report(ctx context.Context, id events.HostID, command host.Command) error {
	_, err := r.system.Do(ctx, events.Meta{
		Command:   events.CommandID("lease:" + randomID()), // the host's actor says whether it is news
		Principal: "policy/lease", Gateway: "policy", Time: time.Now().UTC(),
	}, id.Stream(), command)
	return err
}

// leaseBucket is the bucket of leases: in the memory of the log's servers.
type leaseBucket struct {
	log   cellLog
	hosts func() []events.HostID

	mu   sync.Mutex
	open natsjs.KeyValue
}

const leaseBucketName = "leases"

func (b *leaseBucket) bucket(ctx context.Context) (natsjs.KeyValue, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open != nil {
		return b.open, nil
	}
	kv, err := b.log.Bucket(ctx, natsjs.KeyValueConfig{Bucket: leaseBucketName, Storage: natsjs.MemoryStorage, History: 1, MaxValueSize: 1024})
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot open the bucket of leases")
	}
	b.open = kv
	return kv, nil
}

// failed turns the server's error into ours; a bucket that is gone, as after a
// restart of the only server, is made again by the next call.
func (b *leaseBucket) failed(err error, what string) error {
	if errors.Is(err, natsjs.ErrStreamNotFound) || errors.Is(err, natsjs.ErrBucketNotFound) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, natsjs.ErrNoStreamResponse) {
		b.mu.Lock()
		b.open = nil
		b.mu.Unlock()
	}
	return problem.Wrap(problem.Unavailable, err, "cannot %s a lease", what)
}

func (b *leaseBucket) Get(ctx context.Context, id events.HostID) (terms.Record, error) {
	kv, err := b.bucket(ctx)
	if err != nil {
		return terms.Record{}, err
	}
	found, err := kv.Get(ctx, string(id))
	if errors.Is(err, natsjs.ErrKeyNotFound) {
		return terms.Record{Host: id}, nil
	}
	if err != nil {
		return terms.Record{}, b.failed(err, "read")
	}
	entry, err := lease.Decode(found.Value())
	return terms.Record{Host: id, Revision: found.Revision(), Entry: entry}, err
}

func (b *leaseBucket) Put(ctx context.Context, id events.HostID, entry terms.Entry, expected uint64) (uint64, error) {
	kv, err := b.bucket(ctx)
	if err != nil {
		return 0, err
	}
	value, err := lease.Encode(entry)
	if err != nil {
		return 0, err
	}
	var revision uint64
	if expected == 0 {
		revision, err = kv.Create(ctx, string(id), value)
	} else {
		revision, err = kv.Update(ctx, string(id), value, expected)
	}
	var refused *natsjs.APIError
	if errors.Is(err, natsjs.ErrKeyExists) || errors.As(err, &refused) && refused.ErrorCode == natsjs.JSErrCodeStreamWrongLastSequence {
		return 0, problem.Wrap(problem.Conflict, err, "the lease of host %s was written by another", id)
	}
	if err != nil {
		return 0, b.failed(err, "write")
	}
	return revision, nil
}

// leaseReaders at once.
const leaseReaders = 16

func (b *leaseBucket) All(ctx context.Context) ([]terms.Record, error) {
	hosts := b.hosts()
	records, failures := make([]terms.Record, len(hosts)), make([]error, len(hosts))
	var readers sync.WaitGroup
	next := make(chan int)
	for range min(leaseReaders, len(hosts)) {
		readers.Go(func() {
			for i := range next {
				records[i], failures[i] = b.Get(ctx, hosts[i])
			}
		})
	}
	for i := range hosts {
		next <- i
	}
	close(next)
	readers.Wait()
	there := records[:0]
	for _, record := range records {
		if record.Revision != 0 {
			there = append(there, record)
		}
	}
	return there, errors.Join(failures...)
}

// otherHosts is the agent's way to the other hosts.
type otherHosts struct{ *platform }

func (r otherHosts) Socket(ctx context.Context, to events.HostID, id events.BindingID) (net.Conn, error) {
	bound, known := r.caughtUp(ctx).Binding(id)
	if !known {
		return nil, problem.New(problem.NotFound, "cannot find binding %s", id)
	}
	holder, holds := r.inventory.Snapshot().Admitted(r.host.ID, bound.Environment)
	if !holds {
		return nil, problem.New(problem.Denied, "this host holds no DROP of %s", bound.Environment)
	}
	conn, err := r.cell.mesh.Socket(ctx, to, mesh.SocketRequest{Binding: id, Drop: holder})
	if err != nil {
		return nil, err
	}
	return meshConn{conn, r.host.ID, to}, nil
}

// meshConn is a net.Conn without deadlines: who wants an end closes it.
type meshConn struct {
	*mesh.Conn
	from, to events.HostID
}

func (c meshConn) LocalAddr() net.Addr              { return meshAddr(c.from) }
func (c meshConn) RemoteAddr() net.Addr             { return meshAddr(c.to) }
func (c meshConn) SetDeadline(time.Time) error      { return nil }
func (c meshConn) SetReadDeadline(time.Time) error  { return nil }
func (c meshConn) SetWriteDeadline(time.Time) error { return nil }

type meshAddr string

func (meshAddr) Network() string  { return "mesh" }
func (a meshAddr) String() string { return string(a) }

// invite makes the secret of a token.
func (p *platform) invite(invitation events.TokenID) (text, hash string, err error) {
	secret := identity.NewSecret()
	text, err = identity.Token{
		Invitation: invitation, Secret: secret, Authority: p.cell.authority.Fingerprint(), Addresses: p.cell.known().Control,
	}.Text()
	return text, secret.Hash(), err
}

// vitals are what a machine tells the control machines of itself, at
// "cell.vitals.<host>".
type vitals struct {
	Load1      float64 `json:"load1"`
	AwakeDrops int     `json:"awake_drops"`
	Boot       string  `json:"boot"`
	// Refused says why the machine takes no part in the cell; it ends then.
	Refused string `json:"refused,omitzero"`
	heard   time.Time
}

const (
	vitalsPause = 2 * time.Second
	// vitalsLive is how long they count.
	vitalsLive    = 5 * vitalsPause
	vitalsSubject = "cell.vitals."
)

func (p *platform) ownVitals() vitals {
	return vitals{Load1: load1(), AwakeDrops: p.machine.agent.Count(drop.Awake), Boot: p.startID(), heard: time.Now()}
}

// tellVitals tells how this machine does, and hears of the others, until ctx
// ends.
func (p *platform) tellVitals(ctx context.Context) error {
	if p.control() {
		subscription, err := p.log.Conn().Subscribe(vitalsSubject+"*", func(message *nats.Msg) {
			told := vitals{heard: time.Now()}
			id := events.HostID(strings.TrimPrefix(message.Subject, vitalsSubject))
			switch err := json.Unmarshal(message.Data, &told); {
			case err != nil:
			case told.Refused != "":
				p.cell.told.Delete(id)
				p.cell.away.Store(id, true)
				go p.noteRefusal(ctx, id, told.Refused)
			default:
				p.cell.told.Store(id, told)
				p.cell.away.Delete(id)
			}
		})
		if err != nil {
			return problem.Wrap(problem.Unavailable, err, "cannot hear of other machines")
		}
		defer func() { _ = subscription.Unsubscribe() }() // fails where the connection is gone
	}
	ticker := time.NewTicker(vitalsPause)
	defer ticker.Stop()
	for {
		if text, err := json.Marshal(p.ownVitals()); err == nil {
			_ = p.log.Conn().Publish(vitalsSubject+string(p.host.ID), text) // lost while there is no connection
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// health is how this machine sees the others.
func (p *platform) health() map[events.HostID]api.HostHealth {
	own := p.ownVitals()
	all := map[events.HostID]api.HostHealth{p.host.ID: {Connected: true, AwakeDrops: own.AwakeDrops, Load1: own.Load1, Boot: own.Boot}}
	if p.cell == nil {
		return all
	}
	for _, peer := range p.cell.mesh.Peers() {
		all[peer.Host] = api.HostHealth{Connected: peer.Connected, RoundTrip: peer.RoundTrip}
	}
	p.cell.told.Range(func(host, value any) bool {
		if told := value.(vitals); time.Since(told.heard) < vitalsLive {
			one := all[host.(events.HostID)]
			one.Connected, one.Load1, one.AwakeDrops, one.Boot = true, told.Load1, told.AwakeDrops, told.Boot // the mesh connects when it is needed
			all[host.(events.HostID)] = one
		}
		return true
	})
	return all
}

// load1 reads proc_loadavg(5); 0 where it cannot.
func load1() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), " ")
	load, _ := strconv.ParseFloat(first, 64)
	return load
}
