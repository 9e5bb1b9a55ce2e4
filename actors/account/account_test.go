package account_test

import (
	"testing"

	"pantheon/actors/account"
	"pantheon/actors/actortest"
	"pantheon/events"
)

var actor = actortest.Actor[account.State, account.Command]{
	Stream: events.AccountID("01990000-0000-7000-8000-0000000000aa").Stream(),
	Decide: account.Decide, Evolve: account.Evolve,
	Commands: []account.Command{account.Register{}, account.IssueToken{}, account.RevokeToken{}, account.AddUpstream{}, account.RemoveUpstream{}, account.Invite{}, account.UseInvitation{}, account.RevokeInvitation{}, account.Forget{}, account.ReportForgotten{}},
}

func TestScenarios(t *testing.T) { actor.Scenarios(t) }
