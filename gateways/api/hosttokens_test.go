package api_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"pantheon/actors/account"
	"pantheon/actors/host"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/api"
)

// inviting makes secrets that say which one they are.
func inviting(o *api.Options) {
	made := 0
	o.Invite = func(invitation events.TokenID) (text, hash string, err error) {
		made++
		text = fmt.Sprintf("very-secret-%d-%s", made, invitation)
		return text, secretHash(text), nil
	}
}

func secretHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func (s *server) hostTokens(query string) (states string) {
	s.t.Helper()
	var tokens []api.HostToken
	s.operator().expect(200, "GET", "host-tokens"+query, "").into(s.t, &tokens)
	all := make([]string, len(tokens))
	for i, token := range tokens {
		if all[i] = token.State; token.Host != "" {
			all[i] += " by " + token.HostName
		}
		if token.Token != "" || token.MadeBy != "Operator" || token.Gateway != "cli" || token.Made.IsZero() {
			s.t.Errorf("token %+v", token)
		}
	}
	return strings.Join(all, ", ")
}

func TestHostTokens(t *testing.T) {
	now := time.Now()
	s := start(t, func(o *api.Options) {
		inviting(o)
		o.Now = func() time.Time { return now }
	})
	operator := s.operator()
	tokens := make([]api.HostToken, 4)
	for i, body := range []string{``, `{"roles":["host"],"lifetime_seconds":60}`, `{"roles":["entry","dns"]}`, `{"lifetime_seconds":7200}`} {
		operator.expect(201, "POST", "host-tokens", body).into(t, &tokens[i])
	}
	first := tokens[0]
	if len(first.Roles) != 4 || first.State != "open" || first.Token != "very-secret-1-"+string(first.ID) ||
		!first.Expires.Equal(now.Add(time.Hour).Truncate(time.Second)) {
		t.Errorf("a token that was made: %+v", first)
	}
	if got := s.hostTokens(""); got != "open, open, open, open" {
		t.Errorf("tokens %s", got)
	}

	s.must(hostID.Stream(), host.Register{Host: hostID, Name: "one", MemoryMiB: 4096, Cores: 2})
	s.must(operatorID.Stream(), account.UseInvitation{Invitation: first.ID, Hash: secretHash(first.Token), Host: hostID, Now: now})
	operator.expect(200, "DELETE", "host-tokens/"+string(tokens[2].ID), "")
	now = now.Add(90 * time.Minute)
	if got := s.hostTokens(""); got != "used by one, expired, revoked, open" {
		t.Errorf("tokens %s", got)
	}
	if got := s.hostTokens("?limit=2&start=" + string(first.ID)); got != "expired, revoked" {
		t.Errorf("the second page: %s", got)
	}
	operator.expect(200, "DELETE", "host-tokens/"+string(tokens[2].ID), "")
	operator.expect(409, "DELETE", "host-tokens/"+string(first.ID), "")
	operator.expect(404, "DELETE", "host-tokens/nonsense", "")

	// The secret is nowhere but in the answer.
	for envelope, err := range s.log.All(t.Context(), 0) {
		if text := fmt.Sprint(envelope); err != nil || strings.Contains(text, "very-secret") {
			t.Errorf("%s, %v", text, err)
		}
	}
	if strings.Contains(s.logged.String(), "very-secret") {
		t.Error("a secret in the request log")
	}
}

func TestHostTokenIsShownOnce(t *testing.T) {
	s := start(t, inviting)
	again := s.operator().with("Idempotency-Key", "k")
	again.expect(201, "POST", "host-tokens", `{}`)
	if got := again.expect(409, "POST", "host-tokens", `{}`); strings.Contains(got.body, "very-secret") || !strings.Contains(got.body, "pantheon host token revoke") {
		t.Errorf("the same request again: %s", got.body)
	}
	if got := s.hostTokens(""); got != "open" {
		t.Errorf("tokens %s", got)
	}
}

func TestBadHostTokens(t *testing.T) {
	s := start(t, inviting)
	operator := s.operator()
	for _, body := range []string{
		`{"lifetime_seconds":-1}`, `{"lifetime_seconds":604801}`, `{"lifetime_seconds":9223372036854775807}`,
		`{"roles":[]}`, `{"roles":["king"]}`, `{"role":"host"}`,
	} {
		operator.expect(400, "POST", "host-tokens", body)
	}
	if got := s.hostTokens(""); got != "" {
		t.Errorf("tokens %s", got)
	}
	alice := s.user(aliceID)
	alice.expect(403, "POST", "host-tokens", `{}`)
	alice.expect(403, "GET", "host-tokens", "")
	alice.expect(403, "DELETE", "host-tokens/x", "")
}

func TestHostTokensWithoutListening(t *testing.T) {
	s := start(t, nil)
	got := s.operator().expect(405, "POST", "host-tokens", `{}`)
	if !strings.Contains(got.body, "does not listen for other machines") || !strings.Contains(got.body, "pantheon up --cluster ADDRESS") {
		t.Errorf("refused with %s", got.body)
	}
	s.operator().expect(200, "GET", "host-tokens", "")
	failing := start(t, func(o *api.Options) {
		o.Invite = func(events.TokenID) (text, hash string, err error) {
			return "", "", problem.New(problem.Unavailable, "cannot make a token: no address")
		}
	})
	failing.operator().expect(503, "POST", "host-tokens", `{}`)
	if got := failing.hostTokens(""); got != "" {
		t.Errorf("tokens %s", got)
	}
}

func TestHostTokensOfThePast(t *testing.T) {
	s := startWithPast(t, inviting)
	var token api.HostToken
	s.operator().expect(201, "POST", "host-tokens", `{}`).into(t, &token)
	made := s.head()
	s.operator().expect(200, "DELETE", "host-tokens/"+string(token.ID), "")
	if got := s.hostTokens(fmt.Sprintf("?at=%d", made)); got != "open" {
		t.Errorf("tokens then: %s", got)
	}
	if got := s.hostTokens(""); got != "revoked" {
		t.Errorf("tokens now: %s", got)
	}
}
