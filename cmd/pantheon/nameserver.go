package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	zones "pantheon/actors/zone"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/yggdrasil"
	"pantheon/gateways/yggdrasil/delegation"
	"pantheon/gateways/yggdrasil/dnssec"
	"pantheon/gateways/yggdrasil/keyring"
	"pantheon/projections"
	"pantheon/projections/zone"
)

// dnsOptions is what `pantheon up` was told about its name server.
type dnsOptions struct {
	address string // empty: this machine has none
	// internalDomain is the zone of the names of services and hosts, which
	// answers only to internalNetworks.
	internalDomain   string
	internalNetworks []netip.Prefix
	// servers are what zones are delegated to, and entry is where visitors reach
	// the cell.
	servers []events.NameServer
	entry   []string
	// resolver shows the parent's DS records; empty: nobody does.
	resolver string
}

// nameServer is Yggdrasil and what it needs.
type nameServer struct {
	udp    []*net.UDPConn
	tcp    net.Listener // nil where this machine has no name server
	keys   *keyring.Ring
	signer *dnssec.Signer
	keeper *dnssec.Keeper
	server *yggdrasil.Server
}

func (p *platform) listenDNS(ctx context.Context) error {
	if p.options.dns.address == "" {
		return nil
	}
	var err error
	if p.names.udp, p.names.tcp, err = yggdrasil.Listen(ctx, p.options.dns.address, runtime.GOMAXPROCS(0)); err != nil {
		kind, hint := listenFailure(err)
		return problem.Wrap(kind, err, "cannot listen for DNS on %s", p.options.dns.address).WithHint("%s; --dns takes another address, or off", hint)
	}
	tcp, udp := p.names.tcp, p.names.udp
	p.onClose(func() error {
		err := tcp.Close()
		for _, socket := range udp {
			err = errors.Join(err, ignoreClosed(socket.Close()))
		}
		return ignoreClosed(err)
	})
	return nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// zoneView is the projection that the name server answers from.
func (p *platform) zoneView() projections.Projection[*zone.State] {
	options := zone.Options{Domain: p.options.domain, Internal: p.options.dns.internalDomain, Together: together}
	return projections.Projection[*zone.State]{Name: options.ViewName(), Version: zone.Version, Empty: zone.Empty(options)}
}

// together does tasks at the same time.
func together(tasks ...func()) {
	var all sync.WaitGroup
	for _, task := range tasks {
		all.Go(task)
	}
	all.Wait()
}

func (p *platform) openNameServer(context.Context) error {
	var err error
	if p.names.keys, err = keyring.Open(p.path("keys", "dns")); err != nil {
		return err
	}
	if p.names.signer, err = dnssec.New(dnssec.Options{Keys: p.names.keys, Logger: p.options.logger}); err != nil {
		return err
	}
	p.names.keeper, err = dnssec.NewKeeper(dnssec.KeeperOptions{
		Zones: p.zones, Keys: p.names.keys, Recorder: keyRecorder{p}, Parent: p.parentZones(), Unsigned: unsigned, Logger: p.options.logger,
	})
	if err != nil || p.names.tcp == nil {
		return err
	}
	queries, err := openLogFile(p.path("logs", "yggdrasil-queries.log"))
	if err != nil {
		return err
	}
	p.onClose(queries.Close)
	p.names.server, err = yggdrasil.New(yggdrasil.Options{
		Source: zoneSource{p.zones}, Past: p.past.zones.At, Signer: p.names.signer, Keyring: p.names.keys,
		InternalNetworks: p.options.dns.internalNetworks, Identity: p.options.hostName, Version: "pantheon " + versionText(),
		QueryLog: queries, Logger: p.options.logger,
	})
	if err != nil {
		return err
	}
	err = p.metrics.Register(p.names.server.Metrics())
	for _, collector := range p.names.signer.Collectors() {
		err = errors.Join(err, p.metrics.Register(collector))
	}
	return err
}

// parentZones is who shows the parent's DS records; nil for nobody.
func (p *platform) parentZones() dnssec.Parent {
	if p.options.dns.resolver != "" {
		return delegation.Resolver{Address: p.options.dns.resolver}
	}
	resolver, err := delegation.SystemResolver(resolverConfiguration)
	if err != nil {
		return nil
	}
	return resolver
}

// unsigned says which zones get no key by themselves: those that no parent can
// vouch for. An operator may sign them all the same.
func unsigned(z *zone.Zone) bool {
	return z.Internal() || localOnly(z.Name())
}

// localOnly: names that no zone of the world delegates (RFC 6761 §6.3).
func localOnly(name events.ZoneName) bool {
	return name == "localhost" || strings.HasSuffix(string(name), ".localhost")
}

// serveNames answers queries until ctx ends.
func (p *platform) serveNames(ctx context.Context) error {
	return p.names.server.Serve(ctx, p.names.udp, []net.Listener{p.names.tcp})
}

// tendNames looks after signatures, and on the control machine that leads after
// keys and challenges, until ctx ends.
func (p *platform) tendNames(ctx context.Context) error {
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return p.names.signer.Run(ctx, p.zones) })
	if !p.control() {
		all.Go(func() error { return p.followNameKeys(ctx) })
	}
	if p.control() {
		all.Go(func() error { return p.whileLeading(ctx, p.names.keeper.Run) })
		all.Go(func() error { return p.whileLeading(ctx, p.expireChallenges) })
	}
	return all.Wait()
}

