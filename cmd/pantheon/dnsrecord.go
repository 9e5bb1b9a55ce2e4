package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pantheon/gateways/api"
)

func (c *cli) dnsRecordCommand() *cobra.Command {
	return noun("record", "Add, list and remove records", c.dnsRecordListCommand(), c.dnsRecordAddCommand(), c.dnsRecordRemoveCommand())
}

func recordColumns() []column[api.Record] {
	return []column[api.Record]{
		{"name", func(r api.Record) string { return r.Name }},
		{"ttl", func(r api.Record) string { return fmt.Sprint(r.TTL) }},
		{"type", func(r api.Record) string { return r.Type }},
		{"data", func(r api.Record) string { return r.Data }},
		{"origin", func(r api.Record) string { return r.Origin }},
	}
}

func (c *cli) dnsRecordListCommand() *cobra.Command {
	var name, rrtype, origin string
	cmd := &cobra.Command{
		Use: "list ZONE", Short: "List a zone's records, and who they come from", Args: arguments(1, 1), ValidArgsFunction: c.completeZones,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			query := url.Values{}
			if name != "" {
				query.Set("name", wholeName(name, args[0]))
			}
			for key, value := range map[string]string{"type": rrtype, "origin": origin} {
				if value != "" {
					query.Set(key, value)
				}
			}
			records, err := list(cmd.Context(), client, zonePath(args[0], "records"), query, api.Record.ID)
			if err != nil {
				return err
			}
			return show(c, records, recordColumns())
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "only those of this `NAME`")
	cmd.Flags().StringVar(&rrtype, "type", "", "only those of this `TYPE`")
	cmd.Flags().StringVar(&origin, "origin", "", "only those of the `ORIGIN` operator, added by hand, or platform")
	return cmd
}

const recordNames = `
NAME is meant inside the zone: www, or @ for the zone itself. One that ends in
the zone's name, or in a dot, is taken as it is.`

func (c *cli) dnsRecordAddCommand() *cobra.Command {
	var ttl time.Duration
	cmd := &cobra.Command{
		Use: "add ZONE NAME TYPE DATA...", Short: "Add a record",
		Long: "add adds one record; it is answered when the command returns.\n" + recordNames,
		Example: "  pantheon dns record add example.org www A 192.0.2.1\n" +
			"  pantheon dns record add example.org @ MX 10 mail.example.org.\n" +
			"  pantheon dns record add example.org @ TXT 'v=spf1 -all' --ttl 5m",
		Args: arguments(4, 100), ValidArgsFunction: c.completeZones,
		RunE: func(cmd *cobra.Command, args []string) error {
			record := api.Record{
				Name: wholeName(args[1], args[0]), Type: args[2], TTL: int64(ttl / time.Second), Data: strings.Join(args[3:], " "),
			}
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			return client.do(cmd.Context(), http.MethodPost, zonePath(args[0], "records"), api.RecordsChange{Records: []api.Record{record}}, nil)
		},
	}
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "how long others may keep it; without one that of the other records of the name and type, or an hour")
	return cmd
}

func (c *cli) dnsRecordRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove ZONE NAME TYPE [DATA...]", Short: "Remove a record, or all of a name and type",
		Long: "remove removes records that were added by hand, and prints them.\n" + recordNames,
		Args: arguments(3, 100), ValidArgsFunction: c.completeZones,
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{"name": {wholeName(args[1], args[0])}, "type": {args[2]}}
			if len(args) > 3 {
				query.Set("data", strings.Join(args[3:], " "))
			}
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			var removed api.RecordsChange
			if err := client.do(cmd.Context(), http.MethodDelete, zonePath(args[0], "records")+"?"+query.Encode(), nil, &removed); err != nil {
				return err
			}
			return show(c, removed.Records, recordColumns())
		},
	}
}

// wholeName gives the name that is meant in a zone, without a final dot.
func wholeName(name, zone string) string {
	name, zone = strings.ToLower(name), strings.TrimSuffix(strings.ToLower(zone), ".")
	whole, dotted := strings.CutSuffix(name, ".")
	switch {
	case name == "@":
		return zone
	case dotted, name == zone, strings.HasSuffix(name, "."+zone):
		return whole
	}
	return name + "." + zone
}

func (c *cli) dnsChallengeCommand() *cobra.Command {
	return noun("challenge", "Publish proofs of control over names for certificates (ACME DNS-01)",
		c.dnsChallengeListCommand(), c.dnsChallengePresentCommand(), c.dnsChallengeClearCommand())
}

func challengeColumns() []column[api.Challenge] {
	return []column[api.Challenge]{
		{"name", func(h api.Challenge) string { return h.Name }},
		{"value", func(h api.Challenge) string { return h.Value }},
		{"zone", func(h api.Challenge) string { return string(h.Zone) }},
		{"expires", func(h api.Challenge) string { return timeText(h.Expires) }},
	}
}

func (c *cli) dnsChallengeListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the proofs that are published", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			all, err := list(cmd.Context(), client, "dns/challenges", nil, api.Challenge.ID)
			if err != nil {
				return err
			}
			return show(c, all, challengeColumns())
		},
	}
}

func (c *cli) dnsChallengePresentCommand() *cobra.Command {
	var lifetime time.Duration
	cmd := &cobra.Command{
		Use: "present NAME VALUE", Short: "Publish a proof; it is answered when the command returns",
		Long: `present publishes VALUE as a TXT record at _acme-challenge.NAME (RFC 8555 §8.4).
It is taken back by clear, or when its time is over.`,
		Args: arguments(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			challenge := api.Challenge{Name: args[0], Value: args[1], Expires: time.Now().Add(lifetime).UTC().Truncate(time.Second)}
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			var presented api.Challenge
			if err := client.do(cmd.Context(), http.MethodPost, "dns/challenges", challenge, &presented); err != nil {
				return err
			}
			return showOne(c, presented, challengeColumns())
		},
	}
	cmd.Flags().DurationVar(&lifetime, "lifetime", time.Hour, "how long it is published if nobody clears it")
	return cmd
}

func (c *cli) dnsChallengeClearCommand() *cobra.Command {
	return &cobra.Command{
		Use: "clear NAME [VALUE]", Short: "Take a proof back, or all of a name", Args: arguments(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{"name": {args[0]}}
			if len(args) > 1 {
				query.Set("value", args[1])
			}
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			return client.do(cmd.Context(), http.MethodDelete, "dns/challenges?"+query.Encode(), nil, nil)
		},
	}
}
