package pmap

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Every version of a map stays what it was when it was made, with and without
// edits, whatever happens to the versions after it.
func TestMapAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			got  Map[string, int]
			want map[string]int
		}
		versions := []version{{want: map[string]int{}}}
		current := version{want: map[string]int{}}
		var edit *Edit
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			key := fmt.Sprint(rapid.IntRange(0, 60).Draw(t, "key"))
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0: // publish: the edit ends
				versions, edit = append(versions, version{current.got, maps.Clone(current.want)}), nil
			case 1:
				edit = &Edit{}
			case 2, 3, 4:
				current.got = current.got.Delete(edit, key)
				delete(current.want, key)
			default:
				value := rapid.Int().Draw(t, "value")
				current.got = current.got.Set(edit, key, value)
				current.want[key] = value
			}
		}
		for _, older := range append(versions, current) {
			checkChanges(t, older.got, current.got, older.want, current.want)
			checkChanges(t, current.got, older.got, current.want, older.want)
		}
		for _, v := range append(versions, current) {
			if got := maps.Collect(v.got.All()); !maps.Equal(got, v.want) || v.got.Len() != len(v.want) {
				t.Fatalf("holds %v (%d), want %v", got, v.got.Len(), v.want)
			}
			checkGetAll(t, v.got, v.want)
			for key, want := range v.want {
				if got, ok := v.got.Get(key); !ok || got != want {
					t.Fatalf("%s is %d (%v), want %d", key, got, ok, want)
				}
			}
		}
	})
}

// checkGetAll: many keys at once are found as one by one.
func checkGetAll(t *rapid.T, got Map[string, int], want map[string]int) {
	keys := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return fmt.Sprint(rapid.IntRange(0, 400).Draw(t, "key")) }), 0, MaxTogether).Draw(t, "keys")
	values := slices.Repeat([]int{-1}, len(keys))
	got.GetAll(keys, values)
	for i, key := range keys {
		if values[i] != want[key] {
			t.Fatalf("%s is %d, want %d", key, values[i], want[key])
		}
	}
}

// checkChanges: the changes are those that two plain maps have between them.
func checkChanges(t *rapid.T, older, newer Map[string, int], before, after map[string]int) {
	want := map[string]Change[string, int]{}
	for key, value := range before {
		if now, has := after[key]; !has || now != value {
			want[key] = Change[string, int]{key, value, now, true, has}
		}
	}
	for key, value := range after {
		if _, had := before[key]; !had {
			want[key] = Change[string, int]{key, 0, value, false, true}
		}
	}
	got := map[string]Change[string, int]{}
	for change := range older.Changes(newer, func(a, b int) bool { return a == b }) {
		if _, twice := got[change.Key]; twice {
			t.Fatalf("%s is given twice", change.Key)
		}
		got[change.Key] = change
	}
	if !maps.Equal(got, want) {
		t.Fatalf("changes are %v, want %v", got, want)
	}
	for change := range older.Changes(newer, func(a, b int) bool { return a == b }) {
		_ = change
		break // a reader may leave
	}
}

// Between two versions that share nearly all, nearly nothing is looked at; two
// maps that were built apart are the same when they hold the same.
func TestChangesOfLargeMaps(t *testing.T) {
	var one, other Map[string, int]
	for i := range 50_000 {
		one = one.Set(nil, fmt.Sprint(i), i)
		other = other.Set(nil, fmt.Sprint(49_999-i), 49_999-i)
	}
	compared := 0
	equal := func(a, b int) bool { compared++; return a == b }
	for change := range one.Changes(other, equal) {
		t.Fatalf("%+v", change)
	}
	if compared != 50_000 {
		t.Errorf("%d comparisons", compared)
	}
	compared = 0
	later := one.Set(nil, "77", -1).Delete(nil, "78").Set(nil, "new", 1)
	if n := len(slices.Collect(one.Changes(later, equal))); n != 3 || compared > 300 {
		t.Errorf("%d changes after %d comparisons", n, compared)
	}
}

func TestSortedAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			got  Sorted[int]
			want map[string]int
		}
		versions := []version{{want: map[string]int{}}}
		current := version{want: map[string]int{}}
		var edit *Edit
		for range rapid.IntRange(0, 600).Draw(t, "steps") {
			key := fmt.Sprintf("%03d", rapid.IntRange(0, 400).Draw(t, "key"))
			switch rapid.IntRange(0, 19).Draw(t, "what") {
			case 0:
				versions, edit = append(versions, version{current.got, maps.Clone(current.want)}), nil
			case 1:
				edit = &Edit{}
			case 2, 3, 4, 5, 6:
				current.got = current.got.Delete(edit, key)
				delete(current.want, key)
			case 7:
				if rapid.IntRange(0, 9).Draw(t, "collect") == 0 {
					current.got = Collect(edit, current.got.Len(), current.got.From(""))
				}
			default:
				value := rapid.Int().Draw(t, "value")
				current.got = current.got.Set(edit, key, value)
				current.want[key] = value
			}
		}
		from := fmt.Sprintf("%03d", rapid.IntRange(0, 401).Draw(t, "from"))
		for _, v := range append(versions, current) {
			checkSorted(t, v.got, v.want, from)
		}
	})
}

