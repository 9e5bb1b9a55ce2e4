package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"pantheon/actors/host"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/api"
)

func TestCell(t *testing.T) {
	var facts api.CellFacts
	var failed error
	s := start(t, func(o *api.Options) {
		o.Cell = func(context.Context) (api.CellFacts, error) { return facts, failed }
	})
	hosts := s.matrix(3)
	s.must(hosts[1].Stream(), host.TakeRoles{Roles: []events.HostRole{events.RoleHost, events.RoleControl}})
	s.must(hosts[2].Stream(), host.TakeRoles{Roles: []events.HostRole{events.RoleEntry}})
	s.must(hosts[2].Stream(), host.ReportLost{Reason: "gone"})
	replica := func(n int, current bool) api.LogReplica {
		return api.LogReplica{Host: hosts[n], Leader: n == 0, Current: current}
	}
	for _, c := range []struct {
		replicas []api.LogReplica
		spare    string
		text     string
	}{
		{nil, "nil", "which machines hold the log is not known here"},
		{[]api.LogReplica{replica(0, true)}, "0", "1 of 1: losing host1 stops commands, and DROPs away from their data, until it is back; of 2 control machines one holds the log (R1): with a third, pantheon cluster grow spreads it"},
		{[]api.LogReplica{replica(0, true), replica(1, true), replica(2, true)}, "1", "3 of 3: losing 1 of them stops no command, losing 2 does"},
		{[]api.LogReplica{replica(0, true), replica(1, true), replica(2, false)}, "0", "2 of 3: losing one of host1, host2 stops commands until one more is back"},
		{[]api.LogReplica{replica(0, true), replica(1, false), replica(2, false)}, "-1", "commands have stopped: 1 of 3 machines with the log are there, 2 must be"},
	} {
		facts = api.CellFacts{ID: "c0ffee", Replicas: c.replicas, MostReplicas: 5}
		var cell api.Cell
		s.operator().expect(200, "GET", "cell", "").into(t, &cell)
		spare := "nil"
		if cell.Spare != nil {
			spare = fmt.Sprint(*cell.Spare)
		}
		if cell.ID != "c0ffee" || cell.Domain != "pantheon.localhost" || spare != c.spare || cell.Text != c.text || len(cell.Log) != len(c.replicas) {
			t.Errorf("cell %+v, %s to spare", cell, spare)
		}
		machines := fmt.Sprint(cell.Machines)
		if want := fmt.Sprintf("map[control:[{%[1]s host1 ready} {%[2]s host2 ready}] dns:[{%[1]s host1 ready}] "+
			"entry:[{%[1]s host1 ready} {%[3]s host3 lost}] host:[{%[1]s host1 ready} {%[2]s host2 ready}]]", hosts[0], hosts[1], hosts[2]); machines != want {
			t.Errorf("machines %s\nwant     %s", machines, want)
		}
	}
	failed = problem.New(problem.Unavailable, "cannot ask the log's leader")
	s.operator().expect(503, "GET", "cell", "")
	s.user(aliceID).expect(403, "GET", "cell", "")
}

func TestCellThatCanGrow(t *testing.T) {
	s := start(t, func(o *api.Options) {
		o.Cell = func(context.Context) (api.CellFacts, error) {
			return api.CellFacts{Replicas: []api.LogReplica{{Host: hostID, Leader: true, Current: true}}, MostReplicas: 5}, nil
		}
	})
	for _, c := range []struct {
		control int
		want    string
	}{
		{3, "; of 3 control machines one holds the log (R1): pantheon cluster grow spreads it"},
		{4, "; of 4 control machines one holds the log (R1): with one more or one less, pantheon cluster grow spreads it"},
		{5, "; of 5 control machines one holds the log (R1): pantheon cluster grow spreads it"},
		{6, "; of 6 control machines one holds the log (R1): 5 are the most that may, and when pantheon host remove has left so many, pantheon cluster grow spreads it"},
		{7, "; of 7 control machines one holds the log (R1): 5 are the most that may, and when pantheon host remove has left so many, pantheon cluster grow spreads it"},
	} {
		s.matrix(c.control)
		var cell api.Cell
		s.operator().expect(200, "GET", "cell", "").into(t, &cell)
		if !strings.HasSuffix(cell.Text, c.want) {
			t.Errorf("%d control machines: %s", c.control, cell.Text)
		}
	}
}

// TestCellOfOneNode: a node that is told nothing says what the log knows.
func TestCellOfOneNode(t *testing.T) {
	s := start(t, nil)
	s.matrix(1)
	var cell api.Cell
	s.operator().expect(200, "GET", "cell", "").into(t, &cell)
	if cell.ID != "" || cell.Text != "1 of 1: losing host1 stops commands, and DROPs away from their data, until it is back" || len(cell.Log) != 1 ||
		len(cell.Machines) != 4 || len(cell.Machines[events.RoleControl]) != 1 {
		t.Errorf("cell %+v", cell)
	}
	s.operator().expect(405, "GET", "cell?at=1", "")
}

// TestRemovalThatWouldStopTheCell: the last control machine, and one with the
// log, stay.
func TestRemovalThatWouldStopTheCell(t *testing.T) {
	var facts api.CellFacts
	s := start(t, func(o *api.Options) {
		o.Cell = func(context.Context) (api.CellFacts, error) { return facts, nil }
	})
	hosts := s.matrix(3)
	roles := func(n int, roles ...events.HostRole) { s.must(hosts[n].Stream(), host.TakeRoles{Roles: roles}) }
	roles(1, events.RoleHost)
	roles(2, events.RoleHost, events.RoleEntry)
	refused := s.operator().expect(409, "DELETE", "hosts/host1", "")
	if !strings.Contains(refused.body, "it is the last control machine") || !strings.Contains(refused.body, "pantheon host token create --roles control") {
		t.Errorf("the last control machine: %s", refused.body)
	}
	roles(1, events.RoleControl)
	facts.Replicas = []api.LogReplica{{Host: hosts[0], Leader: true, Current: true}}
	refused = s.operator().expect(409, "DELETE", "hosts/host1", "")
	if !strings.Contains(refused.body, "it holds the log") {
		t.Errorf("the machine with the log: %s", refused.body)
	}
	facts.Replicas[0].Host = hosts[1]
	s.operator().expect(204, "DELETE", "hosts/host1", "")
	s.operator().expect(204, "DELETE", "hosts/host3", "")
	s.operator().expect(409, "DELETE", "hosts/host2", "")
}
