package zone

import (
	"slices"

	"pantheon/events"
)

// StartGateway is the gateway of commands that a start of the platform sends.
const StartGateway = "start"

// chosenAfter gives the settings that people have chosen, after a change from
// one list of settings to another. What a start changes is chosen no longer.
func chosenAfter(chosen, before, after events.ZoneSettings, byStart bool) events.ZoneSettings {
	if byStart {
		return pick(after, before, chosen, events.ZoneSettings{})
	}
	return pick(after, before, chosen, after)
}

// pick takes each setting from same where after and before agree on it, else
// from other.
func pick(after, before, same, other events.ZoneSettings) events.ZoneSettings {
	servers := func(a, b events.NameServer) bool { return a.Name == b.Name && slices.Equal(a.Addresses, b.Addresses) }
	return events.ZoneSettings{
		Primary:            choose(after.Primary == before.Primary, same.Primary, other.Primary),
		Hostmaster:         choose(after.Hostmaster == before.Hostmaster, same.Hostmaster, other.Hostmaster),
		NameServers:        choose(slices.EqualFunc(after.NameServers, before.NameServers, servers), same.NameServers, other.NameServers),
		Entry:              choose(slices.Equal(after.Entry, before.Entry), same.Entry, other.Entry),
		CAA:                choose(slices.Equal(after.CAA, before.CAA), same.CAA, other.CAA),
		Services:           choose(slices.Equal(after.Services, before.Services), same.Services, other.Services),
		TTLSeconds:         choose(after.TTLSeconds == before.TTLSeconds, same.TTLSeconds, other.TTLSeconds),
		NegativeTTLSeconds: choose(after.NegativeTTLSeconds == before.NegativeTTLSeconds, same.NegativeTTLSeconds, other.NegativeTTLSeconds),
		RefreshSeconds:     choose(after.RefreshSeconds == before.RefreshSeconds, same.RefreshSeconds, other.RefreshSeconds),
		RetrySeconds:       choose(after.RetrySeconds == before.RetrySeconds, same.RetrySeconds, other.RetrySeconds),
		ExpireSeconds:      choose(after.ExpireSeconds == before.ExpireSeconds, same.ExpireSeconds, other.ExpireSeconds),
	}
}

func choose[T any](is bool, yes, no T) T {
	if is {
		return yes
	}
	return no
}
