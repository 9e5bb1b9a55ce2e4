package main

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/api"
	"pantheon/runtime/identity"
)

func (c *cli) hostTokenCommand() *cobra.Command {
	return noun("token", "Make, list and revoke the tokens by which machines join",
		c.hostTokenCreateCommand(), c.hostTokenListCommand(), c.hostTokenRevokeCommand())
}

func hostTokenColumns() []column[api.HostToken] {
	return []column[api.HostToken]{
		{"id", func(t api.HostToken) string { return string(t.ID) }},
		{"state", func(t api.HostToken) string { return t.State }},
		{"roles", func(t api.HostToken) string { return rolesText(t.Roles) }},
		{"expires", func(t api.HostToken) string { return timeText(t.Expires) }},
		{"used_by", func(t api.HostToken) string { return cmp.Or(t.HostName, string(t.Host)) }},
		{"made", func(t api.HostToken) string { return timeText(t.Made) }},
		{"made_by", func(t api.HostToken) string { return t.MadeBy + " (" + t.Gateway + ")" }},
	}
}

func rolesText(roles []events.HostRole) string {
	texts := make([]string, len(roles))
	for i, role := range roles {
		texts[i] = string(role)
	}
	return strings.Join(texts, ",")
}

func (c *cli) hostTokenCreateCommand() *cobra.Command {
	var request api.HostTokenRequest
	var roles []string
	var lifetime time.Duration
	cmd := &cobra.Command{
		Use: "create", Short: "Make a token for one machine and print it once", Args: arguments(0, 0),
		Long: `create makes a token by which one machine can join the cell, once and before it
expires. Whoever has it can: treat it as a password. It is shown this once; the
log holds a hash of its secret.`,
		Example: "  pantheon host token create --roles host,entry --expires 30m",
	}
	cmd.Flags().StringSliceVar(&roles, "roles", nil, "`ROLES` that the machine may take: control, host, entry, dns; all without")
	cmd.Flags().DurationVar(&lifetime, "expires", time.Hour, "how long a machine can join by it, 168h at most")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if lifetime < time.Second {
			return problem.New(problem.Invalid, "cannot make a host token for %s: a second is the least", lifetime).
				WithHint("for example --expires 30m")
		}
		request.LifetimeSeconds = int64(lifetime / time.Second)
		if cmd.Flags().Changed("roles") {
			request.Roles = make([]events.HostRole, len(roles))
			for i, role := range roles {
				request.Roles[i] = events.HostRole(strings.TrimSpace(role))
			}
		}
		columns := append(hostTokenColumns(), column[api.HostToken]{"token", func(t api.HostToken) string { return t.Token }})
		if _, err := pick(c, columns); err != nil {
			return err // before there is a token that nobody has seen
		}
		client, err := c.connect(cmd.Context())
		if err != nil {
			return err
		}
		var token api.HostToken
		if err := client.do(cmd.Context(), http.MethodPost, "host-tokens", request, &token); err != nil {
			return err
		}
		if c.format != "table" || c.field != "" || len(c.fields) > 0 {
			return showOne(c, token, columns)
		}
		fmt.Fprintf(c.errors, "token %s lets one machine join as %s until %s; it is shown this once:\n",
			token.ID, rolesText(token.Roles), timeText(token.Expires))
		fmt.Fprintln(c.out, token.Token)
		return nil
	}
	_ = cmd.RegisterFlagCompletionFunc("roles", completeRoles)
	return cmd
}

// completeRoles completes the last of the roles that are written so far.
func completeRoles(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	before := begun[:strings.LastIndex(begun, ",")+1]
	var lists []string
	for _, role := range []events.HostRole{events.RoleControl, events.RoleHost, events.RoleEntry, events.RoleDNS} {
		if !strings.Contains(","+before, ","+string(role)+",") {
			lists = append(lists, before+string(role))
		}
	}
	return lists, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

func (c *cli) hostTokenListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List what became of the tokens; none of them can be shown again", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			tokens, err := list(cmd.Context(), client, "host-tokens", nil, hostTokenID)
			if err != nil {
				return err
			}
			return show(c, tokens, hostTokenColumns())
		},
	}
}

func hostTokenID(t api.HostToken) string { return string(t.ID) }

func (c *cli) hostTokenRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "revoke TOKEN", Short: "End a token that no machine has used, by its id", Args: arguments(1, 1), ValidArgsFunction: c.completeHostTokens,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := hostTokenOf(args[0])
			if err != nil {
				return err
			}
			client, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			var token api.HostToken
			if err := client.do(cmd.Context(), http.MethodDelete, "host-tokens/"+url.PathEscape(id), nil, &token); err != nil {
				return err
			}
			return showOne(c, token, hostTokenColumns())
		},
	}
}

// hostTokenOf takes a token's id, also out of the token itself, which must not
// reach the platform's log of requests.
func hostTokenOf(text string) (string, error) {
	if !strings.HasPrefix(text, "ptj") {
		return text, nil
	}
	token, err := identity.ParseToken(text)
	return string(token.Invitation), err
}

// completeHostTokens completes the ids of tokens that are of use.
func (c *cli) completeHostTokens(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	client, err := c.connect(cmd.Context())
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	tokens, err := list(cmd.Context(), client, "host-tokens", nil, hostTokenID)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var ids []string
	for _, token := range tokens {
		if token.State == "open" {
			ids = append(ids, string(token.ID))
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
