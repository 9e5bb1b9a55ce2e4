package host_test

import (
	"testing"

	"pantheon/actors/actortest"
	"pantheon/actors/host"
	"pantheon/events"
)

var actor = actortest.Actor[host.State, host.Command]{
	Stream: events.HostID("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").Stream(),
	Decide: host.Decide, Evolve: host.Evolve,
	Commands: []host.Command{host.Register{}, host.ReportAddresses{}, host.ReportEndpoint{}, host.TakeRoles{}, host.ReportSoftware{}, host.Drain{}, host.EndDrain{}, host.Remove{}, host.WriteOff{}, host.ReportLost{}, host.ReportRefused{}, host.ReportReturned{}, host.AdmitDrop{}, host.ChangeDropSpec{}, host.DismissDrop{}, host.AdmitBinding{}, host.DismissBinding{}, host.OrderSleep{}, host.OrderWake{}},
}

func TestScenarios(t *testing.T) { actor.Scenarios(t) }
