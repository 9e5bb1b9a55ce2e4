package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"pantheon/events/problem"
	"pantheon/gateways/api"
	"pantheon/gateways/yggdrasil/delegation"
)

// resolverConfiguration is where the machine's resolvers stand (resolv.conf(5)).
const resolverConfiguration = "/etc/resolv.conf"

func delegationColumns() []column[delegation.Finding] {
	return []column[delegation.Finding]{
		{"check", func(f delegation.Finding) string { return f.Check }},
		{"verdict", func(f delegation.Finding) string { return string(f.Verdict) }},
		{"subject", func(f delegation.Finding) string { return f.Subject }},
		{"expected", func(f delegation.Finding) string { return f.Expected }},
		{"seen", func(f delegation.Finding) string { return f.Seen }},
		{"todo", func(f delegation.Finding) string { return f.Todo }},
	}
}

func (c *cli) dnsCheckCommand() *cobra.Command {
	var resolver, parent, port string
	cmd := &cobra.Command{
		Use: "check [ZONE]", Short: "Compare a zone with what the world sees of it",
		Long: `check compares delegation, glue and DS records with what a resolver and the servers
of the parent zone say, asks each name server of the zone, and says what to do at
the registrar. It asks from where it runs. The exit code is 65 where something is
wrong, and 69 where something could not be asked.`,
		Example: "  pantheon dns check example.org --resolver 9.9.9.9",
		Args:    arguments(0, 1), ValidArgsFunction: c.completeZones,
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := checkOptions(resolver, parent, port)
			if err != nil {
				return err
			}
			findings, err := c.check(cmd.Context(), args, options)
			if err != nil {
				return err
			}
			if err := show(c, findings, delegationColumns()); err != nil {
				return err
			}
			return verdictOf(findings)
		},
	}
	cmd.Flags().StringVar(&resolver, "resolver", "", "`ADDRESS` of the resolver to ask; the machine's own without one")
	cmd.Flags().StringVar(&parent, "parent", "", "`ADDRESS` of a server of the parent zone; found by the resolver without one")
	cmd.Flags().StringVar(&port, "port", "53", "`PORT` that the zone's name servers are asked at")
	return cmd
}

func checkOptions(resolver, parent, port string) (delegation.Options, error) {
	options := delegation.Options{Port: port}
	var err error
	if resolver == "" {
		options.Resolver, err = delegation.SystemResolver(resolverConfiguration)
	} else {
		options.Resolver.Address, err = delegation.ParseAddress(resolver)
	}
	if err == nil && parent != "" {
		options.Parent, err = delegation.ParseAddress(parent)
	}
	return options, err
}

func (c *cli) check(ctx context.Context, args []string, options delegation.Options) ([]delegation.Finding, error) {
	client, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	name, err := zoneArgument(ctx, client, args)
	if err != nil {
		return nil, err
	}
	var zone api.ZoneDelegation
	if err := client.do(ctx, http.MethodGet, zonePath(name, "delegation"), nil, &zone); err != nil {
		return nil, err
	}
	return delegation.Check(ctx, delegation.Zone{
		Name: zone.Name, NameServers: zone.NameServers, Glue: zone.Glue, Serial: zone.Serial, DS: zone.DS, Tags: zone.Tags,
	}, options), nil
}

// verdictOf ends the command with a code that says how it went; the findings
// have said it in words.
func verdictOf(findings []delegation.Finding) error {
	worst := delegation.OK
	for _, finding := range findings {
		if finding.Verdict == delegation.Wrong || worst == delegation.OK {
			worst = finding.Verdict
		}
	}
	switch worst {
	case delegation.Wrong:
		return quietError{problem.Conflict.ExitCode()}
	case delegation.Unknown:
		return quietError{problem.Unavailable.ExitCode()}
	case delegation.OK:
	}
	return nil
}