func checkSorted(t *rapid.T, got Sorted[int], want map[string]int, from string) {
	keys := slices.Sorted(maps.Keys(want))
	split, _ := slices.BinarySearch(keys, from)
	down := slices.Clone(keys[:split])
	slices.Reverse(down)
	all := slices.Clone(keys)
	slices.Reverse(all)
	for name, pair := range map[string][2][]string{
		"all":        {keysOf(got.From("")), keys},
		"from":       {keysOf(got.From(from)), keys[split:]},
		"before":     {keysOf(got.Before(from)), down},
		"descending": {keysOf(got.Before("")), all},
		"prefix": {keysOf(got.Prefix("1")), slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
			return key[0] != '1'
		})},
	} {
		if !slices.Equal(pair[0], pair[1]) {
			t.Fatalf("%s of %s: %v, want %v", name, from, pair[0], pair[1])
		}
	}
	checkNearest(t, got, keys, from)
	if got.Len() != len(want) {
		t.Fatalf("length %d, want %d", got.Len(), len(want))
	}
	for key, value := range want {
		if v, ok := got.Get(key); !ok || v != value {
			t.Fatalf("%s is %d (%v), want %d", key, v, ok, value)
		}
	}
}

func keysOf(seq func(func(string, int) bool)) []string {
	var keys []string
	for key := range seq {
		keys = append(keys, key)
	}
	return keys
}

// Keys whose hashes are equal share a list below the last level; no real keys do, so
// this test enters there.
func TestMapWithEqualHashes(t *testing.T) {
	root := &node[string, int]{}
	for i := range 5 {
		root, _ = root.set(nil, 7, maxDepth, entry[string, int]{fmt.Sprint(i), i})
	}
	for i := range 4 {
		root = root.delete(nil, 7, maxDepth, fmt.Sprint(i))
	}
	var left []string
	root.all(func(key string, _ int) bool { left = append(left, key); return true })
	if len(left) != 1 || left[0] != "4" {
		t.Fatalf("left is %v", left)
	}
}

func TestSortedInOrderStaysShallow(t *testing.T) {
	var s Sorted[int]
	edit := &Edit{}
	for i := range 100_000 {
		s = s.Set(edit, fmt.Sprintf("%08d", i), i)
	}
	depth := 1
	for n := s.root; n.children != nil; n = n.children[0] {
		depth++
	}
	if depth > 4 {
		t.Fatalf("100,000 keys make a tree of depth %d", depth)
	}
}

func benchKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("00000000-0000-4000-8000-%012x", i)
	}
	return keys
}

func BenchmarkMap(b *testing.B) {
	keys := benchKeys(1_000_000)
	var m Map[string, *int]
	value, edit := new(int), &Edit{}
	for _, key := range keys {
		m = m.Set(edit, key, value)
	}
	b.Run("SetEdit", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			m = m.Set(edit, keys[i*7919%len(keys)], value)
		}
	})
	b.Run("SetCopy", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			_ = m.Set(nil, keys[i*7919%len(keys)], value)
		}
	})
	b.Run("Get", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, ok := m.Get(keys[i*7919%len(keys)]); !ok {
				b.Fatal("lost")
			}
		}
	})
}

func BenchmarkSorted(b *testing.B) {
	keys := benchKeys(1_000_000)
	var s Sorted[int]
	edit := &Edit{}
	for i, key := range keys {
		s = s.Set(edit, key, i)
	}
	b.Run("SetEdit", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			s = s.Set(edit, keys[i*7919%len(keys)], i)
		}
	})
	b.Run("Get", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			_, _ = s.Get(keys[i*7919%len(keys)])
		}
	})
}

// checkNearest compares Floor and Ceil, at a key and right beside it, with a
// sorted list.
func checkNearest(t *rapid.T, got Sorted[int], keys []string, key string) {
	for _, key := range []string{key, key + "0", "", "~"} {
		i, found := slices.BinarySearch(keys, key)
		above, _, hasAbove := got.Ceil(key)
		if hasAbove != (i < len(keys)) || hasAbove && above != keys[i] {
			t.Fatalf("the key at or above %q is %q (%v)", key, above, hasAbove)
		}
		if !found {
			i--
		}
		below, _, hasBelow := got.Floor(key)
		if hasBelow != (i >= 0) || hasBelow && below != keys[i] {
			t.Fatalf("the key at or below %q is %q (%v)", key, below, hasBelow)
		}
	}
}
