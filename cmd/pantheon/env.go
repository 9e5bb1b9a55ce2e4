package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pantheon/actors/environment"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/api"
)

func (c *cli) envCommand() *cobra.Command {
	return noun("env", "Show, wake, put to sleep, set, scale and renew environments",
		c.envListCommand(), c.envInfoCommand(),
		c.envOrderCommand("wake", "Start the environment's DROPs and wait until they run", true),
		c.envOrderCommand("sleep", "Stop the environment's DROPs; the next request wakes them", false),
		c.envSetCommand(), c.envScaleCommand(), c.envRenewCommand())
}

func envColumns() []column[api.Environment] {
	return []column[api.Environment]{
		{"environment", func(e api.Environment) string { return string(e.Name) }},
		{"state", func(e api.Environment) string { return e.State }},
		{"drops", dropStates},
		{"commit", func(e api.Environment) string { return shortHash(e.TargetCommit) }},
		{"url", func(e api.Environment) string { return e.URL }},
	}
}

// envDetails are the fields of `env info`.
func envDetails() []column[api.Environment] {
	setting := func(name string, value func(events.EnvironmentSettings) string) column[api.Environment] {
		return column[api.Environment]{name, func(e api.Environment) string {
			if e.Settings == nil {
				return ""
			}
			return value(*e.Settings)
		}}
	}
	type settings = events.EnvironmentSettings
	return append([]column[api.Environment]{
		{"site", func(e api.Environment) string { return e.SiteName }},
		{"id", func(e api.Environment) string { return string(events.EnvironmentOf(e.Site, e.Name)) }},
		{"created", func(e api.Environment) string { return unixText(e.Created) }},
	}, append(envColumns(),
		setting("php_version", func(s settings) string { return s.PHPVersion }),
		setting("connection", func(s settings) string { return string(s.Connection) }),
		setting("web_docroot", func(s settings) string { return yesNo(s.WebDocroot) }),
		setting("wanted_drops", func(s settings) string { return number(s.Drops) }),
		setting("workers", func(s settings) string { return number(s.Workers) }),
		setting("memory_mib", func(s settings) string { return number(s.MemoryMiB) }),
		setting("idle_after", func(s settings) string { return idleText(s.IdleAfterSeconds) }),
		column[api.Environment]{"if_lost", lossesText},
	)...)
}

// lossesText says what the loss of each host would do, which of them is lost
// already included.
func lossesText(e api.Environment) string {
	texts := make([]string, len(e.Losses))
	for i, loss := range e.Losses {
		texts[i] = cmp.Or(loss.HostName, string(loss.Host))
		if loss.Lost {
			texts[i] += " (lost now, or cut off)"
		}
		texts[i] += ": " + loss.Text
	}
	return strings.Join(texts, "; ")
}

func idleText(seconds int64) string {
	if seconds == 0 {
		return "never"
	}
	return (time.Duration(seconds) * time.Second).String()
}

// dropStates sums DROPs up: "1 awake, 1 asleep".
func dropStates(e api.Environment) string {
	counts := make(map[string]int)
	for _, drop := range e.Drops {
		if drop.Lost {
			drop.State = "lost"
		}
		counts[drop.State]++
	}
	var parts []string
	for _, state := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[state], state))
	}
	return strings.Join(parts, ", ")
}

func (c *cli) envListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list SITE", Short: "List the environments of a site", Args: arguments(1, 1), ValidArgsFunction: c.completeSites,
		RunE: func(cmd *cobra.Command, args []string) error {
			byName, err := fetch[map[string]api.Environment](cmd.Context(), c, "sites/"+args[0]+"/environments")
			if err != nil {
				return err
			}
			return show(c, slices.SortedFunc(maps.Values(byName), environmentOrder), envColumns())
		},
	}
}

func environmentPath(args []string) (string, error) {
	site, environment, err := siteAndEnvironment(args)
	return "sites/" + site + "/environments/" + environment, err
}

