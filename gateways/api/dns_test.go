package api_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"pantheon/gateways/api"
)

// TestDNSIsTheOperators: no tenant and no stranger reads or writes anything of
// the name server.
func TestDNSIsTheOperators(t *testing.T) {
	s := start(t, nil)
	s.operator().expect(201, "POST", "dns/zones", `{"name":"example.org"}`)
	alice, stranger := s.user(aliceID), as{s: s, session: "none"}
	for _, line := range []string{
		"GET dns/zones", "POST dns/zones", "GET dns/zones/example.org", "DELETE dns/zones/example.org", "GET dns/zones/example.org/text",
		"PUT dns/zones/example.org/settings", "PATCH dns/zones/example.org/settings", "PUT dns/zones/example.org/signing",
		"GET dns/zones/example.org/delegation", "GET dns/zones/example.org/ds", "GET dns/zones/example.org/keys", "POST dns/zones/example.org/keys",
		"POST dns/zones/example.org/keys/1/activate", "DELETE dns/zones/example.org/keys/1",
		"GET dns/zones/example.org/records", "POST dns/zones/example.org/records", "DELETE dns/zones/example.org/records?name=a.example.org&type=A",
		"GET dns/zones/example.org/secondaries", "POST dns/zones/example.org/secondaries", "DELETE dns/zones/example.org/secondaries/192.0.2.1",
		"GET dns/tsig-keys", "POST dns/tsig-keys", "DELETE dns/tsig-keys/k", "GET dns/challenges", "POST dns/challenges", "DELETE dns/challenges?name=example.org",
	} {
		method, path, _ := strings.Cut(line, " ")
		stranger.expect(401, method, path, "{}")
		if got := alice.expect(403, method, path, "{}"); !strings.Contains(got.body, "only the platform's operator may") {
			t.Errorf("%s to a tenant: %s", line, got.body)
		}
	}
	s.operator().expect(200, "GET", "dns/zones/example.org", "")
}

// TestACMEWithCurl plays the hooks of an ACME client as the README has them:
// several proofs at one name at once, as a certificate for a name and its
// wildcard needs, and each taken back alone.
func TestACMEWithCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed: go tool task setup-test")
	}
	s := start(t, nil)
	s.operator().expect(201, "POST", "dns/zones", `{"name":"example.org"}`)
	ask := func(arguments ...string) string {
		out, err := exec.Command(curl, append([]string{"-sS", "--fail-with-body", "--unix-socket", s.socket}, arguments...)...).CombinedOutput()
		if err != nil {
			t.Errorf("curl %v: %v\n%s", arguments, err, out)
		}
		return string(out)
	}
	const challenges = "http://pantheon/api/dns/challenges"
	for _, value := range []string{"one", "two", "two"} { // again is no error
		ask("-d", `{"name":"*.www.example.org","value":"`+value+`"}`, challenges)
	}
	published := func() string {
		var all []api.Challenge
		if err := json.Unmarshal([]byte(ask(challenges)), &all); err != nil {
			t.Fatal(err)
		}
		var values []string
		for _, challenge := range all {
			if challenge.Name != "_acme-challenge.www.example.org" || challenge.Expires.IsZero() {
				t.Errorf("%+v", challenge)
			}
			values = append(values, challenge.Value)
		}
		return strings.Join(values, " ")
	}
	if got := published(); got != "one two" {
		t.Errorf("published: %q", got)
	}
	// Who answers queries has them when the request is answered.
	if text := ask("http://pantheon/api/dns/zones/example.org/text"); strings.Count(text, "_acme-challenge.www.example.org.") != 2 {
		t.Errorf("the zone:\n%s", text)
	}
	ask("-X", "DELETE", challenges+"?name=_acme-challenge.www.example.org&value=one")
	if got := published(); got != "two" {
		t.Errorf("after one was taken back: %q", got)
	}
	ask("-X", "DELETE", challenges+"?name=www.example.org")
	if got := published(); got != "" {
		t.Errorf("after all were taken back: %q", got)
	}
}
