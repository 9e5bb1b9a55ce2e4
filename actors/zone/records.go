package zone

import (
	"strings"

	"pantheon/events"
	"pantheon/events/problem"
)

// addRecords adds what is not there, all or nothing.
func addRecords(s State, c AddRecords) ([]events.Event, error) {
	records, err := s.canonicalAll(c.Records, "cannot add records")
	if err != nil {
		return nil, err
	}
	after, added := s, []events.ZoneRecord(nil)
	for _, r := range records {
		set, known := after.owner(r.Name).set(r.Type)
		r.TTL = ttlOf(r.TTL, set, known)
		if known && set.TTL != r.TTL {
			return nil, problem.New(problem.Conflict, "cannot add %s %s with a TTL of %d seconds: the others have %d (RFC 2181 §5.2)", r.Name, r.Type, r.TTL, set.TTL).
				WithHint("leave the TTL out, or set all records of the name and type at once")
		}
		if set.has(r.Data) {
			continue
		}
		added = append(added, r)
		after = after.withOwner(r.Name, after.owner(r.Name).with(set.with(r)))
	}
	if err := after.check(added); err != nil {
		return nil, problem.Wrap(problem.KindOf(err), err, "cannot add records")
	}
	if len(added) == 0 {
		return nil, nil
	}
	return []events.Event{events.RecordsAdded{Zone: s.Zone, Records: added}}, nil
}

func ttlOf(wanted int64, set recordSet, known bool) int64 {
	switch {
	case wanted != 0:
		return wanted
	case known:
		return set.TTL
	}
	return DefaultTTL
}

// canonicalAll gives the records of a command as the log holds them.
func (s State) canonicalAll(records []events.ZoneRecord, what string) ([]events.ZoneRecord, error) {
	size := 0
	for _, r := range records {
		size += len(r.Name) + len(r.Type) + len(r.Data)
	}
	if len(records) == 0 || len(records) > MaxCommandRecords || size > MaxCommandBytes {
		return nil, problem.New(problem.Invalid, "%s: %d records of %d bytes, 1 to %d of %d are allowed at once", what, len(records), size, MaxCommandRecords, MaxCommandBytes).
			WithHint("send them in several parts")
	}
	var canonical []events.ZoneRecord
	for _, r := range records {
		r, err := s.canonical(r)
		if err != nil {
			return nil, problem.Wrap(problem.KindOf(err), err, "%s", what)
		}
		canonical = append(canonical, r)
	}
	return canonical, nil
}

// setRecords replaces a set.
func setRecords(s State, c SetRecords) ([]events.Event, error) {
	if len(c.Data) == 0 {
		return removeSet(s, c)
	}
	var records []events.ZoneRecord
	for _, data := range c.Data {
		records = append(records, events.ZoneRecord{Name: c.Name, Type: c.Type, TTL: c.TTL, Data: data})
	}
	records, err := s.canonicalAll(records, "cannot set records")
	if err != nil {
		return nil, err
	}
	name, rrtype := records[0].Name, records[0].Type
	old, known := s.owner(name).set(rrtype)
	wanted := recordSet{Type: rrtype}
	for _, r := range records {
		r.TTL = ttlOf(c.TTL, old, known)
		wanted = wanted.with(r)
	}
	after := s.withOwner(name, s.owner(name).with(wanted))
	var gone, added []events.ZoneRecord
	for _, data := range old.Data {
		if !wanted.has(data) || old.TTL != wanted.TTL {
			gone = append(gone, events.ZoneRecord{Name: name, Type: rrtype, TTL: old.TTL, Data: data})
		}
	}
	for _, data := range wanted.Data {
		if !old.has(data) || old.TTL != wanted.TTL {
			added = append(added, events.ZoneRecord{Name: name, Type: rrtype, TTL: wanted.TTL, Data: data})
		}
	}
	if err := after.check(added); err != nil {
		return nil, problem.Wrap(problem.KindOf(err), err, "cannot set records")
	}
	return changed(s.Zone, gone, added), nil
}

func removeSet(s State, c SetRecords) ([]events.Event, error) {
	name, _ := canonicalName(c.Name)
	set, _ := s.owner(name).set(strings.ToUpper(c.Type))
	var gone []events.ZoneRecord
	for _, data := range set.Data {
		gone = append(gone, events.ZoneRecord{Name: name, Type: set.Type, TTL: set.TTL, Data: data})
	}
	if err := s.withOwner(name, s.owner(name).with(recordSet{Type: set.Type})).check(gone); err != nil {
		return nil, problem.Wrap(problem.KindOf(err), err, "cannot remove records")
	}
	return changed(s.Zone, gone, nil), nil
}

