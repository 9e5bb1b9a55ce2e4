package check

import (
	"crypto/sha256"
	"encoding/binary"
	"iter"

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

// saved hashes records, all together in any order, because a map's order may
// tell how it came about.
func saved(records iter.Seq2[[]byte, error]) ([32]byte, error) {
	var sum [4]uint64
	for record, err := range records {
		if err != nil {
			return [32]byte{}, err
		}
		for i := range sum {
			sum[i] += jsonHash(uint64(i)<<8|uint64(record[0]), record[1:])
		}
	}
	var text [32]byte
	for i, part := range sum {
		binary.LittleEndian.PutUint64(text[8*i:], part)
	}
	return text, nil
}
