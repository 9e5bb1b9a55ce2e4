package main

import (
	"strings"
	"testing"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/inventory"
)

// A binary takes part where it is no further than one version from the others.
func TestCheckProtocol(t *testing.T) {
	host := func(name string, protocol int, status inventory.Status) inventory.Host {
		return inventory.Host{ID: events.HostID(name), Name: name, Protocol: protocol, Status: status, Version: "of-" + name}
	}
	one, two, three := host("one", 1, inventory.Ready), host("two", 2, inventory.Ready), host("three", 3, inventory.Ready)
	silent, away := host("silent", 0, inventory.Ready), host("away", 1, inventory.Lost)
	for name, c := range map[string]struct {
		own    int
		others []inventory.Host
		want   string // empty where it may
	}{
		"alone":                     {7, nil, ""},
		"the same":                  {1, []inventory.Host{one}, ""},
		"one above":                 {2, []inventory.Host{one, two}, ""},
		"one below":                 {1, []inventory.Host{one, two}, ""},
		"in between":                {2, []inventory.Host{one, three}, ""},
		"two above":                 {3, []inventory.Host{one, two}, "pantheon " + versionText() + " is too new, it speaks protocol 3, and machine one 1 (pantheon of-one)"},
		"two below":                 {1, []inventory.Host{two, three}, "pantheon " + versionText() + " is too old, it speaks protocol 1, and machine three 3 (pantheon of-three)"},
		"of one that has not said":  {7, []inventory.Host{silent}, ""},
		"of one that is away":       {3, []inventory.Host{away, two}, ""},
		"of those of which all are": {3, []inventory.Host{away}, "too new"},
		"of what this machine was":  {3, []inventory.Host{host("self", 1, inventory.Ready), two}, ""},
		"as the others are by now":  {3, []inventory.Host{three, away, silent}, ""},
	} {
		err := checkProtocol(c.own, "self", c.others)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if problem.KindOf(err) != problem.Unsupported || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(problem.HintOf(err), "install version of-") {
			t.Errorf("%s: %v (hint: %s), want %q", name, err, problem.HintOf(err), c.want)
		}
	}
}
