package main

import (
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"pantheon/gateways/api"
)

func (c *cli) eventsWhyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "why POSITION|KIND/ID[@REVISION]", Short: "Show what led to a commit, back to the person", Args: arguments(1, 1),
		Long: `why follows the causes of a commit, the newest first: what it was, who decided it
and through what, and which commit led to it, until one that nothing in the log
led to. Of an actor it is the last commit, or that of the revision.`,
		Example: "  pantheon events why 1234\n  pantheon events why drop/0123456789abcdef0123456789abcdef\n  pantheon events why site/…@2",
		RunE: func(cmd *cobra.Command, args []string) error {
			why, err := fetch[api.Why](cmd.Context(), c, "events/why?of="+url.QueryEscape(args[0]))
			if err != nil {
				return err
			}
			switch {
			case c.field != "" || len(c.fields) > 0 || c.format == "csv":
				return show(c, why.Chain, linkColumns())
			case c.format == "json":
				return writeJSON(c.out, why)
			case c.format != "table":
				return show(c, why.Chain, linkColumns()) // which refuses the format
			}
			c.printWhy(why)
			return nil
		},
	}
}

func linkColumns() []column[api.Link] {
	var columns []column[api.Link]
	for _, of := range commitDetails() {
		columns = append(columns, column[api.Link]{of.name, func(l api.Link) string { return of.value(l.Commit) }})
	}
	return append(columns, column[api.Link]{"name", func(l api.Link) string { return l.Name }})
}

// printWhy draws the chain: each commit, who decided it below, and the arrow to
// what led to it.
func (c *cli) printWhy(why api.Why) {
	for i, link := range why.Chain {
		if i > 0 {
			fmt.Fprintln(c.out, "  ↑ because of")
		}
		fmt.Fprintf(c.out, "%d  %s  %s  %s\n", uint64(link.Position), timeText(link.Time), printable(link.Stream), commitTypes(link.Commit))
		fmt.Fprintf(c.out, "  by %s\n", printable(decidedBy(link)))
	}
	switch {
	case why.More:
		fmt.Fprintf(c.out, "the chain goes on: pantheon events why %d\n", uint64(why.Chain[len(why.Chain)-1].Cause))
	case why.Person:
		fmt.Fprintf(c.out, "%s did this\n", printable(why.By))
	default:
		fmt.Fprintf(c.out, "%s did this by itself\n", printable(why.By))
	}
}

// decidedBy: "Ann Adams (account/…) through cli from 192.0.2.7, command …".
func decidedBy(link api.Link) string {
	text := link.Principal
	if link.Name != "" {
		text = link.Name + " (" + link.Principal + ")"
	}
	if link.Gateway != "" {
		text += " through " + link.Gateway
	}
	if link.Address != "" {
		text += " from " + link.Address
	}
	return text + ", command " + link.Command
}
