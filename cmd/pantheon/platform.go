package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"pantheon/actors"
	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/eventstoredb"
	"pantheon/events/eventlog/jetstream"
	"pantheon/events/eventlog/sealed"
	"pantheon/events/problem"
	"pantheon/gateways/api"
	"pantheon/gateways/styx"
	"pantheon/projections"
	"pantheon/projections/audit/keeper"
	"pantheon/projections/clock"
	"pantheon/projections/inventory"
	"pantheon/projections/routing"
	"pantheon/projections/zone"
	"pantheon/runtime/agent"
	"pantheon/runtime/code"
	"pantheon/runtime/files/remote"
	"pantheon/runtime/identity"
	"pantheon/runtime/keys"
)

// platformOptions is what `pantheon up` was told.
type platformOptions struct {
	data        string // absolute
	domain      string
	httpAddress string
	apiAddress  string // empty: the Unix socket only
	// metricsAddress is where Prometheus finds /metrics; empty for nowhere.
	metricsAddress string
	// trustedProxies are the networks whose forwarding headers are believed.
	trustedProxies []netip.Prefix
	dns            dnsOptions
	hostName       string
	// cluster is where the other machines of the cell reach this one, host:port;
	// empty on a platform that is alone, or as it was.
	cluster string
	// foreignLog is where the log is; nil where the platform holds it.
	foreignLog *foreignLog
	zone       string
	memoryMiB  int
	bare       bool // no sandboxes although there could be
	rebalance  actors.Pace
	logger     *slog.Logger
	// socket is that of sites, from the turn before this one.
	socket *keptSocket
}

// platform is everything that runs in one process, put together. Whatever is
// opened is closed by close, in the reverse order, also after a start that
// failed half-way.
type platform struct {
	options   platformOptions
	host      hostIdentity
	cell      *membership         // nil on a platform that is alone
	authority *identity.Authority // the CA; nil on a machine of a cell without the control role
	started   time.Time

	web, apiTCP, apiUnix net.Listener
	scrapes              net.Listener // nil for none
	ring                 *keys.Ring
	borrower             *keys.Borrower // nil on a control machine, which has all keys
	box                  *sealed.Box    // seals and opens the personal texts of the log
	log                  cellLog
	signed               *keeper.Opening   // of the log of this machine; nil where that is elsewhere
	audit                *keeper.Keeper    // likewise
	commander            actors.Commander  // system, or remote
	system               *actors.System    // nil where this is no control machine, as reception
	reception            *actors.Reception // of other machines' commands
	remote               *actors.Remote    // nil where this is a control machine
	runner               *projections.Runner
	inventory            *projections.View[inventory.State]
	routing              *projections.View[routing.State]
	zones                *projections.View[*zone.State]
	names                nameServer
	mounts               *remote.Mounts // of files on other machines
	past                 past
	reactor              *actors.Reactor // nil where this is no control machine, as api
	machine              *machine
	styx                 *styx.Server
	api                  *api.Server
	metrics              *prometheus.Registry

	// restart ends when the platform shall begin anew in this process.
	restart    context.Context
	askRestart context.CancelFunc
	// renewed: as another process, of the binary that is there then.
	renewed atomic.Bool
	// admitted ends when it is clear that this binary may take part in the cell;
	// refused that it may not.
	admitted context.Context
	admit    context.CancelFunc
	refused  atomic.Bool

	closing sync.Mutex
	closers []func() error
}

// errRestart is why a platform ends that begins anew.
var errRestart = errors.New("the platform begins anew")

