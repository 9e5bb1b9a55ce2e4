package main

import (
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"pantheon/events"
	"pantheon/gateways/api"
)

func (c *cli) routeCommand() *cobra.Command {
	return noun("route", "Show where the router sends requests", c.routeListCommand(), c.routeShowCommand())
}

func routeColumns() []column[api.Route] {
	return []column[api.Route]{
		{"host", func(r api.Route) string { return r.Host }},
		{"environment", func(r api.Route) string { return r.SiteName + "." + string(r.Name) }},
		{"type", func(r api.Route) string { return r.Type }},
		{"state", func(r api.Route) string { return string(r.State) }},
		{"answer", func(r api.Route) string { return r.Answer }},
		{"drops", func(r api.Route) string { return number(len(r.Drops)) }},
	}
}

func (c *cli) routeListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list [SITE[.ENV]]", Short: "List the host names that lead to sites", Args: arguments(0, 1), ValidArgsFunction: c.completeSites,
		RunE: func(cmd *cobra.Command, args []string) error {
			routes, err := listOf(cmd.Context(), c, "routes", args,
				func(r api.Route) string { return r.Host },
				func(r api.Route) events.EnvironmentName { return r.Name })
			if err != nil {
				return err
			}
			return show(c, routes, routeColumns())
		},
	}
}

func (c *cli) routeShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show HOST-NAME", Short: "Show what the router answers for a host name", Args: arguments(1, 1),
		Example: "  pantheon route show dev-blog.pantheon.localhost --at 2h",
		RunE: func(cmd *cobra.Command, args []string) error {
			route, err := fetch[api.Route](cmd.Context(), c, "routes/"+url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			return showOne(c, route, append(routeColumns(), column[api.Route]{"served_by", servedBy}))
		},
	}
}

func servedBy(r api.Route) string {
	drops := make([]string, len(r.Drops))
	for i, drop := range r.Drops {
		drops[i] = string(drop.ID) + " on " + drop.HostName
	}
	return strings.Join(drops, ", ")
}
