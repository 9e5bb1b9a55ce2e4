package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/api"
)

func (c *cli) dnsCommand() *cobra.Command {
	return noun("dns", "Zones, records and keys of the platform's name server",
		c.dnsZoneCommand(), c.dnsRecordCommand(), c.dnsKeyCommand(), c.dnsDSCommand(), c.dnsSecondaryCommand(),
		c.dnsTSIGCommand(), c.dnsChallengeCommand(), c.dnsCheckCommand())
}

func zonePath(zone string, below ...string) string {
	path := "dns/zones/" + url.PathEscape(zone)
	for _, element := range below {
		path += "/" + element
	}
	return path
}

// dnsZoneCommand prints a zone where it is not given one of its own commands.
func (c *cli) dnsZoneCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "zone [ZONE]", Short: "Print a zone as text, or list, add and remove zones",
		Long: `zone prints a zone as a master file (RFC 1035): the platform's own without a
name. Every record follows from the log; those of DNSSEC are made when they are
asked for and are not in it.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SuggestionsMinimumDistance = 2
			if len(args) > 1 || (len(args) == 1 && !strings.Contains(args[0], ".") && len(cmd.SuggestionsFor(args[0])) > 0) {
				return group(cmd, args)
			}
			return c.printZone(cmd.Context(), args)
		},
	}
	cmd.AddCommand(c.dnsZoneTextCommand(), c.dnsZoneListCommand(), c.dnsZoneShowCommand(), c.dnsZoneAddCommand(), c.dnsZoneSetCommand(),
		c.dnsZoneSignCommand(), c.dnsZoneUnsignCommand(), c.dnsZoneRemoveCommand())
	return cmd
}

func (c *cli) dnsZoneTextCommand() *cobra.Command {
	return &cobra.Command{
		Use: "text [ZONE]", Short: "Print a zone as a master file", Args: arguments(0, 1),
		ValidArgsFunction: c.completeZones,
		RunE:              func(cmd *cobra.Command, args []string) error { return c.printZone(cmd.Context(), args) },
	}
}

// printZone copies the text as it comes: a zone may have a million lines.
func (c *cli) printZone(ctx context.Context, args []string) error {
	client, err := c.connect(ctx)
	if err != nil {
		return err
	}
	name, err := zoneArgument(ctx, client, args)
	if err != nil {
		return err
	}
	response, err := client.send(ctx, http.MethodGet, zonePath(name, "text"), nil, "text/dns")
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode >= http.StatusMultipleChoices {
		text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
		if err != nil {
			return client.unreachable(err)
		}
		return api.ErrorOf(response.StatusCode, text)
	}
	if _, err := io.Copy(c.out, response.Body); err != nil {
		return client.unreachable(err)
	}
	return nil
}

// zoneArgument gives the zone that is meant, the platform's own without one.
func zoneArgument(ctx context.Context, client *client, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	zones, err := list(ctx, client, "dns/zones", nil, zoneID)
	if err != nil {
		return "", err
	}
	for _, zone := range zones {
		if zone.Role == events.ZonePlatform {
			return string(zone.Name), nil
		}
	}
	return "", problem.New(problem.NotFound, "cannot find the platform's zone").WithHint("pantheon dns zone list")
}

func (c *cli) zones(ctx context.Context) ([]api.Zone, error) {
	client, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	return list(ctx, client, "dns/zones", nil, zoneID)
}

func zoneID(z api.Zone) string { return string(z.Name) }

// completeZones completes the names of zones in a shell.
func (c *cli) completeZones(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	zones, err := c.zones(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names := make([]string, len(zones))
	for i, zone := range zones {
		names[i] = string(zone.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func zoneColumns() []column[api.Zone] {
	return []column[api.Zone]{
		{"name", func(z api.Zone) string { return string(z.Name) }},
		{"role", func(z api.Zone) string { return string(z.Role) }},
		{"serial", func(z api.Zone) string { return fmt.Sprint(z.Serial) }},
		{"names", func(z api.Zone) string { return number(z.Names) }},
		{"records", func(z api.Zone) string { return number(z.Records) }},
		{"signed", func(z api.Zone) string {
			if z.Signed && z.Unsigned {
				return "until the parent's DS is gone"
			}
			return yesNo(z.Signed)
		}},
		{"secondaries", func(z api.Zone) string { return number(len(z.Secondaries)) }},
	}
}

func zoneDetails() []column[api.Zone] {
	return append(zoneColumns(),
		column[api.Zone]{"name_servers", func(z api.Zone) string {
			var names []string
			for _, server := range z.Settings.NameServers {
				names = append(names, server.Name)
			}
			return strings.Join(names, ", ")
		}},
		column[api.Zone]{"hostmaster", func(z api.Zone) string { return z.Settings.Hostmaster }},
		column[api.Zone]{"entry", func(z api.Zone) string { return strings.Join(z.Settings.Entry, ", ") }},
		column[api.Zone]{"services", func(z api.Zone) string {
			var ports []string
			for _, s := range z.Settings.Services {
				ports = append(ports, fmt.Sprintf("%s/%s=%d", s.Server, s.Service, s.Port))
			}
			return strings.Join(ports, ", ")
		}},
		column[api.Zone]{"ttl", func(z api.Zone) string { return fmt.Sprint(z.Settings.TTLSeconds) }},
		column[api.Zone]{"negative_ttl", func(z api.Zone) string { return fmt.Sprint(z.Settings.NegativeTTLSeconds) }},
	)
}

func (c *cli) dnsZoneListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the zones", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			zones, err := c.zones(cmd.Context())
			if err != nil {
				return err
			}
			return show(c, zones, zoneColumns())
		},
	}
}

func (c *cli) dnsZoneShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show ZONE", Short: "Show a zone's settings", Args: arguments(1, 1), ValidArgsFunction: c.completeZones,
		RunE: func(cmd *cobra.Command, args []string) error {
			zone, err := fetch[api.Zone](cmd.Context(), c, zonePath(args[0]))
			if err != nil {
				return err
			}
			return showOne(c, zone, zoneDetails())
		},
	}
}

func (c *cli) dnsZoneAddCommand() *cobra.Command {
	var change api.ZoneChange
	var servers []string
	cmd := &cobra.Command{
		Use: "add ZONE", Short: "Make the platform authoritative for a zone",
		Long: `add makes the platform the primary name server of a zone, signed from the
