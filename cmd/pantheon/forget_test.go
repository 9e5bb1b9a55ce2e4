package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"pantheon/actors/binding"
	"pantheon/actors/host"
	"pantheon/actors/site"
	"pantheon/actors/workflow"
	"pantheon/events"
	"pantheon/events/eventlog/sealed"
	"pantheon/runtime/keys"
)

func TestForgetCommands(t *testing.T) {
	p := startControlPlane(t)
	const blog events.SiteID = "3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f1f"
	p.do("create", blog.Stream(), site.Create{Site: blog, Name: "blog", Label: "Diary", Framework: events.PHP, Source: events.CodeSource{Location: "/x"}})
	forget := "site forget " + string(blog)
	_, said := p.run(64, forget)
	if !strings.Contains(said, "add --yes") {
		t.Errorf("without a terminal: %s", said)
	}
	if _, said = p.run(65, forget+" --yes"); !strings.Contains(said, "it is not deleted") || !strings.Contains(said, "hint: pantheon site delete blog") {
		t.Errorf("a site that is not deleted: %s", said)
	}
	p.do("request", blog.Stream(), site.RequestDeletion{Reason: "enough"})
	p.do("delete", blog.Stream(), site.Delete{})
	p.run(66, "site forget nothing --yes")
	p.shows("events show 2", `"label": "Diary"`)
	if _, said = p.run(0, forget+" --yes"); !strings.Contains(said, "is forgotten") || !strings.Contains(said, "not covered: logs/styx-access.log") {
		t.Errorf("forgotten: %s", said)
	}
	p.shows("events show 2", `"label": "(forgotten)"`, `"location": "(forgotten)"`, `"name": "blog"`)
	p.shows("events tail --type SiteForgettingRequested", "account/00000000")
	p.shows("events tail --type SiteForgotten", "host/")
	p.shows(forget+" --yes --format json", `"name": "blog"`)

	id, _ := p.run(0, "account create Ada --email ada@example.org --field id")
	id = strings.TrimSpace(id)
	p.run(65, "account forget me --yes")
	p.run(66, "account forget 3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f1f --yes")
	p.run(0, "account forget "+id+" --yes")
	if out, _ := p.run(0, "account list"); strings.Contains(out, "Ada") || strings.Contains(out, "ada@") || !strings.Contains(out, "(forgotten)") {
		t.Errorf("accounts:\n%s", out)
	}
	p.run(65, "token create --account "+id)
}

// told notes what it is told to carry out.
type told struct{ command any }

func (c *told) Do(_ context.Context, _ events.Meta, _ events.StreamID, command any) (events.Receipt, error) {
	c.command = command
	return events.Receipt{}, nil
}

// What policies pass on reaches actors in clear, but for those of hosts.
func TestOpeningCommander(t *testing.T) {
	ring, err := keys.Open(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	box := sealed.NewBox(sealingKeys{ring})
	const blog events.SiteID = "3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f1f"
	seal := func(text string) string {
		text, err := box.Seal(events.Owner{Site: blog}, text)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	shut := events.CodeSource{Location: seal("/x"), Branch: seal("main")}
	open := events.CodeSource{Location: "/x", Branch: "main"}
	admit := host.AdmitBinding{Spec: events.BindingSpec{Site: blog, Source: shut}}
	for _, row := range []struct{ wish, want any }{
		{site.Create{Site: blog, Label: seal("Diary"), Source: shut}, site.Create{Site: blog, Label: "Diary", Source: open}},
		{binding.Request{Spec: events.BindingSpec{Site: blog, Source: shut}}, binding.Request{Spec: events.BindingSpec{Site: blog, Source: open}}},
		{workflow.FailStep{Reason: "cannot place it: " + seal("no room") + "."}, workflow.FailStep{Reason: "cannot place it: no room."}},
		{admit, admit},
		{site.Activate{}, site.Activate{}},
	} {
		var inner told
		if _, err := (openingCommander{&inner, box}).Do(t.Context(), events.Meta{}, blog.Stream(), row.wish); err != nil {
			t.Fatal(err)
		}
		if inner.command != row.want {
			t.Errorf("%+v reached the actor as %+v, want %+v", row.wish, inner.command, row.want)
		}
	}
}

// A platform that ended between the decision and the deed does it at its next
// start.
func TestForgettingIsFinished(t *testing.T) {
	p := startControlPlane(t)
	const blog events.SiteID = "3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f1f"
	p.do("create", blog.Stream(), site.Create{Site: blog, Name: "blog", Label: "Diary", Framework: events.PHP, Source: events.CodeSource{Location: "/x"}})
	p.do("request", blog.Stream(), site.RequestDeletion{})
	p.do("delete", blog.Stream(), site.Delete{})
	p.do("forget", blog.Stream(), site.Forget{})
	p.shows("events show 2", `"label": "Diary"`)
	for range 2 {
		if err := p.forgetter.finish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	p.shows("events show 2", `"label": "(forgotten)"`)
	p.shows("events tail --type SiteForgotten --field events", "SiteForgotten")
	for owner := range p.view.Snapshot().Forgetting() {
		t.Errorf("%v is still to be forgotten", owner)
	}
}