// zoneSource is the name server's view of the zones.
type zoneSource struct {
	*projections.View[*zone.State]
}

func (s zoneSource) Zones() *zone.State { return *s.Snapshot() }

// zoneCommand carries out one command of the platform itself and waits until
// the name server answers by it. The key makes it happen once.
func (p *platform) zoneCommand(ctx context.Context, policy, key string, name events.ZoneName, command any) error {
	receipt, err := p.system.Do(ctx, events.Meta{
		Command: events.CommandID(policy + ":" + key), Principal: "policy/" + policy, Gateway: "policy", Time: time.Now().UTC(),
	}, name.Stream(), command)
	if err != nil {
		return err
	}
	return p.zones.Wait(ctx, receipt.Tip.Position)
}

// keyRecorder records what the keeper of keys decides.
type keyRecorder struct{ *platform }

func (r keyRecorder) IntroduceKey(ctx context.Context, name events.ZoneName, key dnssec.NewKey) error {
	return r.zoneCommand(ctx, "dnssec", "introduce/"+string(key.ID), name, introduction(key))
}

func introduction(key dnssec.NewKey) zones.IntroduceKey {
	return zones.IntroduceKey{Key: key.ID, Role: key.Role, Algorithm: key.Algorithm, Tag: key.Tag, Public: key.Public, At: time.Now().UTC()}
}

func (r keyRecorder) ActivateKey(ctx context.Context, name events.ZoneName, key events.ZoneKeyID) error {
	return r.zoneCommand(ctx, "dnssec", "activate/"+string(key), name, zones.ActivateKey{Key: key, At: time.Now().UTC()})
}

func (r keyRecorder) RetireKey(ctx context.Context, name events.ZoneName, key events.ZoneKeyID, unsigned bool) error {
	return r.zoneCommand(ctx, "dnssec", "retire/"+string(key), name, zones.RetireKey{Key: key, At: time.Now().UTC(), Unsigned: unsigned})
}

func (r keyRecorder) RemoveKey(ctx context.Context, name events.ZoneName, key events.ZoneKeyID) error {
	return r.zoneCommand(ctx, "dnssec", "remove/"+string(key), name, zones.RemoveKey{Key: key, At: time.Now().UTC()})
}

func (r keyRecorder) Resign(ctx context.Context, name events.ZoneName, window int64) error {
	return r.zoneCommand(ctx, "dnssec", fmt.Sprintf("resign/%x/%d", sha256.Sum256([]byte(name)), window), name, zones.Resign{At: time.Now().UTC()})
}

// zoneKeys is the API's way to the keys of zones.
type zoneKeys struct {
	keeper *dnssec.Keeper
	ring   *keyring.Ring
}

func (k zoneKeys) NewKey(z *zone.Zone) (zones.IntroduceKey, error) {
	made, err := k.keeper.NewKey(z)
	if err != nil {
		return zones.IntroduceKey{}, err
	}
	return introduction(made), nil
}

func (k zoneKeys) Forget(z *zone.Zone, tag int) error {
	return k.ring.RemoveZoneKey(z.Apex(), uint16(tag))
}

func (k zoneKeys) Waits(z *zone.Zone) string { return k.keeper.Waits(z.Apex()) }

func (zoneKeys) DS(z *zone.Zone, key zone.Key) []byte { return dnssec.DS(z.Apex(), key) }

// challengePause is between two looks for challenges whose time is over.
const challengePause = 5 * time.Second

