package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"pantheon/actors/environment"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/api"
)

func (c *cli) envScaleCommand() *cobra.Command {
	var patience time.Duration
	cmd := &cobra.Command{
		Use: "scale SITE.ENV DROPS", Short: "Have an environment served by so many DROPs", Args: arguments(2, 3), ValidArgsFunction: c.completeSites,
		Long: `scale sets how many DROPs serve an environment, and waits until so many can.
They are spread over hosts, then over zones, and those that stay of too many are
as well. Where there are more of them than hosts, some share one. Where no host
can take one, scale says why and ends; the DROP is placed by itself as soon as one
can. A DROP that fails is tried again by its host; scale says why it failed, and
ends when trying again has not helped a few times.`,
		Example: "  pantheon env scale blog.live 3",
		RunE: func(cmd *cobra.Command, args []string) error {
			last := len(args) - 1
			path, err := environmentPath(args[:last])
			if err != nil {
				return err
			}
			wanted, err := strconv.Atoi(args[last])
			if err != nil {
				return problem.New(problem.Invalid, "cannot scale to %.40q DROPs: it is no number", args[last]).WithHint("for example: %s", cmd.Example[2:])
			}
			return c.scale(cmd.Context(), path, wanted, patience)
		},
	}
	cmd.Flags().DurationVar(&patience, "timeout", time.Minute, "how long to wait for it")
	cmd.Flags().BoolVar(&c.noWait, "no-wait", false, "do not wait for it")
	return cmd
}

func (c *cli) scale(ctx context.Context, path string, wanted int, patience time.Duration) error {
	client, err := c.connect(ctx)
	if err != nil {
		return err
	}
	var before api.Environment
	if err := client.do(ctx, http.MethodGet, path, nil, &before); err != nil {
		return err
	}
	name := before.SiteName + "." + string(before.Name)
	if wanted == 0 {
		if err := c.confirm("Have no DROP of "+name+"? Its visitors get errors until it has one again.", name); err != nil {
			return err
		}
	}
	change := environment.SettingsChange{Drops: &wanted}
	if err := client.do(ctx, http.MethodPatch, path+"/settings", change, nil); err != nil {
		return err
	}
	scaling := scaling{c: c, name: name, wanted: wanted, before: before.Drops, said: -1, failed: map[events.DropID]string{}}
	if !c.noWait {
		err = scaling.follow(ctx, client, path, patience)
	} else {
		err = client.do(ctx, http.MethodGet, path, nil, &scaling.now)
	}
	if err != nil {
		return err
	}
	return show(c, scaling.now.Drops, dropColumns())
}

// scaling is the wait for an environment to have as many DROPs as it shall.
type scaling struct {
	c        *cli
	name     string
	wanted   int
	before   []api.Drop
	now      api.Environment
	said     int                      // DROPs that were ready when it was last said
	unplaced time.Time                // since when no host takes one of them
	failed   map[events.DropID]string // why DROPs had failed when it was last said
}

// maxFailures of a DROP are waited for: its host has tried again after one, two
// and four seconds then.
const maxFailures = 4

// unplacedFor is how long no host takes a DROP before that is believed: what the
// policies know may be a moment behind.
const unplacedFor = time.Second

func (s *scaling) follow(ctx context.Context, client *client, path string, patience time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := poll(limited, func() (bool, error) {
		now := api.Environment{}
		if err := client.do(limited, http.MethodGet, path, nil, &now); err != nil {
			return false, err
		}
		s.now = now
		return s.look()
	})
	switch {
	case err == nil:
		s.sayShared()
	case ctx.Err() != nil:
		fmt.Fprintf(s.c.errors, "The platform goes on without us. To see how it gets on: pantheon drop list %s\n", s.name)
	case limited.Err() != nil:
		return problem.New(problem.Unavailable, "cannot see %d DROPs of %s after %s%s", s.wanted, s.name, patience, s.stillFailing()).
			WithHint("pantheon drop list %s", s.name)
	}
	return err
}

