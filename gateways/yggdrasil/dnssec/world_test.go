package dnssec

import (
	"context"
	"encoding/base64"
	"sync"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/gateways/yggdrasil/keyring"
	"pantheon/projections/zone"
)

// world is a cell's zones, changed by events; it is the view and the recorder
// of a keeper.
type world struct {
	t testing.TB

	mu       sync.Mutex
	state    *zone.State
	position events.Position
	now      time.Time
}

const apexName events.ZoneName = "example.net"

func newWorld(t testing.TB) *world {
	w := &world{t: t, state: zone.Empty(zone.Options{Domain: "cell.localhost"}), now: at}
	w.apply(events.ZoneAdded{Zone: apexName, Role: events.ZoneCustom})
	return w
}

func (w *world) apply(facts ...events.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.position++
	w.state = w.state.Apply(events.Envelope{
		Commit: events.Commit{Stream: apexName.Stream(), Meta: events.Meta{Time: w.now}, Events: facts}, Position: w.position,
	})
}

func (w *world) Load() (*zone.State, events.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state, w.position
}

// Wait is not needed: tests call Tend and Warm themselves.
func (w *world) Wait(ctx context.Context, _ events.Position) error {
	<-ctx.Done()
	return ctx.Err()
}

func (w *world) zone() *zone.Zone {
	state, _ := w.Load()
	z := state.Named(apexName)
	if z == nil {
		w.t.Fatal("the zone is gone")
	}
	return z
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) IntroduceKey(_ context.Context, name events.ZoneName, key NewKey) error {
	w.apply(events.ZoneKeyIntroduced{Zone: name, Key: key.ID, Role: key.Role, Algorithm: key.Algorithm, Tag: key.Tag, Public: key.Public, At: w.clock()})
	return nil
}

func (w *world) ActivateKey(_ context.Context, name events.ZoneName, key events.ZoneKeyID) error {
	w.apply(events.ZoneKeyActivated{Zone: name, Key: key, At: w.clock()})
	return nil
}

func (w *world) RetireKey(_ context.Context, name events.ZoneName, key events.ZoneKeyID, _ bool) error {
	w.apply(events.ZoneKeyRetired{Zone: name, Key: key, At: w.clock()})
	return nil
}

func (w *world) RemoveKey(_ context.Context, name events.ZoneName, key events.ZoneKeyID) error {
	w.apply(events.ZoneKeyRemoved{Zone: name, Key: key, At: w.clock()})
	return nil
}

func (w *world) Resign(_ context.Context, name events.ZoneName, window int64) error {
	if got := Window(w.zone().Apex(), w.clock()); window != got {
		w.t.Errorf("signed anew for window %d in %d", window, got)
	}
	w.apply(events.ZoneResigned{Zone: name, At: w.clock()})
	return nil
}

// add adds an operator's record.
func (w *world) add(name, rrtype, data string) {
	w.apply(events.RecordsAdded{Zone: apexName, Records: []events.ZoneRecord{{Name: name, Type: rrtype, TTL: 300, Data: data}}})
}

// sign gives the zone the key of RFC 6605 as its only one.
func (w *world) sign() {
	_, key := rfc6605Key(w.t)
	id := keyID(w.zone().Apex(), key.Public)
	w.apply(events.ZoneKeyIntroduced{
		Zone: apexName, Key: id, Role: events.CommonSigning, Algorithm: keyring.Algorithm, Tag: int(key.Tag),
		Public: base64.StdEncoding.EncodeToString(key.Public), At: at,
	}, events.ZoneKeyActivated{Zone: apexName, Key: id, At: at})
}

func (w *world) signer(signatures int) *Signer {
	private, _ := rfc6605Key(w.t)
	s, err := New(Options{Keys: oneKey{private.private}, Now: w.clock, Signatures: signatures})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}
