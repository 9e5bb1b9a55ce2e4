package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/api"
)

// # A rolling upgrade
//
// The operator puts the new binary in the old one's place on every machine;
// pantheon upgrade then goes from machine to machine: drain, restart, wait, end
// the drain. A restart is one of the process alone: it closes everything, leaves
// sites and services running, and becomes the new binary (execve), which takes
// them over, and with them the socket that visitors wait at (keptSocket). A binary
// that does not run, or speaks another protocol than its predecessor or the next
// one, is refused before anything is stopped.

// binaryPath is where this process' binary was when it began.
var binaryPath = func() string {
	path, err := exec.LookPath(os.Args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return ""
	}
	return path
}()

// checkBinary makes sure that the binary that is there now can take this one's
// place: Unavailable where it does not run, Unsupported where it speaks a
// protocol that this one cannot become.
func checkBinary(ctx context.Context, binary string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, binary, "version", "--format", "json")
	command.Env = []string{"PATH=" + os.Getenv("PATH")}
	output, err := command.Output()
	var next versionRecord
	if err == nil {
		err = json.Unmarshal(output, &next)
	}
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot start %s as the next version", binary).
			WithHint("put a binary of pantheon for this machine there; nothing was stopped")
	}
	if next.Protocol != cellProtocol && next.Protocol != cellProtocol+1 {
		return problem.New(problem.Unsupported, "cannot become version %.60s: it speaks protocol %d, and this one %d", next.Version, next.Protocol, cellProtocol).
			WithHint("go by the versions in between")
	}
	return nil
}

const checkTimeout = 10 * time.Second

// becomeNew makes this process the binary that is there now. It returns only
// when it cannot.
func becomeNew(socket *keptSocket) error {
	return socket.exec(binaryPath, upArguments(os.Args), os.Environ())
}

// upArguments are those of up, where the process began with join.
func upArguments(args []string) []string {
	at := slices.Index(args, "join")
	if at < 0 {
		return args
	}
	next := append(slices.Clone(args[:at]), "up")
	for i := at + 1; i < len(args); i++ {
		switch {
		case args[i] == "--token":
			i++
		case !strings.HasPrefix(args[i], "--token="):
			next = append(next, args[i])
		}
	}
	return next
}

// restartHost has a machine of the cell begin anew.
func (p *platform) restartHost(ctx context.Context, id events.HostID) error {
	if id == p.host.ID {
		return p.restartHere(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return p.askHost(ctx, id, askRestart, struct{}{}, nil)
}

func (p *platform) answerRestart(ctx context.Context, _ []byte) (any, error) {
	return nil, p.restartHere(ctx)
}

func (p *platform) restartHere(ctx context.Context) error {
	if err := checkBinary(ctx, binaryPath); err != nil {
		return err
	}
	p.renewed.Store(true)
	time.AfterFunc(restartPause, p.askRestart)
	return nil
}

func (c *cli) upgradeCommand() *cobra.Command {
	var patience time.Duration
	var drain bool
	cmd := &cobra.Command{
		Use: "upgrade [HOST...]", Short: "Restart machines one by one, as the version that is installed there now", Args: cobra.ArbitraryArgs,
		Long: `upgrade goes from machine to machine, through the whole cell or the hosts that are
named: it drains one, has it begin anew as the binary that is in the old one's
place by then, waits until it is back, and ends the drain. DROPs that cannot leave,
because there is no other host, go on serving meanwhile: a restart ends neither
php-fpm nor databases. Visitors who come in by the machine that restarts wait for
a second or two; others are served on.

Put the new binary on every machine first. One that does not run or is too old or
too new for the cell is refused, and nothing is stopped.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			all, err := hosts(cmd.Context(), client)
			if err != nil {
				return err
			}
			chosen, err := chooseHosts(all, args)
			if err != nil {
				return err
			}
			for _, host := range chosen {
				ctx, cancel := context.WithTimeout(cmd.Context(), patience)
				err := c.upgradeHost(ctx, client, host, drain && len(all) > 1)
				cancel()
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&patience, "timeout", 5*time.Minute, "how long one machine may take")
	cmd.Flags().BoolVar(&drain, "drain", true, "move everything away from a machine first")
	return cmd
}

// chooseHosts gives those that are named, or all: control machines first, as the
// others have everything decided by them. None may be lost, so that no cell is
// left half-way.
func chooseHosts(all []api.Host, names []string) ([]api.Host, error) {
	var chosen []api.Host
	if len(names) == 0 {
		rank := func(h api.Host) int {
			if slices.Contains(h.Roles, events.RoleControl) {
				return 0
			}
			return 1
		}
		chosen = slices.Clone(all)
		slices.SortStableFunc(chosen, func(a, b api.Host) int { return rank(a) - rank(b) })
	}
	for _, name := range names {
		at := slices.IndexFunc(all, func(h api.Host) bool { return h.Name == name || string(h.ID) == name })
		if at < 0 {
			return nil, problem.New(problem.NotFound, "cannot find host %.60q", name).WithHint("pantheon host list")
		}
		chosen = append(chosen, all[at])
	}
	if i := slices.IndexFunc(chosen, func(h api.Host) bool { return h.State == "lost" }); i >= 0 {
		return nil, problem.New(problem.Unavailable, "cannot upgrade host %s: it is lost", chosen[i].Name).
			WithHint("start it, or name the others: pantheon upgrade HOST...; nothing was restarted")
	}
	return chosen, nil
}

func (c *cli) upgradeHost(ctx context.Context, client *client, host api.Host, drain bool) error {
	path := "hosts/" + url.PathEscape(string(host.ID))
	was := host.Version
	if drain && host.State != "draining" {
		fmt.Fprintf(c.errors, "%s: draining\n", host.Name)
		if err := client.do(ctx, http.MethodPost, path+"/drain", nil, &host); err != nil {
			return err
		}
		defer func() { // also when it failed half-way
			after, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
			defer cancel()
			if err := client.do(after, http.MethodPost, path+"/undrain", nil, nil); err != nil {
				fmt.Fprintf(c.errors, "%s: cannot end the drain: pantheon host undrain %s\n", host.Name, host.Name)
			}
		}()
		if _, err := c.followDrain(ctx, client, host); err != nil && problem.KindOf(err) != problem.Exhausted {
			return err
		}
	}
	// A node that has just begun has not heard of the others yet.
	if err := runs(ctx, client, path, &host, ""); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot tell whether host %s runs", host.Name).WithHint("pantheon host list; nothing was restarted")
	}
	before := host.Live.Boot
	fmt.Fprintf(c.errors, "%s: restarting\n", host.Name)
	if err := client.do(ctx, http.MethodPost, path+"/restart", nil, nil); err != nil {
		return err
	}
	if err := runs(ctx, client, path, &host, before); err != nil {
		return problem.Wrap(problem.Unavailable, err, "host %s has not come back", host.Name).WithHint("look at its output, and start it: pantheon up")
	}
	fmt.Fprintf(c.errors, "%s: back, %s → %s\n", host.Name, was, host.Version)
	return nil
}

// runs waits until a host runs, not as the process that it was before.
func runs(ctx context.Context, client *client, path string, host *api.Host, before string) error {
	return poll(ctx, func() (bool, error) {
		host.Live = nil
		err := client.do(ctx, http.MethodGet, path, nil, host)
		if kind := problem.KindOf(err); err != nil && (kind == problem.Unavailable || kind == problem.Internal) && ctx.Err() == nil {
			return false, nil // the machine that is asked may be the one
		}
		return err == nil && host.State != "lost" && host.Live != nil && host.Live.Boot != "" && host.Live.Boot != before, err
	})
}
