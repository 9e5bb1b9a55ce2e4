package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"pantheon/events"
	"pantheon/events/eventlog/jetstream"
	"pantheon/events/problem"
	"pantheon/projections"
	"pantheon/projections/inventory"
	"pantheon/runtime/identity"
	"pantheon/runtime/lease"
	"pantheon/runtime/mesh"
	"pantheon/runtime/vault"
)

// membership is this machine's part in a cell of several machines. On a platform that
// is alone it is nil.
//
// A machine listens at its endpoint for the mesh; where it holds the log, at
// the next port for those that read and write it. Every machine reads the log and
// has the views, an agent and the gateways of its roles. What only control machines
// have are the actors, the cell's CA, the keys of sites, the policies, the watch
// over leases and the API; the others pass the API on to them, and have what they
// report decided there (cellcontrol.go). Which control machine decides does not
// matter, because the log's expected revision is the fence.
type membership struct {
	dir       string
	settings  cellSettings
	node      *identity.Node
	authority *identity.Authority // nil where this is no control machine
	logger    *slog.Logger
	inventory *projections.View[inventory.State]

	listener net.Listener
	api      *connListener // what comes by the mesh for the API
	mesh     *mesh.Mesh
	keeper   *lease.Keeper
	watcher  *lease.Watcher // nil where this is no control machine
	secrets  *vault.Mirror  // likewise

	moving sync.Mutex                                        // one move of the log at a time
	mu     sync.Mutex                                        // over settings, once the platform runs
	told   sync.Map                                          // vitals by host
	away   sync.Map                                          // hosts that were refused, until they tell something else
	shown  atomic.Pointer[projections.View[inventory.State]] // inventory, for who asks before the views are open
	member *jetstream.Member                                 // nil where this machine holds no replica of the log
}

// cellSettings are kept in <data>/cell/cell.json.
type cellSettings struct {
	// Endpoint is where other machines reach this one, host:port.
	Endpoint string `json:"endpoint"`
	// HoldsLog: the log is on this machine.
	HoldsLog bool `json:"holds_log"`
	// Founder: the cell began on this machine.
	Founder bool `json:"founder,omitzero"`
	// Members are the endpoints of the machines that hold the log together, this
	// one among them; none where one machine holds it.
	Members []string `json:"members,omitzero"`
	// Growing: what is in the folder of the log is still to move to the members.
	Growing bool `json:"growing,omitzero"`
	// Control are the endpoints of control machines, as known last.
	Control []string `json:"control"`
	// Domain and InternalDomain are the cell's.
	Domain         string `json:"domain"`
	InternalDomain string `json:"internal_domain"`
	// Protocol of the binary that took part last; 0 while none has.
	Protocol int `json:"protocol,omitzero"`
}

const cellFile = "cell.json"

func loadCellSettings(dir string) (settings cellSettings, known bool, err error) {
	text, err := os.ReadFile(filepath.Join(dir, cellFile))
	if errors.Is(err, fs.ErrNotExist) {
		return settings, false, nil
	}
	if err != nil {
		return settings, false, cannotWrite(err)
	}
	if err := json.Unmarshal(text, &settings); err != nil {
		return settings, false, problem.Wrap(problem.Invalid, err, "cannot read %s", filepath.Join(dir, cellFile))
	}
	return settings, true, nil
}

func (s cellSettings) save(dir string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return writeSynced(filepath.Join(dir, cellFile), append(text, '\n'))
}

// logAddress is where a machine's log listens: one port above its endpoint.
func logAddress(endpoint string) string { return portAbove(endpoint, 1) }

func portAbove(endpoint string, by int) string {
	host, text, err := net.SplitHostPort(endpoint)
	port, portErr := strconv.Atoi(text)
	if err != nil || portErr != nil {
		return endpoint // was checked when it came in
	}
	return net.JoinHostPort(host, strconv.Itoa(port+by))
}

// defaultClusterPort is the mesh's; the log's follows.
const defaultClusterPort = "7600"