start. Custom domains of sites that lie in it are published by themselves, other
records with pantheon dns record add.

Then delegate the zone at its registrar, and put the DS record there that
pantheon dns ds prints; pantheon dns check says what is missing.`,
		Example: "  pantheon dns zone add example.org\n  pantheon dns zone add example.org --name-server ns1.example.org=192.0.2.1 --name-server ns2.example.net",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			change.Name = events.ZoneName(args[0])
			var err error
			if change.Settings.NameServers, err = parseNameServers(servers); err != nil {
				return err
			}
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			var zone api.Zone
			if err := client.do(cmd.Context(), http.MethodPost, "dns/zones", change, &zone); err != nil {
				return err
			}
			return showOne(c, zone, zoneDetails())
		},
	}
	cmd.Flags().StringArrayVar(&servers, "name-server", nil, "`NAME[=ADDRESS,...]` of a server the zone is delegated to, again for each; the platform's own without one")
	cmd.Flags().StringVar(&change.Settings.Hostmaster, "hostmaster", "", "`MAIL` address of who looks after the zone")
	return cmd
}

// parseNameServers reads NAME[=ADDRESS,...].
func parseNameServers(words []string) ([]events.NameServer, error) {
	var servers []events.NameServer
	for _, word := range words {
		name, addresses, has := strings.Cut(word, "=")
		server := events.NameServer{Name: strings.TrimSuffix(strings.ToLower(name), ".")}
		if has {
			list, err := parseAddresses(addresses)
			if err != nil {
				return nil, err
			}
			server.Addresses = list
		}
		servers = append(servers, server)
	}
	return servers, nil
}

func (c *cli) dnsZoneRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove ZONE", Short: "End the platform's authority for a zone", Args: arguments(1, 1), ValidArgsFunction: c.completeZones,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.confirm(fmt.Sprintf("Remove zone %s with its records, keys and secondaries?", args[0]), args[0]); err != nil {
				return err
			}
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			return client.do(cmd.Context(), http.MethodDelete, zonePath(args[0]), nil, nil)
		},
	}
}
