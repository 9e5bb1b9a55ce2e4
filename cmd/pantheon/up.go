package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/api"
)

// upCommand runs the platform.
//
// SIGINT (Ctrl-C, or pantheon down) ends all of it, sites and database server
// included. SIGTERM ends the platform and leaves those running, so that a
// service manager can restart it, or replace it by a new version, without a
// visitor noticing.
func (c *cli) upCommand() *cobra.Command {
	var given upFlags
	var firstSite string
	cmd := &cobra.Command{
		Use: "up", Short: "Run the platform in the foreground", Args: arguments(0, 0),
		Long: `up runs the whole platform on this machine, with everything it keeps in the
data folder. Ctrl-C ends all of it. SIGTERM ends the platform but leaves sites
and their database running: the next start takes them over.

With --cluster the platform listens for further machines, which pantheon join
gives to it; a token for each comes from pantheon host token create. On a machine
that has joined a cell, up runs its part of it, and knows what the machine was told
before: its name, zone and addresses.

Behind a proxy that ends TLS, name it with --trusted-proxies. From anybody else
X-Forwarded-For and X-Forwarded-Proto are taken away, because they would let
visitors claim any address; sites would then see the proxy as their visitor and
every request as plain HTTP.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.recallFlags(cmd); err != nil {
				return err
			}
			options, err := given.complete(c)
			if err != nil {
				return err
			}
			if err := c.rememberFlags(cmd); err != nil {
				return err
			}
			return c.up(cmd.Context(), options, firstSite)
		},
	}
	c.upFlags(cmd, &given)
	cmd.Flags().StringVar(&firstSite, "first-site", "", "on a cell without sites, create one of this `NAME` from the sample upstream")
	return cmd
}

// upFlags is what up and join were given, as text.
type upFlags struct {
	options           platformOptions
	logLevel, proxies string
	log               string
	names             dnsFlags
}

func (c *cli) upFlags(cmd *cobra.Command, given *upFlags) {
	options, flags := &given.options, cmd.Flags()
	flags.StringVar(&options.domain, "domain", c.env("PANTHEON_DOMAIN", defaultDomain), "`DOMAIN` of the platform: sites answer at <env>-<site>.DOMAIN (PANTHEON_DOMAIN); a machine that joins takes the cell's")
	flags.StringVar(&options.httpAddress, "http", c.env("PANTHEON_HTTP", "127.0.0.1:8080"), "`ADDRESS` that sites are served at (PANTHEON_HTTP)")
	flags.StringVar(&options.apiAddress, "api-listen", c.getenv("PANTHEON_API_LISTEN"), "`ADDRESS` of the API beside its Unix socket; clients need a token there (PANTHEON_API_LISTEN)")
	flags.StringVar(&options.metricsAddress, "metrics", c.getenv("PANTHEON_METRICS"), "`ADDRESS` of /metrics for Prometheus; it needs no token (PANTHEON_METRICS)")
	flags.StringVar(&given.proxies, "trusted-proxies", c.getenv("PANTHEON_TRUSTED_PROXIES"), "`CIDR,...` of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed; they can claim any client address (PANTHEON_TRUSTED_PROXIES)")
	c.dnsFlags(cmd, &given.names)
	flags.StringVar(&options.cluster, "cluster", c.getenv("PANTHEON_CLUSTER"), "`ADDRESS[:PORT]` of this machine that the other machines of its cell reach; the port is "+defaultClusterPort+" without it, and the two above it are used too (PANTHEON_CLUSTER)")
	flags.StringVar(&given.log, "log", "", "`ADDRESS` of an EventStoreDB that holds the log, esdb://HOST:2113?tls=true&stream=NAME, or @FILE that says it, with user and password (PANTHEON_LOG); the data folder holds it without one")
	flags.StringVar(&options.hostName, "host-name", c.getenv("PANTHEON_HOST_NAME"), "`NAME` of this machine in the cell; the machine's own without one (PANTHEON_HOST_NAME)")
	flags.StringVar(&options.zone, "zone", c.getenv("PANTHEON_ZONE"), "`LABEL` of the place this machine stands in (PANTHEON_ZONE)")
	flags.IntVar(&options.memoryMiB, "memory", 0, "`MIB` offered to sites; three quarters of the machine's without it, and 640 at least")
	flags.BoolVar(&options.bare, "bare", false, "run sites WITHOUT sandboxes, also as root")
	flags.DurationVar(&options.rebalance.Calm, "rebalance-calm", 0, "`TIME` that hosts have to be as they are before DROPs are moved to balance them; a minute without it")
	flags.DurationVar(&options.rebalance.Every, "rebalance-every", 0, "`TIME` in which one DROP is moved so at most; ten seconds without it")
	for _, name := range []string{"rebalance-calm", "rebalance-every"} { // for tests: real cells need no other pace
		_ = flags.MarkHidden(name)
	}
	flags.StringVar(&given.logLevel, "log-level", c.env("PANTHEON_LOG_LEVEL", "warn"), "`LEVEL` of what is logged to stderr: debug, info, warn or error (PANTHEON_LOG_LEVEL)")
}

// complete checks everything that was given, and fills in the rest.
func (f *upFlags) complete(c *cli) (platformOptions, error) {
	if err := c.completeOptions(&f.options, f.logLevel, f.proxies); err != nil {
		return f.options, err
	}
	var err error
	if f.options.cluster, err = completeEndpoint(f.options.cluster); err != nil {
		return f.options, err
	}
	if f.options.foreignLog, err = c.logFlag(f.log); err != nil {
		return f.options, err
	}
	return f.options, f.names.complete(&f.options)
}

// minMemoryMiB is what a cell must offer for one environment: the 512 MiB of
// its DROP, and what its database and sleeping neighbours reserve.
const minMemoryMiB = 640

// completeOptions checks what was given, before anything is made, and fills in
// the rest.
func (c *cli) completeOptions(options *platformOptions, logLevel, proxies string) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(logLevel)); err != nil {
		return problem.New(problem.Invalid, "there is no log level %q", logLevel).WithHint("--log-level debug, info, warn or error")
	}
	options.logger = slog.New(slog.NewTextHandler(c.errors, &slog.HandlerOptions{Level: level}))
	if err := validDomain(options.domain); err != nil {
		return err
	}
	if err := checkAddress(options.httpAddress, "--http"); err != nil {
		return err
	}
	for flag, address := range map[string]string{"--api-listen": options.apiAddress, "--metrics": options.metricsAddress} {
		if address == "" {
			continue
		}
		if err := checkAddress(address, flag); err != nil {
			return err
		}
	}
	var err error
	if options.trustedProxies, err = parseProxies(proxies); err != nil {
		return err
	}
	if options.data, err = filepath.Abs(c.data); err != nil {
		return err
	}
	if err := checkDataPath(options.data); err != nil {
		return err
	}
	return completeHost(options)
}

// completeHost is about this machine: its name and what it offers.
func completeHost(options *platformOptions) error {
	var err error
	if options.hostName == "" {
		if options.hostName, err = os.Hostname(); err != nil {
			return err
		}
	}
	options.hostName = strings.ToLower(options.hostName)
	if !validHostName(options.hostName) {
		return problem.New(problem.Invalid, "cannot use %.80q as the name of this machine: a name has 1 to 253 letters, digits, hyphens, underscores and dots, and begins with a letter or digit", options.hostName).
			WithHint("--host-name web-2 gives it another one")
	}
	if options.memoryMiB == 0 {
		options.memoryMiB, err = offeredMemoryMiB()
		return err
	}
	if options.memoryMiB < minMemoryMiB {
		return problem.New(problem.Invalid, "cannot offer %d MiB of memory: one environment needs 512 MiB, and its database some more", options.memoryMiB).
			WithHint("--memory %d is the least; without it, three quarters of the machine's memory are offered", minMemoryMiB)
	}
	return nil
}

func validHostName(name string) bool {
	return name != "" && len(name) <= 253 && !strings.ContainsAny(name[:1], "-_.") &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == ""
}

// up runs the platform until a signal ends it; when it asks for that, anew in
// this process, with sites and services left running meanwhile.
func (c *cli) up(ctx context.Context, options platformOptions, firstSite string) error {
	if _, install := examine(essential(requirements())); install != "" {
		return problem.New(problem.Unavailable, "cannot run the platform: something it needs is not installed").WithHint("%s", install)
	}
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go tuneCollector(running)
	options.socket = inheritSocket()
	for {
		again, renewed, err := c.upOnce(ctx, options, firstSite)
		if !again {
			return err
		}
		if err != nil {
			options.logger.Warn("the platform begins anew", "error", err)
		}
		if renewed {
			if err := becomeNew(options.socket); err != nil {
				options.logger.Error("the platform goes on as it was", "error", err)
			}
		}
	}
}

// upOnce says whether the platform is to begin anew, and whether of the binary
// that is there now.
func (c *cli) upOnce(ctx context.Context, options platformOptions, firstSite string) (again, renewed bool, err error) {
	p, err := openPlatform(ctx, options)
	if err != nil {
		return false, false, err
	}
	restarting := func() bool { return ctx.Err() == nil && p.restart.Err() != nil }
	leaveRunning := func() bool { return restarting() || p.refused.Load() || endedBy(ctx, syscall.SIGTERM) }
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	first := make(chan error, 1)
	first <- nil
	err = p.run(running, func() {
		c.announce(p)
		<-first
		go func() {
			err := c.createFirstSite(running, p, firstSite)
			first <- err
			if err != nil && running.Err() == nil {
				stop(err)
			}
		}()
	}, func() error {
		if leaveRunning() {
			return nil
		}
		fmt.Fprintln(c.errors, "stopping sites and services …")
		return p.machine.sleepAll()
	})
	again = restarting()
	if siteErr := <-first; siteErr != nil && ctx.Err() == nil {
		err = errors.Join(siteErr, err)
	}
	if !leaveRunning() {
		err = errors.Join(err, p.machine.stopServices(), p.unmountAll())
	}
	return again, p.renewed.Load(), errors.Join(err, p.close())
}

// announce says where everything is.
func (c *cli) announce(p *platform) {
	fmt.Fprintf(c.errors, "pantheon %s is up: data in %s\n", versionText(), p.options.data)
	fmt.Fprintf(c.errors, "  sites  %s\n", p.publicURL("<environment>-<site>."+p.options.domain))
	fmt.Fprintf(c.errors, "  API    %s\n", p.path("run", "api.sock"))
	if p.apiTCP != nil {
		fmt.Fprintf(c.errors, "         http://%s (with a token: pantheon token create)\n", p.apiTCP.Addr())
	}
	if p.names.tcp != nil {
		fmt.Fprintf(c.errors, "  DNS    %s (UDP and TCP)\n", p.names.tcp.Addr())
	}
	if p.cell != nil {
		fmt.Fprintf(c.errors, "  cell   %s (other machines: pantheon host token create)\n", p.cell.settings.Endpoint)
	}
	if p.scrapes != nil {
		fmt.Fprintf(c.errors, "  metrics http://%s/metrics\n", p.scrapes.Addr())
	}
	if !p.machine.isolated() {
		fmt.Fprintln(c.errors, "WARNING: sites run WITHOUT sandboxes: each can read what the others hold, and command\n"+
			"         this platform through its socket.\n"+
			"         Run pantheon up as root (without --bare) before tenants that do not trust one another share this machine.")
	}
}

// createFirstSite makes a site on a cell that has none, through the API like
// everybody else.
func (c *cli) createFirstSite(ctx context.Context, p *platform, name string) error {
	if name == "" {
		return nil
	}
	state := p.inventory.Snapshot()
	if state.SiteCount() == 0 {
		if _, offered := state.UpstreamByName(operatorAccount, sampleUpstreams[0].Name); !offered {
			return problem.New(problem.Unavailable, "cannot create site %s: the sample application is not installed", name).
				WithHint("apt-get install -y wordpress")
		}
		local := &cli{in: c.in, out: c.errors, errors: c.errors, getenv: c.getenv, data: p.options.data, format: "table", verbose: true}
		client, err := local.connect(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.errors, "creating site %s\n", name)
		params := api.CreateSiteParams{SiteName: name, UpstreamID: sampleUpstreams[0].Name}
		if _, err := local.runWorkflow(ctx, client, "users/me/workflows", events.WorkflowCreateSite, params); err != nil {
			return err
		}
	}
	for site := range p.inventory.Snapshot().Sites("") {
		fmt.Fprintf(c.errors, "  %s  %s\n", site.Name, p.publicURL("dev-"+site.Name+"."+p.options.domain)+"/")
	}
	return nil
}
