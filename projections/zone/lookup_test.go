package zone

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"pantheon/events"
)

// The naive reference: a zone is a list of owner names, each a list of labels
// from the left. It knows RFC 1034 §4.3.2, RFC 4592 and RFC 8020 and nothing of
// how the view does it.
type naive struct {
	apex []string
	has  map[string][]uint16 // by joined labels
}

func labels(name []byte) []string {
	var list []string
	for i := 0; name[i] != 0; i += 1 + int(name[i]) {
		list = append(list, string(name[i+1:i+1+int(name[i])]))
	}
	return list
}

func unlabels(list []string) []byte {
	var name []byte
	for _, l := range list {
		name = append(append(name, byte(len(l))), l...)
	}
	return append(name, 0)
}

func (n naive) owns(list []string, rrtype uint16) bool {
	return slices.Contains(n.has[string(unlabels(list))], rrtype)
}

// exists: the name owns records, or a name below it does.
func (n naive) exists(list []string) bool {
	for owner := range n.has {
		o := labels([]byte(owner))
		if len(o) >= len(list) && slices.Equal(o[len(o)-len(list):], list) {
			return true
		}
	}
	return false
}

// cut gives the topmost delegation at or above a name.
func (n naive) cut(list []string) []string {
	for i := len(list) - len(n.apex) - 1; i >= 0; i-- {
		if n.owns(list[i:], dns.TypeNS) {
			return list[i:]
		}
	}
	return nil
}

// canonical compares names as RFC 4034 §6.1 says.
func canonical(a, b []string) int {
	for i := 1; i <= min(len(a), len(b)); i++ {
		if c := bytes.Compare([]byte(a[len(a)-i]), []byte(b[len(b)-i])); c != 0 {
			return c
		}
	}
	return len(a) - len(b)
}

var oddLabels = []string{"a", "b", "ab", "*", "\x00", "\x01", "a\x00", "a\x01", "\x00a", "\xff", "\xff\xff", "_tcp", "a\x02", strings.Repeat("z", 63)}

func randomLabels(t *rapid.T) []string {
	return rapid.SliceOfN(rapid.SampledFrom(oddLabels), 0, 3).Draw(t, "labels")
}

// randomZone makes a zone of any names, also such as no operator may add.
func randomZone(t *rapid.T) (*Zone, naive) {
	apex, _ := wireName("example.org")
	f := Empty(testOptions).begin()
	f.addZone(apex, events.ZoneCustom, events.ZoneSettings{})
	model := naive{apex: []string{"example", "org"}, has: map[string][]uint16{apex: {dns.TypeNS, dns.TypeSOA}}}
	for range rapid.IntRange(0, 25).Draw(t, "owners") {
		list := append(randomLabels(t), model.apex...)
		if len(list) == len(model.apex) {
			continue
		}
		rrtype := rapid.SampledFrom([]uint16{dns.TypeTXT, dns.TypeTXT, dns.TypeTXT, dns.TypeNS}).Draw(t, "type")
		data := txt("x")
		if rrtype == dns.TypeNS {
			data = []byte(apex)
		}
		name := string(unlabels(list))
		own := withSet(f.zones.At(apex).names.At(name).own(), newSet(rrtype, 60, data))
		f.set(f.zones.At(apex), name, nil, own, nil)
		if !model.owns(list, rrtype) {
			model.has[name] = append(model.has[name], rrtype)
		}
	}
	for name := range model.has { // and some go again
		if name != apex && rapid.IntRange(0, 9).Draw(t, "gone") == 0 {
			f.set(f.zones.At(apex), name, nil, nil, nil)
			delete(model.has, name)
		}
	}
	return f.end(1, time.Time{}).Zone([]byte(apex)), model
}

// checkIndexes compares what a zone counts with what it holds.
func checkIndexes(t *rapid.T, z *Zone) {
	below, stars := map[string]int{}, 0
	children := map[string]bool{}
	for name, node := range z.names.All() {
		if hasStar(name) {
			stars++
		}
		for ; !node.Empty() && len(name) > len(z.apex); name = parentOf(name) {
			if above := parentOf(name); !children[name] && len(above) > len(z.apex) {
				below[above]++
			}
			children[name] = true
		}
	}
	counted := maps.Collect(z.below.All())
	if !maps.Equal(below, counted) || stars != z.stars || z.top != z.names.At(z.apex) {
		t.Fatalf("%s counts %v below its names and %d stars, and has %v and %d", z.Name(), counted, z.stars, below, stars)
	}
}

// RFC 1034 §4.3.2, RFC 4592 §2 and §3.3, RFC 8020: what is there, what cuts it
// off, what encloses it and what stands for it, against the naive reference.
func TestLookupAgainstReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z, model := randomZone(t)
		checkIndexes(t, z)
		for range 20 {
			list := append(randomLabels(t), model.apex...)
			checkMatch(t, z, model, list)
		}
	})
}

