package check

import (
	"bytes"
	"reflect"

	"github.com/go-json-experiment/json"

	"pantheon/actors/policy"
	"pantheon/events"
	"pantheon/projections/inventory"
	"pantheon/projections/routing"
)

// Base is a fold of a log's beginning that others begin with, too: neither it
// nor they fold those commits again.
type Base struct {
	Position  events.Position
	Routing   routing.State
	Inventory inventory.State
}

// Folds are what a log folds to.
type Folds struct {
	policies  *policy.State
	routing   routing.State
	inventory inventory.State
}

// Refold folds a log: the policies from its beginning, the views from where base
// ends. Its edits leave the base as it is.
func Refold(log []events.Envelope, base Base) Folds {
	f := Folds{policy.New(), base.Routing.Edit(), base.Inventory.Edit()}
	for _, envelope := range log {
		f.policies.Apply(envelope)
		if envelope.Position > base.Position {
			f.routing, f.inventory = f.routing.Apply(envelope), f.inventory.Apply(envelope)
		}
	}
	f.policies.Plan() // forgets sites that are gone, as the live ones did
	return f
}

// Routing says whether a routing table is what the log folds to.
func (f Folds) Routing(got routing.State) bool { return f.routing.SavesAs(got, sameRecord) }

// Inventory says whether an inventory is what the log folds to.
func (f Folds) Inventory(got inventory.State) bool { return f.inventory.SavesAs(got, sameRecord) }

// Policies says whether the policies' state is what the log folds to. What is
// alike in memory is saved alike.
func (f Folds) Policies(got *policy.State) (bool, error) {
	want := f.policies
	if reflect.DeepEqual(want.Hosts, got.Hosts) && reflect.DeepEqual(want.Sites, got.Sites) && reflect.DeepEqual(want.Drops, got.Drops) &&
		reflect.DeepEqual(want.Bindings, got.Bindings) && reflect.DeepEqual(want.Workflows, got.Workflows) &&
		reflect.DeepEqual(want.Strays, got.Strays) && reflect.DeepEqual(want.Unplaced, got.Unplaced) {
		return true, nil
	}
	saved, err := got.Snapshot()
	if err != nil {
		return false, err
	}
	return f.SavedPolicies(saved)
}

// SavedPolicies says whether that is what the policies' state is saved as.
func (f Folds) SavedPolicies(got []byte) (bool, error) {
	want, err := f.policies.Snapshot()
	return bytes.Equal(want, got), err
}

// sameRecord says whether two records of one type are saved alike: an empty list
// and none are.
func sameRecord(a, b any) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	one, err := json.Marshal(a, json.Deterministic(true))
	if err != nil {
		return false
	}
	other, err := json.Marshal(b, json.Deterministic(true))
	return err == nil && bytes.Equal(one, other)
}
