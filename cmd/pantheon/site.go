package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/api"
)

func (c *cli) siteCommand() *cobra.Command {
	return noun("site", "Create, show, delete and forget sites",
		c.siteCreateCommand(), c.siteListCommand(), c.siteInfoCommand(), c.siteDeleteCommand(), c.siteForgetCommand())
}

func siteColumns() []column[api.Site] {
	return []column[api.Site]{
		{"name", func(s api.Site) string { return s.Name }},
		{"id", func(s api.Site) string { return string(s.ID) }},
		{"state", func(s api.Site) string { return s.State }},
		{"framework", func(s api.Site) string { return string(s.Framework) }},
		{"upstream", func(s api.Site) string { return s.Upstream.MachineName }},
		{"created", func(s api.Site) string { return unixText(s.Created) }},
	}
}

// siteDetails are the further fields of `site info`.
func siteDetails() []column[api.Site] {
	return append(siteColumns(),
		column[api.Site]{"label", func(s api.Site) string { return s.Label }},
		column[api.Site]{"owner", func(s api.Site) string { return string(s.Owner) }},
		column[api.Site]{"repository", func(s api.Site) string { return s.Upstream.RepositoryURL }},
		column[api.Site]{"branch", func(s api.Site) string { return s.Upstream.Branch }},
	)
}

func (c *cli) siteCreateCommand() *cobra.Command {
	var params api.CreateSiteParams
	var owner string
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Create a site from an upstream",
		Example: "  pantheon site create blog --upstream wordpress",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if params.UpstreamID == "" {
				return usageError(cmd, "cannot create a site without --upstream")
			}
			params.SiteName, params.Owner = args[0], events.AccountID(owner)
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			_, err = c.runWorkflow(cmd.Context(), client, "users/me/workflows", events.WorkflowCreateSite, params)
			if err != nil || c.noWait {
				return err
			}
			return c.announceSite(cmd.Context(), client, params.SiteName)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&params.UpstreamID, "upstream", "", "`NAME` or id of the upstream; see pantheon upstream list")
	flags.StringVar(&params.Label, "label", "", "`TEXT` for people; the name without one")
	flags.StringVar(&owner, "owner", "", "`ACCOUNT` that owns the site; yourself without one")
	c.noWaitFlag(cmd)
	return cmd
}

// announceSite says where the new site is.
func (c *cli) announceSite(ctx context.Context, client *client, name string) error {
	var environment api.Environment
	if err := client.do(ctx, http.MethodGet, "sites/"+name+"/environments/dev", nil, &environment); err != nil {
		return err
	}
	if c.format == "json" {
		return writeJSON(c.out, environment)
	}
	fmt.Fprintf(c.out, "site %s is ready: %s\n", name, environment.URL)
	return nil
}

func (c *cli) noWaitFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.noWait, "no-wait", false, "print the workflow's id and do not wait for its end")
}

func (c *cli) siteListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List your sites", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			sites, err := c.sites(cmd.Context())
			if err != nil {
				return err
			}
			return show(c, sites, siteColumns())
		},
	}
}

func (c *cli) siteInfoCommand() *cobra.Command {
	return &cobra.Command{
		Use: "info SITE", Short: "Show one site", Args: arguments(1, 1), ValidArgsFunction: c.completeSites,
		RunE: func(cmd *cobra.Command, args []string) error {
			site, err := fetch[api.Site](cmd.Context(), c, "sites/"+args[0]+"?site_state=true")
			if err != nil {
				return err
			}
			return showOne(c, site, siteDetails())
		},
	}
}

func (c *cli) siteDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete SITE", Short: "Delete a site with all its environments, databases and files",
		Args: arguments(1, 1), ValidArgsFunction: c.completeSites,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			var site api.Site
			if err := client.do(cmd.Context(), http.MethodGet, "sites/"+args[0], nil, &site); err != nil {
				return err
			}
			if err := c.confirm(fmt.Sprintf("Delete site %s with its code, databases and files for good?", site.Name), site.Name); err != nil {
				return err
			}
			_, err = c.runWorkflow(cmd.Context(), client, "sites/"+string(site.ID)+"/workflows", events.WorkflowDeleteSite, struct{}{})
			if err != nil || c.noWait {
				return err
			}
			fmt.Fprintf(c.errors, "site %s is deleted\n", site.Name)
			return nil
		},
	}
	c.noWaitFlag(cmd)
	return cmd
}

// confirm asks before what cannot be undone; the answer is the thing's name.
func (c *cli) confirm(question, name string) error {
	if c.yes {
		return nil
	}
	if !isTerminal(c.in) {
		return problem.New(problem.Invalid, "cannot ask whether to go on: the input is not a terminal").WithHint("add --yes")
	}
	fmt.Fprintf(c.errors, "%s Type its name to go on: ", question)
	line, err := bufio.NewReader(c.in).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != name {
		return problem.New(problem.Invalid, "nothing was done: the answer was not %q", name)
	}
	return nil
}

// fetch reads one record.
func fetch[T any](ctx context.Context, c *cli, path string) (T, error) {
	var record T
	client, err := c.connect(ctx)
	if err != nil {
		return record, err
	}
	return record, client.do(ctx, http.MethodGet, path, nil, &record)
}

// startWorkflow asks for a workflow and gives its record as it began.
func startWorkflow(ctx context.Context, client *client, path string, kind events.WorkflowType, params any) (api.Workflow, error) {
	var record api.Workflow
	text, err := json.Marshal(params)
	if err != nil {
		return record, err
	}
	return record, client.do(ctx, http.MethodPost, path, api.WorkflowRequest{Type: kind, Params: text}, &record)
}
