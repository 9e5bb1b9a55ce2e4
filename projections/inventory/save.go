package inventory

import (
	"bytes"
	"errors"
	"fmt"
	"iter"

	"github.com/go-json-experiment/json"

	"pantheon/events"
	"pantheon/projections/pmap"
)

// A saved view is a sequence of records: one byte that says what it is, and a
// JSON value. Indexes are built again from them. Hosts come before DROPs, and
// workflows in the order of their start.
const (
	recordHost        = 'h'
	recordSite        = 's'
	recordEnvironment = 'e'
	recordDrop        = 'd'
	recordBinding     = 'b'
	recordWorkflow    = 'w'
	recordGrave       = 'g'
	recordAccount     = 'a'
	recordToken       = 't'
	recordUpstream    = 'u'
	recordName        = 'n'
	recordForgetting  = 'f'
	recordRemoved     = 'r'
)

// The forms of what JSON for readers does not hold.
type (
	savedHost struct {
		Host     Host                       `json:"host"`
		Drops    map[events.DropID]int      `json:"drops,omitzero"`
		Bindings map[events.BindingID]int64 `json:"bindings,omitzero"`
	}
	savedGrave struct {
		Key  string        `json:"key"`
		Site events.SiteID `json:"site"`
	}
	savedAccount struct {
		Account Account  `json:"account"`
		Tokens  []string `json:"tokens"`
	}
	savedToken struct {
		Token Token  `json:"token"`
		Hash  string `json:"hash"`
	}
)

// errStop ends a save whose reader has left.
var errStop = errors.New("the reader has left")

// Save gives the view's records in an order that Load takes. A record is valid
// until the next one is asked for.
func (s State) Save() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var record bytes.Buffer
		put := func(what byte, value any) error {
			record.Reset()
			record.WriteByte(what)
			err := json.MarshalWrite(&record, value)
			if err == nil && !yield(record.Bytes(), nil) {
				return errStop
			}
			return err
		}
		for _, save := range []func(func(byte, any) error) error{s.saveHosts, s.saveMaps, s.saveWorkflows, s.saveAccounts} {
			if err := save(put); err != nil {
				if !errors.Is(err, errStop) {
					yield(nil, err)
				}
				return
			}
		}
	}
}

func saveAll[K ~string, V any](put func(byte, any) error, what byte, m pmap.Map[K, V]) error {
	for _, value := range m.All() {
		if err := put(what, value); err != nil {
			return err
		}
	}
	return nil
}

func (s State) saveHosts(put func(byte, any) error) error {
	for _, entry := range s.hosts.All() {
		saved := savedHost{entry.Host, map[events.DropID]int{}, map[events.BindingID]int64{}}
		for id, memory := range entry.admittedDrops.All() {
			saved.Drops[id] = memory
		}
		for id, reserved := range entry.admittedBindings.All() {
			saved.Bindings[id] = int64(reserved)
		}
		if err := put(recordHost, saved); err != nil {
			return err
		}
	}
	return nil
}

func (s State) saveMaps(put func(byte, any) error) error {
	err := saveAll(put, recordSite, s.sites)
	if err == nil {
		err = saveAll(put, recordEnvironment, s.environments)
	}
	if err == nil {
		err = saveAll(put, recordDrop, s.drops)
	}
	if err == nil {
		err = saveAll(put, recordBinding, s.bindings)
	}
	if err == nil {
		err = saveAll(put, recordUpstream, s.upstreams)
	}
	if err == nil {
		err = saveAll(put, recordName, s.names)
	}
	if err == nil {
		err = saveAll(put, recordRemoved, s.removed)
	}
	return err
}

func (s State) saveWorkflows(put func(byte, any) error) error {
	for _, id := range s.started.From("") {
		if err := put(recordWorkflow, s.workflows.At(id)); err != nil {
			return err
		}
	}
	for key, site := range s.graves.From("") {
		if err := put(recordGrave, savedGrave{key, site}); err != nil {
			return err
		}
	}
	return nil
}

