package zone

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"pantheon/events"
	"pantheon/projections/pmap"
)

func (f *fold) applyZone(event events.Event) {
	switch e := event.(type) {
	case events.ZoneAdded:
		f.zoneAdded(e)
	case events.ZoneConfigured:
		if z := f.Named(e.Zone); z != nil {
			f.configure(z, e.Settings)
		}
	case events.ZoneRemoved:
		if z := f.Named(e.Zone); z != nil {
			f.removeZone(z)
		}
	case events.RecordsAdded:
		f.changeRecords(e.Zone, e.Records, func(set *RRset, rrtype uint16, ttl int64, data []byte) *RRset {
			return set.with(rrtype, ttl, data)
		})
	case events.RecordsRemoved:
		f.changeRecords(e.Zone, e.Records, func(set *RRset, rrtype uint16, _ int64, data []byte) *RRset {
			if set == nil {
				return &RRset{Type: rrtype}
			}
			return set.without(data)
		})
	case events.ChallengePresented:
		f.challenge(e.Zone, Challenge{e.Name, e.Value, e.Expires}, true)
	case events.ChallengeCleared:
		f.challenge(e.Zone, Challenge{Name: e.Name, Value: e.Value}, false)
	case events.SecondaryAdded:
		f.secondary(e.Zone, Secondary{e.Address, e.TSIGKey, e.Notify}, true)
	case events.ZoneResigned:
		if z := f.Named(e.Zone); z != nil {
			f.touch(z).opaque = true
		}
	case events.ZoneSigningDecided:
		if z := f.Named(e.Zone); z != nil {
			z = f.own(z)
			z.unsigned = !e.Signed
			f.setKeys(z, slices.Clone(z.keys)) // CDS and CDNSKEY say it
		}
	case events.SecondaryRemoved:
		f.secondary(e.Zone, Secondary{Address: e.Address}, false)
	default:
		f.applyKey(event)
	}
}

// zoneAdded: the platform's two zones are there by the options; those that a
// cell had under another domain are not served.
func (f *fold) zoneAdded(e events.ZoneAdded) {
	apex, ok := wireName(string(e.Zone))
	if !ok {
		return
	}
	if z, found := f.zones.Get(apex); found {
		f.configure(z, e.Settings)
	} else if e.Role == events.ZoneCustom {
		f.addZone(apex, e.Role, e.Settings)
	}
}

func (f *fold) addZone(apex string, role events.ZoneRole, settings events.ZoneSettings) {
	above := f.Find(wireBytes(apex))
	z := &Zone{apex: apex, role: role, settings: settings, chosen: settings, edit: f.edit}
	f.hold(z)
	f.touch(z).opaque = true
	z.effective = f.effective(z)
	if role == events.ZonePlatform {
		f.setEntry(z)
	}
	f.refill(z, apex)
	if above != nil {
		f.refill(above, apex)
		f.refreshDelegation(apex)
	}
}

// removeZone ends a zone; those of the platform stay.
func (f *fold) removeZone(z *Zone) {
	if z.role != events.ZoneCustom {
		return
	}
	glue := serverNames(z)
	f.zones = f.zones.Delete(f.edit, z.apex)
	f.apexes = f.apexes.Delete(f.edit, fullKey(z.apex))
	if above := f.parent(z.apex); above != nil {
		f.refill(above, z.apex)
		for _, name := range glue {
			if hasSuffix(name, above.apex) {
				f.refresh(f.Find(wireBytes(name)), name)
			}
		}
	}
}

func (f *fold) setEntry(platform *Zone) {
	f.entry = addressSets(platform.effective.Entry, platform.effective.TTLSeconds)
}

// configure replaces a zone's settings. Those of the platform's zone are
// inherited by all.
func (f *fold) configure(z *Zone, settings events.ZoneSettings) {
	z = f.own(z)
	z.chosen = chosenAfter(z.chosen, z.settings, settings, f.byStart)
	z.settings = settings
	if z.role != events.ZonePlatform {
		f.reconfigure(z.apex)
		return
	}
	f.reconfigure(z.apex)
	var rest []string
	for other := range f.All() {
		if other.apex != z.apex {
			rest = append(rest, other.apex)
		}
	}
	for _, apex := range rest {
		f.reconfigure(apex)
	}
}

// reconfigure works out what is said in a zone by itself, and says it.
func (f *fold) reconfigure(apex string) {
	z := f.own(f.zones.At(apex))
	before, servers := z.SOA(0), serverNames(z)
	z.effective = f.effective(z)
	if !bytes.Equal(before, z.SOA(0)) {
		f.touch(z).opaque = true
	}
	switch z.role {
	case events.ZonePlatform:
		f.setEntry(z)
	case events.ZoneInternal:
		for _, h := range f.hostList() {
			changed := *h
			f.weighHost(&changed)
			f.hosts = f.hosts.Set(f.edit, h.ID, &changed)
		}
	case events.ZoneCustom:
	}
	f.refill(z, apex)
	f.refreshDelegation(apex, servers...)
}

func (f *fold) hostList() []*host {
	var list []*host
	for _, h := range f.hosts.All() {
		list = append(list, h)
	}
	return list
}

// refill brings every name of a zone at and below one of its names up to date
// with the facts.
func (f *fold) refill(z *Zone, below string) {
	var names []string
	for _, node := range f.zones.At(z.apex).order.Prefix(relativeKey(z, below)) {
		names = append(names, node.name)
	}
	for _, name := range names {
		f.refresh(z, name)
	}
	f.fill(z, below)
}

