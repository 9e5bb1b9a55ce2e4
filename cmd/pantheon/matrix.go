package main

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/api"
)

func (c *cli) hostCommand() *cobra.Command {
	return noun("host", "Show, drain and remove the machines of the DROPs matrix", c.hostListCommand(), c.hostInfoCommand(),
		c.hostDrainCommand(), c.hostUndrainCommand(), c.hostRemoveCommand(), c.hostTokenCommand())
}

func hostColumns() []column[api.Host] {
	return []column[api.Host]{
		{"name", func(h api.Host) string { return h.Name }},
		{"id", func(h api.Host) string { return string(h.ID) }},
		{"state", func(h api.Host) string { return h.State }},
		{"connected", connectedText},
		{"load", loadText},
		{"roles", func(h api.Host) string { return rolesText(h.Roles) }},
		{"isolation", isolationText},
		{"drops", func(h api.Host) string { return number(h.Drops) }},
		{"bindings", func(h api.Host) string { return number(h.Bindings) }},
		{"reserved_mib", func(h api.Host) string { return number(h.ReservedMiB) }},
		{"memory_mib", func(h api.Host) string { return number(h.MemoryMiB) }},
		{"cores", func(h api.Host) string { return number(h.Cores) }},
		{"php", func(h api.Host) string { return strings.Join(h.PHP, ",") }},
		{"zone", func(h api.Host) string { return h.Zone }},
		{"version", func(h api.Host) string { return h.Version }},
		{"reason", func(h api.Host) string { return h.Reason }},
	}
}

// hostDetails are the fields of `host info`.
func hostDetails() []column[api.Host] {
	return append(hostColumns(), []column[api.Host]{
		{"protocol", func(h api.Host) string { return number(h.Protocol) }},
		{"since", func(h api.Host) string { return timeText(h.Since) }},
		{"addresses", func(h api.Host) string { return strings.Join(h.Addresses, ", ") }},
		{"endpoint", func(h api.Host) string { return h.Endpoint }},
		{"round_trip", roundTripText},
		{"awake_drops", awakeText},
		{"awake_mib", func(h api.Host) string { return number(h.AwakeMiB) }},
		{"free_mib", func(h api.Host) string { return number(h.FreeMiB) }},
	}...)
}

// Texts of live figures: nothing, which a table shows as a dash, for what the
// node that answered does not know.

func connectedText(h api.Host) string {
	if h.Live == nil {
		return ""
	}
	return yesNo(h.Live.Connected)
}

func loadText(h api.Host) string {
	if h.Live == nil || h.Live.Load1 == nil {
		return ""
	}
	return strconv.FormatFloat(*h.Live.Load1, 'f', 2, 64)
}

func roundTripText(h api.Host) string {
	if h.Live == nil || h.Live.RoundTripMS == nil {
		return ""
	}
	return strconv.FormatFloat(*h.Live.RoundTripMS, 'f', 2, 64) + " ms"
}

// awakeText is what the machine says now, else what the log says.
func awakeText(h api.Host) string {
	if h.Live != nil && h.Live.AwakeDrops != nil {
		return number(*h.Live.AwakeDrops)
	}
	return number(h.Awake)
}

// isolationText is loud where tenants can reach one another.
func isolationText(h api.Host) string {
	if h.Isolated {
		return "sandbox"
	}
	return "NONE"
}

// hosts gives all, by name.
func hosts(ctx context.Context, client *client) ([]api.Host, error) {
	all, err := list(ctx, client, "hosts", nil, func(h api.Host) string { return string(h.ID) })
	slices.SortStableFunc(all, func(a, b api.Host) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}

func (c *cli) hostListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the hosts", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			all, err := hosts(cmd.Context(), client)
			if err != nil {
				return err
			}
			return show(c, all, hostColumns())
		},
	}
}