// completeEndpoint checks what --cluster says.
func completeEndpoint(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = text, defaultClusterPort
	}
	number, err := strconv.ParseUint(port, 10, 16)
	switch ip := net.ParseIP(host); {
	case host == "" || ip != nil && ip.IsUnspecified():
		return "", problem.New(problem.Invalid, "cannot use %.100q for --cluster: other machines must be able to reach it", text).
			WithHint("give an address of this machine: --cluster 10.0.0.1")
	case err != nil || number == 0 || number > 65_533:
		return "", problem.New(problem.Invalid, "cannot use %.100q for --cluster: its port must be 1 to 65533, the two above are used too", text).
			WithHint("--cluster 10.0.0.1:%s", defaultClusterPort)
	}
	return net.JoinHostPort(host, port), nil
}

// openCell makes this machine a part of its cell: the first one makes the cell.
func (p *platform) openCell(ctx context.Context) error {
	dir := p.path("cell")
	settings, known, err := loadCellSettings(dir)
	if err != nil {
		return err
	}
	if !known && p.options.cluster == "" {
		p.authority, err = openAuthority(dir, true)
		return err
	}
	c := &membership{dir: dir, settings: settings, logger: p.options.logger}
	if !known {
		c.settings.HoldsLog, c.settings.Founder = true, true
	}
	if p.options.cluster != "" {
		c.settings.Endpoint = p.options.cluster
	}
	if c.settings.HoldsLog && len(c.settings.Control) == 0 {
		c.settings.Control = []string{c.settings.Endpoint}
	}
	if c.settings.Founder {
		c.settings.Domain, c.settings.InternalDomain = p.options.domain, p.options.dns.internalDomain
	} else {
		p.options.domain, p.options.dns.internalDomain = c.settings.Domain, c.settings.InternalDomain
	}
	if err := c.openIdentity(ctx, p.host.ID); err != nil {
		return err
	}
	p.authority = c.authority
	if err := c.settings.save(dir); err != nil {
		return err
	}
	if err := p.closeWithoutRole(c); err != nil {
		return err
	}
	if c.listener, err = listenTCP(ctx, c.settings.Endpoint, "--cluster"); err != nil {
		return err
	}
	p.onClose(func() error { return ignoreClosed(c.listener.Close()) })
	p.cell = c
	return nil
}

// closeWithoutRole lets go of the addresses of what this machine does not do.
func (p *platform) closeWithoutRole(c *membership) error {
	var failed []error
	if !c.has(events.RoleEntry) {
		failed = append(failed, p.web.Close())
	}
	if !c.has(events.RoleDNS) && p.names.tcp != nil {
		failed = append(failed, p.names.tcp.Close())
		for _, socket := range p.names.udp {
			failed = append(failed, socket.Close())
		}
		p.names.tcp, p.names.udp = nil, nil
	}
	return errors.Join(failed...)
}

// openIdentity opens the machine's certificate, and makes the CA and one with
// it where the cell begins. One that has ended is renewed.
func (c *membership) openIdentity(ctx context.Context, host events.HostID) error {
	var err error
	if c.authority, err = openAuthority(c.dir, c.settings.HoldsLog); err != nil {
		return err
	}
	c.node, err = identity.OpenNode(c.dir)
	if problem.KindOf(err) == problem.NotFound && c.authority != nil {
		return c.signSelf(host)
	}
	if err != nil {
		return err
	}
	if c.node.Host().ID != host {
		return problem.New(problem.Conflict, "cannot start: the certificate in %s is that of machine %s, and this is %s", c.dir, c.node.Host().ID, host).
			WithHint("a data folder belongs to one machine; a new machine joins with an empty one")
	}
	if time.Now().Before(c.node.Ends()) {
		return nil
	}
	return c.node.Renew(ctx, c.askOutside)
}

// openAuthority opens the cell's CA, or makes it where it begins here; nil on a
// machine that has none.
func openAuthority(dir string, create bool) (*identity.Authority, error) {
	dir = filepath.Join(dir, "ca")
	authority, err := identity.OpenAuthority(dir)
	switch {
	case problem.KindOf(err) != problem.NotFound:
		return authority, err
	case !create:
		return nil, nil
	}
	return identity.CreateAuthority(dir, identity.NewCellID(), time.Now())
}

// signSelf gives the first machine its certificate.
func (c *membership) signSelf(host events.HostID) error {
	request, err := identity.NewRequest()
	if err != nil {
		return err
	}
	certificate, err := c.authority.SignHost(request.CSR, host, everyRole(), time.Now())
	if err != nil {
		return err
	}
	c.node, err = identity.InstallNode(c.dir, request, certificate, c.authority.Certificate())
	return err
}

