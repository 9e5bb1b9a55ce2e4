package main

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"pantheon/gateways/api"
)

func forgettingColumns() []column[api.Forgetting] {
	return []column[api.Forgetting]{
		{"id", func(f api.Forgetting) string { return f.ID }},
		{"name", func(f api.Forgetting) string { return f.Name }},
		{"position", func(f api.Forgetting) string { return fmt.Sprint(uint64(f.Position)) }},
	}
}

func (c *cli) siteForgetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "forget SITE",
		Short: "Make the personal data and secrets of a deleted site unreadable for good",
		Long: "forget destroys the key of a deleted site. What people typed for it, what its code said when it failed, " +
			"where its code came from and from where it was worked on then reads (forgotten), in the log, in every view " +
			"and in every export, also in old ones. The log keeps its hashes, and proofs still verify. " +
			"The site is named by its id or, where only one site ever had it, its name.\n\n" +
			"What never was in the log is not covered: the router's access log (visitors' addresses and what they asked for), " +
			"the redo logs of the database's server until it writes over them, copies of the folder keys, and what you saved elsewhere.",
		Example: "  pantheon site delete blog && pantheon site forget blog",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.forget(cmd, "site", args[0], "sites/"+url.PathEscape(args[0])+"/forget")
		},
	}
}

func (c *cli) accountForgetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "forget ACCOUNT",
		Short: "End an account and make its personal data unreadable for good",
		Long: "forget destroys the key of an account that owns no site, and ends its tokens. The person's name, mail address " +
			"and devices, and the addresses the account was used from, then read (forgotten) wherever they were written.",
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.forget(cmd, "account", args[0], "users/"+url.PathEscape(args[0])+"/forget")
		},
	}
}

func (c *cli) forget(cmd *cobra.Command, kind, name, path string) error {
	client, err := c.connect(cmd.Context())
	if err != nil {
		return err
	}
	if err := c.confirm(fmt.Sprintf("Forget %s %s? Nobody can bring its personal data back.", kind, name), name); err != nil {
		return err
	}
	var forgotten api.Forgetting
	if err := client.do(cmd.Context(), http.MethodPost, path, struct{}{}, &forgotten); err != nil {
		return err
	}
	if c.format != "table" || c.field != "" || len(c.fields) > 0 {
		return showOne(c, forgotten, forgettingColumns())
	}
	fmt.Fprintf(c.errors, "%s %s is forgotten\n", kind, name)
	if kind == "site" {
		fmt.Fprintln(c.errors, "not covered: logs/styx-access.log, redo logs of the database's server, and copies of the folder keys")
	}
	return nil
}
