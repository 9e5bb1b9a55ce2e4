package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"pantheon/gateways/api"
)

func (c *cli) dnsKeyCommand() *cobra.Command {
	return noun("key", "List and roll the keys that sign zones", c.dnsKeyListCommand(), c.dnsKeyRollCommand(), c.dnsKeyActivateCommand(), c.dnsKeyRemoveCommand())
}

func zoneKeyColumns() []column[api.ZoneKey] {
	return []column[api.ZoneKey]{
		{"tag", func(k api.ZoneKey) string { return number(int(k.Tag)) }},
		{"role", func(k api.ZoneKey) string { return string(k.Role) }},
		{"algorithm", func(k api.ZoneKey) string { return number(int(k.Algorithm)) }},
		{"state", func(k api.ZoneKey) string { return string(k.State) }},
		{"introduced", func(k api.ZoneKey) string { return timeText(k.Introduced) }},
		{"activated", func(k api.ZoneKey) string { return timeText(k.Activated) }},
		{"retired", func(k api.ZoneKey) string { return timeText(k.Retired) }},
		{"waits", func(k api.ZoneKey) string { return k.Waits }},
	}
}

func (c *cli) dnsKeyListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list ZONE", Short: "List a zone's keys, and what a roll-over waits for", Args: arguments(1, 1), ValidArgsFunction: c.completeZones,
		RunE: func(cmd *cobra.Command, args []string) error {
			keys, err := fetch[[]api.ZoneKey](cmd.Context(), c, zonePath(args[0], "keys"))
			if err != nil {
				return err
			}
			return show(c, keys, zoneKeyColumns())
		},
	}
}

func (c *cli) dnsKeyRollCommand() *cobra.Command {
	return &cobra.Command{
		Use: "roll ZONE", Short: "Replace the key that signs a zone; or sign a zone that is not",
		Long: `roll makes a new key and publishes it beside the old one. From then on the
platform goes on by itself, and every step waits until all caches have seen the
one before:

  1. DNSKEY and CDS name both keys. Put the new DS at the registrar beside the old
     one (pantheon dns ds); parents that read CDS (RFC 7344) do it themselves.
  2. When the parent has the new DS, and the old DS set has left all caches, the new
     key signs. Now remove the old DS at the registrar.
  3. A week later, when no cache holds a signature of the old key, it is removed.

pantheon dns key list says what is waited for. A roll-over can be begun again
when it is over.`,
		Args: arguments(1, 1), ValidArgsFunction: c.completeZones,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			var keys []api.ZoneKey
			if err := client.do(cmd.Context(), http.MethodPost, zonePath(args[0], "keys"), struct{}{}, &keys); err != nil {
				return err
			}
			return show(c, keys, zoneKeyColumns())
		},
	}
}

func (c *cli) dnsKeyActivateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "activate ZONE KEY", Short: "Have a new key sign at once, waiting for nobody",
		Long: `activate ends the wait of a roll-over on your word: that the parent has the DS of
the key, and that every cache has seen it. Where that is not so, those who
validate cannot resolve the zone until it is. KEY is the tag.`,
		Args: arguments(2, 2), ValidArgsFunction: c.completeZones,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.confirm(fmt.Sprintf("Sign zone %s with key %s although not every cache may know it?", args[0], args[1]), args[0]); err != nil {
				return err
			}
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			var keys []api.ZoneKey
			path := zonePath(args[0], "keys", url.PathEscape(args[1]), "activate")
			if err := client.do(cmd.Context(), http.MethodPost, path, struct{}{}, &keys); err != nil {
				return err
			}
			return show(c, keys, zoneKeyColumns())
		},
	}
}

func (c *cli) dnsKeyRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove ZONE KEY", Short: "Give up a roll-over, or remove a retired key before its time",
		Long: `remove takes a key out of a zone that does not sign it, and destroys its private half.
Take its DS away at the registrar first, where it is the only one. KEY is the tag.`,
		Args: arguments(2, 2), ValidArgsFunction: c.completeZones,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.confirm(fmt.Sprintf("Remove key %s of zone %s for good?", args[1], args[0]), args[0]); err != nil {
				return err
			}
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			var keys []api.ZoneKey
			if err := client.do(cmd.Context(), http.MethodDelete, zonePath(args[0], "keys", url.PathEscape(args[1])), nil, &keys); err != nil {
				return err
			}
			return show(c, keys, zoneKeyColumns())
		},
	}
}

func dsColumns() []column[api.DS] {
	return []column[api.DS]{
		{"tag", func(d api.DS) string { return number(int(d.Tag)) }},
		{"algorithm", func(d api.DS) string { return number(int(d.Algorithm)) }},
		{"digest_type", func(d api.DS) string { return number(int(d.DigestType)) }},
		{"digest", func(d api.DS) string { return d.Digest }},
		{"key_state", func(d api.DS) string { return string(d.State) }},
	}
}

func (c *cli) dnsDSCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ds ZONE", Short: "Print the DS records to put at the registrar",
		Long: `ds prints what the parent zone shall have: a DS for each key that signs, or will
sign after a roll-over. --field record prints them as lines of a zone file.`,
		Args: arguments(1, 1), ValidArgsFunction: c.completeZones,
		RunE: func(cmd *cobra.Command, args []string) error {
			records, err := fetch[[]api.DS](cmd.Context(), c, zonePath(args[0], "ds"))
			if err != nil {
				return err
			}
			columns := dsColumns()
			if c.field != "" || len(c.fields) > 0 {
				columns = append(columns, column[api.DS]{"record", func(d api.DS) string { return d.Record }})
			}
			if err := show(c, records, columns); err != nil || len(records) > 0 {
				return err
			}
			return c.explainNoDS(cmd.Context(), args[0])
		},
	}
}

