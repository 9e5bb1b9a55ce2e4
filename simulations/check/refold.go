package check

import (
	"crypto/sha256"
	"iter"

	"github.com/go-json-experiment/json"

	"pantheon/actors/policy"
	"pantheon/events"
	"pantheon/projections/inventory"
	"pantheon/projections/routing"
)

// Folds are the hashes of what a log folds to.
type Folds struct{ Policies, Routing, Inventory [32]byte }

// Refold folds a log from its beginning.
func Refold(log []events.Envelope, domain string) (Folds, error) {
	policies := policy.New()
	routes := routing.Empty(domain).Edit()
	all := inventory.State{}.Edit()
	for _, envelope := range log {
		policies.Apply(envelope)
		routes = routes.Apply(envelope)
		all = all.Apply(envelope)
	}
	policies.Plan() // forgets sites that are gone, as the live ones did
	var folds Folds
	var err error
	if folds.Policies, err = Policies(policies); err != nil {
		return folds, err
	}
	if folds.Routing, err = Routing(routes); err != nil {
		return folds, err
	}
	folds.Inventory, err = Inventory(all)
	return folds, err
}

// Policies hashes the policies' state.
func Policies(s *policy.State) ([32]byte, error) {
	text, err := s.Snapshot()
	return sha256.Sum256(text), err
}

// Routing hashes a routing table.
func Routing(s routing.State) ([32]byte, error) { return saved(s.Save()) }

// Inventory hashes an inventory.
func Inventory(s inventory.State) ([32]byte, error) { return saved(s.Save()) }

// saved hashes records: each in the one form that JSON allows, all together in
// any order, because a map's order may tell how it came about.
func saved(records iter.Seq2[[]byte, error]) ([32]byte, error) {
	var sum [32]byte
	for record, err := range records {
		if err != nil {
			return sum, err
		}
		var value any
		if err := json.Unmarshal(record[1:], &value); err != nil {
			return sum, err
		}
		text, err := json.Marshal(value, json.Deterministic(true))
		if err != nil {
			return sum, err
		}
		one := sha256.Sum256(append([]byte{record[0]}, text...))
		for i := range sum {
			sum[i] ^= one[i]
		}
	}
	return sum, nil
}
