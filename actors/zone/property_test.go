package zone

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pantheon/actors/actortest"
	"pantheon/events"
)

// Snapshot copies everything a state holds, for tests that look whether a
// later fold changed it.
func (s State) Snapshot() any {
	copied := content{
		zone: s.Zone, role: s.Role, settings: fmt.Sprint(s.Settings), records: s.Records, challenges: maps.Clone(s.Challenges),
		secondaries: maps.Clone(s.Secondaries), keys: maps.Clone(s.Keys), owners: map[string]owner{}, resigned: s.Resigned, unsigned: s.Unsigned,
	}
	if s.owners != nil {
		for all := s.owners.Iterator(); !all.Done(); {
			name, o, _ := all.Next()
			var cloned owner
			for _, set := range o {
				cloned = append(cloned, recordSet{set.Type, set.TTL, slices.Clone(set.Data)})
			}
			copied.owners[name] = cloned
		}
	}
	return copied
}

type content struct {
	zone        events.ZoneName
	role        events.ZoneRole
	settings    string
	records     int
	challenges  map[Challenge]time.Time
	secondaries map[string]events.SecondaryAdded
	keys        map[events.ZoneKeyID]Key
	owners      map[string]owner
	resigned    time.Time
	unsigned    bool
}

var testNames = []string{
	"example.org", "www.example.org", "WWW.example.org.", "a.www.example.org", "*.example.org", "_acme-challenge.www.example.org",
	"dev-blog.example.org", "sub.example.org", "x.sub.example.org", "example.net", "bad name.example.org", "a.3b5a1a52-0b3e-4b8a-8d7e-5a5c1f1f1f1f.example.org",
}

func TestProperties(t *testing.T) {
	actortest.Machine[State, Command]{
		Actor:   actortest.Actor[State, Command]{Stream: events.ZoneName("example.org").Stream(), Decide: Decide, Evolve: Evolve},
		Command: randomCommand,
		Check:   checkStep,
	}.Properties(t)
}

func randomCommand(t *rapid.T, s State) Command {
	name := rapid.SampledFrom(testNames).Draw(t, "name")
	at := time.Date(2026, 1, rapid.IntRange(1, 28).Draw(t, "day"), 0, 0, 0, 0, time.UTC)
	key := events.ZoneKeyID(strings.Repeat(rapid.SampledFrom([]string{"1", "2", "3", "x"}).Draw(t, "key"), 32))
	settings := events.ZoneSettings{TTLSeconds: rapid.Int64Range(-1, 3).Draw(t, "ttl")}
	if !s.exists() && rapid.IntRange(0, 3).Draw(t, "begin") > 0 {
		role := rapid.SampledFrom([]events.ZoneRole{events.ZoneCustom, events.ZoneCustom, events.ZonePlatform, events.ZoneInternal}).Draw(t, "role")
		if role == events.ZoneCustom {
			return Add{"example.org", settings}
		}
		return Configure{"example.org", role, settings}
	}
	switch rapid.IntRange(0, 17).Draw(t, "command") {
	case 0:
		return Configure{Zone: "example.org", Settings: settings}
	case 1:
		if rapid.IntRange(0, 5).Draw(t, "really") == 0 {
			return Remove{}
		}
		return RemoveSecondary{"192.0.2.1"}
	case 2, 3, 4:
		return AddRecords{rapid.SliceOfN(rapid.Custom(randomRecord), 1, 3).Draw(t, "records")}
	case 5, 6:
		r := randomRecord(t)
		return SetRecords{r.Name, r.Type, r.TTL, rapid.SliceOfN(rapid.SampledFrom(append(dataOf[r.Type], r.Data)), 0, 3).Draw(t, "data")}
	case 7:
		return RemoveRecords{rapid.SliceOfN(rapid.Custom(randomRecord), 1, 3).Draw(t, "records")}
	case 8, 9:
		return PresentChallenge{"_acme-challenge." + name, rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "value"), at}
	case 10:
		return ClearChallenge{Name: "_acme-challenge." + name, Value: "a"}
	case 11:
		return AddSecondary{Address: rapid.SampledFrom([]string{"192.0.2.1", "::1", "[::1]:5353", "x"}).Draw(t, "address"), Notify: rapid.Bool().Draw(t, "notify")}
	case 12:
		role := rapid.SampledFrom([]events.ZoneKeyRole{events.KeySigning, events.ZoneSigning, events.CommonSigning, "x"}).Draw(t, "role")
		return IntroduceKey{key, role, 13, rapid.IntRange(0, 5).Draw(t, "tag"), "AAAA", at}
	case 13:
		return ActivateKey{key, at}
	case 15:
		return Resign{at}
	case 16:
		return DecideSigning{rapid.IntRange(0, 2).Draw(t, "signed") > 0, at}
	case 14:
		return RetireKey{key, at, rapid.IntRange(0, 3).Draw(t, "unsigned") == 0}
	default:
		return RemoveKey{key, at}
	}
}

