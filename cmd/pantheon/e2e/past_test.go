package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pantheon/gateways/api"
)

// head gives the log's end.
func (p *platform) head(t *testing.T) string {
	t.Helper()
	commits := p.commits(t)
	return fmt.Sprint(uint64(commits[len(commits)-1].Position))
}

// TestTimeTravel: one site from its creation to its end. Every commit says who,
// through what, and because of what; every read shows it as it was; and the
// chain of causes leads back to the person.
func TestTimeTravel(t *testing.T) {
	p := startFor(t, options{})
	before := p.head(t)
	p.site(t, "voyage", "php", map[string]string{"index.php": helloPage}).sees(t, 200, "/", "hello")
	eventually(t, "it is awake", func() bool { return p.drop(t, "voyage.dev").State == "awake" })
	drop := p.drop(t, "voyage.dev")
	woken := p.head(t)
	made := time.Now()
	p.ok(t, "env", "sleep", "voyage.dev")
	p.ok(t, "env", "wake", "voyage.dev")
	p.ok(t, "env", "set", "voyage.dev", "--workers", "3")
	p.ok(t, "env", "sleep", "voyage.dev")
	eventually(t, "it is asleep", func() bool { return p.drop(t, "voyage.dev").State == "asleep" })
	asleep := p.head(t)
	p.ok(t, "site", "delete", "voyage", "--yes")
	eventually(t, "the DROP is gone", func() bool { return strings.TrimSpace(p.ok(t, "drop", "list", "--field", "id")) == "" })

	checkReadsOfThePast(t, p, drop.ID, before, woken, asleep)
	shown := p.run("site", "list", "--at", made.Format(time.RFC3339Nano), "--field", "name")
	if strings.TrimSpace(shown.out) != "voyage" || !strings.Contains(shown.said, "as of position ") {
		t.Errorf("the sites at %s: %s%s", made, shown.out, shown.said)
	}
	checkDiffOfThePast(t, p, before, woken, asleep)
	checkWhy(t, p, drop, woken)
}

func checkReadsOfThePast[ID ~string](t *testing.T, p *platform, drop ID, before, woken, asleep string) {
	t.Helper()
	for _, c := range []struct{ at, line, field, want string }{
		{before, "site list", "name", ""},
		{before, "route list", "host", ""},
		{woken, "site list", "name", "voyage"},
		{woken, "site info voyage", "state", "active"},
		{woken, "env info voyage.dev", "drops", "1 awake"},
		{woken, "env info voyage.dev", "workers", "4"},
		{woken, "drop list voyage", "state", "awake"},
		{woken, "host info", "drops", "1"},
		{woken, "host list", "drops", "1"},
		{woken, "binding list voyage.dev", "state", "ready\nready"},
		{woken, "workflow list", "result", "succeeded"},
		{woken, "account list", "name", "Operator"},
		{woken, "route show dev-voyage.pantheon.localhost", "answer", "site"},
		{woken, "route show live-voyage.pantheon.localhost:8080", "answer", "404"},
		{woken, "events tail --limit 1", "position", woken},
		{asleep, "env info voyage.dev", "drops", "1 asleep"},
		{asleep, "env info voyage.dev", "workers", "3"},
		{asleep, "drop info " + string(drop), "state", "asleep"},
	} {
		if got := strings.TrimSpace(p.ok(t, append(strings.Fields(c.line), "--field", c.field, "--at", c.at)...)); got != c.want {
			t.Errorf("%s of %s at %s is %q, want %q", c.field, c.line, c.at, got, c.want)
		}
	}
	for _, c := range []struct {
		code int
		text string
		line string
	}{
		{66, "cannot find site", "site info voyage --at " + before},
		{66, "cannot find site", "site info voyage"},
		{66, "cannot find a route", "route show dev-voyage.pantheon.localhost --at " + before},
		{66, "cannot find a route", "route show nobody.example.org"},
		{64, "in the future", "site list --at 2999-01-01"},
		{64, "the log begins at", "site list --at 1999-01-01"},
		{64, "the log ends at", "site list --at 99999999"},
		{64, "the log begins at 1", "site list --at 0"},
		{64, "cannot read", "site list --at yesterday"},
		{64, "--at", "site create x --upstream y --at " + woken},
		{64, "--at", "env sleep voyage.dev --at 2h"},
		{64, "--at", "doctor --at 2h"},
		{64, "--at", "diff --from 1 --at 2h"},
		{64, "exclude each other", "events tail --follow --at " + woken},
		{64, "without --from", "diff"},
		{64, "comes after", "diff --from " + woken + " --to " + before},
		{64, "there is none", "diff --from 1 --kind cow"},
		{64, "cannot tell which commit", "events why cow"},
		{66, "cannot find position", "events why 99999999"},
	} {
		p.refused(t, c.code, []string{c.text}, strings.Fields(c.line)...)
	}
}

