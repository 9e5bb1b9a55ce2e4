package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pantheon/events/problem"
	"pantheon/gateways/api"
)

// pastCommands are those that --at shows as they were: they read what is
// folded from the log, and nothing else.
func pastCommands() []string {
	return []string{
		"site list", "site info", "env list", "env info", "route list", "route show", "host list", "host info",
		"drop list", "drop info", "binding list", "workflow list", "workflow info", "upstream list",
		"account list", "token list", "host token list", "events tail", "events why", "dns zone", "dns zone text", "dns zone list", "dns zone show",
		"dns record list", "dns secondary list", "dns challenge list",
	}
}

// presentCommands show what is so now, and why that has no past.
func presentCommands() map[string]string {
	return map[string]string{
		"cell info":         "who holds the log, and who can be reached, is not in the log",
		"placement explain": "it ranks hosts as they are now",
		"dns key list":      "the private keys, and what parent zones show, are not in the log",
		"dns tsig list":     "these keys are not in the log",
		"dns check":         "it asks the world",
		"audit head":        "a head says itself when it was signed",
		"events show":       "a position never changes",
	}
}

// checkAt refuses --at where it would say nothing.
func (c *cli) checkAt(cmd *cobra.Command, _ []string) error {
	// simulate has an --at of its own.
	ours := cmd.Flags().Lookup("at") == cmd.Root().PersistentFlags().Lookup("at")
	if c.at == "" && ours && cmd.Flags().Changed("at") { // a variable of a script that is empty
		_, err := momentText(c.at, time.Now())
		return err
	}
	name := strings.TrimPrefix(cmd.CommandPath(), "pantheon ")
	if c.at == "" || slices.Contains(pastCommands(), name) {
		return nil
	}
	if why, present := presentCommands()[name]; present {
		return problem.New(problem.Invalid, "cannot use --at with %q: %s", cmd.CommandPath(), why)
	}
	return problem.New(problem.Invalid, "cannot use --at with %q: it is for commands that show what there was", cmd.CommandPath()).
		WithHint("--at works with %s", strings.Join(pastCommands(), ", "))
}

// atMoment takes the client to the moment that --at asks for and says which
// one it is. All that the command reads is then of one position.
func (c *cli) atMoment(ctx context.Context, client *client) error {
	if c.at == "" {
		return nil
	}
	text, err := momentText(c.at, time.Now())
	if err != nil {
		return err
	}
	client.at = text
	var moment api.Moment
	if err := client.do(ctx, http.MethodGet, "moment", nil, &moment); err != nil {
		return err
	}
	client.at = fmt.Sprint(uint64(moment.Position))
	fmt.Fprintf(c.errors, "as of position %d, %s\n", uint64(moment.Position), timeText(moment.Time))
	return nil
}

// momentText reads a moment here, where it is known which time zone people
// mean and what "2h ago" counts from, and writes it for the API.
func momentText(text string, now time.Time) (string, error) {
	position, at, err := api.ParseMoment(text, now, time.Local)
	if err != nil {
		return "", err
	}
	if position > 0 {
		return fmt.Sprint(uint64(position)), nil
	}
	return at.Format(time.RFC3339Nano), nil
}

// withAt adds the moment to the path of a read.
func withAt(path, at string) string {
	if at == "" {
		return path
	}
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	return path + separator + "at=" + url.QueryEscape(at)
}
