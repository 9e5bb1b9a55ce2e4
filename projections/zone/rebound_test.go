package zone

import (
	"testing"

	"pantheon/events"
)

// TestTwoHostsForOneBinding: two policies may ask two hosts for one binding, and
// the answer that came second is taken back. The first one's name stays.
func TestTwoHostsForOneBinding(t *testing.T) {
	database := func(on events.HostID) bound { return bound{events.DBServer, "B", on} }
	list := rebound(nil, bound{events.FileServer, "F", "one"}, true)
	list = rebound(list, bound{events.CacheServer, "C", "one"}, true)
	list = rebound(list, database("one"), true)
	list = rebound(list, database("two"), true)
	if list[2] != database("two") {
		t.Errorf("the newest is not last: %v", list)
	}
	left := rebound(list, database("two"), false)
	if len(left) != 3 || left[1] != database("one") {
		t.Errorf("the first is forgotten with the second: %v", left)
	}
	if again := rebound(list, database("two"), true); len(again) != 4 {
		t.Errorf("admitted twice by one host: %v", again)
	}
	if len(list) != 4 || list[2] != database("two") {
		t.Errorf("a list that readers hold has changed: %v", list)
	}
}
