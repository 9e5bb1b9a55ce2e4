package api_test

import (
	"slices"
	"strings"
	"testing"

	"pantheon/actors/host"
	"pantheon/gateways/api"
)

// A version of PHP that no host has is refused, with those that there are; one that
// a host has not said anything about may be there.
func TestPHPOfHosts(t *testing.T) {
	s := start(t, nil)
	alice := s.user(aliceID)
	s.makeSite(alice, "blog")
	const path = "sites/blog/environments/dev/settings"
	hosts := s.matrix(1)
	s.must(hosts[0].Stream(), host.ReportSoftware{Protocol: 1, PHP: []string{"8.3", "8.2"}})
	alice.expect(200, "PATCH", path, `{"php_version":"8.0"}`) // the other one has not said it yet
	s.must(hostID.Stream(), host.ReportSoftware{Protocol: 1, PHP: []string{"8.1"}})
	alice.expect(200, "PATCH", path, `{"php_version":"8.3"}`)
	refused := alice.expect(409, "PATCH", path, `{"php_version":"8.0"}`).body
	for _, text := range []string{"cannot run sites with PHP 8.0: no host has it", "there is 8.1, 8.2, 8.3"} {
		if !strings.Contains(refused, text) {
			t.Errorf("the refusal says %s without %q", refused, text)
		}
	}
	alice.expect(400, "PATCH", path, `{"php_version":"newest"}`)
	var shown api.Host
	s.operator().expect(200, "GET", "hosts/"+string(hosts[0]), "").into(t, &shown)
	if !slices.Equal(shown.PHP, []string{"8.2", "8.3"}) || shown.Protocol != 1 {
		t.Errorf("the host is shown as %+v", shown)
	}
}
