package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"pantheon/events/eventlog"
	"pantheon/events/eventlog/jetstream"
	"pantheon/events/problem"
)

// verification is what a check of the whole log has found.
type verification struct {
	Log  string `json:"log"`
	Head uint64 `json:"head"` // the last position
}

func (c *cli) eventsVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Check the log in the data folder: nothing was changed, removed or put in another order",
		Long: "verify reads the whole log of a platform that does not run and changes nothing. " +
			"It ends with exit code 65 and names the position where the log is not what was written.",
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			folder := filepath.Join(c.data, "log")
			head, err := jetstream.Verify(cmd.Context(), folder)
			var broken *eventlog.BrokenError
			if errors.As(err, &broken) {
				return problem.Wrap(problem.Conflict, broken, "the log is not what was written").
					WithHint("keep the folder %s as it is, and restore it from a copy", folder)
			}
			if err != nil {
				return err
			}
			return showOne(c, verification{folder, uint64(head)}, []column[verification]{
				{"log", func(v verification) string { return v.Log }},
				{"head", func(v verification) string { return fmt.Sprint(v.Head) }},
			})
		},
	}
}