// openPlatform opens everything and starts nothing. The cheap things that can
// go wrong come first: another platform on the folder, a port in use. Where
// there is no folder yet, no other platform can be on it, and a refusal leaves
// none behind.
func openPlatform(ctx context.Context, options platformOptions) (p *platform, err error) {
	p = &platform{options: options, started: time.Now(), metrics: prometheus.NewRegistry()}
	p.restart, p.askRestart = context.WithCancel(context.Background())
	p.admitted, p.admit = context.WithCancel(context.Background())
	defer func() {
		if errors.Is(err, errRemoved) {
			err = errors.Join(err, p.stopRemains())
		}
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	first := []func(context.Context) error{p.sweepMounts, p.openData, p.listen, p.listenDNS}
	if _, err := os.Stat(options.data); errors.Is(err, fs.ErrNotExist) {
		slices.Reverse(first)
	}
	for _, open := range append(first, p.openCell, p.listenUnix, p.openLog, p.openKeys, p.openAudit, p.openViews, p.openMachine, p.openMesh, p.openGateways) {
		if err := open(ctx); err != nil {
			return p, err
		}
	}
	return p, nil
}

// cellLog is a log that can be proven and exported, with what lies beside it.
type cellLog interface {
	eventlog.Log
	eventlog.EntryReader
	Follow(ctx context.Context, stream events.StreamID, after events.Revision) iter.Seq2[events.Envelope, error]
	Bucket(ctx context.Context, config natsjs.KeyValueConfig) (natsjs.KeyValue, error)
	ObjectStore(ctx context.Context, config natsjs.ObjectStoreConfig) (natsjs.ObjectStore, error)
	Conn() *nats.Conn
	Close() error
}

func (p *platform) onClose(closer func() error) {
	p.closing.Lock()
	defer p.closing.Unlock()
	p.closers = append(p.closers, closer)
}

func (p *platform) close() error {
	p.closing.Lock()
	defer p.closing.Unlock()
	p.askRestart()
	p.admit()
	var failed []error
	for i := len(p.closers) - 1; i >= 0; i-- {
		if err := p.closers[i](); err != nil && !errors.Is(err, net.ErrClosed) {
			failed = append(failed, err)
		}
	}
	p.closers = nil
	return errors.Join(failed...)
}

func (p *platform) path(elements ...string) string {
	return filepath.Join(append([]string{p.options.data}, elements...)...)
}

func (p *platform) openData(context.Context) error {
	lock, err := lockData(p.options.data)
	if err != nil {
		return err
	}
	p.onClose(lock.Close)
	p.host, err = loadHostIdentity(p.path("host.json"))
	return err
}

// maxDataPathBytes is what a socket address of Linux holds with its closing
// zero (unix(7)), less where MariaDB's socket lies in the data folder: other
// sockets are reached through their folders, MariaDB has no such way.
const maxDataPathBytes = 107 - len("/services/mariadb/run/mysqld.sock")

func checkDataPath(data string) error {
	if os.Geteuid() != 0 && strings.ContainsAny(data, " \t\n'\"\\$&;*?()<>|`") {
		return problem.New(problem.Invalid, "cannot use the data folder %q: without root, MariaDB's tools need a path without spaces and special characters", data).
			WithHint("--data names another one")
	}
	if len(data) <= maxDataPathBytes {
		return nil
	}
	return problem.New(problem.Invalid, "cannot use the data folder %s: its path has %d bytes and may have %d", data, len(data), maxDataPathBytes).
		WithHint("--data names another one")
}

func (p *platform) listen(ctx context.Context) error {
	var err error
	if p.web, err = p.options.socket.listen(ctx, p.options.httpAddress, "--http"); err != nil {
		return err
	}
	p.onClose(p.web.Close)
	if p.options.metricsAddress != "" {
		if p.scrapes, err = listenTCP(ctx, p.options.metricsAddress, "--metrics"); err != nil {
			return err
		}
		p.onClose(p.scrapes.Close)
	}
	if p.options.apiAddress != "" {
		if p.apiTCP, err = listenTCP(ctx, p.options.apiAddress, "--api-listen"); err != nil {
			return err
		}
		p.onClose(p.apiTCP.Close)
	}
	return nil
}

func (p *platform) listenUnix(context.Context) error {
	if err := os.MkdirAll(p.path("run"), 0o711); err != nil {
		return cannotWrite(err)
	}
	var err error
	if p.apiUnix, err = api.ListenUnix(p.path("run", "api.sock")); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot listen on the API's socket")
	}
	p.onClose(p.apiUnix.Close)
	return nil
}

// openLog opens the log of this machine, or the way to that of the cell.
func (p *platform) openLog(ctx context.Context) error {
	log, err := p.findLog(ctx)
	if err != nil {
		return err
	}
	p.log = log
	p.onClose(log.Close)
	return nil
}