func (s State) saveAccounts(put func(byte, any) error) error {
	for _, account := range s.accounts.All() {
		if err := put(recordAccount, savedAccount{*account, account.Tokens}); err != nil {
			return err
		}
	}
	for hash, token := range s.tokens.All() {
		if err := put(recordToken, savedToken{*token, hash}); err != nil {
			return err
		}
	}
	for _, owner := range s.forgetting.From("") {
		if err := put(recordForgetting, owner); err != nil {
			return err
		}
	}
	return nil
}

// Load fills an empty view from saved records.
func (s State) Load(records iter.Seq2[[]byte, error]) (State, error) {
	s.edit = &pmap.Edit{}
	for data, err := range records {
		if err != nil {
			return State{}, err
		}
		if len(data) == 0 {
			return State{}, errors.New("cannot load inventory: empty record")
		}
		load, known := loaders[data[0]]
		if !known {
			return State{}, fmt.Errorf("cannot load inventory: unknown record %q", data[0])
		}
		if s, err = load(s, data[1:]); err != nil {
			return State{}, fmt.Errorf("cannot load inventory record %q: %w", data[0], err)
		}
	}
	return s.Seal(), nil
}

// loader makes the reader of one kind of record.
func loader[T any](put func(State, *T) State) func(State, []byte) (State, error) {
	return func(s State, data []byte) (State, error) {
		value := new(T)
		if err := json.Unmarshal(data, value, json.RejectUnknownMembers(true)); err != nil {
			return s, err
		}
		return put(s, value), nil
	}
}

var loaders = map[byte]func(State, []byte) (State, error){
	recordHost: loader(State.loadHost),
	recordSite: loader(State.putSite),
	recordEnvironment: loader(func(s State, e *Environment) State {
		s.environments = s.environments.Set(s.edit, e.ID, e)
		return s
	}),
	recordDrop: loader(func(s State, d *Drop) State {
		s.drops = s.drops.Set(s.edit, d.ID, d)
		return s.changeHost(d.Host, func(h *hostEntry) { h.placed = h.placed.Set(s.edit, d.ID, struct{}{}) })
	}),
	recordBinding: loader(func(s State, b *Binding) State {
		s.bindings = s.bindings.Set(s.edit, b.ID, b)
		return s
	}),
	recordWorkflow: loader(State.putWorkflow),
	recordGrave: loader(func(s State, g *savedGrave) State {
		s.graves = s.graves.Set(s.edit, g.Key, g.Site)
		return s
	}),
	recordAccount: loader(func(s State, a *savedAccount) State {
		a.Account.Tokens = a.Tokens
		return s.putAccount(&a.Account)
	}),
	recordToken: loader(func(s State, t *savedToken) State {
		t.Token.Hash = t.Hash
		return s.putToken(&t.Token)
	}),
	recordUpstream:   loader(State.putUpstream),
	recordForgetting: loader(State.putForgetting),
	recordRemoved: loader(func(s State, r *RemovedHost) State {
		s.removed = s.removed.Set(s.edit, r.ID, r)
		return s
	}),
	recordName: loader(func(s State, n *Name) State {
		s.names = s.names.Set(s.edit, n.ID, n)
		return s
	}),
}

func (s State) loadHost(saved *savedHost) State {
	entry := &hostEntry{Host: saved.Host}
	for id, memory := range saved.Drops {
		entry.admittedDrops = entry.admittedDrops.Set(s.edit, id, memory)
	}
	for id, reserved := range saved.Bindings {
		entry.admittedBindings = entry.admittedBindings.Set(s.edit, id, kibibyte(reserved))
		entry.bindingsKiB += kibibyte(reserved)
	}
	s.hosts = s.hosts.Set(s.edit, entry.ID, entry)
	s.hostNames = s.hostNames.Set(s.edit, hostKey(&entry.Host), entry.ID)
	return s
}
