package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/api"
)

func (c *cli) hostDrainCommand() *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use: "drain HOST", Short: "Move everything that can move away from a host", Args: arguments(1, 1), ValidArgsFunction: c.completeHosts,
		Long: `drain empties a host: it takes nothing more, and each of its DROPs goes on
serving until another one is ready on another host. Services hold data and stay:
a database, files or code leave a machine only with their site.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			var host api.Host
			if err := client.do(cmd.Context(), http.MethodPost, "hosts/"+url.PathEscape(args[0])+"/drain", nil, &host); err != nil {
				return err
			}
			if wait {
				if host, err = c.followDrain(cmd.Context(), client, host); err != nil {
					return err
				}
			}
			return showOne(c, host, hostColumns())
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", true, "wait until the host has no DROP")
	return cmd
}

// stuckAfter is how long a drain gets no further before it is said why.
const stuckAfter = 2 * time.Second

// followDrain waits for the last DROP to leave, says how many are left whenever
// that changes, and why it gets no further.
func (c *cli) followDrain(ctx context.Context, client *client, host api.Host) (api.Host, error) {
	path, said := "hosts/"+string(host.ID), -1
	moved, why := time.Now(), ""
	err := poll(ctx, func() (bool, error) {
		if err := client.do(ctx, http.MethodGet, path, nil, &host); err != nil {
			return false, err
		}
		if host.State != "draining" {
			return false, problem.New(problem.Conflict, "cannot go on draining host %s: it is %s", host.Name, host.State)
		}
		if host.Drops > 0 {
			if err := c.drainable(ctx, client, host); err != nil {
				return false, err
			}
		}
		if host.Drops != said {
			said, moved = host.Drops, time.Now()
			fmt.Fprintf(c.errors, "%s left on %s\n", counted(said, "DROP is", "DROPs are"), host.Name)
		}
		if host.Drops > 0 && time.Since(moved) > stuckAfter {
			moved = time.Now()
			now, err := stuckOn(ctx, client, host)
			if err != nil {
				return false, err
			}
			if now != why && now != "" {
				fmt.Fprintln(c.errors, printable(now))
			}
			why = now
		}
		return host.Drops == 0, nil
	})
	if err == nil && host.Bindings > 0 {
		fmt.Fprintf(c.errors, "%s on %s until their sites are deleted: pantheon binding list\n",
			counted(host.Bindings, "service with data stays", "services with data stay"), host.Name)
	}
	return host, err
}

// stuckOn says what keeps one of a host's DROPs from being replaced, where that
// is known: nobody takes the one that shall replace it, or it has failed.
func stuckOn(ctx context.Context, client *client, host api.Host) (string, error) {
	leaving, err := list(ctx, client, "drops", url.Values{"host": {string(host.ID)}}, dropID)
	if err != nil {
		return "", err
	}
	environments := make(map[string]bool)
	for _, drop := range leaving {
		environments[environmentOf(drop)] = true
	}
	for _, state := range []string{"requested", "failed"} {
		replacing, err := list(ctx, client, "drops", url.Values{"state": {state}}, dropID)
		if err != nil {
			return "", err
		}
		for _, drop := range replacing {
			reason := drop.Unplaced
			if state == "failed" {
				reason = drop.Reason
			}
			if environments[environmentOf(drop)] && drop.Host != host.ID && reason != "" {
				return fmt.Sprintf("%s waits for another DROP, %s: %s", environmentOf(drop), drop.ID, reason), nil
			}
		}
	}
	return "", nil
}

func environmentOf(d api.Drop) string { return d.SiteName + "." + string(d.Environment) }

// drainable refuses to wait where nothing can come of it.
func (c *cli) drainable(ctx context.Context, client *client, draining api.Host) error {
	all, err := hosts(ctx, client)
	if err != nil {
		return err
	}
	for _, host := range all {
		if host.ID != draining.ID && host.State == "ready" && slices.Contains(host.Roles, events.RoleHost) {
			return nil
		}
	}
	return problem.New(problem.Exhausted, "cannot empty host %s: no other host can take its %s on serving", draining.Name,
		counted(draining.Drops, "DROP, which goes", "DROPs, which go")).
		WithHint("pantheon host undrain %s, or give the cell another machine", draining.Name)
}

func (c *cli) hostUndrainCommand() *cobra.Command {
	return &cobra.Command{
		Use: "undrain HOST", Short: "Let a host take DROPs and services again", Args: arguments(1, 1), ValidArgsFunction: c.completeHosts,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			var host api.Host
			if err := client.do(cmd.Context(), http.MethodPost, "hosts/"+url.PathEscape(args[0])+"/undrain", nil, &host); err != nil {
				return err
			}
			return showOne(c, host, hostColumns())
		},
	}
}

func (c *cli) placementCommand() *cobra.Command {
	return noun("placement", "Say why DROPs are where they are", c.placementExplainCommand())
}

func candidateColumns() []column[api.Candidate] {
	return []column[api.Candidate]{
		{"host", func(r api.Candidate) string { return r.HostName }},
		{"zone", func(r api.Candidate) string { return r.Zone }},
		{"holds_it", func(r api.Candidate) string { return yesNo(r.Holds) }},
		{"siblings", func(r api.Candidate) string { return number(r.Siblings) }},
		{"zone_siblings", func(r api.Candidate) string { return number(r.ZoneSiblings) }},
		{"near_its_data", func(r api.Candidate) string { return yesNo(r.Near) }},
		{"room_mib", func(r api.Candidate) string { return number(r.RoomMiB) }},
		{"refused", func(r api.Candidate) string { return r.Refused }},
		{"rebalancing", func(r api.Candidate) string { return r.Rebalancing }},
	}
}

func (c *cli) placementExplainCommand() *cobra.Command {
	return &cobra.Command{
		Use: "explain DROP", Short: "Rank the hosts for a DROP as it would be placed now", Args: arguments(1, 1),
		Long: `explain ranks the hosts for a DROP, the best first: spread over machines, then
over zones, then near the site's data, then where most room is. One DROP of the
cell at a time moves by itself, every ten seconds at most, to where it is better
spread, near its data or has a quarter more room: not while a host is lost or being
drained, and not before hosts have been as they are for a minute. The column
rebalancing says where to, and pantheon events why drop/DROP what led to a move.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ranked, err := fetch[[]api.Candidate](cmd.Context(), c, "drops/"+dropArgument(args[0])+"/placement")
			if err != nil {
				return err
			}
			return show(c, ranked, candidateColumns())
		},
	}
}
