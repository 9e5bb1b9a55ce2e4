package main

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/api"
)

// siteAndEnvironment takes "<site>.<environment>" or both apart. Names of
// sites hold no dot.
func siteAndEnvironment(args []string) (site, environment string, err error) {
	site = args[0]
	if len(args) > 1 {
		environment = args[1]
	} else if before, after, found := strings.Cut(site, "."); found {
		site, environment = before, after
	}
	if site == "" || environment == "" || strings.Contains(environment, ".") {
		return "", "", problem.New(problem.Invalid, "cannot tell which environment is meant by %q", strings.Join(args, " ")).
			WithHint("write <site>.<environment>, for example blog.dev")
	}
	return site, environment, nil
}

// completeSites completes the names of sites in a shell.
func (c *cli) completeSites(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	sites, err := c.sites(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names := make([]string, len(sites))
	for i, site := range sites {
		names[i] = site.Name
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// sites gives all the caller may see, by name.
func (c *cli) sites(ctx context.Context) ([]api.Site, error) {
	client, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	sites, err := list(ctx, client, "sites", nil, func(s api.Site) string { return string(s.ID) })
	slices.SortFunc(sites, func(a, b api.Site) int { return strings.Compare(a.Name, b.Name) })
	return sites, err
}

// environmentOrder is dev, test, live, and then the branches by name.
func environmentOrder(a, b api.Environment) int {
	rank := func(name events.EnvironmentName) int {
		i := slices.Index([]events.EnvironmentName{"dev", "test", "live"}, name)
		if i < 0 {
			return 3
		}
		return i
	}
	if order := rank(a.Name) - rank(b.Name); order != 0 {
		return order
	}
	return strings.Compare(string(a.Name), string(b.Name))
}

// Texts of values that tables share.

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

func unixText(seconds int64) string {
	if seconds == 0 {
		return ""
	}
	return timeText(time.Unix(seconds, 0))
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func shortHash(hash string) string { return hash[:min(len(hash), 10)] }

func number(n int) string { return strconv.Itoa(n) }