func (p *platform) findLog(ctx context.Context) (cellLog, error) {
	if err := p.checkLogAddress(); err != nil {
		return nil, err
	}
	if foreign := p.options.foreignLog; foreign != nil {
		log, err := eventstoredb.Open(ctx, foreign.options)
		if err != nil {
			return nil, err
		}
		return foreignCellLog{log}, nil
	}
	if p.cell != nil && len(p.cell.settings.Members) > 0 {
		return p.whileMember(ctx, p.memberLog)
	}
	if err := os.RemoveAll(p.path("log-member")); err != nil { // of a cluster that is no more
		return nil, cannotWrite(err)
	}
	if p.holdsLog() {
		return p.ownLog(ctx)
	}
	if err := p.checkMembership(ctx, "cannot start"); err != nil {
		return nil, err
	}
	return p.awaitLog(ctx, func(ctx context.Context) (cellLog, error) {
		var addresses []string
		for _, endpoint := range p.cell.settings.Control {
			addresses = append(addresses, logAddress(endpoint))
		}
		return jetstream.Dial(ctx, jetstream.DialOptions{
			Addresses: addresses, TLS: p.cell.node.Client(""), Name: string(p.host.ID), Logger: p.options.logger,
			Guest: !p.control(),
		})
	})
}

// holdsLog says whether the log is on this machine.
func (p *platform) holdsLog() bool { return p.cell == nil || p.cell.settings.HoldsLog }

// ownLog opens the log and verifies it, and has it compared with what was signed
// of it in the same reading.
func (p *platform) ownLog(ctx context.Context) (cellLog, error) {
	var err error
	p.signed, err = keeper.Begin(keeper.Options{Dir: p.path("audit"), Key: p.path("keys", "audit"), Logger: p.options.logger})
	if err != nil {
		return nil, err
	}
	options := jetstream.Options{Dir: p.path("log"), Logger: p.options.logger, See: p.signed.See}
	if p.cell != nil {
		options.Listen = &jetstream.Listen{Address: logAddress(p.cell.settings.Endpoint), TLS: p.cell.node.LogServer(), Admit: p.admitToLog}
	}
	log, err := jetstream.Open(ctx, options)
	if err != nil {
		return nil, errors.Join(err, p.signed.Close())
	}
	return log, nil
}

// openAudit makes sure that the log is the one that was signed. Where several
// machines hold it, each of them looks.
func (p *platform) openAudit(ctx context.Context) error {
	var err error
	switch {
	case p.signed != nil:
		p.audit, err = p.signed.Finish(ctx, p.log)
	case p.options.foreignLog != nil || p.control() && len(p.cell.settings.Members) > 0:
		err = p.patiently(ctx, func(ctx context.Context) (err error) {
			p.audit, err = keeper.Open(ctx, keeper.Options{Log: p.log, Dir: p.path("audit"), Key: p.path("keys", "audit"), Logger: p.options.logger})
			return err
		})
	default:
		return nil
	}
	if err != nil {
		return err
	}
	p.onClose(p.audit.Close)
	return nil
}

func (p *platform) openViews(context.Context) error {
	store := projections.Files{Dir: p.path("views")}
	p.runner = projections.NewRunner(projections.Options{Log: p.log, Store: store, Logger: p.options.logger})
	p.past.clock = projections.Add(p.runner, projections.Projection[clock.State]{Name: clockView, Version: clock.Version})
	p.inventory, p.past.inventory = remember(p, projections.Projection[inventory.State]{
		Name: "inventory", Version: inventory.Version, Empty: inventory.State{},
	})
	p.routing, p.past.routing = remember(p, projections.Projection[routing.State]{
		Name: "routing-" + p.options.domain, Version: routing.Version, Empty: routing.Empty(p.options.domain),
	})
	p.zones, p.past.zones = remember(p, p.zoneView())
	if err := p.openCommander(sealed.NewLog(p.log, p.box)); err != nil || !p.control() {
		return err
	}
	p.reactor = actors.NewReactor(actors.ReactorOptions{
		Log: p.log, Commander: openingCommander{p.system, p.box}, Logger: p.options.logger,
		Snapshots: policySnapshots{projections.Files{Dir: p.path("views")}}, Leads: p.leads, Rebalance: p.options.rebalance,
	})
	return nil
}

