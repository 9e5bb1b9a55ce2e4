package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/projections/inventory"
)

// situation makes an inventory from a drawing: a line for each host, its name
// with what is the matter with it, and what it has of the environment.
func situation(t *testing.T, id events.EnvironmentID, settings events.EnvironmentSettings, drawing string) inventory.State {
	t.Helper()
	var state inventory.State
	position := events.Position(0)
	apply := func(stream events.StreamID, all ...events.Event) {
		position++
		state = state.Apply(events.Envelope{Commit: events.Commit{Stream: stream, Meta: events.Meta{Time: time.Unix(1, 0)}, Events: all}, Position: position})
	}
	apply(id.Site().Stream(), events.SiteCreated{Site: id.Site(), Name: "blog"})
	apply(id.Stream(), events.EnvironmentCreated{Environment: id, SiteName: "blog", Settings: settings},
		events.CodeDeployed{Environment: id, Commit: strings.Repeat("a", 40), Deployment: 1})
	for n, line := range strings.Split(strings.TrimSpace(drawing), "\n") {
		label, has, _ := strings.Cut(line, ":")
		words := strings.Fields(label)
		host := events.HostID(fmt.Sprintf("%032x", n+1))
		memory := 4096
		if len(words) > 1 && words[1] == "small" {
			memory = 256
		}
		apply(host.Stream(), events.HostRegistered{Host: host, Name: words[0], MemoryMiB: memory, Cores: 1})
		for m, thing := range strings.Fields(has) {
			number := 100*n + m
			switch kind, what, _ := strings.Cut(thing, "-"); kind {
			case "drop":
				drop := events.DropID(fmt.Sprintf("%032x", number))
				apply(drop.Stream(), events.DropRequested{Drop: drop, Environment: id, MemoryMiB: settings.MemoryMiB})
				apply(drop.Stream(), events.DropPlaced{Drop: drop, Host: host})
				if what != "preparing" {
					apply(drop.Stream(), events.DropReady{Drop: drop, Host: host, Generation: 1})
				}
				if what == "leaving" {
					apply(drop.Stream(), events.DropRetirementRequested{Drop: drop})
				}
			default:
				binding := events.BindingID(fmt.Sprintf("%032x", number))
				spec := events.BindingSpec{Kind: events.BindingKind(kind), Site: id.Site(), Environment: id}
				if spec.Kind == events.CodeServer {
					spec.Environment = ""
				}
				if what == "test" { // another environment's
					spec.Environment = events.EnvironmentOf(id.Site(), "test")
					apply(spec.Environment.Stream(), events.EnvironmentCreated{Environment: spec.Environment, SiteName: "blog"})
				}
				apply(binding.Stream(), events.BindingRequested{Binding: binding, Spec: spec}, events.BindingPlaced{Binding: binding, Host: host})
			}
		}
		switch strings.Join(words[1:], " ") {
		case "gone":
			apply(host.Stream(), events.HostLost{Host: host}, events.HostWrittenOff{Host: host})
			for _, b := range state.SiteBindings(id.Site()) {
				if b.Host == host {
					apply(b.ID.Stream(), events.BindingLost{Binding: b.ID, Host: host, Kind: b.Kind, Site: b.Site, Environment: b.Environment})
				}
			}
		case "lost":
			apply(host.Stream(), events.HostLost{Host: host})
		case "drained":
			apply(host.Stream(), events.HostDrainRequested{Host: host})
		case "entry":
			apply(host.Stream(), events.HostRolesChanged{Host: host, Roles: []events.HostRole{events.RoleEntry}})
		}
	}
	return state
}

type lossCase struct{ name, drawing, connection, want string }

func lossCases() []lossCase {
	return []lossCase{
		{"one machine", `
web-1: codeserver dbserver fileserver drop`, "git", `
web-1 down: code, database, files and its only DROP: the environment is down until it is back`},
		{"spread", `
web-1: dbserver fileserver drop
web-2: drop
web-3: codeserver`, "git", `
web-1 down: database, files and one of 2 DROPs: the environment is down until it is back
web-2 none: one of 2 DROPs: the others serve on
web-3 none: code: nothing can be deployed until it is back`},
		{"its only DROP", `
web-1: dbserver fileserver codeserver
web-2:
web-3: drop`, "git", `
web-1 down: code, database and files: the environment is down until it is back
web-3 moves: its only DROP: placed elsewhere within seconds`},
		{"no other host", `
web-1 drained: dbserver fileserver codeserver
web-2 small:
web-3 entry:
web-4 lost:
web-5: drop drop`, "git", `
web-1 down: code, database and files: the environment is down until it is back
web-5 down: all 2 DROPs: the environment is down until it is back: no other host can take it`},
		{"the only DROP is where the code is", `
web-1: dbserver fileserver
web-2: codeserver drop
web-3:`, "git", `
web-1 down: database and files: the environment is down until it is back
web-2 down: code and its only DROP: the environment is down until it is back: its release may be nowhere else`},
		{"code with one of several", `
web-1: dbserver
web-2: codeserver drop
web-3: drop drop
web-4: fileserver`, "git", `
web-1 down: database: the environment is down until it is back
web-2 none: code and one of 3 DROPs: the others serve on, and nothing can be deployed until it is back
web-3 none: 2 of 3 DROPs: the others serve on
web-4 down: files: the environment is down until it is back`},
		{"code that is being changed", `
web-1: dbserver fileserver
web-2: codeserver`, "sftp", `
web-1 down: database and files: the environment is down until it is back
web-2 down: code: the environment is down until it is back`},
		{"the other is not ready, or on a host that is lost", `
web-1: dbserver fileserver codeserver
web-2: drop-preparing
web-3: drop
web-4 lost: drop`, "git", `
web-1 down: code, database and files: the environment is down until it is back
web-2 none: one of 3 DROPs: the others serve on
web-3 moves: one of 3 DROPs: placed elsewhere within seconds
web-4 none (lost): one of 3 DROPs: the others serve on`},
		{"what leaves, and what is another environment's", `
web-1: dbserver fileserver codeserver dbserver-test
web-2: dbserver-test
web-3: drop-leaving
web-4: drop`, "git", `
web-1 down: code, database and files: the environment is down until it is back
web-4 moves: its only DROP: placed elsewhere within seconds`},
		{"a cache", `
web-1: dbserver fileserver codeserver drop
web-2: cacheserver indexserver`, "git", `
web-1 down: code, database, files and its only DROP: the environment is down until it is back
web-2 none: cache and search index: the environment does without until it is back`},
	}
}

var goneForGood = lossCase{"gone for good", `
web-1 gone: codeserver dbserver fileserver
web-2: drop`, "git", `
web-1 gone: code, database and files: gone for good with this host; pantheon env renew blog.live puts empty ones in their place
web-2 down: its only DROP: the environment is down until it is back: no other host can take it`}

func TestLosses(t *testing.T) {
	const id events.EnvironmentID = "live.00000000-0000-4000-8000-000000000001"
	for _, c := range append(lossCases(), goneForGood) {
		settings := events.EnvironmentSettings{Connection: events.ConnectionMode(c.connection), MemoryMiB: 512, Drops: 2}
		var got strings.Builder
		for _, loss := range losses(situation(t, id, settings, c.drawing), id) {
			fmt.Fprintf(&got, "\n%s %s", loss.HostName, loss.Effect)
			if loss.Lost {
				got.WriteString(" (lost)")
			}
			got.WriteString(": " + loss.Text)
		}
		if got.String() != c.want {
			t.Errorf("%s: got%s\nwant%s", c.name, got.String(), c.want)
		}
	}
}
