package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"pantheon/events/problem"
	"pantheon/gateways/api"
)

func (c *cli) tokenCommand() *cobra.Command {
	var account string
	cmd := noun("token", "Make, list and revoke machine tokens",
		c.tokenCreateCommand(&account), c.tokenListCommand(&account), c.tokenRevokeCommand(&account))
	cmd.PersistentFlags().StringVar(&account, "account", "me", "`ACCOUNT` the token is for; others than yourself only for the operator")
	return cmd
}

func tokensPath(account string) string {
	return "users/" + url.PathEscape(account) + "/machine_tokens"
}

func (c *cli) tokenCreateCommand(account *string) *cobra.Command {
	var device string
	var lifetime time.Duration
	cmd := &cobra.Command{
		Use: "create", Short: "Make a machine token and print it once", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if lifetime < 0 {
				return problem.New(problem.Invalid, "cannot make a token that has expired already")
			}
			request := api.TokenRequest{DeviceName: device}
			if lifetime > 0 {
				request.Expires = time.Now().Add(lifetime).UTC().Truncate(time.Second)
			}
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			var token api.Token
			if err := client.do(cmd.Context(), http.MethodPost, tokensPath(*account), request, &token); err != nil {
				return err
			}
			if c.format == "json" {
				return writeJSON(c.out, token)
			}
			fmt.Fprintf(c.errors, "token %s for %s; it is shown this once:\n", token.ID, printable(token.DeviceName))
			fmt.Fprintln(c.out, token.Token)
			return nil
		},
	}
	name, err := os.Hostname()
	if err != nil {
		name = "unnamed"
	}
	cmd.Flags().StringVar(&device, "device", name, "`NAME` of the machine or program that will use it")
	cmd.Flags().DurationVar(&lifetime, "expires-in", 0, "how long it is valid, for example 720h; for ever without one")
	return cmd
}

func tokenColumns() []column[api.Token] {
	return []column[api.Token]{
		{"id", func(t api.Token) string { return string(t.ID) }},
		{"device", func(t api.Token) string { return t.DeviceName }},
		{"expires", func(t api.Token) string { return timeText(t.Expires) }},
	}
}

func (c *cli) tokenListCommand(account *string) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List machine tokens; none of them can be shown again", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			tokens, err := fetch[[]api.Token](cmd.Context(), c, tokensPath(*account))
			if err != nil {
				return err
			}
			return show(c, tokens, tokenColumns())
		},
	}
}

func (c *cli) tokenRevokeCommand(account *string) *cobra.Command {
	return &cobra.Command{
		Use: "revoke TOKEN", Short: "End a machine token, and every session made with it", Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			return client.do(cmd.Context(), http.MethodDelete, tokensPath(*account)+"/"+url.PathEscape(args[0]), nil, nil)
		},
	}
}

func (c *cli) accountCommand() *cobra.Command {
	return noun("account", "Make, list and forget accounts", c.accountCreateCommand(), c.accountListCommand(), c.accountForgetCommand())
}

func accountColumns() []column[api.User] {
	return []column[api.User]{
		{"id", func(u api.User) string { return string(u.ID) }},
		{"name", func(u api.User) string { return u.Profile.FullName }},
		{"email", func(u api.User) string { return u.Email }},
		{"kind", func(u api.User) string { return string(u.Kind) }},
	}
}

func (c *cli) accountCreateCommand() *cobra.Command {
	var change api.AccountChange
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make an account for a person", Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			change.Name = args[0]
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			var user api.User
			if err := client.do(cmd.Context(), http.MethodPost, "accounts", change, &user); err != nil {
				return err
			}
			return showOne(c, user, accountColumns())
		},
	}
	cmd.Flags().StringVar(&change.Email, "email", "", "`ADDRESS` of the person")
	return cmd
}

func (c *cli) accountListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List accounts", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			users, err := list(cmd.Context(), client, "accounts", nil, func(u api.User) string { return string(u.ID) })
			if err != nil {
				return err
			}
			return show(c, users, accountColumns())
		},
	}
}