// look says whether as many DROPs as wanted would serve a request, and says so
// whenever their number changes. What waiting cannot bring about is an error.
func (s *scaling) look() (done bool, err error) {
	if s.now.Settings != nil && s.now.Settings.Drops != s.wanted {
		return false, problem.New(problem.Conflict, "cannot go on: somebody has set the DROPs of %s to %d meanwhile", s.name, s.now.Settings.Drops)
	}
	ready := 0
	for _, drop := range s.now.Drops {
		if serves(drop) {
			ready++
		}
	}
	if ready == s.wanted {
		return true, nil
	}
	if ready != s.said {
		s.said = ready
		if ready < s.wanted {
			fmt.Fprintf(s.c.errors, "%d of %d DROPs are ready\n", ready, s.wanted)
		} else {
			fmt.Fprintf(s.c.errors, "%s there, %d wanted\n", counted(ready, "DROP is", "DROPs are"), s.wanted)
		}
	}
	for _, drop := range s.now.Drops {
		if drop.State == "failed" && !slices.Contains(s.before, drop) {
			if err := s.hasFailed(drop, ready); err != nil {
				return false, err
			}
		}
	}
	return false, s.isUnplaced(ready)
}

// isUnplaced is the error that no host takes a DROP, and goes on taking none.
func (s *scaling) isUnplaced(ready int) error {
	i := slices.IndexFunc(s.now.Drops, func(drop api.Drop) bool { return drop.Unplaced != "" })
	switch {
	case i < 0:
		s.unplaced = time.Time{}
	case s.unplaced.IsZero():
		s.unplaced = time.Now()
	case time.Since(s.unplaced) > unplacedFor:
		drop := s.now.Drops[i]
		return problem.New(problem.Exhausted, "cannot bring %s to %d DROPs now (%d ready): %s", s.name, s.wanted, ready, drop.Unplaced).
			WithHint("it is placed by itself when a host can take it; pantheon placement explain %s", drop.ID)
	}
	return nil
}

// hasFailed says why a DROP has failed; it is an error when its host has tried in
// vain often enough.
func (s *scaling) hasFailed(drop api.Drop, ready int) error {
	if drop.Failures >= maxFailures {
		return problem.New(problem.Unavailable, "cannot bring %s to %d DROPs (%d ready): DROP %s has failed %d times: %s",
			s.name, s.wanted, ready, drop.ID, drop.Failures, drop.Reason).WithHint("pantheon events tail --stream drop/%s", drop.ID)
	}
	if s.failed[drop.ID] != drop.Reason {
		s.failed[drop.ID] = drop.Reason
		fmt.Fprintf(s.c.errors, "DROP %s has failed, and is tried again: %s\n", drop.ID, drop.Reason)
	}
	return nil
}

// stillFailing tells of a DROP that has failed, for the end of an error's text.
func (s *scaling) stillFailing() string {
	for _, drop := range s.now.Drops {
		if drop.State == "failed" {
			return fmt.Sprintf(": DROP %s: %s", drop.ID, drop.Reason)
		}
	}
	return ""
}

// serves says whether a request to the DROP would be served; what sleeps or has
// crashed is started by it.
func serves(drop api.Drop) bool {
	return !drop.Lost && slices.Contains([]string{"ready", "awake", "asleep", "crashed"}, drop.State)
}

// sayShared tells when some of the DROPs share a machine.
func (s *scaling) sayShared() {
	hosts := make(map[string]bool)
	for _, drop := range s.now.Drops {
		if serves(drop) {
			hosts[string(drop.Host)] = true
		}
	}
	if len(hosts) < s.wanted {
		fmt.Fprintf(s.c.errors, "%d DROPs are on %s: a host that is lost takes all that it has with it\n", s.wanted, counted(len(hosts), "host", "hosts"))
	}
}

// counted is a number with the words that fit it.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}
