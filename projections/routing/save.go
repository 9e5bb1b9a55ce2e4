package routing

import (
	"bytes"
	"fmt"
	"iter"

	"github.com/go-json-experiment/json"

	"pantheon/events"
	"pantheon/projections/pmap"
)

// A saved view is a sequence of records: one byte that says what it is, and a
// JSON object. Names, routes and the hosts' lists are built again from them.
const (
	recordSite        = 's'
	recordEnvironment = 'e'
	recordDrop        = 'd'
	recordLostHost    = 'h'
)

// Save gives the view's records in an order that Load takes. A record is valid
// until the next one is asked for.
func (s State) Save() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var record bytes.Buffer
		put := func(what byte, value any) bool {
			record.Reset()
			record.WriteByte(what)
			err := json.MarshalWrite(&record, value)
			return yield(record.Bytes(), err) && err == nil
		}
		for _, one := range s.sites.All() {
			if !put(recordSite, one) {
				return
			}
		}
		for _, one := range s.environments.All() {
			if !put(recordEnvironment, one) {
				return
			}
		}
		for id, one := range s.hosts.All() {
			if one.lost && !put(recordLostHost, id) {
				return
			}
		}
		for _, one := range s.drops.All() {
			if !put(recordDrop, one) {
				return
			}
		}
	}
}

// Load fills an empty view, which brings the domain, from saved records.
func (s State) Load(records iter.Seq2[[]byte, error]) (State, error) {
	s.edit = &pmap.Edit{}
	for data, err := range records {
		if err != nil {
			return State{}, err
		}
		if len(data) == 0 {
			return State{}, fmt.Errorf("cannot load routing: empty record")
		}
		if s, err = s.loadRecord(data[0], data[1:]); err != nil {
			return State{}, fmt.Errorf("cannot load routing record %q: %w", data[0], err)
		}
	}
	return s.Seal(), nil
}

func (s State) loadRecord(what byte, data []byte) (State, error) {
	switch what {
	case recordSite:
		var one site
		if err := json.Unmarshal(data, &one); err != nil {
			return s, err
		}
		s.sites = s.sites.Set(s.edit, one.ID, &one)
	case recordEnvironment:
		var one environment
		if err := json.Unmarshal(data, &one); err != nil {
			return s, err
		}
		for _, text := range one.Claims {
			s.names = s.names.Set(s.edit, text, &name{platform: s.names.At(text).owner(), claim: one.ID})
		}
		s = s.addEnvironment(&one)
	case recordLostHost:
		var id events.HostID
		if err := json.Unmarshal(data, &id); err != nil {
			return s, err
		}
		s.hosts = s.hosts.Set(s.edit, id, &host{id: id, lost: true})
	case recordDrop:
		var one drop
		if err := json.Unmarshal(data, &one); err != nil {
			return s, err
		}
		s = s.moveDrop(one)
	default:
		return s, fmt.Errorf("unknown kind of record")
	}
	return s, nil
}