func (p *platform) openGateways(ctx context.Context) error {
	accessLog, err := openLogFile(p.path("logs", "styx-access.log"))
	if err != nil {
		return err
	}
	p.onClose(accessLog.Close)
	p.styx, err = styx.New(styx.Options{
		Routes: routes{p.routing}, Agent: p.agents(),
		Name: "styx-01." + p.options.domain, AccessLog: accessLog, Logger: p.options.logger,
		TrustedProxies: p.options.trustedProxies,
	})
	if err != nil {
		return err
	}
	if err := errors.Join(p.metrics.Register(p.styx.Metrics()), p.registerMetrics()); err != nil {
		return err
	}
	if err := p.openNameServer(ctx); err != nil || !p.control() {
		return err
	}
	key, err := loadAPIKey(p.path("keys", "api"))
	if err != nil {
		return err
	}
	options := api.Options{
		Placement: placement{p},
		Commander: p.system, Inventory: p.past.inventory, Routing: p.past.routing, Clock: p.past.clock, Log: p.log,
		Unseal: p.box.Open, Forget: p.forgetter().forget,
		Variables: variables{p}, CodeLog: codeLog{p}, CheckSource: code.CheckSource,
		Entries: p.log,
		Zones:   p.past.zones, ZoneKeys: zoneKeys{p.names.keeper, p.names.keys}, TSIGKeys: p.tsigKeys(),
		Operator: operatorAccount, Key: key, Domain: p.options.domain, PublicURL: p.publicURL,
		Version: versionText(), Logger: p.options.logger, Metrics: p.metrics,
	}
	if p.audit != nil {
		options.Audit = p.audit
	}
	options.Restart, options.Health = p.restartHost, p.health
	if p.cell == nil {
		options.CheckPHP = checkPHP
	} else {
		options.Invite, options.Cell = p.invite, p.cellFacts
		options.Grow, options.Shrink = p.grow, p.shrink
	}
	p.api, err = api.New(options)
	return err
}

// publicURL knows the port that people have to type.
func (p *platform) publicURL(host string) string {
	_, port, err := net.SplitHostPort(p.web.Addr().String())
	if err != nil || port == "80" {
		return "http://" + host
	}
	return "http://" + net.JoinHostPort(host, port)
}

// run starts everything and serves until ctx ends. ready is called once, when
// visitors and commands are answered; atEnd when they no longer are, and what
// it does is still reported and recorded.
//
// The order of the end matters: gateways first, so that nothing new comes in;
// then the agent and the policies, which report what they did; then the views;
// the log, which close ends, last.
func (p *platform) run(ctx context.Context, ready func(), atEnd func() error) error {
	views, stopViews := context.WithCancel(context.WithoutCancel(ctx))
	defer stopViews()
	inner, stopInner := context.WithCancel(context.WithoutCancel(ctx))
	defer stopInner()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	var background errgroup.Group
	background.Go(func() error { return ended(stop, views, "the views", p.runner.Run) })
	if p.audit != nil {
		background.Go(func() error { return ended(stop, views, "the audit tree", p.audit.Run) })
	}
	if p.cell != nil {
		background.Go(func() error { return ended(stop, views, "the cell", p.runCell) })
	}
	background.Go(func() error { return ended(stop, views, "the histories", p.past.run) })
	if err := p.prepare(ctx); err != nil {
		stopViews()
		return errors.Join(err, background.Wait())
	}
	if p.reactor != nil {
		background.Go(func() error { return ended(stop, inner, "the policies", p.reactor.Run) })
	}
	background.Go(func() error { return ended(stop, inner, "the agent", p.machine.run) })
	if err := p.machine.agent.Ready(ctx); err != nil {
		stop(err)
	}

	var gateways errgroup.Group
	if p.cell.has(events.RoleEntry) {
		gateways.Go(func() error {
			return ended(stop, ctx, "Styx", func(ctx context.Context) error { return p.styx.Serve(ctx, p.web, nil) })
		})
	}
	gateways.Go(func() error { return ended(stop, ctx, "the API", p.serveAPI) })
	if p.names.tcp != nil {
		gateways.Go(func() error { return ended(stop, ctx, "Yggdrasil", p.serveNames) })
		background.Go(func() error { return ended(stop, inner, "the keys of zones", p.tendNames) })
	}
	stopRestarting := context.AfterFunc(p.restart, func() {
		p.options.socket.keep(p.options.httpAddress, p.web)
		stop(errRestart)
	})
	defer stopRestarting()
	if p.scrapes != nil {
		gateways.Go(func() error {
			return ended(stop, ctx, "the metrics", func(ctx context.Context) error { return p.serveMetrics(ctx, p.scrapes) })
		})
	}
	if ctx.Err() == nil {
		ready()
	}
	if p.control() {
		background.Go(func() error { return ended(stop, inner, "the fetching of upstreams", p.warmUpstreams) })
	}
	err := errors.Join(gateways.Wait(), atEnd())
	stopInner()
	stopViews()
	return errors.Join(err, background.Wait())
}

