package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"pantheon/events/problem"
	"pantheon/gateways/api"
)

func (c *cli) clusterCommand() *cobra.Command {
	return noun("cluster", "Spread the cell's log over several machines", c.clusterGrowCommand(), c.clusterShrinkCommand())
}

func (c *cli) clusterGrowCommand() *cobra.Command {
	var patience time.Duration
	cmd := &cobra.Command{
		Use: "grow", Short: "Have all control machines hold the log together", Args: arguments(0, 0),
		Long: `grow copies the log to all control machines, three or five of them. From then on
a commit is there when a majority has written it, and any one of three, or two of
five, may be lost without a command being lost or refused for longer than an
election takes.

From one machine on, run it on that one; pantheon cell info names it. Sites are
served on meanwhile, but for the moment in which that machine's own entry begins
anew; commands wait until the copy is made. From three machines to five it copies
the log beside them; commands go on, but for elections of seconds each. It is run
on one of the three then.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			var cell api.Cell
			if err := client.do(cmd.Context(), http.MethodGet, "cell", nil, &cell); err != nil {
				return err
			}
			before := len(cell.Log)
			if err := client.do(cmd.Context(), http.MethodPost, "cell/grow", nil, nil); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), patience)
			defer cancel()
			return c.followMove(ctx, client, func(replicas int) bool { return replicas > before })
		},
	}
	cmd.Flags().DurationVar(&patience, "timeout", 10*time.Minute, "how long to wait until all machines have the log; it goes on without being waited for")
	return cmd
}

func (c *cli) clusterShrinkCommand() *cobra.Command {
	var patience time.Duration
	var machines int
	cmd := &cobra.Command{
		Use: "shrink", Short: "Have one machine hold the log alone again, or three in place of five", Args: arguments(0, 0),
		Long: `shrink takes the log back to the machine whose platform is asked. Commands are
refused until it is there. From then on the loss of that machine stops commands
until it is back.

With --machines 3 the machine that is asked and two others of five go on holding
it, and commands go on, but for elections of seconds each. Those that are lost leave first, then those that joined
last.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			question := "Have this machine hold the log alone?"
			if machines != 1 {
				question = fmt.Sprintf("Have %d machines hold the log?", machines)
			}
			if err := c.confirm(question, "shrink"); err != nil {
				return err
			}
			if err := client.do(cmd.Context(), http.MethodPost, fmt.Sprintf("cell/shrink?machines=%d", machines), nil, nil); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), patience)
			defer cancel()
			return c.followMove(ctx, client, func(replicas int) bool { return replicas == machines })
		},
	}
	cmd.Flags().IntVar(&machines, "machines", 1, "how many machines shall hold the log: 1 or 3")
	cmd.Flags().DurationVar(&patience, "timeout", 10*time.Minute, "how long to wait until the machine has the log")
	return cmd
}

// followMove waits until so many machines hold the log, and have it. The
// platform that is asked begins anew in between.
func (c *cli) followMove(ctx context.Context, client *client, enough func(replicas int) bool) error {
	said := ""
	return poll(ctx, func() (bool, error) {
		var cell api.Cell
		err := client.do(ctx, http.MethodGet, "cell", nil, &cell)
		if problem.KindOf(err) == problem.Unavailable && ctx.Err() == nil {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		current := 0
		for _, replica := range cell.Log {
			if replica.Current {
				current++
			}
		}
		if now := fmt.Sprintf("%d of %d machines have the log", current, len(cell.Log)); now != said && enough(len(cell.Log)) {
			said = now
			fmt.Fprintln(c.errors, now)
		}
		return enough(len(cell.Log)) && current == len(cell.Log), nil
	})
}