// explainNoDS says on the side why the parent shall have no DS, and what to do.
func (c *cli) explainNoDS(ctx context.Context, name string) error {
	zone, err := fetch[api.Zone](ctx, c, zonePath(name))
	if err != nil {
		return err
	}
	why, hint := "its first key is on its way", fmt.Sprintf("ask again in a moment; pantheon dns key list %s", zone.Name)
	switch {
	case zone.Unsigned && zone.Signed:
		why, hint = "it shall be unsigned", "remove every DS record at the registrar; pantheon dns check says what the parent has"
	case zone.Unsigned:
		why, hint = "it is unsigned, as somebody decided", fmt.Sprintf("pantheon dns zone sign %s", zone.Name)
	case zone.Internal, localOnly(zone.Name):
		why, hint = "it is not signed, because no parent can vouch for such a zone", fmt.Sprintf("pantheon dns zone sign %s signs it all the same", zone.Name)
	}
	fmt.Fprintf(c.errors, "There is no DS for zone %s: %s.\nhint: %s\n", printable(string(zone.Name)), why, hint)
	return nil
}

func (c *cli) dnsSecondaryCommand() *cobra.Command {
	return noun("secondary", "Let other name servers transfer a zone",
		c.dnsSecondaryListCommand(), c.dnsSecondaryAddCommand(), c.dnsSecondaryRemoveCommand())
}

func secondaryColumns() []column[api.ZoneSecondary] {
	return []column[api.ZoneSecondary]{
		{"address", func(s api.ZoneSecondary) string { return s.Address }},
		{"tsig_key", func(s api.ZoneSecondary) string { return s.TSIGKey }},
		{"notify", func(s api.ZoneSecondary) string { return yesNo(s.Notify) }},
	}
}

func (c *cli) dnsSecondaryListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list ZONE", Short: "List the servers that may transfer a zone", Args: arguments(1, 1), ValidArgsFunction: c.completeZones,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := fetch[[]api.ZoneSecondary](cmd.Context(), c, zonePath(args[0], "secondaries"))
			if err != nil {
				return err
			}
			return show(c, all, secondaryColumns())
		},
	}
}

func (c *cli) dnsSecondaryAddCommand() *cobra.Command {
	var secondary api.ZoneSecondary
	var silent bool
	cmd := &cobra.Command{
		Use: "add ZONE ADDRESS", Short: "Let a server transfer a zone, and tell it of changes",
		Long: `add lets the server at ADDRESS transfer the zone, whole (AXFR) and change by change
(IXFR), and tells it of each change (NOTIFY). Without a TSIG key its address is all
that it is known by.`,
		Example: "  pantheon dns tsig create ns2.example.net\n  pantheon dns secondary add example.org 192.0.2.53 --tsig ns2.example.net",
		Args:    arguments(2, 2), ValidArgsFunction: c.completeZones,
		RunE: func(cmd *cobra.Command, args []string) error {
			secondary.Address, secondary.Notify = args[1], !silent
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			var added api.ZoneSecondary
			if err := client.do(cmd.Context(), http.MethodPost, zonePath(args[0], "secondaries"), secondary, &added); err != nil {
				return err
			}
			return showOne(c, added, secondaryColumns())
		},
	}
	cmd.Flags().StringVar(&secondary.TSIGKey, "tsig", "", "`NAME` of the TSIG key that its requests must be signed with")
	cmd.Flags().BoolVar(&silent, "no-notify", false, "do not tell it of changes")
	return cmd
}

func (c *cli) dnsSecondaryRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove ZONE ADDRESS", Short: "End a server's right to transfer a zone", Args: arguments(2, 2), ValidArgsFunction: c.completeZones,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			return client.do(cmd.Context(), http.MethodDelete, zonePath(args[0], "secondaries", url.PathEscape(args[1])), nil, nil)
		},
	}
}

func (c *cli) dnsTSIGCommand() *cobra.Command {
	return noun("tsig", "Make, list and remove the keys of zone transfers",
		c.dnsTSIGCreateCommand(), c.dnsTSIGListCommand(), c.dnsTSIGRemoveCommand())
}

func tsigColumns() []column[api.TSIGKey] {
	return []column[api.TSIGKey]{
		{"name", func(k api.TSIGKey) string { return k.Name }},
		{"algorithm", func(k api.TSIGKey) string { return k.Algorithm }},
	}
}

func (c *cli) dnsTSIGCreateCommand() *cobra.Command {
	var key api.TSIGKey
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a TSIG key and print its secret once", Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key.Name = args[0]
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			var made api.TSIGKey
			if err := client.do(cmd.Context(), http.MethodPost, "dns/tsig-keys", key, &made); err != nil {
				return err
			}
			if c.format == "json" {
				return writeJSON(c.out, made)
			}
			fmt.Fprintf(c.errors, "TSIG key %s (%s); its secret is shown this once:\n", printable(made.Name), printable(made.Algorithm))
			fmt.Fprintln(c.out, made.Secret)
			return nil
		},
	}
	cmd.Flags().StringVar(&key.Algorithm, "algorithm", "hmac-sha256", "`ALGORITHM`: hmac-sha256, hmac-sha384 or hmac-sha512")
	return cmd
}

func (c *cli) dnsTSIGListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List TSIG keys; no secret can be shown again", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			keys, err := list(cmd.Context(), client, "dns/tsig-keys", nil, func(k api.TSIGKey) string { return k.Name })
			if err != nil {
				return err
			}
			return show(c, keys, tsigColumns())
		},
	}
}

func (c *cli) dnsTSIGRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Forget a TSIG key that no secondary uses", Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			return client.do(cmd.Context(), http.MethodDelete, "dns/tsig-keys/"+url.PathEscape(args[0]), nil, nil)
		},
	}
}