// ended runs one component; if it ends by itself, everything ends.
func ended(stop context.CancelCauseFunc, ctx context.Context, name string, run func(context.Context) error) error {
	err := run(ctx)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was told to end
	}
	if err == nil {
		err = errors.New("it ended by itself")
	}
	err = fmt.Errorf("%s stopped: %w", name, err)
	stop(err)
	return err
}

func (p *platform) serveAPI(ctx context.Context) error {
	if p.api == nil {
		return p.forwardAPI(ctx)
	}
	return p.api.Run(ctx, p.apiListeners()...)
}

func (p *platform) apiListeners() []net.Listener {
	all := []net.Listener{p.apiUnix}
	if p.apiTCP != nil {
		all = append(all, p.apiTCP)
	}
	if p.cell != nil && p.api != nil {
		all = append(all, p.cell.api)
	}
	return all
}

// prepare waits for the views, and makes sure that the cell knows its
// operator, this machine and the sample upstreams.
func (p *platform) prepare(ctx context.Context) error {
	if err := p.runner.Ready(ctx); err != nil {
		return err
	}
	if err := p.takePart(ctx); err != nil {
		return err
	}
	if p.cell == nil || p.cell.settings.HoldsLog && len(p.cell.settings.Members) == 0 {
		return p.makeKnown(ctx)
	}
	return p.patiently(ctx, p.makeKnown)
}

// makeKnown carries out what every start does. It may be repeated.
func (p *platform) makeKnown(ctx context.Context) error {
	if p.control() {
		if err := p.forgetter().finish(ctx); err != nil {
			return err
		}
	}
	return p.bootstrap(ctx)
}

// openLogFile appends to a log file, making it and its folder.
func openLogFile(path string) (io.WriteCloser, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return nil, cannotWrite(err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, cannotWrite(err)
	}
	return file, nil
}

func cannotWrite(err error) error {
	return problem.Wrap(problem.Unavailable, err, "cannot use the data folder").
		WithHint("it must be writable and its disk not full; --data names another one")
}

// routes is Styx's view of the routing table.
type routes struct {
	view *projections.View[routing.State]
}

func (r routes) Lookup(host string) (*routing.Route, bool) { return r.view.Snapshot().Lookup(host) }

// agents is Styx's way to the agents: this machine's, or those of the cell.
func (p *platform) agents() styx.Agent {
	if p.cell == nil {
		return localAgent{p.machine.agent, p.host.ID}
	}
	return p.cell.mesh
}

// localAgent is the way to the agent of this machine.
type localAgent struct {
	agent *agent.Agent
	host  events.HostID
}

func (a localAgent) ServeDrop(w http.ResponseWriter, r *http.Request, drop events.DropID, host events.HostID) error {
	if host != a.host {
		return problem.New(problem.Unavailable, "cannot reach host %s", host)
	}
	return a.agent.ServeDrop(w, r, drop)
}

func (a localAgent) Ping(ctx context.Context, drop events.DropID, host events.HostID) error {
	if host != a.host {
		return problem.New(problem.Unavailable, "cannot reach host %s", host)
	}
	return a.agent.Ping(ctx, drop)
}

// defaultDomain resolves to loopback by itself on a laptop: every name below
// localhost does (RFC 6761 §6.3).
const defaultDomain = "pantheon.localhost"

func validDomain(domain string) error {
	if domain == "" || len(domain) > 190 || strings.Trim(domain, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" ||
		strings.HasPrefix(domain, ".") || strings.HasSuffix(domain, ".") || strings.Contains(domain, "..") {
		return problem.New(problem.Invalid, "cannot use the domain %.80q", domain).
			WithHint("write it in lower case without a dot at its ends: --domain sites.example.com")
	}
	return nil
}
