package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"pantheon/events/problem"
	"pantheon/gateways/api"
)

func (c *cli) diffCommand() *cobra.Command {
	var from, to string
	var kinds []string
	cmd := &cobra.Command{
		Use: "diff --from MOMENT [--to MOMENT]", Short: "Show what changed between two moments, by object", Args: arguments(0, 0),
		Long: `diff compares the platform as of two moments: what was added, what was removed,
and which fields of what stayed have changed. A moment is a position of the log,
a time (RFC 3339, or a date with or without a time of day), or how long ago it
was. Without --to it is now.`,
		Example: "  pantheon diff --from 2h\n  pantheon diff --from 2026-11-28 --to 2026-11-29 --kind site,route\n  pantheon diff --from 1200 --to 1300 --format json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from == "" {
				return usageError(cmd, "cannot show what changed without --from")
			}
			query := url.Values{"kind": kinds}
			for name, value := range map[string]string{"from": from, "to": to} {
				if value == "" {
					continue
				}
				text, err := momentText(value, time.Now())
				if err != nil {
					return err
				}
				query.Set(name, text)
			}
			diff, err := fetch[api.Diff](cmd.Context(), c, "diff?"+query.Encode())
			if err != nil {
				return err
			}
			return c.showDiff(diff)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "the earlier `MOMENT`")
	flags.StringVar(&to, "to", "", "the later `MOMENT`; now without it")
	flags.StringSliceVar(&kinds, "kind", nil, "only objects of these `KINDS`: site, environment, drop, binding, host, workflow, account, token, upstream, name, route, record")
	return cmd
}

// diffLine is one field that changed, or one object that came or went.
type diffLine struct {
	object api.DiffObject
	field  string
	change string
}

func diffColumns() []column[diffLine] {
	return []column[diffLine]{
		{"change", func(l diffLine) string { return l.object.Change }},
		{"kind", func(l diffLine) string { return l.object.Kind }},
		{"name", func(l diffLine) string { return l.object.Name }},
		{"field", func(l diffLine) string { return l.field }},
		{"values", func(l diffLine) string { return l.change }},
		{"id", func(l diffLine) string { return l.object.ID }},
	}
}

func (c *cli) showDiff(diff api.Diff) error {
	if c.format == "json" && len(c.fields) == 0 && c.field == "" {
		return writeJSON(c.out, diff)
	}
	fmt.Fprintf(c.errors, "from position %d, %s, to position %d, %s\n",
		uint64(diff.From.Position), timeText(diff.From.Time), uint64(diff.To.Position), timeText(diff.To.Time))
	lines := []diffLine{}
	for _, object := range diff.Changes {
		if object.Change != "changed" {
			lines = append(lines, diffLine{object: object})
			continue
		}
		for _, field := range object.Fields {
			lines = append(lines, diffLine{object, field.Field, jsonText(field.Old) + " → " + jsonText(field.New)})
		}
	}
	if err := show(c, lines, diffColumns()); err != nil {
		return err
	}
	if diff.More {
		return problem.New(problem.Exhausted, "cannot show all changes: there are more than %d objects", len(diff.Changes)).
			WithHint("take moments that are nearer, or --kind")
	}
	return nil
}

// jsonText writes a JSON value for people: a text without quotes, a dash for
// nothing.
func jsonText(value json.RawMessage) string {
	var text string
	switch {
	case len(value) == 0 || string(value) == `""`:
		return "-"
	case json.Unmarshal(value, &text) == nil:
		return text
	}
	return string(value)
}