func (c *cli) envInfoCommand() *cobra.Command {
	return &cobra.Command{
		Use: "info SITE.ENV", Short: "Show one environment, and what it would lose with which host", Args: arguments(1, 2), ValidArgsFunction: c.completeSites,
		Long: `info shows one environment. if_lost says, for each host that has something of
it, what the loss of that host would do: its database, files and code are on one
host each, and are back when that is; DROPs are placed elsewhere. What entry and
control machines do to all environments, pantheon cell info says.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := environmentPath(args)
			if err != nil {
				return err
			}
			environment, err := fetch[api.Environment](cmd.Context(), c, path)
			if err != nil {
				return err
			}
			return showOne(c, environment, envDetails())
		},
	}
}

// envOrderCommand makes wake and sleep: an order to the hosts, and the wait
// for their facts.
func (c *cli) envOrderCommand(verb, short string, awake bool) *cobra.Command {
	var patience time.Duration
	cmd := &cobra.Command{
		Use: verb + " SITE.ENV", Short: short, Args: arguments(1, 2), ValidArgsFunction: c.completeSites,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := environmentPath(args)
			if err != nil {
				return err
			}
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			var before []api.Drop
			if err := client.do(cmd.Context(), http.MethodPost, path+"/"+verb, nil, &before); err != nil || c.noWait {
				return err
			}
			limited, cancel := context.WithTimeout(cmd.Context(), patience)
			defer cancel()
			err = c.awaitDrops(limited, client, path, awake, before)
			if err != nil && limited.Err() != nil && cmd.Context().Err() == nil {
				return problem.New(problem.Unavailable, "cannot see it done after %s", patience).
					WithHint("pantheon drop list %s", args[0])
			}
			return err
		},
	}
	cmd.Flags().DurationVar(&patience, "timeout", time.Minute, "how long to wait for it")
	cmd.Flags().BoolVar(&c.noWait, "no-wait", false, "do not wait for it")
	return cmd
}

// awaitDrops waits until every DROP is awake, or none is, and shows them. A
// DROP that has failed since the order will not get there by waiting.
func (c *cli) awaitDrops(ctx context.Context, client *client, path string, awake bool, before []api.Drop) error {
	var environment api.Environment
	err := poll(ctx, func() (bool, error) {
		if err := client.do(ctx, http.MethodGet, path, nil, &environment); err != nil {
			return false, err
		}
		done := true
		for _, drop := range environment.Drops {
			if awake && drop.State == "failed" && !slices.Contains(before, drop) {
				return false, problem.New(problem.Unavailable, "cannot wake DROP %s: %s", drop.ID, drop.Reason).
					WithHint("pantheon events tail --stream drop/%s", drop.ID)
			}
			// A visitor may have woken again what did go to sleep.
			asleep := drop.State != "awake" || !slices.Contains(before, drop)
			done = done && (awake && drop.State == "awake" || !awake && asleep)
		}
		return done, nil
	})
	if err != nil {
		return err
	}
	return show(c, environment.Drops, dropColumns())
}

func (c *cli) envSetCommand() *cobra.Command {
	var idle time.Duration
	var php, connection string
	var workers, memory, drops int
	var docroot bool
	cmd := &cobra.Command{
		Use: "set SITE.ENV", Short: "Change settings of an environment", Args: arguments(1, 2), ValidArgsFunction: c.completeSites,
		Example: "  pantheon env set blog.dev --idle-after 30m --workers 8",
	}
	flags := cmd.Flags()
	flags.DurationVar(&idle, "idle-after", 0, "without a request, a DROP sleeps after this `TIME` (90s, 30m, 12h); 0 is never")
	flags.IntVar(&workers, "workers", 0, "PHP workers of each DROP")
	flags.IntVar(&memory, "memory-mib", 0, "memory of each DROP in MiB")
	flags.IntVar(&drops, "drops", 0, "how many DROPs serve the environment")
	flags.StringVar(&php, "php-version", "", "PHP `VERSION`, for example 8.2")
	flags.StringVar(&connection, "connection", "", "how code is changed: git or sftp")
	flags.BoolVar(&docroot, "web-docroot", false, "the document root is the folder web of the code")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		path, err := environmentPath(args)
		if err != nil {
			return err
		}
		if idle%time.Second != 0 {
			return problem.New(problem.Invalid, "cannot let DROPs sleep after %s: idle time is counted in whole seconds", idle).
				WithHint("0 is never")
		}
		var change environment.SettingsChange
		seconds, mode := int64(idle/time.Second), events.ConnectionMode(connection)
		given := false
		for name, set := range map[string]func(){
			"idle-after":  func() { change.IdleAfterSeconds = &seconds },
			"workers":     func() { change.Workers = &workers },
			"memory-mib":  func() { change.MemoryMiB = &memory },
			"drops":       func() { change.Drops = &drops },
			"php-version": func() { change.PHPVersion = &php },
			"connection":  func() { change.Connection = &mode },
			"web-docroot": func() { change.WebDocroot = &docroot },
		} {
			if flags.Changed(name) {
				set()
				given = true
			}
		}
		if !given {
			return usageError(cmd, "cannot change nothing: give at least one setting")
		}
		return c.changeSettings(cmd.Context(), path, change)
	}
	return cmd
}

func (c *cli) changeSettings(ctx context.Context, path string, change environment.SettingsChange) error {
	client, err := c.connect(ctx)
	if err != nil {
		return err
	}
	if err := client.do(ctx, http.MethodPatch, path+"/settings", change, nil); err != nil {
		return err
	}
	var changed api.Environment
	if err := client.do(ctx, http.MethodGet, path, nil, &changed); err != nil {
		return err
	}
	return showOne(c, changed, envDetails())
}