func checkMatch(t *rapid.T, z *Zone, model naive, list []string) {
	match := z.Lookup(unlabels(list))
	cut := model.cut(list)
	if (cut == nil) != (match.Cut == nil) || cut != nil && !bytes.Equal(match.Cut.Name(), unlabels(cut)) {
		t.Fatalf("%q is cut by %+v, want %q", list, match.Cut, cut)
	}
	_, owns := model.has[string(unlabels(list))]
	if owns != (match.Node != nil && !match.Node.Empty()) || owns && !bytes.Equal(match.Node.Name(), unlabels(list)) {
		t.Fatalf("%q is found as %+v, and owns records: %v", list, match.Node, owns)
	}
	if cut != nil {
		return
	}
	if exists := model.exists(list); exists != (match.Node != nil) || exists && (match.Encloser != 0 || match.Wildcard != nil) {
		t.Fatalf("%q is %+v, and exists: %v", list, match, exists)
	} else if exists {
		return
	}
	encloser := 0
	for !model.exists(list[encloser:]) {
		encloser++
	}
	if want := len(unlabels(list)) - len(unlabels(list[encloser:])); match.Encloser != want {
		t.Fatalf("%q has its closest encloser at %d, want %d", list, match.Encloser, want)
	}
	source := append([]string{"*"}, list[encloser:]...)
	wild := model.exists(source)
	_, owns = model.has[string(unlabels(source))]
	if wild != (match.Wildcard != nil) || owns && !bytes.Equal(match.Wildcard.Name(), unlabels(source)) || wild && owns == match.Wildcard.Empty() {
		t.Fatalf("%q has the source of synthesis %+v, want %v", list, match.Wildcard, wild)
	}
}

// RFC 4034 §4.1.1 and §6.1: the chain of NSEC owners is the sorted list of the
// authoritative names, and every name lies where the list says.
func TestNeighboursAgainstSortedList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z, model := randomZone(t)
		var all, chain [][]string
		for owner := range model.has {
			all = append(all, labels([]byte(owner)))
		}
		slices.SortFunc(all, canonical)
		i := 0
		for node := range z.Nodes() {
			if i == len(all) || !bytes.Equal(node.Name(), unlabels(all[i])) {
				t.Fatalf("name %d is %q", i, node.Name())
			}
			i++
		}
		for _, list := range all {
			if cut := model.cut(list); cut == nil || len(cut) == len(list) {
				chain = append(chain, list)
			}
		}
		if i != len(all) {
			t.Fatalf("%d of %d names", i, len(all))
		}
		for i, list := range chain {
			node := z.Lookup(unlabels(list)).Node
			if next := z.After(node); !bytes.Equal(next.Name(), unlabels(chain[(i+1)%len(chain)])) {
				t.Fatalf("after %q comes %q", list, next.Name())
			}
		}
		for range 20 {
			list := append(randomLabels(t), model.apex...)
			i, found := slices.BinarySearchFunc(chain, list, canonical)
			if !found {
				i--
			}
			if got := z.Before(unlabels(list)); !bytes.Equal(got.Name(), unlabels(chain[i])) {
				t.Fatalf("before %q comes %q, want %q", list, got.Name(), chain[i])
			}
		}
	})
}

// RFC 4034 §6.1 gives this order itself.
func TestCanonicalOrder(t *testing.T) {
	var keys []string
	for _, name := range []string{
		"example", "a.example", "yljkjljk.a.example", "Z.a.example", "zABC.a.EXAMPLE", "z.example", "\x01.z.example", "*.z.example", "\xc8.z.example",
	} {
		list := strings.Split(strings.ToLower(name), ".")
		if name[0] == '\xc8' {
			list[0] = "\xc8"
		}
		keys = append(keys, fullKey(string(unlabels(list))))
	}
	if !slices.IsSorted(keys) {
		t.Errorf("%q", keys)
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	s := Empty(testOptions)
	for _, record := range []events.ZoneRecord{
		{Name: "www.example.org", Type: "A", Data: "192.0.2.1"}, {Name: "*.example.org", Type: "A", Data: "192.0.2.1"},
		{Name: "a.b.example.org", Type: "A", Data: "192.0.2.1"}, {Name: "sub.example.org", Type: "NS", Data: "ns.example.net."},
	} {
		s = applyZone(s, events.ZoneAdded{Zone: "example.org", Role: events.ZoneCustom}, events.RecordsAdded{Zone: "example.org", Records: []events.ZoneRecord{record}})
	}
	for _, text := range []string{"www.example.org", "example.org", "nothing.example.org", "b.example.org", "x.y.z.example.org", "x.sub.example.org"} {
		name, _ := wireName(text)
		query := []byte(name)
		if n := testing.AllocsPerRun(100, func() {
			z := s.Find(query)
			if match := z.Lookup(query); match.Node == nil && match.Cut == nil && match.Wildcard == nil {
				t.Errorf("%s is not found", text)
			}
			z.After(z.Before(query))
		}); n != 0 {
			t.Errorf("looking up %s allocates %v times", text, n)
		}
	}
}

// applyZone folds events of zone example.org as one commit.
func applyZone(s *State, list ...events.Event) *State {
	return s.Apply(events.Envelope{
		Commit:   events.Commit{Stream: events.ZoneName("example.org").Stream(), Events: list},
		Position: s.position + 1,
	})
}

func TestFind(t *testing.T) {
	s := applyZone(Empty(testOptions), events.ZoneAdded{Zone: "example.org", Role: events.ZoneCustom}, events.ZoneAdded{Zone: "a.example.org", Role: events.ZoneCustom})
	for text, want := range map[string]events.ZoneName{
		"www.example.org": "example.org", "example.org": "example.org", "x.a.example.org": "a.example.org", "a.example.org": "a.example.org",
		"dev-x.test": "test", "one.drush.test": "drush.test", "org": "", "example.net": "", "aexample.org": "",
	} {
		name, _ := wireName(text)
		z := s.Find([]byte(name))
		if z == nil && want != "" || z != nil && z.Name() != want {
			t.Errorf("%s is in zone %v, want %q", text, z, want)
		}
	}
	if z := s.Find([]byte{0}); z != nil {
		t.Errorf("the root is in %s", z.Name())
	}
	if n := s.Len(); n != 4 {
		t.Errorf("%d zones", n)
	}
}
