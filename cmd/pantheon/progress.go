package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/api"
)

const (
	// quietPeriod is how long nothing is said: what is done by then needs no
	// progress.
	quietPeriod = time.Second
	// pollInterval is how often a workflow is looked at; reads cost the
	// platform a map look-up.
	pollInterval = 100 * time.Millisecond
)

// runWorkflow starts a workflow and, unless --no-wait is given, follows it to
// its end.
func (c *cli) runWorkflow(ctx context.Context, client *client, path string, kind events.WorkflowType, params any) (api.Workflow, error) {
	record, err := startWorkflow(ctx, client, path, kind, params)
	if err != nil {
		return record, err
	}
	if c.noWait {
		fmt.Fprintln(c.out, record.ID)
		return record, nil
	}
	return c.followWorkflow(ctx, client, record)
}

// followWorkflow waits for the end of a workflow and shows how it gets on. A
// workflow that failed is an error with its reason.
func (c *cli) followWorkflow(ctx context.Context, client *client, record api.Workflow) (api.Workflow, error) {
	progress := newProgress(c.errors, isTerminal(c.errors))
	if c.verbose {
		progress.quiet = 0
	}
	defer progress.end()
	err := poll(ctx, func() (bool, error) {
		if err := client.do(ctx, http.MethodGet, "workflows/"+string(record.ID), nil, &record); err != nil {
			return false, err
		}
		progress.show(record)
		return record.Result != nil, nil
	})
	progress.end()
	if err != nil {
		if ctx.Err() != nil && !c.verbose { // a platform that ends knows better
			fmt.Fprintf(c.errors, "The workflow goes on without us. To see how it gets on: pantheon workflow info %s\n"+
				"To wait for its end: pantheon workflow wait %s\n", record.ID, record.ID)
		}
		return record, err
	}
	if *record.Result == "succeeded" {
		return record, nil
	}
	reason := "no reason is known"
	if record.FinalTask != nil && record.FinalTask.Reason != "" {
		reason = record.FinalTask.Reason
	}
	return record, problem.New(problem.Unavailable, "cannot finish workflow %q: %s", record.Description, reason).
		WithHint("pantheon events tail --stream workflow/%s", record.ID)
}

// poll asks until the answer is yes.
func poll(ctx context.Context, done func() (bool, error)) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		if yes, err := done(); yes || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// progress prints one line for each step, on a terminal also a live one for
// what runs now. It says nothing before quietPeriod is over.
type progress struct {
	out    io.Writer
	live   bool // a terminal: the last line can be replaced
	quiet  time.Duration
	start  time.Time
	said   map[string]string // step → state that was printed
	onLine bool
	ended  bool
}

func newProgress(out io.Writer, live bool) *progress {
	return &progress{out: out, live: live, quiet: quietPeriod, start: time.Now(), said: make(map[string]string)}
}

func (p *progress) show(record api.Workflow) {
	elapsed := time.Since(p.start)
	if elapsed < p.quiet {
		return
	}
	p.clear()
	var running []string
	for _, step := range record.Steps {
		switch step.State {
		case "running":
			running = append(running, words(step.Name))
		case "done", "failed", "undone":
			if p.said[step.Name] != step.State {
				p.said[step.Name] = step.State
				fmt.Fprintf(p.out, "%8s  %s\n", step.State, words(step.Name))
			}
		}
	}
	if p.live && len(running) > 0 {
		fmt.Fprintf(p.out, "%7.0fs  %s …", elapsed.Seconds(), strings.Join(running, ", "))
		p.onLine = true
	}
}

// clear takes the live line away.
func (p *progress) clear() {
	if p.onLine {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.onLine = false
	}
}

func (p *progress) end() {
	if !p.ended {
		p.clear()
		p.ended = true
	}
}

func words(name string) string { return strings.ReplaceAll(name, "_", " ") }

// isTerminal says whether a stream is a terminal that a person looks at.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