func changed(zone events.ZoneName, gone, added []events.ZoneRecord) []events.Event {
	var list []events.Event
	if gone != nil {
		list = append(list, events.RecordsRemoved{Zone: zone, Records: gone})
	}
	if added != nil {
		list = append(list, events.RecordsAdded{Zone: zone, Records: added})
	}
	return list
}

func removeRecords(s State, c RemoveRecords) ([]events.Event, error) {
	records, err := s.canonicalAll(c.Records, "cannot remove records")
	if err != nil {
		return nil, err
	}
	after, gone := s, []events.ZoneRecord(nil)
	for _, r := range records {
		set, _ := after.owner(r.Name).set(r.Type)
		if !set.has(r.Data) {
			continue
		}
		r.TTL = set.TTL
		gone = append(gone, r)
		after = after.withOwner(r.Name, after.owner(r.Name).with(set.without(r.Data)))
	}
	if err := after.check(gone); err != nil {
		return nil, problem.Wrap(problem.KindOf(err), err, "cannot remove records")
	}
	return changed(s.Zone, gone, nil), nil
}

// check refuses a state in which a name of the changed records breaks an
// invariant.
func (s State) check(records []events.ZoneRecord) error {
	for i, r := range records {
		if i > 0 && records[i-1].Name == r.Name && records[i-1].Type == r.Type {
			continue
		}
		if err := s.checkOwner(r.Name); err != nil {
			return err
		}
		if _, there := s.owner(r.Name).set(r.Type); !there {
			continue // it was removed
		}
		if err := s.delegated(r.Name, r.Type); err != nil {
			return err
		}
	}
	if s.Records > MaxRecords {
		return problem.New(problem.Exhausted, "zone %s would have %d records, %d are allowed", s.Zone, s.Records, MaxRecords)
	}
	return nil
}

func (s State) checkOwner(name string) error {
	o := s.owner(name)
	apex := name == string(s.Zone)
	alias, hasAlias := o.set("CNAME")
	_, hasNS := o.set("NS")
	_, hasDS := o.set("DS")
	switch {
	case hasAlias && apex:
		return problem.New(problem.Conflict, "a CNAME cannot stand at the apex %s, where SOA and NS records are (RFC 1034 §3.6.2)", name)
	case hasAlias && (len(o) > 1 || len(alias.Data) > 1 || s.challenged(name)):
		return problem.New(problem.Conflict, "%s would have a CNAME beside other data (RFC 1034 §3.6.2, RFC 2181 §10.1)", name).WithHint("remove the other records first")
	case hasDS && (apex || !hasNS):
		return problem.New(problem.Conflict, "%s would have DS records without a delegation: they stand beside NS records below the apex (RFC 4035 §2.4)", name)
	case hasNS && strings.HasPrefix(name, "*"):
		return problem.New(problem.Conflict, "a wildcard cannot be delegated (RFC 4592 §4.2)")
	}
	for _, set := range o {
		if len(set.Data) > MaxSetRecords {
			return problem.New(problem.Invalid, "%s would have %d records of type %s, %d are allowed", name, len(set.Data), set.Type, MaxSetRecords)
		}
		if hasNS && !apex && set.Type != "NS" && set.Type != "DS" && set.Type != "A" && set.Type != "AAAA" {
			return problem.New(problem.Conflict, "%s is delegated, and would have records of type %s, which nobody could see", name, set.Type).WithHint("put them into the delegated zone")
		}
	}
	return nil
}

func (s State) challenged(name string) bool {
	for c := range s.Challenges {
		if c.Name == name {
			return true
		}
	}
	return false
}

// delegated refuses what would stand below a delegation and is no glue.
func (s State) delegated(name, rrtype string) error {
	if rrtype == "A" || rrtype == "AAAA" {
		return nil
	}
	for above := name; above != string(s.Zone); {
		_, above, _ = strings.Cut(above, ".")
		if _, cut := s.owner(above).set("NS"); cut && above != string(s.Zone) {
			return problem.New(problem.Conflict, "%s is below %s, which is delegated: only addresses of its name servers stand here", name, above).WithHint("put it into the delegated zone")
		}
	}
	return nil
}