func checkDiffOfThePast(t *testing.T, p *platform, before, woken, asleep string) {
	t.Helper()
	table := p.ok(t, "diff", "--from", before, "--to", woken, "--kind", "site,environment,route", "--fields", "change,kind,name")
	for _, want := range []string{"added site voyage", "added environment voyage.dev", "added route dev-voyage.pantheon.localhost"} {
		if !strings.Contains(strings.Join(strings.Fields(table), " "), want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	table = p.ok(t, "diff", "--from", woken, "--to", asleep)
	for _, want := range []string{"changed environment voyage.dev settings.workers 4 → 3", "changed drop voyage.dev status awake → asleep"} {
		if !strings.Contains(strings.Join(strings.Fields(table), " "), want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	records := p.ok(t, "diff", "--from", before, "--to", woken, "--kind", "record", "--field", "name")
	if !strings.Contains(records, "dev-voyage.pantheon.localhost.\n") {
		t.Errorf("the name server's answers:\n%s", records)
	}
	for at, want := range map[string]bool{before: false, woken: true} {
		if text := p.ok(t, "dns", "zone", "text", "--at", at); strings.Contains(text, "dev-voyage") != want {
			t.Errorf("the zone at %s:\n%s", at, text)
		}
	}
	diff := decode[api.Diff](t, p, "diff", "--from", asleep, "--kind", "site")
	if len(diff.Changes) != 1 || diff.Changes[0].Change != "removed" || diff.Changes[0].Name != "voyage" {
		t.Errorf("the end of the site: %+v", diff)
	}
}

// checkWhy: every commit says who, how and, where no person sent it, because of
// what; each chain ends where one may begin.
func checkWhy(t *testing.T, p *platform, drop api.Drop, woken string) {
	t.Helper()
	for _, commit := range p.commits(t) {
		if commit.Principal == "" || commit.Gateway == "" || commit.Command == "" {
			t.Errorf("position %d does not say who or how: %+v", commit.Position, commit)
		}
		if machine := commit.Gateway == "policy" || commit.Gateway == "agent"; machine != (commit.Cause != 0) {
			t.Errorf("position %d came in through %s and has the cause %d: %+v", commit.Position, commit.Gateway, commit.Cause, commitTypes(commit))
		}
	}
	checkCauses(t, p.commits(t))

	stream := "drop/" + string(drop.ID)
	for _, at := range []string{woken, p.head(t)} {
		why := decode[api.Why](t, p, "events", "why", stream, "--at", at)
		if !why.Person || why.By != "Operator" || len(why.Chain) < 3 || why.Chain[0].Stream != stream {
			t.Errorf("why %s at %s: %+v", stream, at, why)
		}
	}
	shown := p.ok(t, "events", "why", stream)
	for _, text := range []string{"↑ because of", "Operator (account/", "through cli", "WorkflowStarted", "Operator did this"} {
		if !strings.Contains(shown, text) {
			t.Errorf("events why says nothing of %q:\n%s", text, shown)
		}
	}
	for _, commit := range p.commits(t, "--stream", "drop", "--type", "DropSlept") {
		if !strings.Contains(string(commit.Events[0].Payload), `"operator"`) {
			continue // by the change of the settings
		}
		why := decode[api.Why](t, p, "events", "why", fmt.Sprint(uint64(commit.Position)))
		if len(why.Chain) != 2 || commitTypes(why.Chain[1].Commit) != "DropSleepOrdered" || !why.Person {
			t.Errorf("a sleep that the operator ordered: %+v", why)
		}
	}
	started := p.commits(t, "--type", "WorkflowStarted")
	led := p.commits(t, "--cause", fmt.Sprint(uint64(started[0].Position)))
	if len(led) == 0 || len(p.commits(t, "--gateway", "agent", "--type", "WorkflowStarted")) != 0 {
		t.Errorf("what the start of the workflow led to: %+v", led)
	}
}

func commitTypes(commit api.Commit) string {
	types := make([]string, len(commit.Events))
	for i, event := range commit.Events {
		types[i] = event.Type
	}
	return strings.Join(types, " ")
}