func everyRole() []events.HostRole {
	return []events.HostRole{events.RoleControl, events.RoleDNS, events.RoleEntry, events.RoleHost}
}

// askOutside renews the certificate before there is a mesh.
func (c *membership) askOutside(ctx context.Context, csr []byte) ([]byte, error) {
	if c.authority != nil {
		host := c.node.Host()
		return c.authority.SignHost(csr, host.ID, host.Roles, time.Now())
	}
	answer, err := mesh.Rejoin(ctx, c.node, c.settings.Control, csr)
	return answer.Certificate, err
}

// renew renews it by the mesh, from the first control machine that answers.
func (c *membership) renew(ctx context.Context, csr []byte) ([]byte, error) {
	if c.authority != nil {
		return c.askOutside(ctx, csr)
	}
	answer, err := askControl(ctx, c, func(ctx context.Context, host events.HostID) (mesh.Certificate, error) {
		return c.mesh.Renew(ctx, host, csr)
	})
	return answer.Certificate, err
}

// has says whether this machine takes a part; one that is alone takes all.
func (c *membership) has(role events.HostRole) bool { return c == nil || c.node.Host().Has(role) }

// control says whether this machine is a control machine, or alone.
func (p *platform) control() bool { return p.cell == nil || p.cell.authority != nil }

// leads says whether this machine's policies act: those of the first control
// machine that is not lost. While machines see that differently, two act, or
// none, both for moments: intents have the same ids everywhere.
func (p *platform) leads() bool { return p.cell == nil || p.leader() == p.host.ID }

// leader is empty where no control machine is there.
func (p *platform) leader() (first events.HostID) {
	for _, host := range p.inventory.Snapshot().Hosts() {
		if slices.Contains(host.Roles, events.RoleControl) && host.Status != inventory.Lost && (first == "" || host.ID < first) {
			first = host.ID
		}
	}
	return first
}

