package api

import (
	"slices"
	"strings"

	"github.com/miekg/dns"

	"pantheon/projections/zone"
)

// recordSet is a set of DNS records as a diff shows it.
type recordSet struct {
	TTL  uint32   `json:"ttl"`
	Data []string `json:"data"`
}

// compareZones adds the DNS records that differ; false when there are too many.
// A zone's SOA is left out: its serial changes with everything.
func (d *Diff) compareZones(before, after *zone.State) bool {
	for change := range before.Changes(after) {
		old, young := recordSets(change.Name, change.Before), recordSets(change.Name, change.After)
		for _, rrtype := range typesOf(change.Before, change.After) {
			owner := absolute(change.Name)
			if !d.add("record", owner+" "+typeText(rrtype), owner, old[rrtype], young[rrtype]) {
				return false
			}
		}
	}
	return true
}

func typesOf(nodes ...*zone.Node) []uint16 {
	var types []uint16
	for _, node := range nodes {
		if node == nil {
			continue
		}
		for _, set := range node.RRsets() {
			if set.Type != dns.TypeSOA && !slices.Contains(types, set.Type) {
				types = append(types, set.Type)
			}
		}
	}
	return types
}

// recordSets gives a node's sets by type, with data as in a zone file.
func recordSets(name []byte, node *zone.Node) map[uint16]any {
	sets := map[uint16]any{}
	if node == nil {
		return sets
	}
	for _, set := range node.RRsets() {
		shown := &recordSet{TTL: set.TTL}
		for _, data := range set.Data {
			if rr, err := zone.RR(name, set.Type, set.TTL, data); err == nil {
				shown.Data = append(shown.Data, strings.TrimPrefix(rr.String(), rr.Header().String()))
			}
		}
		sets[set.Type] = shown
	}
	return sets
}
