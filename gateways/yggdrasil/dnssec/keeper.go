package dnssec

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/gateways/yggdrasil/keyring"
	"pantheon/projections/zone"
)

// NewKey is the public half of a key that was just made.
type NewKey struct {
	ID        events.ZoneKeyID
	Role      events.ZoneKeyRole
	Algorithm int
	Tag       int
	Public    string // base64
}

// Recorder records what is decided about a zone's keys, and returns when the
// view shows it. Each method may be called again.
type Recorder interface {
	IntroduceKey(ctx context.Context, name events.ZoneName, key NewKey) error
	ActivateKey(ctx context.Context, name events.ZoneName, key events.ZoneKeyID) error
	// RetireKey leaves the zone unsigned only where that is said.
	RetireKey(ctx context.Context, name events.ZoneName, key events.ZoneKeyID, unsigned bool) error
	RemoveKey(ctx context.Context, name events.ZoneName, key events.ZoneKeyID) error
	// Resign raises the zone's serial, so that secondaries fetch the signatures
	// of a new window.
	Resign(ctx context.Context, name events.ZoneName, window int64) error
}

// KeyMaker makes and forgets private halves; a *keyring.Ring is one.
type KeyMaker interface {
	NewZoneKey(apex []byte, flags uint16, taken []uint16) (keyring.ZoneKey, error)
	RemoveZoneKey(apex []byte, tag uint16) error
}

// Parent looks a zone's DS set up as a validator would see it.
type Parent interface {
	DS(ctx context.Context, apex []byte) (rdata [][]byte, ttl time.Duration, err error)
}

// KeeperOptions of a Keeper; Zones, Keys and Recorder are required.
type KeeperOptions struct {
	Zones    Zones
	Keys     KeyMaker
	Recorder Recorder
	// Parent. Default: nobody answers, and a roll-over waits until an operator
	// activates the key.
	Parent Parent
	// Unsigned says which zones get no first key by themselves. Default: none.
	Unsigned func(*zone.Zone) bool
	Timings  Timings
	Now      func() time.Time // default: time.Now
	Logger   *slog.Logger     // default: slog.Default()
}

// Keeper leads keys through their life. It remembers nothing that it could
// not find out again: a second one, or one that was restarted, only waits
// longer.
type Keeper struct {
	options KeeperOptions
	// seen holds the keys that each zone had at the last look, by apex. Only
	// Tend uses it.
	seen map[string][]zone.Key

	mu    sync.Mutex // guards what follows
	rolls map[string]*roll
}

// roll is what is known of a zone whose keys are on their way.
type roll struct {
	keys   *zone.Key // tells one list of keys from another
	parent parentView
	looked time.Time
	again  time.Time
	waits  string
}

// NewKeeper makes a Keeper; Run starts it.
func NewKeeper(options KeeperOptions) (*Keeper, error) {
	if options.Zones == nil || options.Keys == nil || options.Recorder == nil {
		return nil, errors.New("cannot make the keeper of keys: Zones, Keys and Recorder are required")
	}
	if options.Unsigned == nil {
		options.Unsigned = func(*zone.Zone) bool { return false }
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	options.Timings = options.Timings.complete()
	return &Keeper{options: options, seen: map[string][]zone.Key{}, rolls: map[string]*roll{}}, nil
}

// Run does what is due until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		}
		state, position := k.options.Zones.Load()
		k.Tend(ctx, state)
		changed, cancel := context.WithTimeout(ctx, keeperPause)
		err := k.options.Zones.Wait(changed, position+1)
		late := changed.Err() != nil
		cancel()
		if err != nil && !late {
			return err // the view has ended
		}
		pause.Reset(sweepPause)
	}
}

// Tend does what is due now, for every zone. A failure is logged, and tried
// again the next time.
func (k *Keeper) Tend(ctx context.Context, state *zone.State) {
	k.clear(state)
	for z := range state.All() {
		if ctx.Err() != nil {
			return
		}
		if err := k.tend(ctx, z); err != nil && ctx.Err() == nil {
			k.options.Logger.Warn("cannot do what is due for a zone's keys; it will be tried again", "zone", text(z.Apex()), "error", err)
		}
	}
}

