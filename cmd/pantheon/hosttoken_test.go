package main

import (
	"strings"
	"testing"
	"time"

	"pantheon/actors/account"
	"pantheon/events"
	"pantheon/gateways/api"
	"pantheon/runtime/identity"
)

// inviting makes tokens as a platform that listens for other machines does.
func inviting(o *api.Options) {
	o.Invite = func(invitation events.TokenID) (text, hash string, err error) {
		secret := identity.NewSecret()
		text, err = identity.Token{
			Invitation: invitation, Secret: secret, Authority: strings.Repeat("ab", 32), Addresses: []string{"192.0.2.1:8100"},
		}.Text()
		return text, secret.Hash(), err
	}
}

func TestHostTokenCommands(t *testing.T) {
	p := startControlPlane(t, inviting)
	p.register("one")
	line, said := p.run(0, "host token create --expires 30m")
	token, err := identity.ParseToken(line)
	if err != nil || !strings.Contains(said, "as control,dns,entry,host until ") || !strings.Contains(said, "shown this once") {
		t.Fatalf("%v; said %q", err, said)
	}
	alone, said := p.run(0, "host token create --roles host,dns --field token")
	second, err := identity.ParseToken(alone)
	if err != nil || said != "" || strings.Count(alone, "\n") != 1 {
		t.Errorf("--field token: %v, %q", err, said)
	}
	p.shows("host token create --format json --roles entry", `"token": "ptj1.`, `"state": "open"`)
	if out, _ := p.run(0, "host token list --fields state,roles"); out != "STATE  ROLES\nopen   control,dns,entry,host\nopen   dns,host\nopen   entry\n" {
		t.Errorf("tokens\n%s", out)
	}
	const operator events.AccountID = "00000000-0000-4000-8000-000000000001"
	hosts, _ := p.run(0, "host list --field id")
	p.do("join", operator.Stream(), account.UseInvitation{
		Invitation: token.Invitation, Hash: token.Secret.Hash(), Host: events.HostID(strings.TrimSpace(hosts)), Now: time.Now(),
	})
	p.shows("host token revoke "+string(second.Invitation), "revoked")
	p.shows("host token revoke "+alone, "revoked") // the token itself, pasted
	if _, said := p.run(64, "host token revoke "+line[:60]); strings.Contains(said, line[:10]) {
		t.Errorf("a part of a token: %s", said)
	}
	if out, _ := p.run(0, "host token list --fields state,used_by,made_by"); out != "STATE    USED_BY  MADE_BY\nused     one      Operator (cli)\nrevoked  -        Operator (cli)\nopen     -        Operator (cli)\n" {
		t.Errorf("tokens\n%s", out)
	}
	if _, said := p.run(65, "host token revoke "+string(token.Invitation)); !strings.Contains(said, "hint: pantheon host remove") {
		t.Errorf("revoking a used one: %s", said)
	}
	if _, said := p.run(66, "host token revoke nonsense"); !strings.Contains(said, "hint: pantheon host token list") {
		t.Errorf("revoking none: %s", said)
	}
	out, _ := p.run(0, "host token list --format json")
	if strings.Contains(out, token.Secret.Reveal()) || strings.Contains(out, `"token"`) {
		t.Error("a list shows a secret")
	}
	everything, _ := p.run(0, "events tail --format json")
	if strings.Contains(everything, token.Secret.Reveal()) {
		t.Error("a secret in the log")
	}
	open, _ := p.run(0, "__complete host token revoke 0")
	if strings.Contains(open, string(token.Invitation)) || strings.Count(open, "\n") != 2 {
		t.Errorf("completed to %s", open)
	}
	p.shows("__complete host token create --roles host,", "host,control\nhost,entry\nhost,dns\n")
}

func TestBadHostTokens(t *testing.T) {
	p := startControlPlane(t, inviting)
	for _, line := range []string{
		"--expires 0s", "--expires -1h", "--expires 1ms", "--expires 200h", "--expires soon", "--roles king", "--roles host,king",
		"--field nonsense", "--format yaml", "somebody",
	} {
		if _, said := p.run(64, "host token create "+line); !strings.Contains(said, "hint: ") {
			t.Errorf("%s: %s", line, said)
		}
	}
	if out, _ := p.run(0, "host token list --format json"); out != "[]\n" {
		t.Errorf("tokens %s", out)
	}
	alone := startControlPlane(t)
	if _, said := alone.run(64, "host token create"); !strings.Contains(said, "hint: pantheon up --cluster ADDRESS") {
		t.Errorf("a platform that does not listen: %s", said)
	}
}
