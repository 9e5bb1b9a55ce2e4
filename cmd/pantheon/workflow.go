package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pantheon/gateways/api"
)

func (c *cli) workflowCommand() *cobra.Command {
	return noun("workflow", "Show long operations and wait for them",
		c.workflowListCommand(), c.workflowInfoCommand(), c.workflowWaitCommand())
}

func workflowColumns() []column[api.Workflow] {
	return []column[api.Workflow]{
		{"id", func(w api.Workflow) string { return string(w.ID) }},
		{"type", func(w api.Workflow) string { return string(w.Type) }},
		{"site", func(w api.Workflow) string { return w.SiteName }},
		{"result", resultText},
		{"steps", func(w api.Workflow) string { return fmt.Sprintf("%d/%d", w.Step, w.NumberOfTasks) }},
		{"started", func(w api.Workflow) string { return unixText(w.StartedAt) }},
		{"took", tookText},
	}
}

func workflowDetails() []column[api.Workflow] {
	return append(workflowColumns(),
		column[api.Workflow]{"description", func(w api.Workflow) string { return w.Description }},
		column[api.Workflow]{"progress", func(w api.Workflow) string {
			parts := make([]string, len(w.Steps))
			for i, step := range w.Steps {
				parts[i] = words(step.Name) + ": " + step.State
			}
			return strings.Join(parts, ", ")
		}},
		column[api.Workflow]{"reason", func(w api.Workflow) string {
			if w.FinalTask == nil {
				return ""
			}
			return w.FinalTask.Reason
		}},
	)
}

func resultText(w api.Workflow) string {
	if w.Result == nil {
		return "running"
	}
	return *w.Result
}

func tookText(w api.Workflow) string {
	if w.Result == nil {
		return ""
	}
	return time.Duration(w.TotalTime * float64(time.Second)).Round(time.Millisecond).String()
}

func (c *cli) workflowListCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "list [SITE]", Short: "List workflows, the newest first", Args: arguments(0, 1), ValidArgsFunction: c.completeSites,
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{"limit": {number(limit)}}
			if len(args) > 0 {
				query.Set("site", args[0])
			}
			workflows, err := fetch[[]api.Workflow](cmd.Context(), c, "workflows?"+query.Encode())
			if err != nil {
				return err
			}
			return show(c, workflows, workflowColumns())
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "the most to list, 1 to 1000")
	return cmd
}

func (c *cli) workflowInfoCommand() *cobra.Command {
	return &cobra.Command{
		Use: "info WORKFLOW", Short: "Show one workflow", Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			record, err := fetch[api.Workflow](cmd.Context(), c, "workflows/"+url.PathEscape(args[0]))
			if err != nil {
				return err
			}
			return showOne(c, record, workflowDetails())
		},
	}
}

func (c *cli) workflowWaitCommand() *cobra.Command {
	return &cobra.Command{
		Use: "wait WORKFLOW", Short: "Wait for the end of a workflow; fails if it failed", Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			var record api.Workflow
			if err := client.do(cmd.Context(), http.MethodGet, "workflows/"+url.PathEscape(args[0]), nil, &record); err != nil {
				return err
			}
			if record, err = c.followWorkflow(cmd.Context(), client, record); err != nil {
				return err
			}
			return showOne(c, record, workflowDetails())
		},
	}
}
