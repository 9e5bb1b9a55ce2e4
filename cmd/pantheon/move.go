package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/api"
)

func (c *cli) dropMoveCommand() *cobra.Command {
	var to, reason string
	var patience time.Duration
	cmd := &cobra.Command{
		Use: "move DROP", Short: "Have another DROP take the place of one, on another host", Args: arguments(1, 1),
		Long: `move has another DROP take the place of one, which goes on serving until the other
is ready. It waits for that, and shows the other one. A host that has no room
is passed over for the best one that has.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			path := "drops/" + dropArgument(args[0])
			var old api.Drop
			if err := client.do(cmd.Context(), http.MethodGet, path, nil, &old); err != nil {
				return err
			}
			move := moving{c: c, old: old, path: "sites/" + string(old.Site) + "/environments/" + string(old.Environment)}
			if err := client.do(cmd.Context(), http.MethodGet, move.path, nil, &move.before); err != nil {
				return err
			}
			asked := map[string]string{"to": to, "reason": reason}
			if err := client.do(cmd.Context(), http.MethodPost, path+"/move", asked, &old); err != nil {
				return err
			}
			if c.noWait {
				return showOne(c, old, dropColumns())
			}
			next, err := move.follow(cmd.Context(), client, patience)
			if err != nil {
				return err
			}
			return showOne(c, next, dropColumns())
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "`HOST` that shall have it; the best other one without")
	cmd.Flags().StringVar(&reason, "reason", "", "`TEXT` for the log: why it moves")
	cmd.Flags().DurationVar(&patience, "timeout", time.Minute, "how long to wait for it")
	cmd.Flags().BoolVar(&c.noWait, "no-wait", false, "do not wait for it")
	_ = cmd.RegisterFlagCompletionFunc("to", c.completeHostFlag)
	return cmd
}

// moving is the wait for another DROP to take the place of one.
type moving struct {
	c        *cli
	old      api.Drop
	path     string // of the environment
	before   api.Environment
	next     api.Drop  // that takes its place; without an id where none was seen yet
	unplaced time.Time // since when no host takes it
	said     string
}

func (m *moving) follow(ctx context.Context, client *client, patience time.Duration) (api.Drop, error) {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := poll(limited, func() (bool, error) {
		var now api.Environment
		if err := client.do(limited, http.MethodGet, m.path, nil, &now); err != nil {
			return false, err
		}
		return m.look(now.Drops)
	})
	name := environmentOf(m.old)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		fmt.Fprintf(m.c.errors, "The platform goes on without us. To see how it gets on: pantheon drop list %s\n", name)
	case limited.Err() != nil:
		err = problem.New(problem.Unavailable, "cannot see another DROP in the place of %s after %s%s", m.old.ID, patience, m.failure()).
			WithHint("pantheon drop list %s", name)
	}
	return m.next, err
}

// look says whether the move is over: the other DROP serves, and the one that was
// to move is gone.
func (m *moving) look(drops []api.Drop) (over bool, err error) {
	there := func(id events.DropID) func(api.Drop) bool { return func(d api.Drop) bool { return d.ID == id } }
	for _, drop := range drops {
		if !slices.ContainsFunc(m.before.Drops, there(drop.ID)) {
			m.next = drop
		}
	}
	left := !slices.ContainsFunc(drops, there(m.old.ID))
	switch next := m.next; {
	case next.ID == "" && left:
		return false, problem.New(problem.Conflict, "cannot go on: DROP %s is gone, and none has taken its place", m.old.ID).
			WithHint("pantheon env info %s", environmentOf(m.old))
	case next.ID == "":
	case serves(next) && left:
		return true, nil
	case next.Unplaced == "":
		m.unplaced = time.Time{}
		m.say(next)
	case m.unplaced.IsZero():
		m.unplaced = time.Now()
	case time.Since(m.unplaced) > unplacedFor:
		return false, problem.New(problem.Exhausted, "cannot move DROP %s now: %s", m.old.ID, next.Unplaced).
			WithHint("it serves on, and moves by itself when a host can take the other one; pantheon placement explain %s", next.ID)
	}
	return false, nil
}

// say tells where the other DROP is being made ready, and why it is not.
func (m *moving) say(next api.Drop) {
	text := ""
	switch {
	case next.HostName == "" || serves(next):
		return
	case next.State == "failed":
		text = fmt.Sprintf("DROP %s has failed, and is tried again: %s", next.ID, next.Reason)
	default:
		text = fmt.Sprintf("DROP %s is being made ready on %s", next.ID, next.HostName)
	}
	if text != m.said {
		m.said = text
		fmt.Fprintln(m.c.errors, text)
	}
}

func (m *moving) failure() string {
	if m.next.State != "failed" {
		return ""
	}
	return fmt.Sprintf(": DROP %s: %s", m.next.ID, m.next.Reason)
}
