package main

import (
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pantheon/events"
	"pantheon/gateways/api"
)

func (c *cli) upstreamCommand() *cobra.Command {
	return noun("upstream", "Offer code to make sites from",
		c.upstreamListCommand(), c.upstreamAddCommand(), c.upstreamRemoveCommand())
}

func upstreamColumns() []column[api.Upstream] {
	return []column[api.Upstream]{
		{"name", func(u api.Upstream) string { return u.MachineName }},
		{"id", func(u api.Upstream) string { return string(u.ID) }},
		{"framework", func(u api.Upstream) string { return string(u.Framework) }},
		{"repository", func(u api.Upstream) string { return u.RepositoryURL }},
		{"branch", func(u api.Upstream) string { return u.RepositoryBranch }},
		{"label", func(u api.Upstream) string { return u.Label }},
	}
}

func (c *cli) upstreamListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the upstreams", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			upstreams, err := list(cmd.Context(), client, "users/me/upstreams", nil, func(u api.Upstream) string { return string(u.ID) })
			if err != nil {
				return err
			}
			slices.SortFunc(upstreams, func(a, b api.Upstream) int { return strings.Compare(a.MachineName, b.MachineName) })
			return show(c, upstreams, upstreamColumns())
		},
	}
}

func (c *cli) upstreamAddCommand() *cobra.Command {
	var change api.UpstreamChange
	var framework string
	cmd := &cobra.Command{
		Use: "add NAME LOCATION", Short: "Offer a git repository, or a folder of the platform's machine",
		Long: `add offers code to make sites from: a git repository (https://, ssh://, git://,
file:// or a path), or a plain folder of the platform's machine.

Of a folder, links that lead out of it are replaced by copies of what they point
to, where every user of the machine may read that; where not, they are left out.
So are links to nowhere. Links that stay in the folder stay links.

What can never work is refused at once. Whether a repository answers is seen
when it is fetched: soon, and again when a site is made.`,
		Example: "  pantheon upstream add drupal7 https://example.org/drops-7.git --framework drupal\n" +
			"  pantheon upstream add wordpress /usr/share/wordpress --framework wordpress",
		Args: arguments(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			change.MachineName, change.RepositoryURL, change.Framework = args[0], args[1], events.Framework(framework)
			if isPath(args[1]) && c.api == "" {
				// The platform runs in another folder of this machine: a path is
				// meant as it is seen from here.
				absolute, err := filepath.Abs(args[1])
				if err != nil {
					return err
				}
				change.RepositoryURL = absolute
			}
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			var upstream api.Upstream
			if err := client.do(cmd.Context(), http.MethodPost, "upstreams", change, &upstream); err != nil {
				return err
			}
			return showOne(c, upstream, upstreamColumns())
		},
	}
	cmd.Flags().StringVar(&framework, "framework", "php", "what it is: drupal, drupal8, wordpress, backdrop or php")
	cmd.Flags().StringVar(&change.RepositoryBranch, "branch", "", "`BRANCH` of the repository; its default without one")
	cmd.Flags().StringVar(&change.Label, "label", "", "`TEXT` for people; the name without one")
	return cmd
}

// isPath is git's rule (git-clone(1)): what has a colon before its first slash
// is a URL or host:path.
func isPath(location string) bool {
	beginning, _, _ := strings.Cut(location, "/")
	return location != "" && !strings.Contains(beginning, ":")
}

func (c *cli) upstreamRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Withdraw an upstream; sites made from it stay", Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			return client.do(cmd.Context(), http.MethodDelete, "upstreams/"+url.PathEscape(args[0]), nil, nil)
		},
	}
}