func (c *cli) hostInfoCommand() *cobra.Command {
	return &cobra.Command{
		Use: "info [HOST]", Short: "Show one host, by name or id; the only one without", Args: arguments(0, 1), ValidArgsFunction: c.completeHosts,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			if len(args) == 0 {
				host, err := onlyHost(cmd.Context(), client)
				if err != nil {
					return err
				}
				return showOne(c, host, hostDetails())
			}
			var host api.Host
			if err := client.do(cmd.Context(), http.MethodGet, "hosts/"+url.PathEscape(args[0]), nil, &host); err != nil {
				return err
			}
			return showOne(c, host, hostDetails())
		},
	}
}

// completeHosts completes the names of hosts in a shell.
func (c *cli) completeHosts(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	client, err := c.connect(cmd.Context())
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, err := hosts(cmd.Context(), client)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names := make([]string, len(all))
	for i, host := range all {
		names[i] = host.Name
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeHostFlag is completeHosts for a flag.
func (c *cli) completeHostFlag(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return c.completeHosts(cmd, nil, begun)
}

// onlyHost gives the host of a cell that has one.
func onlyHost(ctx context.Context, client *client) (api.Host, error) {
	all, err := hosts(ctx, client)
	if err != nil {
		return api.Host{}, err
	}
	if len(all) != 1 {
		return api.Host{}, problem.New(problem.Invalid, "cannot tell which host is meant: there are %d", len(all)).
			WithHint("pantheon host list")
	}
	return all[0], nil
}

func (c *cli) cellCommand() *cobra.Command {
	return noun("cell", "Show what the cell is made of", c.cellInfoCommand())
}

func cellColumns() []column[api.Cell] {
	machines := func(role events.HostRole) func(api.Cell) string {
		return func(cell api.Cell) string {
			var names []string
			for _, m := range cell.Machines[role] {
				names = append(names, noted(m.HostName, m.State != "ready", m.State))
			}
			return strings.Join(names, ", ")
		}
	}
	return []column[api.Cell]{
		{"id", func(cell api.Cell) string { return cell.ID }},
		{"domain", func(cell api.Cell) string { return cell.Domain }},
		{"control", machines(events.RoleControl)},
		{"host", machines(events.RoleHost)},
		{"entry", machines(events.RoleEntry)},
		{"dns", machines(events.RoleDNS)},
		{"log_on", logText},
		{"spare", func(cell api.Cell) string {
			if cell.Spare == nil {
				return ""
			}
			return number(*cell.Spare)
		}},
		{"if_lost", func(cell api.Cell) string { return cell.Text }},
	}
}

// logText names the machines that hold the log.
func logText(cell api.Cell) string {
	var names []string
	for _, replica := range cell.Log {
		name := noted(cmp.Or(replica.HostName, string(replica.Host)), replica.Leader && len(cell.Log) > 1, "leads")
		names = append(names, noted(name, !replica.Current, "behind or away"))
	}
	return strings.Join(names, ", ")
}

func noted(name string, note bool, text string) string {
	if note {
		return name + " (" + text + ")"
	}
	return name
}

func (c *cli) cellInfoCommand() *cobra.Command {
	return &cobra.Command{
		Use: "info", Short: "Show the machines by role, who holds the log, and what losing one stops", Args: arguments(0, 0),
		Long: `info shows the cell's machines by what they take part in, and which of them hold
the log. Commands need a majority of those: spare is how many more may be lost
before commands stop. What is served already is served on without them.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cell, err := fetch[api.Cell](cmd.Context(), c, "cell")
			if err != nil {
				return err
			}
			return showOne(c, cell, cellColumns())
		},
	}
}

func (c *cli) dropCommand() *cobra.Command {
	return noun("drop", "Show and move DROPs, the PHP runtimes of environments", c.dropListCommand(), c.dropInfoCommand(), c.dropMoveCommand())
}

func dropColumns() []column[api.Drop] {
	return []column[api.Drop]{
		{"id", func(d api.Drop) string { return string(d.ID) }},
		{"environment", environmentOf},
		{"state", func(d api.Drop) string { return d.State }},
		{"host", func(d api.Drop) string { return d.HostName }},
		{"memory_mib", func(d api.Drop) string { return number(d.MemoryMiB) }},
		{"reason", func(d api.Drop) string { return cmp.Or(d.Unplaced, lostText(d.Lost), d.Reason) }},
	}
}

func (c *cli) dropListCommand() *cobra.Command {
	var host, state string
	cmd := &cobra.Command{
		Use: "list [SITE[.ENV]]", Short: "List DROPs", Args: arguments(0, 1), ValidArgsFunction: c.completeSites,
		Example: "  pantheon drop list --host web-2\n  pantheon drop list --state requested   # what no host has taken yet, and why",
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			for name, value := range map[string]string{"host": host, "state": state} {
				if value != "" {
					query.Set(name, value)
				}
			}
			drops, err := listWhere(cmd.Context(), c, "drops", query, args, dropID,
				func(d api.Drop) events.EnvironmentName { return d.Environment })
			if err != nil {
				return err
			}
			return show(c, drops, dropColumns())
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "only those on a `HOST`, by name or id")
	cmd.Flags().StringVar(&state, "state", "", "only those in a `STATE`: requested, preparing, ready, awake, asleep, crashed, failed or deleting")
	_ = cmd.RegisterFlagCompletionFunc("host", c.completeHostFlag)
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(
		[]string{"requested", "preparing", "ready", "awake", "asleep", "crashed", "failed", "deleting"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func dropID(d api.Drop) string { return string(d.ID) }

// dropArgument takes a DROP's id as drop list shows it, and as the name of its
// stream, which events show.
func dropArgument(text string) string { return url.PathEscape(strings.TrimPrefix(text, "drop/")) }

func (c *cli) dropInfoCommand() *cobra.Command {
	return &cobra.Command{
		Use: "info DROP", Short: "Show one DROP", Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			drop, err := fetch[api.Drop](cmd.Context(), c, "drops/"+dropArgument(args[0]))
			if err != nil {
				return err
			}
			return showOne(c, drop, dropColumns())
		},
	}
}

func (c *cli) bindingCommand() *cobra.Command {
	return noun("binding", "Show the services that environments have", c.bindingListCommand())
}

func bindingColumns() []column[api.Binding] {
	return []column[api.Binding]{
		{"id", func(b api.Binding) string { return string(b.ID) }},
		{"type", func(b api.Binding) string { return string(b.Type) }},
		{"site", func(b api.Binding) string { return b.SiteName }},
		{"environment", func(b api.Binding) string { return string(b.Environment) }},
		{"state", func(b api.Binding) string { return b.State }},
		{"host", func(b api.Binding) string { return b.HostName }},
		{"reason", func(b api.Binding) string { return cmp.Or(lostText(b.Lost), b.Reason) }},
	}
}

// lostText goes before any other reason: the state is of the time before.
func lostText(lost bool) string {
	if lost {
		return "its host is lost"
	}
	return ""
}

func (c *cli) bindingListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list [SITE[.ENV]]", Short: "List service bindings", Args: arguments(0, 1), ValidArgsFunction: c.completeSites,
		RunE: func(cmd *cobra.Command, args []string) error {
			bindings, err := listOf(cmd.Context(), c, "bindings", args,
				func(b api.Binding) string { return string(b.ID) },
				func(b api.Binding) events.EnvironmentName { return b.Environment })
			if err != nil {
				return err
			}
			return show(c, bindings, bindingColumns())
		},
	}
}

// listOf lists what belongs to a site or environment, everything without an
// argument.
func listOf[T any](ctx context.Context, c *cli, path string, args []string, id func(T) string, environment func(T) events.EnvironmentName) ([]T, error) {
	return listWhere(ctx, c, path, url.Values{}, args, id, environment)
}

// listWhere is listOf for what a query wants.
func listWhere[T any](ctx context.Context, c *cli, path string, query url.Values, args []string,
	id func(T) string, environment func(T) events.EnvironmentName) ([]T, error) {
	client, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	var wanted string
	if len(args) > 0 {
		var site string
		site, wanted, _ = strings.Cut(args[0], ".")
		query.Set("site", site)
	}
	all, err := list(ctx, client, path, query, id)
	return slices.DeleteFunc(all, func(item T) bool {
		return wanted != "" && string(environment(item)) != wanted
	}), err
}
