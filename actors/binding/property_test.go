package binding_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"pantheon/actors/actortest"
	"pantheon/actors/binding"
	"pantheon/events"
)

var (
	id    = events.BindingID(actor.Stream.ID)
	hosts = []events.HostID{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}
)

func TestProperties(t *testing.T) {
	actortest.Machine[binding.State, binding.Command]{Actor: actor, Command: command, Check: check}.Properties(t)
}

func command(t *rapid.T, _ binding.State) binding.Command {
	host := rapid.SampledFrom(hosts).Draw(t, "host")
	switch rapid.IntRange(0, 12).Draw(t, "command") {
	case 0, 1:
		return binding.Request{Binding: id, Spec: events.BindingSpec{
			Kind: rapid.SampledFrom([]events.BindingKind{events.DBServer, events.DBServer, "x"}).Draw(t, "kind"),
			Site: "01990000-0000-7000-8000-000000000001", Environment: "dev.01990000-0000-7000-8000-000000000001",
		}}
	case 2, 3:
		return binding.Place{Host: host}
	case 4:
		if rapid.Bool().Draw(t, "really") {
			return binding.RequestRetirement{}
		}
		return binding.Place{Host: host}
	case 5:
		return binding.Retire{}
	case 6, 7:
		return binding.Lose{Host: host}
	case 8:
		return binding.Renew{}
	default:
		return binding.Report{Host: host, Fact: rapid.SampledFrom([]events.Event{
			events.BindingProvisioned{Binding: id, Host: host, Code: &events.CodeFacts{Commit: "1", ProtectedWebPaths: []string{"/a"}}},
			events.BindingProvisioned{Binding: id, Host: host},
			events.BindingFailed{Binding: id, Host: host, Reason: "a"},
			events.BindingFailed{Binding: id, Host: host, Reason: "b", Final: true},
			events.BindingRetired{Binding: id, Host: host},
			events.DropReady{Host: host},
		}).Draw(t, "fact")}
	}
}

func check(before binding.State, command binding.Command, decided []events.Event, after binding.State) error {
	report, reports := command.(binding.Report)
	_, retires := command.(binding.Retire)
	switch {
	case before.Host != "" && after.Host != before.Host:
		return errors.New("invariant 1: the data's host has changed")
	case reports && len(decided) > 0 && report.Host != before.Host:
		return errors.New("invariant 2: a fact of another host was taken")
	case retires && len(decided) > 0 && before.Host != "" && !before.Lost:
		return errors.New("invariant 3: retired without its host's report")
	case before.Lost && reports && len(decided) > 0, after.Lost && after.Host == "", after.Renewing && !after.Lost:
		return errors.New("invariant 1: what is lost for good is not")
	case before.Retired && len(decided) > 0, after.Retired && !before.Retiring:
		return errors.New("invariant 4: the end is out of order")
	}
	return nil
}