// fill is refill for the names that the facts speak of.
func (f *fold) fill(z *Zone, below string) {
	names := []string{below}
	for _, server := range serverNames(z) {
		if hasSuffix(server, below) {
			names = append(names, server)
		}
	}
	for _, other := range f.apexes.Prefix(fullKey(below)) {
		if above := f.parent(other.apex); other.apex != z.apex && above != nil && above.apex == z.apex {
			names = append(names, other.apex)
			for _, server := range serverNames(other) {
				if hasSuffix(server, other.apex) {
					names = append(names, server)
				}
			}
		}
	}
	for _, c := range f.claims.Prefix(fullKey(below)) {
		if name, ok := wireName(c.text); ok {
			names = append(names, name)
		}
	}
	for _, name := range names {
		f.refresh(z, name)
	}
	switch {
	case z.role == events.ZonePlatform && below == z.apex:
		if f.loaded != nil {
			f.loaded[z.apex].web = true // makeAll
			return
		}
		for _, owner := range f.sites.All() {
			for _, id := range owner.Environments {
				f.refreshText(f.webNames(owner, f.environments.At(id))...)
			}
		}
	case z.role == events.ZoneInternal:
		for _, h := range f.hosts.All() {
			f.refreshText(h.Name + "." + f.options.Internal)
		}
		if f.loaded != nil {
			f.loaded[z.apex].services = true // makeAll
			return
		}
		f.refreshAllServices()
	}
}

// changeRecords changes an operator's sets.
func (f *fold) changeRecords(zone events.ZoneName, records []events.ZoneRecord, change func(*RRset, uint16, int64, []byte) *RRset) {
	z := f.Named(zone)
	if z == nil {
		return
	}
	for _, record := range records {
		name, ok := wireName(record.Name)
		if !ok || !hasSuffix(name, z.apex) {
			continue
		}
		rrtype, data, ok := rdata(record)
		if !ok || rrtype == dns.TypeSOA {
			continue
		}
		node := f.zones.At(z.apex).names.At(name)
		own := node.own()
		own = withSet(own, change(setOf(own, rrtype), rrtype, record.TTL, data))
		f.set(z, name, node.base(), own, node.proofs())
	}
}

func (f *fold) challenge(zone events.ZoneName, c Challenge, present bool) {
	z := f.Named(zone)
	name, ok := wireName(c.Name)
	if z == nil || !ok || !hasSuffix(name, z.apex) {
		return
	}
	order := func(a, b Challenge) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value)) }
	i, found := slices.BinarySearchFunc(z.challenges, c, order)
	list := slices.Clone(z.challenges)
	switch {
	case present && found:
		list[i] = c
	case present:
		list = slices.Insert(list, i, c)
	case found:
		list = slices.Delete(list, i, i+1)
	}
	z = f.own(z)
	z.challenges = list
	node := z.names.At(name)
	f.set(z, name, node.base(), node.own(), proofsAt(list, c.Name))
}

// proofsAt gives the TXT records of the challenges at a name.
func proofsAt(list []Challenge, name string) []*RRset {
	var data [][]byte
	for _, c := range list {
		if strings.EqualFold(c.Name, name) {
			data = append(data, txt(c.Value))
		}
	}
	if data == nil {
		return nil
	}
	return []*RRset{newSet(dns.TypeTXT, challengeTTL, data...)}
}

func (f *fold) secondary(zone events.ZoneName, secondary Secondary, add bool) {
	z := f.Named(zone)
	if z == nil {
		return
	}
	i, found := slices.BinarySearchFunc(z.secondaries, secondary, func(a, b Secondary) int { return cmp.Compare(a.Address, b.Address) })
	list := slices.Clone(z.secondaries)
	switch {
	case add && found:
		list[i] = secondary
	case add:
		list = slices.Insert(list, i, secondary)
	case found:
		list = slices.Delete(list, i, i+1)
	}
	f.own(z).secondaries = list
}

func (f *fold) applyKey(event events.Event) {
	switch e := event.(type) {
	case events.ZoneKeyIntroduced:
		public, err := base64.StdEncoding.DecodeString(e.Public)
		z := f.Named(e.Zone)
		if err != nil || z == nil {
			return
		}
		flags := uint16(dns.ZONE | dns.SEP)
		if e.Role == events.ZoneSigning {
			flags = dns.ZONE
		}
		f.setKeys(z, append(slices.Clone(z.keys), Key{
			ID: e.Key, Tag: uint16(e.Tag), Flags: flags, Algorithm: uint8(e.Algorithm), Role: e.Role,
			State: events.KeyPublished, Public: public, Introduced: e.At,
		}))
	case events.ZoneKeyActivated:
		f.moveKey(e.Zone, e.Key, events.KeyActive, e.At)
	case events.ZoneKeyRetired:
		f.moveKey(e.Zone, e.Key, events.KeyRetired, e.At)
	case events.ZoneKeyRemoved:
		if z := f.Named(e.Zone); z != nil {
			f.setKeys(z, slices.DeleteFunc(slices.Clone(z.keys), func(k Key) bool { return k.ID == e.Key }))
		}
	default: // zones know no other events
	}
}

func (f *fold) moveKey(zone events.ZoneName, id events.ZoneKeyID, state events.ZoneKeyState, at time.Time) {
	z := f.Named(zone)
	if z == nil {
		return
	}
	keys := slices.Clone(z.keys)
	for i := range keys {
		if keys[i].ID != id {
			continue
		}
		keys[i].State = state
		if state == events.KeyActive {
			keys[i].Activated = at
		} else {
			keys[i].Retired = at
		}
	}
	f.setKeys(z, keys)
}

// setKeys: what a signed zone holds beside its records changes with its keys,
// so the journal ends.
func (f *fold) setKeys(z *Zone, keys []Key) {
	z = f.own(z)
	z.keys = keys
	z.journal, z.journalRecords = pmap.Sorted[*Change]{}, 0
	f.touch(z).opaque = true
}