// whileLeading runs what one control machine does for all, as long as this one
// leads, until ctx ends.
func (p *platform) whileLeading(ctx context.Context, run func(context.Context) error) error {
	if p.cell == nil {
		return run(ctx)
	}
	ticker := time.NewTicker(leadPause)
	defer ticker.Stop()
	for {
		if p.leads() {
			if err := p.untilOutOfLead(ctx, run); err != nil {
				return err
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// leadPause is between two looks at who leads.
const leadPause = time.Second

func (p *platform) untilOutOfLead(ctx context.Context, run func(context.Context) error) error {
	leading, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- run(leading) }()
	ticker := time.NewTicker(leadPause)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			return untilDone(leading, err)
		case <-ticker.C:
		}
		if !p.leads() {
			stop()
		}
	}
}

// controlHosts are the machines of the cell that can sign and have keys.
func (c *membership) controlHosts() []events.HostID {
	var all []events.HostID
	for _, host := range c.inventory.Snapshot().Hosts() {
		if slices.Contains(host.Roles, events.RoleControl) && host.ID != c.node.Host().ID {
			all = append(all, host.ID)
		}
	}
	return all
}

// askControl asks one control machine after the other until one can be reached.
func askControl[T any](ctx context.Context, c *membership, ask func(context.Context, events.HostID) (T, error)) (answer T, err error) {
	err = problem.New(problem.Unavailable, "cannot ask a control machine: this machine knows of none yet")
	for _, host := range c.controlHosts() {
		if answer, err = ask(ctx, host); problem.KindOf(err) != problem.Unavailable || ctx.Err() != nil {
			return answer, err
		}
	}
	return answer, err
}

// openMesh puts the machine's ports together.
func (p *platform) openMesh(ctx context.Context) error {
	c := p.cell
	if c == nil {
		return nil
	}
	c.inventory = p.inventory
	c.shown.Store(p.inventory)
	c.api = newConnListener(c.listener.Addr())
	p.onClose(c.api.Close)
	options := mesh.Options{
		Node: c.node, Directory: directory{p.inventory}, Listener: c.listener, Logger: p.options.logger,
		Agent: localAgent{p.machine.agent, p.host.ID}, Sockets: sockets{p}, Volumes: volumes{p},
	}
	if c.authority != nil {
		options.NameKeys = nameKeys{p}
		options.Keys, options.Renewer, options.Joiner, options.Certifier = siteKeys{p}, renewer{p}, joiner{p}, bindingSigner{p}
		options.API = func(conn net.Conn) { c.api.give(conn) }
	}
	var err error
	if c.mesh, err = mesh.New(options); err != nil {
		return err
	}
	bucket := &leaseBucket{log: p.log, hosts: p.leasedHosts}
	c.keeper = lease.NewKeeper(lease.KeeperOptions{
		Host: p.host.ID, Boot: p.startID(), Bucket: bucket, Folded: func() events.Revision { return p.machine.agent.Folded() }, Logger: p.options.logger,
	})
	if c.authority != nil {
		c.watcher = lease.NewWatcher(lease.WatcherOptions{Bucket: bucket, Members: p.leaseMembers, Reports: leaseReports{p}, Logger: p.options.logger})
	}
	return nil
}

// runCell keeps the machine's place in the cell until ctx ends.
func (p *platform) runCell(ctx context.Context) error {
	c := p.cell
	all, ctx := errgroup.WithContext(ctx)
	run := func(what func(context.Context) error) {
		all.Go(func() error { return untilDone(ctx, what(ctx)) })
	}
	run(c.mesh.Run)
	run(func(ctx context.Context) error { return c.node.Run(ctx, c.renew, p.options.logger) })
	run(p.keepLease)
	run(p.serveQuestions)
	run(p.cutStaleSockets)
	run(p.noteControl)
	run(p.noteRemoval)
	run(p.noteProtocol)
	run(p.noteSoftware)
	run(p.watchMembership)
	run(p.tellVitals)
	run(p.tendMounts)
	if c.secrets != nil {
		run(c.secrets.Run)
		run(p.ring.Run)
	}
	if c.authority != nil {
		run(p.serveControl)
		run(p.turnAway)
		run(p.keepReleases)
		run(p.tellLeavers)
		run(p.tendEntries)
	}
	if c.watcher != nil {
		run(func(ctx context.Context) error { return p.whileLeading(ctx, p.collectReleases) })
		run(c.watcher.Run)
	}
	return all.Wait()
}

// cellLease is the agent's view of the lease.
type cellLease struct{ *platform }

func (l cellLease) Held() (uint64, bool) { return l.cell.keeper.Held() }

func (l cellLease) Next(ctx context.Context, after uint64) (uint64, error) {
	return l.cell.keeper.Next(ctx, after)
}

func (l cellLease) Over(ctx context.Context, term uint64) error { return l.cell.keeper.Over(ctx, term) }

// untilDone takes the end of a context for a good end.
func untilDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was told to end
	}
	return err
}

// noteControl keeps on disk where the control machines are, for the next start.
func (p *platform) noteControl(ctx context.Context) error {
	c := p.cell
	return p.eachChange(ctx, controlPause, func(state inventory.State) error {
		var endpoints []string
		for _, host := range state.Hosts() {
			if slices.Contains(host.Roles, events.RoleControl) && host.Endpoint != "" {
				endpoints = append(endpoints, host.Endpoint)
			}
		}
		if len(endpoints) == 0 || slices.Equal(endpoints, c.known().Control) {
			return nil
		}
		if err := c.change(func(s *cellSettings) { s.Control = endpoints }); err != nil {
			c.logger.Warn("cannot note where the control machines are", "error", err)
		}
		return nil
	})
}

// known gives the settings as they are now.
func (c *membership) known() cellSettings {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settings
}

// change changes the settings, on disk first.
func (c *membership) change(with func(*cellSettings)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := c.settings
	with(&changed)
	if err := changed.save(c.dir); err != nil {
		return err
	}
	c.settings = changed
	return nil
}

// eachChange calls do with the newest inventory at first and after changes, no
// more often than the pause says.
func (p *platform) eachChange(ctx context.Context, pause time.Duration, do func(inventory.State) error) error {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		state, position := p.inventory.Load()
		if err := do(state); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := p.inventory.Wait(ctx, position+1); err != nil {
			return err
		}
	}
}

// What eachChange waits for between two looks.
const (
	controlPause = 5 * time.Second
	socketPause  = 100 * time.Millisecond
)