// clear destroys the private halves of keys that zones have lost since the last
// look, with a zone that was removed all of them. One that was lost while nobody
// looked stays, and does no harm.
func (k *Keeper) clear(state *zone.State) {
	for apex, before := range k.seen {
		z := state.Zone([]byte(apex))
		var now []zone.Key
		if z != nil {
			now = z.Keys()
		}
		for _, key := range before {
			if slices.ContainsFunc(now, func(other zone.Key) bool { return other.Tag == key.Tag }) {
				continue
			}
			if err := k.options.Keys.RemoveZoneKey([]byte(apex), key.Tag); err != nil {
				k.options.Logger.Warn("cannot destroy a private key that is not in use any more", "zone", text([]byte(apex)), "key", key.Tag, "error", err)
			}
		}
		delete(k.seen, apex)
		if z == nil {
			k.forget([]byte(apex))
		}
	}
	for z := range state.All() {
		if keys := z.Keys(); len(keys) > 0 {
			k.seen[string(z.Apex())] = keys
		}
	}
}

// settled says that a zone needs no look: one active key, nothing under way.
func settled(keys []zone.Key) bool {
	return len(keys) == 1 && keys[0].State == events.KeyActive
}

func (k *Keeper) tend(ctx context.Context, z *zone.Zone) error {
	keys := z.Keys()
	if stale(z, k.options.Now()) {
		if err := k.options.Recorder.Resign(ctx, z.Name(), Window(z.Apex(), k.options.Now())); err != nil {
			return err
		}
	}
	if settled(keys) && !z.Unsigned() {
		k.forget(z.Apex())
		return nil
	}
	if len(keys) == 0 {
		k.forget(z.Apex())
		if z.Unsigned() || k.options.Unsigned(z) {
			return nil
		}
		return k.introduceFirst(ctx, z)
	}
	now := k.options.Now()
	r := k.roll(z.Apex(), keys)
	if now.Before(r.again) {
		return nil
	}
	k.look(ctx, z, &r, now)
	next := k.options.Timings.plan(subject{z.Apex(), keys, z.Unsigned(), r.parent}, now)
	r.again, r.waits = next.again, next.waits
	k.remember(z.Apex(), r)
	return k.perform(ctx, z, next)
}

// stale says that secondaries hold signatures of an earlier window: the zone
// has not changed in this one. Those have 14 days left at least (limits.go).
func stale(z *zone.Zone, now time.Time) bool {
	if len(z.Secondaries()) == 0 || !slices.ContainsFunc(z.Keys(), func(key zone.Key) bool { return key.State == events.KeyActive }) {
		return false
	}
	return Window(z.Apex(), z.Changed()) < Window(z.Apex(), now)
}

func (k *Keeper) perform(ctx context.Context, z *zone.Zone, next due) error {
	name := z.Name()
	switch next.act {
	case rest, introduce:
		return nil
	case activate:
		return k.options.Recorder.ActivateKey(ctx, name, next.key.ID)
	case retire:
		return k.options.Recorder.RetireKey(ctx, name, next.key.ID, false)
	case unsign:
		return k.unsign(ctx, z)
	case remove:
		// First the record: a key that is published and cannot sign the key set
		// is worse than a file too many.
		if err := k.options.Recorder.RemoveKey(ctx, name, next.key.ID); err != nil {
			return err
		}
		return k.options.Keys.RemoveZoneKey(z.Apex(), next.key.Tag)
	}
	return nil
}

// unsign takes all keys out of a zone that nobody validates. Their private
// halves are destroyed at the next look.
func (k *Keeper) unsign(ctx context.Context, z *zone.Zone) error {
	for _, key := range z.Keys() {
		if key.State == events.KeyActive {
			if err := k.options.Recorder.RetireKey(ctx, z.Name(), key.ID, true); err != nil {
				return err
			}
		}
		if err := k.options.Recorder.RemoveKey(ctx, z.Name(), key.ID); err != nil {
			return err
		}
	}
	return nil
}

