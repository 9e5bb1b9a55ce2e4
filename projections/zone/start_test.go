package zone_test

import (
	"bytes"
	"slices"
	"testing"

	"pantheon/projections/zone"
)

// TestStartMakesTheSameNames: what a start makes of the facts, at once and by
// several goroutines, is what came about one commit after the other, and in the
// same order.
func TestStartMakesTheSameNames(t *testing.T) {
	const sites = 2_500 // some zone has more names than one goroutine sorts
	before := fleetZone(sites)
	after, err := zone.Empty(benchOptions).Load(before.Save())
	if err != nil {
		t.Fatal(err)
	}
	most := 0
	for z := range before.All() {
		again := after.Zone(z.Apex())
		if again == nil || again.Len() != z.Len() || again.Records() != z.Records() || again.Serial() != z.Serial() {
			t.Fatalf("%s: %d names, %d records, serial %d", z.Name(), z.Len(), z.Records(), z.Serial())
		}
		most = max(most, z.Len())
		others := slices.Collect(again.Nodes())
		i := 0
		for node := range z.Nodes() {
			if i == len(others) || !sameNode(node, others[i]) {
				t.Fatalf("%s: name %d of %d, %q, is another one", z.Name(), i, len(others), node.Name())
			}
			if again.At(node.Name()) != others[i] {
				t.Fatalf("%s: %q is not found", z.Name(), node.Name())
			}
			i++
		}
		if i != len(others) {
			t.Fatalf("%s: %d names in order, not %d", z.Name(), len(others), i)
		}
	}
	if most <= 10_000 {
		t.Errorf("the largest zone has %d names only", most)
	}
}

func sameNode(a, b *zone.Node) bool {
	return bytes.Equal(a.Name(), b.Name()) && slices.EqualFunc(a.RRsets(), b.RRsets(), func(a, b *zone.RRset) bool {
		return a.Type == b.Type && a.TTL == b.TTL && slices.EqualFunc(a.Data, b.Data, bytes.Equal)
	})
}