// expireChallenges takes back what nobody asked to be taken back, until ctx
// ends. What fails is tried again at the next look.
func (p *platform) expireChallenges(ctx context.Context) error {
	ticker := time.NewTicker(challengePause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		for name, command := range expired(*p.zones.Snapshot(), time.Now()) {
			key := fmt.Sprintf("expire/%s/%.40s/%d", command.Name, command.Value, p.zones.Position())
			if err := p.zoneCommand(ctx, "acme", key[:min(len(key), 100)], name, command); err != nil && ctx.Err() == nil {
				p.options.logger.Warn("cannot clear a challenge whose time is over", "zone", name, "name", command.Name, "error", err)
			}
		}
	}
}

// expired gives the commands that are due.
func expired(state *zone.State, now time.Time) func(yield func(events.ZoneName, zones.ClearChallenge) bool) {
	return func(yield func(events.ZoneName, zones.ClearChallenge) bool) {
		for z := range state.All() {
			for _, challenge := range z.Challenges() {
				over := !challenge.Expires.After(now)
				if over && !yield(z.Name(), zones.ClearChallenge{Name: challenge.Name, Value: challenge.Value, Expired: true}) {
					return
				}
			}
		}
	}
}

// zoneBootstrap says what the platform's own zones are made of. Each setting is
// what a flag says; else what people have chosen (dns zone set); else what
// follows from how the platform was started.
func (p *platform) zoneBootstrap() []startCommand {
	given := p.options.dns
	domain, internal := events.ZoneName(p.options.domain), events.ZoneName(given.internalDomain)
	return []startCommand{
		{"zone/" + p.startID(), domain.Stream(), zones.Configure{Zone: domain, Role: events.ZonePlatform, Settings: p.startSettings(domain,
			events.ZoneSettings{NameServers: given.servers, Entry: given.entry},
			p.derivedSettings())}},
		{"internal-zone/" + p.startID(), internal.Stream(), zones.Configure{Zone: internal, Role: events.ZoneInternal, Settings: p.startSettings(internal,
			events.ZoneSettings{NameServers: given.servers}, events.ZoneSettings{})}},
	}
}

func (p *platform) startSettings(name events.ZoneName, flags, derived events.ZoneSettings) events.ZoneSettings {
	_, chosen := p.zoneSettings(name)
	return zone.Overlay(flags, zone.Overlay(chosen, derived))
}

// zoneSettings gives what is said of a zone, and what of it people have chosen.
func (p *platform) zoneSettings(name events.ZoneName) (now, chosen events.ZoneSettings) {
	if z := (*p.zones.Snapshot()).Named(name); z != nil {
		return z.Own()
	}
	return now, chosen
}

// servicePorts are those that this version answers at over the network: HTTP,
// for every web name. Databases listen on Unix sockets alone. SSH and git come
// with their gateway; who has another one says so with dns zone set --service.
func (p *platform) servicePorts() []events.ServicePort {
	address, err := netip.ParseAddrPort(p.web.Addr().String())
	if err != nil {
		return nil
	}
	return []events.ServicePort{{Server: "entry", Service: "http", Port: int(address.Port())}}
}

// derivedSettings are those of the platform's zone where nobody says otherwise.
func (p *platform) derivedSettings() events.ZoneSettings {
	settings := events.ZoneSettings{Entry: p.entryAddresses(), Services: p.servicePorts()}
	if p.cell != nil {
		p.tend(*p.inventory.Snapshot(), &settings, events.ZoneSettings{})
	}
	return settings
}

// entryAddresses of this machine: where Styx listens, else where it is reached.
func (p *platform) entryAddresses() []string {
	if address, err := netip.ParseAddrPort(p.web.Addr().String()); err == nil && !address.Addr().IsUnspecified() {
		return []string{address.Addr().Unmap().String()}
	}
	return machineAddresses()
}

// machineAddresses are those that this machine sends from when it speaks to
// the world; a packet is not sent for it. Without a network it is loopback.
func machineAddresses() []string {
	var all []string
	for _, far := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} { // documentation (RFC 5737, RFC 3849), discard
		socket, err := new(net.Dialer).DialContext(context.Background(), "udp", far)
		if err != nil {
			continue
		}
		if address, err := netip.ParseAddrPort(socket.LocalAddr().String()); err == nil && address.Addr().IsGlobalUnicast() {
			all = append(all, address.Addr().Unmap().String())
		}
		_ = socket.Close()
	}
	if len(all) == 0 {
		return []string{"127.0.0.1"}
	}
	return all
}