var dataOf = map[string][]string{
	"A": {"192.0.2.1", "192.0.2.2"}, "CNAME": {"a.example.", "A.example."}, "NS": {"ns.example.org.", "ns.example.net."},
	"TXT": {"free text", `"a" "b"`, `"\"\\;"`, "\u00e4"}, "DS": {"1 13 2 " + strings.Repeat("ab", 32)}, "MX": {"10 a.", "x"}, "SOA": {"x"},
	"HTTPS": {"1 . alpn=h2"}, "CAA": {`0 issue "a;b"`},
}

func randomRecord(t *rapid.T) events.ZoneRecord {
	rrtype := rapid.SampledFrom(slices.Sorted(maps.Keys(dataOf))).Draw(t, "type")
	return events.ZoneRecord{
		Name: rapid.SampledFrom(testNames).Draw(t, "owner"), Type: rrtype, TTL: rapid.SampledFrom([]int64{0, 0, 60, -1}).Draw(t, "ttl"),
		Data: rapid.SampledFrom(dataOf[rrtype]).Draw(t, "data"),
	}
}

func checkStep(before State, command Command, _ []events.Event, after State) error {
	count := 0
	for name, o := range after.Snapshot().(content).owners {
		count += o.records()
		if err := checkName(after, name, o); err != nil {
			return err
		}
	}
	if count != after.Records {
		return fmt.Errorf("%d records are there, %d are counted", count, after.Records)
	}
	for c := range after.Challenges {
		if _, alias := after.owner(c.Name).set("CNAME"); alias || !strings.HasSuffix(c.Name, ".example.org") {
			return fmt.Errorf("invariants 1 and 2: a proof at %s", c.Name)
		}
	}
	if before.exists() && !after.exists() && before.Role != events.ZoneCustom {
		return fmt.Errorf("invariant 7: a zone of the platform was removed")
	}
	return checkKeys(before, command, after)
}

func checkName(s State, name string, o owner) error {
	if name != "example.org" && !strings.HasSuffix(name, ".example.org") || s.Role == events.ZonePlatform && name == "dev-blog.example.org" {
		return fmt.Errorf("invariant 1: records at %s", name)
	}
	alias, isAlias := o.set("CNAME")
	_, delegated := o.set("NS")
	_, signed := o.set("DS")
	if isAlias && (len(o) > 1 || len(alias.Data) > 1 || name == "example.org") {
		return fmt.Errorf("invariant 2: %s has %v", name, o)
	}
	if signed && (!delegated || name == "example.org") {
		return fmt.Errorf("invariant 4: %s has %v", name, o)
	}
	for _, set := range o {
		if !slices.IsSorted(set.Data) || len(slices.Compact(slices.Clone(set.Data))) != len(set.Data) || set.TTL < 1 {
			return fmt.Errorf("invariant 3: %s has %v", name, set)
		}
		if delegated && name != "example.org" && !slices.Contains([]string{"NS", "DS", "A", "AAAA"}, set.Type) {
			return fmt.Errorf("invariant 4: %s has %v", name, o)
		}
	}
	return nil
}

func checkKeys(before State, command Command, after State) error {
	order := []events.ZoneKeyState{events.KeyPublished, events.KeyActive, events.KeyRetired, removed}
	for id, key := range before.Keys {
		if slices.Index(order, after.Keys[id].State) < slices.Index(order, key.State) {
			return fmt.Errorf("invariant 6: key %s was %s and is %s", id, key.State, after.Keys[id].State)
		}
	}
	if before.Unsigned && after.Unsigned && len(after.Keys) > len(before.Keys) {
		return fmt.Errorf("invariant 6: a key for a zone that shall not be signed")
	}
	retire, retires := command.(RetireKey)
	if retires && !retire.Unsigned && before.Keys[retire.Key].State == events.KeyActive && after.Keys[retire.Key].State == events.KeyRetired && !after.signedWithout("") {
		return fmt.Errorf("invariant 6: half signed after %v", retire)
	}
	return nil
}
