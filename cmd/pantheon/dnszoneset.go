package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/api"
)

// zoneFlags are the settings of a zone as they are given.
type zoneFlags struct {
	primary, hostmaster                string
	servers, entry, caa, services      []string
	ttl, negative, refresh, retry, end time.Duration
}

func (c *cli) dnsZoneSetCommand() *cobra.Command {
	var given zoneFlags
	cmd := &cobra.Command{
		Use: "set ZONE", Short: "Change what the platform says in a zone by itself",
		Long: `set changes the settings that it is given. An empty value (or 0) gives one back to
the platform. What a zone leaves open it takes from the platform's own zone.

In the platform's zones these stay over restarts: pantheon up changes one that was
set here only where a flag of its own (--dns-name, --entry-address) says so.

A service is SERVER/NAME=PORT and becomes SRV records. In the platform's zone
entry/http=80 stands for the port of every web name. In the internal zone SERVER is
appserver, codeserver, dbserver …: whoever runs an SSH server for sites beside the
platform publishes it with --service appserver/ssh=2222.`,
		Example: "  pantheon dns zone set example.org --hostmaster dns@example.org --ttl 5m\n" +
			"  pantheon dns zone set example.org --name-server ns1.example.org=192.0.2.1 --name-server ns2.example.net\n" +
			"  pantheon dns zone set example.org --caa '0 issue \"letsencrypt.org\"'",
		Args: arguments(1, 1), ValidArgsFunction: c.completeZones,
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := given.change(cmd)
			if err != nil {
				return err
			}
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			var zone api.Zone
			if err := client.do(cmd.Context(), http.MethodPatch, zonePath(args[0], "settings"), change, &zone); err != nil {
				return err
			}
			return showOne(c, zone, zoneDetails())
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&given.servers, "name-server", nil, "`NAME[=ADDRESS,...]` of a server the zone is delegated to, again for each")
	flags.StringVar(&given.primary, "primary", "", "`NAME` of the primary server in the SOA record; the first name server without it")
	flags.StringVar(&given.hostmaster, "hostmaster", "", "`MAIL` address of who looks after the zone")
	flags.StringArrayVar(&given.entry, "entry-address", nil, "`ADDRESS` that names of sites stand for, again for each")
	flags.StringArrayVar(&given.caa, "caa", nil, "CAA `DATA`: who may issue certificates, again for each")
	flags.StringArrayVar(&given.services, "service", nil, "`SERVER/NAME=PORT` of an SRV record, again for each")
	flags.DurationVar(&given.ttl, "ttl", 0, "how long others may keep names of sites and placements")
	flags.DurationVar(&given.negative, "negative-ttl", 0, "how long others may keep that there is no such name")
	flags.DurationVar(&given.refresh, "refresh", 0, "how often secondaries ask for changes")
	flags.DurationVar(&given.retry, "retry", 0, "how soon they ask again when nobody answered")
	flags.DurationVar(&given.end, "expire", 0, "when they stop answering")
	return cmd
}

// change gives what was named on the command line.
func (f zoneFlags) change(cmd *cobra.Command) (change api.SettingsChange, err error) {
	given := cmd.Flags().Changed
	texts := map[string]struct {
		to   **string
		text *string
	}{"primary": {&change.Primary, &f.primary}, "hostmaster": {&change.Hostmaster, &f.hostmaster}}
	for name, one := range texts {
		if given(name) {
			*one.to = one.text
		}
	}
	for name, one := range map[string]struct {
		to       **int64
		duration time.Duration
	}{
		"ttl": {&change.TTLSeconds, f.ttl}, "negative-ttl": {&change.NegativeTTLSeconds, f.negative},
		"refresh": {&change.RefreshSeconds, f.refresh}, "retry": {&change.RetrySeconds, f.retry}, "expire": {&change.ExpireSeconds, f.end},
	} {
		if given(name) {
			*one.to = new(int64(one.duration / time.Second))
		}
	}
	if given("caa") {
		change.CAA = new(filled(f.caa))
	}
	if err := f.lists(given, &change); err != nil {
		return change, err
	}
	if change == (api.SettingsChange{}) {
		return change, problem.New(problem.Invalid, "cannot tell what to set").WithHint("pantheon dns zone set --help")
	}
	return change, nil
}

