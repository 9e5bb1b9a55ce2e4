package account_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pantheon/actors/account"
	"pantheon/actors/actortest"
	"pantheon/events"
	"pantheon/events/problem"
)

func TestProperties(t *testing.T) {
	actortest.Machine[account.State, account.Command]{Actor: actor, Command: command, Check: check}.Properties(t)
}

func command(t *rapid.T, _ account.State) account.Command {
	token := events.TokenID(rapid.SampledFrom([]string{"t1", "t2", "t3"}).Draw(t, "token"))
	upstream := events.UpstreamID(rapid.SampledFrom([]string{"u1", "u2", "u3"}).Draw(t, "upstream"))
	hash := strings.Repeat(rapid.SampledFrom([]string{"1", "2", "x"}).Draw(t, "hash"), 64)
	switch rapid.IntRange(0, 20).Draw(t, "command") {
	case 16, 17:
		return account.Invite{Invitation: token, Hash: hash, Roles: []events.HostRole{events.RoleHost}, Expires: noon}
	case 18, 19:
		return account.UseInvitation{
			Invitation: token, Hash: hash, Now: noon.Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "hour")) * time.Hour),
			Host: events.HostID(strings.Repeat(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "host"), 32)),
		}
	case 20:
		return account.RevokeInvitation{Invitation: token}
	case 0, 1:
		return account.IssueToken{Token: token, Hash: hash}
	case 2:
		return account.RevokeToken{Token: token}
	case 3:
		return account.AddUpstream{
			Upstream: upstream, Name: rapid.SampledFrom([]string{"a", "b", "No"}).Draw(t, "name"),
			Framework: events.PHP, Source: events.CodeSource{Location: "/code"},
		}
	case 4:
		return account.RemoveUpstream{Upstream: upstream}
	case 5:
		return account.Forget{}
	case 6:
		return account.ReportForgotten{}
	default:
		return account.Register{
			Account: events.AccountID(actor.Stream.ID), Kind: rapid.SampledFrom([]events.AccountKind{events.AccountUser, events.AccountOperator}).Draw(t, "kind"),
			Name: rapid.SampledFrom([]string{"Ada", "Ada", ""}).Draw(t, "name"),
		}
	}
}

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func checkInvitations(before account.State, command account.Command, after account.State) error {
	for id, now := range after.Invitations {
		was := before.Invitations[id]
		use, using := command.(account.UseInvitation)
		switch {
		case now.Host == "" || now.Host == was.Host:
		case was.Host != "" || was.Revoked || !using || use.Now.After(noon) || use.Hash != was.Invited.Hash:
			return errors.New("invariant 6: a machine was let in that must not be")
		}
	}
	return nil
}

func check(before account.State, command account.Command, _ []events.Event, after account.State) error {
	switch {
	case before.Registered.Account != "" && !after.Forgotten && after.Registered != before.Registered:
		return errors.New("invariant 1: registered twice")
	case before.Ended && (!after.Ended || len(after.Tokens)+len(after.Upstreams) > 0):
		return errors.New("invariant 7: an ended account goes on")
	case after.Forgotten && (!before.Ended || after.Registered.Name+after.Registered.Email != ""):
		return errors.New("invariant 7: not asked for, or not forgotten")
	case after.Ended:
		return nil
	}
	for id, token := range before.Tokens {
		if now := after.Tokens[id]; now.Issued != token.Issued || (token.Revoked && !now.Revoked) {
			return errors.New("invariant 2: a token's record changed")
		}
	}
	names := map[string]bool{}
	for _, upstream := range after.Upstreams {
		if upstream.Removed {
			continue
		}
		if names[upstream.Added.Name] {
			return errors.New("invariant 3: two upstreams of one name")
		}
		names[upstream.Added.Name] = true
	}
	return checkInvitations(before, command, after)
}

func TestTokensAreBounded(t *testing.T) {
	s := account.State{Registered: events.AccountRegistered{Account: "a"}}
	issue := func(i int) error {
		decided, err := account.Decide(s, account.IssueToken{Token: events.TokenID(fmt.Sprint(i)), Hash: strings.Repeat("1", 64)})
		for _, event := range decided {
			s = account.Evolve(s, event)
		}
		return err
	}
	for i := range account.MaxTokens {
		if err := issue(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := issue(account.MaxTokens); problem.KindOf(err) != problem.Conflict {
		t.Errorf("one too many: %v", err)
	}
	s = account.Evolve(s, events.TokenRevoked{Token: "0"})
	if err := issue(account.MaxTokens); err != nil {
		t.Errorf("after one was revoked: %v", err)
	}
}
