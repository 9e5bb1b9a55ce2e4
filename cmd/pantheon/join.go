package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pantheon/events/problem"
	"pantheon/runtime/identity"
	"pantheon/runtime/mesh"
)

// joinCommand makes this machine one of a cell, and runs it.
func (c *cli) joinCommand() *cobra.Command {
	var up upFlags
	var token string
	cmd := &cobra.Command{
		Use: "join", Short: "Give this machine to a cell, and run its part in the foreground", Args: arguments(0, 0),
		Long: `join redeems a token that pantheon host token create printed on a machine of the
cell, keeps this machine's certificate in the data folder, and then runs as
pantheon up does. From the next start on, pantheon up is enough.

--cluster is the address at which the other machines of the cell reach this one.
Its port and the two above it must be free: the log is at those.

Arguments can be read by every user of the machine: --token - reads the token
from standard input, --token @FILE from a file. It lets one machine in, once.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.recallFlags(cmd); err != nil { // of a join that was broken off
				return err
			}
			options, err := up.complete(c)
			if err != nil {
				return err
			}
			if options.cluster == "" {
				return problem.New(problem.Invalid, "cannot join without an address at which the cell reaches this machine").
					WithHint("pantheon join --cluster 10.0.0.2 --token -")
			}
			if err := c.join(cmd.Context(), options, token); err != nil {
				return err
			}
			if err := c.rememberFlags(cmd); err != nil {
				return err
			}
			return c.up(cmd.Context(), options, "")
		},
	}
	c.upFlags(cmd, &up)
	cmd.Flags().StringVar(&token, "token", c.getenv("PANTHEON_JOIN_TOKEN"), "`TOKEN` of pantheon host token create; - for standard input, @FILE for a file (PANTHEON_JOIN_TOKEN)")
	return cmd
}

// readToken takes the token from where it is.
func (c *cli) readToken(text string) (identity.Token, error) {
	switch {
	case text == "-":
		content, err := io.ReadAll(io.LimitReader(c.in, identity.MaxTokenBytes+1))
		if err != nil {
			return identity.Token{}, problem.Wrap(problem.Invalid, err, "cannot read the token")
		}
		text = string(content)
	case strings.HasPrefix(text, "@"):
		content, err := os.ReadFile(text[1:])
		if err != nil {
			return identity.Token{}, problem.Wrap(problem.Invalid, err, "cannot read the token")
		}
		text = string(content)
	}
	return identity.ParseToken(text)
}

// join makes the machine a member. A join that was broken off is repeated with
// the same token.
func (c *cli) join(ctx context.Context, options platformOptions, text string) error {
	token, err := c.readToken(text)
	if err != nil {
		return err
	}
	if isLoopback(options.cluster) && !slices.ContainsFunc(token.Addresses, isLoopback) {
		return problem.New(problem.Invalid, "cannot join at %s: the other machines of the cell cannot reach it there", options.cluster).
			WithHint("give --cluster an address of this machine in their network; ip address shows those it has")
	}
	lock, err := lockData(options.data)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // up takes it again
	dir := filepath.Join(options.data, "cell")
	if done, err := mayJoin(options.data, dir, token); done || err != nil {
		return err
	}
	self, err := loadHostIdentity(filepath.Join(options.data, "host.json"))
	if err != nil {
		return err
	}
	if err := c.mayListen(ctx, options); err != nil { // before the token is used up
		return err
	}
	request, err := identity.NewRequest()
	if err != nil {
		return err
	}
	reply, err := mesh.Join(ctx, token, mesh.JoinRequest{
		Host: self.ID, Name: options.hostName, Addresses: []string{options.cluster}, Version: versionText(), Protocol: cellProtocol, CSR: request.CSR,
	})
	if err != nil {
		return err
	}
	node, err := identity.InstallNode(dir, request, reply.Certificate.Certificate, reply.Authority)
	if err != nil {
		return err
	}
	if node.Fingerprint() != token.Authority {
		return problem.New(problem.Denied, "cannot join: the cell's certificate authority is not that of the token")
	}
	if reply.AuthorityKey != nil {
		if _, err := identity.InstallAuthority(filepath.Join(dir, "ca"), reply.Authority, reply.AuthorityKey); err != nil {
			return err
		}
	}
	settings := cellSettings{
		Endpoint: options.cluster, Control: reply.Control["mesh"],
		Domain: reply.Settings["domain"], InternalDomain: reply.Settings["internal_domain"],
	}
	if err := settings.save(dir); err != nil {
		return err
	}
	fmt.Fprintf(c.errors, "joined the cell as %s: %s\n", options.hostName, self.ID)
	return nil
}

// isLoopback says whether an address, host:port, is this machine's alone.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (ip.IsLoopback() || host == "localhost")
}

// mayListen refuses addresses that up would refuse, or a later cluster grow.
func (c *cli) mayListen(ctx context.Context, options platformOptions) error {
	for _, want := range []struct{ flag, address string }{
		{"--cluster", options.cluster}, {"--cluster", portAbove(options.cluster, 1)}, {"--cluster", portAbove(options.cluster, 2)},
		{"--http", options.httpAddress}, {"--api-listen", options.apiAddress}, {"--metrics", options.metricsAddress}, {"--dns", options.dns.address},
	} {
		if want.address == "" {
			continue
		}
		listener, err := listenTCP(ctx, want.address, want.flag)
		if err != nil {
			return err
		}
		if err := listener.Close(); err != nil {
			return err
		}
	}
	return nil
}

// mayJoin refuses a folder that is something else; done says that it is of the
// token's cell already.
func mayJoin(data, dir string, token identity.Token) (done bool, err error) {
	if _, known, err := loadCellSettings(dir); err != nil || known {
		node, openErr := identity.OpenNode(dir)
		if err = errors.Join(err, openErr); err != nil {
			return false, err
		}
		if node.Fingerprint() == token.Authority {
			return true, nil
		}
		return false, problem.New(problem.Conflict, "cannot join: the data folder %s belongs to another cell", data).
			WithHint("--data names another one; or pantheon up runs what this one is")
	}
	if _, err := os.Stat(filepath.Join(data, "log")); !errors.Is(err, fs.ErrNotExist) {
		return false, problem.New(problem.Conflict, "cannot join: the data folder %s holds a platform of its own", data).
			WithHint("--data names another one; pantheon log export takes its log elsewhere")
	}
	return false, nil
}
