package zone

import "pantheon/projections/pmap"

// MaxFetched names are fetched at once.
const MaxFetched = pmap.MaxTogether

// Fetch reads what Lookup will read of names at or below the apex, at most
// MaxFetched. It finds out nothing: but where names lie all over the memory, the
// waits for it overlap here, and Lookup then waits for nothing. What it gives
// means nothing.
func (z *Zone) Fetch(names [][]byte) (read uint32) {
	var keys [MaxFetched]string
	var nodes [MaxFetched]*Node
	var sets [MaxFetched]*RRset
	for i, name := range names {
		keys[i] = wireString(name)
	}
	z.names.GetAll(keys[:len(names)], nodes[:len(names)])
	for i, node := range nodes[:len(names)] {
		if node != nil && len(node.sets) > 0 {
			sets[i] = node.sets[0]
		}
	}
	for _, set := range sets[:len(names)] {
		if set != nil {
			read += uint32(len(set.Data))
		}
	}
	for _, set := range sets[:len(names)] {
		if set != nil && len(set.Data) > 0 && len(set.Data[0]) > 0 {
			read += uint32(set.Data[0][0])
		}
	}
	return read
}
