package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pantheon/events/problem"
	"pantheon/gateways/api"
)

func (c *cli) hostRemoveCommand() *cobra.Command {
	var lost bool
	cmd := &cobra.Command{
		Use: "remove HOST", Short: "Take a machine out of the cell, for good", Args: arguments(1, 1), ValidArgsFunction: c.completeHosts,
		Long: `remove takes a machine that holds nothing out of the cell, for good.

With --lost it takes out one that will not come back, and gives up what it holds:
its DROPs are placed elsewhere where they can be, and the databases, files and
code that are on it are gone, also should the machine come back. It must count as
lost, or have been drained. What is given up is listed first. Environments that
have lost something say so in pantheon env info, and get empty ones by pantheon
env renew; their sites can be deleted.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			path, question := "hosts/"+url.PathEscape(args[0]), "Take host %s out of the cell, for good?"
			if lost {
				if err := c.sayWrittenOff(cmd.Context(), client, args[0]); err != nil {
					return err
				}
				path, question = path+"?lost=true", "Give up what host %s holds, and take it out of the cell, for good?"
			}
			if err := c.confirm(fmt.Sprintf(question, args[0]), args[0]); err != nil {
				return err
			}
			if err := client.do(cmd.Context(), http.MethodDelete, path, nil, nil); err != nil {
				return err
			}
			fmt.Fprintf(c.out, "host %s is removed\n", args[0])
			return nil
		},
	}
	cmd.Flags().BoolVar(&lost, "lost", false, "it will not come back: give up the data that it holds")
	return cmd
}

// sayWrittenOff lists what is lost with a host, a line for each environment.
func (c *cli) sayWrittenOff(ctx context.Context, client *client, host string) error {
	bindings, err := list(ctx, client, "bindings", url.Values{"host": {host}}, func(b api.Binding) string { return string(b.ID) })
	if err != nil {
		return err
	}
	var places []string
	lost := make(map[string][]string)
	for _, b := range bindings {
		place := b.SiteName
		if b.Environment != "" {
			place += "." + string(b.Environment)
		}
		if lost[place] == nil {
			places = append(places, place)
		}
		lost[place] = append(lost[place], api.ServiceName(b.Type))
	}
	if len(places) == 0 {
		fmt.Fprintf(c.errors, "host %s holds no database, files or code\n", host)
	}
	for _, place := range places {
		slices.Sort(lost[place])
		fmt.Fprintf(c.errors, "gone for good with %s: %s of %s\n", host, strings.Join(lost[place], ", "), place)
	}
	return nil
}

func (c *cli) envRenewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "renew SITE.ENV", Short: "Give an environment empty services in the place of lost ones", Args: arguments(1, 2), ValidArgsFunction: c.completeSites,
		Long: `renew puts an empty database and empty files in the place of those that an
environment has lost with a host that was removed, and imports its site's code
anew where that was lost, from where the site was created from: environments whose
release no machine has run that then. It waits until the environment has what it
needs; --no-wait does not.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := environmentPath(args)
			if err != nil {
				return err
			}
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			var environment api.Environment
			if err := client.do(cmd.Context(), http.MethodPost, path+"/renew", nil, &environment); err != nil {
				return err
			}
			if !c.noWait {
				if environment, err = c.followRenewal(cmd.Context(), client, path); err != nil {
					return err
				}
			}
			return showOne(c, environment, envDetails())
		},
	}
	cmd.Flags().BoolVar(&c.noWait, "no-wait", false, "do not wait for it")
	return cmd
}

// followRenewal waits until an environment has all its services and a DROP that
// would serve.
func (c *cli) followRenewal(ctx context.Context, client *client, path string) (environment api.Environment, err error) {
	return environment, poll(ctx, func() (bool, error) {
		environment = api.Environment{}
		if err := client.do(ctx, http.MethodGet, path, nil, &environment); err != nil {
			return false, err
		}
		bindings, err := list(ctx, client, "bindings", url.Values{"site": {environment.SiteName}}, func(b api.Binding) string { return string(b.ID) })
		if err != nil {
			return false, err
		}
		for _, b := range bindings {
			switch {
			case b.Environment != "" && b.Environment != environment.Name, b.State == "ready":
			case b.State == "failed":
				return false, problem.New(problem.Unavailable, "cannot renew the %s of %s: %s", api.ServiceName(b.Type), environment.SiteName, b.Reason).
					WithHint("pantheon events tail --stream binding/%s", b.ID)
			default:
				return false, nil
			}
		}
		return environment.Settings != nil && environment.Settings.Drops == 0 || slices.ContainsFunc(environment.Drops, serves), nil
	})
}
