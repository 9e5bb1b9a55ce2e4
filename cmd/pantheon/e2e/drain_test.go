package e2e

import (
	"testing"

	"pantheon/gateways/api"
)

// TestDrainOfTheOnlyHost: nothing can move away, so everything serves on; the
// command says so, and taking it back leaves things as they were.
func TestDrainOfTheOnlyHost(t *testing.T) {
	p := startFor(t, options{})
	v := p.site(t, "stayer", "php", map[string]string{"index.php": helloPage})
	v.sees(t, 200, "/", "hello")
	drop := p.drop(t, "stayer.dev")
	p.refused(t, 75, []string{"no other host", "serving"}, "host", "drain", drop.HostName)
	if host := decode[[]api.Host](t, p, "host", "list")[0]; host.State != "draining" {
		t.Errorf("the host is %q", host.State)
	}
	v.sees(t, 200, "/", "hello")
	p.refused(t, 69, []string{"drained"}, "site", "create", "newcomer", "--upstream", "stayer")
	p.refused(t, 65, []string{"only one"}, "host", "remove", drop.HostName, "--yes")
	p.refused(t, 66, []string{"nowhere"}, "host", "drain", "nowhere")
	p.ok(t, "host", "undrain", drop.HostName)
	eventually(t, "the DROP that was asked for in its place is gone", func() bool {
		drops := decode[[]api.Drop](t, p, "drop", "list", "stayer.dev")
		return len(drops) == 1 && drops[0].ID == drop.ID
	})
	v.sees(t, 200, "/", "hello")
	ranked := decode[[]api.Candidate](t, p, "placement", "explain", string(drop.ID))
	if len(ranked) != 1 || !ranked[0].Holds || !ranked[0].Near || ranked[0].Refused != "" {
		t.Errorf("the placement is explained by %+v", ranked)
	}
	p.refused(t, 65, []string{"it is there"}, "drop", "move", string(drop.ID), "--to", drop.HostName)
	p.refused(t, 66, []string{"cannot find host"}, "drop", "move", string(drop.ID), "--to", "elsewhere")
	p.refused(t, 66, []string{"cannot find DROP"}, "drop", "move", "0123", "--to", drop.HostName)
}
