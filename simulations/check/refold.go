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
	if sameFields(f.policies, got) {
		return true, nil
	}
	saved, err := got.Snapshot()
	if err != nil {
		return false, err
	}
	return f.SavedPolicies(saved)
}

// sameFields compares what is exported, which is what is saved.
func sameFields(a, b *policy.State) bool {
	one, other := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range one.NumField() {
		if one.Type().Field(i).IsExported() && !reflect.DeepEqual(one.Field(i).Interface(), other.Field(i).Interface()) {
			return false
		}
	}
	return true
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
