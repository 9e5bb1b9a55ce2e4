package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pantheon/events"
	"pantheon/gateways/api"
)

// TestSimulateFromRunningPlatform: a question to a platform that is reached
// over the network changes nothing there, and needs a token of its operator.
func TestSimulateFromRunningPlatform(t *testing.T) {
	p := startControlPlane(t)
	p.register("web-1")
	p.register("web-2")
	head, _ := p.run(0, "events tail --limit 1 --field position")
	token, _ := p.run(0, "token create")
	after, _ := p.run(0, "events tail --limit 1 --field position")
	secret := "PANTHEON_TOKEN=" + strings.TrimSpace(token)
	ask := "simulate --seed 3 --days 0.05 --from-log " + p.tcp

	out, _ := p.run(0, ask, secret)
	for _, want := range []string{": 2 hosts, 0 environments in service, 0.05 days\n", "\nyes: everything", "\nweb-1 ", "\nweb-2 ",
		"again: pantheon simulate --seed 3 --from-log " + p.tcp + " --at " + strings.TrimSpace(after)} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if out, _ := p.run(0, ask+" --at "+strings.TrimSpace(head), secret); !strings.Contains(out, "the cell at position "+strings.TrimSpace(head)) {
		t.Errorf("--at %s gives\n%s", head, out)
	}
	p.run(77, ask)
	p.run(77, ask, "PANTHEON_TOKEN=nonsense")
	if now, _ := p.run(0, "events tail --limit 1 --field position"); now != after {
		t.Errorf("the platform's log went from position %s to %s", after, now)
	}
}

// TestSimulateMistakes: one line, exit code 64 or 66, and no report.
func TestSimulateMistakes(t *testing.T) {
	p := startControlPlane(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "truncated")
	if err := os.WriteFile(file, []byte("pantheon archive 1\nc"), 0o600); err != nil {
		t.Fatal(err)
	}
	scenario := filepath.Join(dir, "scenario.txt")
	if err := os.WriteFile(scenario, []byte("at 1h lose host web-9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(dir, "report.html")
	for line, want := range map[string]string{
		"--at 7":                           "cannot use --at without --from-log",
		"--from-log " + dir + " --hosts 3": "cannot use --hosts or --sites with --from-log",
		"--from-log " + dir + " --at noon": `cannot read "noon" as a position or time`,
		"--from-log " + file:               "cannot start from",
		"--visits -1":                      "cannot simulate -1 visits an hour",
		"--visits nan":                     "visits an hour",
		"--step explode":                   "cannot add",
		"--hosts 2 --sites 2 --days 0.1 --scenario " + scenario: `line 1: there is no host "web-9"`,
	} {
		if _, said := p.run(64, "simulate --report "+report+" "+line); !strings.Contains(said, want) || strings.Count(strings.TrimSpace(said), "\n") > 1 {
			t.Errorf("%s: %s", line, said)
		}
	}
	if _, said := p.run(66, "simulate --from-log "+dir); !strings.Contains(said, "cannot find a log in") {
		t.Errorf("a folder without a log: %s", said)
	}
	if _, err := os.Stat(report); err == nil {
		t.Error("a report was written")
	}
}

// TestEnvelopeOfAPI: what the API says of a commit is the commit.
func TestEnvelopeOfAPI(t *testing.T) {
	record := api.Commit{
		Position: 9, Stream: "host/0000000000000000000000000000000a", Revision: 2, Principal: "policy/lease", Command: "c",
		Hash:   strings.Repeat("ab", 32),
		Events: []api.CommitEvent{{Type: "HostLost", Payload: []byte(`{"host":"0000000000000000000000000000000a","reason":"power"}`)}},
	}
	envelope, err := envelopeOf(record)
	if err != nil || envelope.Position != 9 || envelope.Events[0] != (events.HostLost{Host: "0000000000000000000000000000000a", Reason: "power"}) {
		t.Errorf("%+v, %v", envelope, err)
	}
	record.Events[0].Payload = []byte(`{"host":7}`)
	if _, err := envelopeOf(record); err == nil || !strings.Contains(err.Error(), "cannot read position 9 of the platform's log") {
		t.Errorf("%v", err)
	}
}