func (f zoneFlags) lists(given func(string) bool, change *api.SettingsChange) error {
	if given("name-server") {
		servers, err := parseNameServers(filled(f.servers))
		if err != nil {
			return err
		}
		change.NameServers = new(append([]events.NameServer{}, servers...)) // a list, even where it is empty
	}
	if given("entry-address") {
		addresses, err := parseAddresses(strings.Join(filled(f.entry), ","))
		if err != nil {
			return err
		}
		change.Entry = new(append([]string{}, addresses...))
	}
	if given("service") {
		services, err := parseServices(filled(f.services))
		if err != nil {
			return err
		}
		change.Services = &services
	}
	return nil
}

// filled leaves out empty texts: a flag with an empty value names an empty list.
func filled(texts []string) []string {
	list := []string{}
	for _, text := range texts {
		if text != "" {
			list = append(list, text)
		}
	}
	return list
}

// parseServices reads SERVER/NAME=PORT.
func parseServices(words []string) ([]events.ServicePort, error) {
	services := []events.ServicePort{}
	for _, word := range words {
		name, port, _ := strings.Cut(word, "=")
		server, service, has := strings.Cut(name, "/")
		number, err := strconv.ParseUint(port, 10, 16)
		if !has || err != nil {
			return nil, problem.New(problem.Invalid, "cannot use %.60q as a service", word).WithHint("write entry/http=80 or appserver/ssh=2222")
		}
		services = append(services, events.ServicePort{Server: server, Service: service, Port: int(number)})
	}
	return services, nil
}

func (c *cli) dnsZoneSignCommand() *cobra.Command {
	return &cobra.Command{
		Use: "sign ZONE", Short: "Sign a zone, also one that the platform leaves unsigned by itself",
		Long: `sign makes the first key of a zone, or takes back what unsign said. Zones are signed
from the start, but for the internal one and those below .localhost, for which no
parent can vouch. Afterwards put the DS at the registrar (pantheon dns ds).`,
		Args: arguments(1, 1), ValidArgsFunction: c.completeZones,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.decideSigning(cmd, args[0], api.Signing{Signed: true})
		},
	}
}

func (c *cli) dnsZoneUnsignCommand() *cobra.Command {
	var now bool
	cmd := &cobra.Command{
		Use: "unsign ZONE", Short: "End the signing of a zone, when no parent vouches for it any more",
		Long: `unsign ends DNSSEC for a zone without anybody noticing:

  1. CDS and CDNSKEY say that the parent shall have no DS records (RFC 8078 §4). Parents
     that read them take theirs away; elsewhere do it at the registrar. The zone goes
     on being signed.
  2. When the parent has none, and a day later no cache has, the keys and their private
     halves are removed.

pantheon dns key list says what is waited for, pantheon dns zone sign takes it back.
--now waits for nobody: while the parent has a DS, those who validate cannot resolve
the zone.`,
		Args: arguments(1, 1), ValidArgsFunction: c.completeZones,
		RunE: func(cmd *cobra.Command, args []string) error {
			if now {
				if err := c.confirm(fmt.Sprintf("Remove the keys of zone %s at once, although the parent may vouch for them?", args[0]), args[0]); err != nil {
					return err
				}
			}
			return c.decideSigning(cmd, args[0], api.Signing{Now: now})
		},
	}
	cmd.Flags().BoolVar(&now, "now", false, "do not wait until the parent's DS records are gone")
	return cmd
}

func (c *cli) decideSigning(cmd *cobra.Command, zone string, signing api.Signing) error {
	client, err := c.connect(cmd.Context())
	if err != nil {
		return err
	}
	var record api.Zone
	if err := client.do(cmd.Context(), http.MethodPut, zonePath(zone, "signing"), signing, &record); err != nil {
		return err
	}
	return showOne(c, record, zoneDetails())
}