// look asks the parent, where that decides.
func (k *Keeper) look(ctx context.Context, z *zone.Zone, r *roll, now time.Time) {
	var published, active *zone.Key
	for _, candidate := range z.Keys() {
		switch candidate.State {
		case events.KeyActive:
			active = &candidate
		case events.KeyPublished:
			published = &candidate
		case events.KeyRetired:
		}
	}
	decides := active != nil && (published != nil || z.Unsigned())
	if !decides || k.options.Parent == nil || (!r.looked.IsZero() && now.Sub(r.looked) < k.options.Timings.ParentPause) {
		return
	}
	r.looked = now
	ds, ttl, err := k.options.Parent.DS(ctx, z.Apex())
	if err != nil {
		k.options.Logger.Info("cannot see the parent's DS records", "zone", text(z.Apex()), "error", err)
		r.parent = parentView{}
		return
	}
	follows := len(ds) == 0
	if !z.Unsigned() {
		follows = hasDS(ds, DS(z.Apex(), *published))
	}
	since := r.parent.since
	if !follows {
		since = time.Time{}
	} else if since.IsZero() {
		since = now
	}
	r.parent = parentView{known: true, ds: ds, ttl: max(ttl, r.parent.ttl), since: since}
}

// introduceFirst makes a zone's first key.
func (k *Keeper) introduceFirst(ctx context.Context, z *zone.Zone) error {
	made, err := k.NewKey(z)
	if err != nil {
		return err
	}
	err = k.options.Recorder.IntroduceKey(ctx, z.Name(), made)
	if err != nil && refused(err) {
		return errors.Join(err, k.options.Keys.RemoveZoneKey(z.Apex(), uint16(made.Tag)))
	}
	return err // where it is unclear whether it was recorded, the file stays
}

// NewKey makes the key that begins a roll-over; the caller introduces it.
func (k *Keeper) NewKey(z *zone.Zone) (NewKey, error) {
	if z.Unsigned() {
		return NewKey{}, problem.New(problem.Conflict, "cannot make a key for zone %s: it shall not be signed", z.Name()).WithHint("pantheon dns zone sign %s", z.Name())
	}
	var taken []uint16
	for _, key := range z.Keys() {
		if key.State != events.KeyActive {
			return NewKey{}, problem.New(problem.Conflict, "cannot roll the key of zone %s: key %d is %s, an earlier roll is under way", z.Name(), key.Tag, key.State).
				WithHint("pantheon dns key list %s says what it waits for; pantheon dns key remove %s %d gives it up", z.Name(), z.Name(), key.Tag)
		}
		taken = append(taken, key.Tag)
	}
	const flags = 257 // zone key and secure entry point (RFC 4034 §2.1.1)
	made, err := k.options.Keys.NewZoneKey(z.Apex(), flags, taken)
	if err != nil {
		return NewKey{}, err
	}
	return NewKey{
		ID: keyID(z.Apex(), made.Public), Role: events.CommonSigning, Algorithm: keyring.Algorithm, Tag: int(made.Tag),
		Public: base64.StdEncoding.EncodeToString(made.Public),
	}, nil
}

// refused says that a command was decided against, for certain.
func refused(err error) bool {
	switch problem.KindOf(err) {
	case problem.Invalid, problem.Denied, problem.NotFound, problem.Conflict, problem.Unsupported, problem.Exhausted:
		return true
	case problem.Internal, problem.Unauthenticated, problem.Busy, problem.Unavailable:
	}
	return false
}

// Waits says what the zone's keys are waiting for; empty for nothing.
func (k *Keeper) Waits(apex []byte) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r := k.rolls[string(apex)]; r != nil {
		return r.waits
	}
	return ""
}

func (k *Keeper) roll(apex []byte, keys []zone.Key) roll {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r := k.rolls[string(apex)]; r != nil && r.keys == &keys[0] {
		return *r
	}
	return roll{keys: &keys[0]}
}

func (k *Keeper) remember(apex []byte, r roll) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rolls[string(apex)] = &r
}

func (k *Keeper) forget(apex []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.rolls, string(apex))
}

// keyID derives a key's id from its public half.
func keyID(apex, public []byte) events.ZoneKeyID {
	sum := sha256.Sum256(append(append([]byte("zone key\x00"), apex...), public...))
	return events.ZoneKeyID(hex.EncodeToString(sum[:16]))
}
