package zone

import (
	"slices"
	"strings"
	"time"

	"github.com/benbjohnson/immutable"

	"pantheon/events"
)

// State is what a zone's stream says; the zero value is a zone that the cell is
// not authoritative for. Maps and lists are never changed in place.
type State struct {
	Zone       events.ZoneName
	Role       events.ZoneRole
	Settings   events.ZoneSettings
	Records    int // how many
	Challenges map[Challenge]time.Time
	// Secondaries by address.
	Secondaries map[string]events.SecondaryAdded
	// Keys that ever were.
	Keys map[events.ZoneKeyID]Key

	Resigned time.Time // when its serial was raised for that last
	Unsigned bool      // an operator wants it so

	owners *immutable.Map[string, owner] // nil while empty
}

// Challenge is a proof that is published; its value in State is when it expires.
type Challenge struct{ Name, Value string }

// Key is one key.
type Key struct {
	Introduced events.ZoneKeyIntroduced
	State      events.ZoneKeyState
	Since      time.Time // when it came into the state
}

// removed is the state of a key that is in the zone no longer.
const removed events.ZoneKeyState = "removed"

// owner is all records of a name, one set a type.
type owner []recordSet

// recordSet is all records of a name and type.
type recordSet struct {
	Type string
	TTL  int64
	Data []string // sorted
}

func (s State) exists() bool { return s.Zone != "" }

func (s State) owner(name string) owner {
	if s.owners == nil {
		return nil
	}
	o, _ := s.owners.Get(name)
	return o
}

func (o owner) set(rrtype string) (recordSet, bool) {
	i := slices.IndexFunc(o, func(set recordSet) bool { return set.Type == rrtype })
	if i < 0 {
		return recordSet{Type: rrtype}, false
	}
	return o[i], true
}

// with gives a copy in which the set replaces that of its type; an empty one
// removes it.
func (o owner) with(set recordSet) owner {
	kept := slices.DeleteFunc(slices.Clone(o), func(other recordSet) bool { return other.Type == set.Type })
	if len(set.Data) > 0 {
		kept = append(kept, set)
		slices.SortFunc(kept, func(a, b recordSet) int { return strings.Compare(a.Type, b.Type) })
	}
	return kept
}

func (o owner) records() int {
	count := 0
	for _, set := range o {
		count += len(set.Data)
	}
	return count
}

func (set recordSet) with(r events.ZoneRecord) recordSet {
	set.TTL = r.TTL
	if i, found := slices.BinarySearch(set.Data, r.Data); !found {
		set.Data = slices.Insert(slices.Clone(set.Data), i, r.Data)
	}
	return set
}

func (set recordSet) without(data string) recordSet {
	set.Data = slices.DeleteFunc(slices.Clone(set.Data), func(d string) bool { return d == data })
	return set
}

func (set recordSet) has(data string) bool {
	_, found := slices.BinarySearch(set.Data, data)
	return found
}
