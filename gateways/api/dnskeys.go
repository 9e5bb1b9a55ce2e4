package api

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	zones "pantheon/actors/zone"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/zone"
)

// ZoneKey is a key that signs a zone; its private half stays where it is.
type ZoneKey struct {
	ID         events.ZoneKeyID    `json:"id"`
	Tag        uint16              `json:"tag"`
	Role       events.ZoneKeyRole  `json:"role"`
	Algorithm  uint8               `json:"algorithm"`
	State      events.ZoneKeyState `json:"state"`
	Introduced time.Time           `json:"introduced,omitzero"`
	Activated  time.Time           `json:"activated,omitzero"`
	Retired    time.Time           `json:"retired,omitzero"`
	// Waits says what a roll-over under way waits for, and what to do.
	Waits string `json:"waits,omitzero"`
}

// DS is a record that the parent zone shall have.
type DS struct {
	Tag        uint16              `json:"tag"`
	Algorithm  uint8               `json:"algorithm"`
	DigestType uint8               `json:"digest_type"`
	Digest     string              `json:"digest"`
	State      events.ZoneKeyState `json:"state"` // of the key
	// Record is the whole line.
	Record string `json:"record"`
}

// TSIGKey is a key that transfers are authenticated with. The secret is in the
// answer to its making, and nowhere else.
type TSIGKey struct {
	Name      string `json:"name"`
	Algorithm string `json:"algorithm"`
	Secret    string `json:"secret,omitzero"` // base64
}

func listZoneKeys(c *call) (reply, error) {
	z, err := c.zone()
	if err != nil {
		return reply{}, err
	}
	return reply{body: c.keyRecords(z)}, nil
}

func (c *call) keyRecords(z *zone.Zone) []ZoneKey {
	keys := []ZoneKey{}
	for _, key := range z.Keys() {
		record := ZoneKey{
			ID: key.ID, Tag: key.Tag, Role: key.Role, Algorithm: key.Algorithm, State: key.State,
			Introduced: key.Introduced, Activated: key.Activated, Retired: key.Retired,
		}
		if (key.State != events.KeyActive || z.Unsigned()) && c.server.options.ZoneKeys != nil {
			record.Waits = c.server.options.ZoneKeys.Waits(z)
		}
		keys = append(keys, record)
	}
	return keys
}

func listDS(c *call) (reply, error) {
	z, err := c.zone()
	if err != nil {
		return reply{}, err
	}
	return reply{body: c.dsRecords(z)}, nil
}

// dsRecords are those of the keys that sign and will sign; a retired key's may
// be taken away, and all of a zone that shall not be signed.
func (c *call) dsRecords(z *zone.Zone) []DS {
	all := []DS{}
	for _, key := range z.Keys() {
		if c.server.options.ZoneKeys == nil || z.Unsigned() || key.State == events.KeyRetired || key.Role == events.ZoneSigning {
			continue
		}
		const head = 4 // octets before the digest (RFC 4034 §5.1)
		rdata := c.server.options.ZoneKeys.DS(z, key)
		ds := DS{Tag: key.Tag, Algorithm: key.Algorithm, DigestType: rdata[head-1], Digest: strings.ToUpper(hex.EncodeToString(rdata[head:])), State: key.State}
		ds.Record = fmt.Sprintf("%s IN DS %d %d %d %s", absolute(z.Apex()), ds.Tag, ds.Algorithm, ds.DigestType, ds.Digest)
		all = append(all, ds)
	}
	return all
}

// rollZoneKey begins a roll-over. The private half is made first and destroyed
// again if the zone does not take it.
func rollZoneKey(c *call) (reply, error) {
	z, err := c.zone()
	if err != nil {
		return reply{}, err
	}
	if err := c.introduceKey(z, ""); err != nil {
		return reply{}, err
	}
	if z, err = c.zone(); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusCreated, body: c.keyRecords(z)}, nil
}

func (c *call) introduceKey(z *zone.Zone, part string) error {
	keys := c.server.options.ZoneKeys
	if keys == nil {
		return noDNS()
	}
	command, err := keys.NewKey(z)
	if err != nil {
		return err
	}
	err = c.doZonePart(z.Name(), command, part)
	if now, lookErr := c.zone(); lookErr == nil && !slices.ContainsFunc(now.Keys(), func(k zone.Key) bool { return k.ID == command.Key }) {
		if problem.KindOf(err) != problem.Unavailable && problem.KindOf(err) != problem.Busy {
			if forgetErr := keys.Forget(z, command.Tag); forgetErr != nil {
				c.server.options.Logger.Warn("cannot remove a key that is not in use", "id", c.id, "zone", z.Name(), "error", forgetErr)
			}
		}
	}
	return err
}

// Signing says whether a zone shall be signed.
type Signing struct {
	Signed bool `json:"signed"`
	// Now ends the signing at once, whatever DS records the parent has.
	Now bool `json:"now,omitzero"`
}

// decideSigning: a zone that shall be signed gets its first key here, whatever
// the platform does with its like by itself. One that shall not be is signed
// until the parent has no DS any more, unless it is to end now.
func decideSigning(c *call) (reply, error) {
	z, err := c.zone()
	if err != nil {
		return reply{}, err
	}
	var signing Signing
	if err := c.decode(&signing); err != nil {
		return reply{}, err
	}
	now := c.server.options.Now().UTC()
	if err := c.doZone(z.Name(), zones.DecideSigning{Signed: signing.Signed, At: now}); err != nil {
		return reply{}, err
	}
	if z, err = c.zone(); err != nil {
		return reply{}, err
	}
	switch {
	case signing.Signed && len(z.Keys()) == 0:
		err = c.introduceKey(z, "/key")
	case !signing.Signed && signing.Now:
		err = c.removeKeys(z, now)
	}
	if err != nil {
		return reply{}, err
	}
	return c.zoneReply(http.StatusOK, z.Name())
}

// removeKeys leaves a zone unsigned; the keeper destroys the private halves.
func (c *call) removeKeys(z *zone.Zone, now time.Time) error {
	for _, key := range z.Keys() {
		if key.State == events.KeyActive {
			if err := c.doZonePart(z.Name(), zones.RetireKey{Key: key.ID, At: now, Unsigned: true}, partOf("retire "+string(key.ID))); err != nil {
				return err
			}
		}
		if err := c.doZonePart(z.Name(), zones.RemoveKey{Key: key.ID, At: now}, partOf("remove "+string(key.ID))); err != nil {
			return err
		}
	}
	return nil
}

// findKey gives the key of a zone that the path names, by id or tag.
func (c *call) findKey(z *zone.Zone) (zone.Key, error) {
	name := c.request.PathValue("key")
	i := slices.IndexFunc(z.Keys(), func(k zone.Key) bool { return string(k.ID) == name || fmt.Sprint(k.Tag) == name })
	if i < 0 {
		return zone.Key{}, problem.New(problem.NotFound, "cannot find key %.40q of zone %s", name, z.Name()).WithHint("pantheon dns key list %s", z.Name())
	}
	return z.Keys()[i], nil
}

// removeZoneKey gives a roll-over up, or ends the wait of a retired key.
func removeZoneKey(c *call) (reply, error) {
	z, err := c.zone()
	if err != nil {
		return reply{}, err
	}
	key, err := c.findKey(z)
	if err != nil {
		return reply{}, err
	}
	if key.State == events.KeyActive {
		return reply{}, problem.New(problem.Conflict, "cannot remove key %d: zone %s is signed with it", key.Tag, z.Name()).
			WithHint("pantheon dns key roll %s replaces it, pantheon dns zone unsign %s ends the signing", z.Name(), z.Name())
	}
	if err := c.doZone(z.Name(), zones.RemoveKey{Key: key.ID, At: c.server.options.Now().UTC()}); err != nil {
		return reply{}, err
	}
	if z, err = c.zone(); err != nil {
		return reply{}, err
	}
	return reply{body: c.keyRecords(z)}, nil
}

// activateZoneKey is the operator's word that the parent has the DS: nothing is
// waited for.
func activateZoneKey(c *call) (reply, error) {
	z, err := c.zone()
	if err != nil {
		return reply{}, err
	}
	chosen, err := c.findKey(z)
	if err != nil {
		return reply{}, err
	}
	now := c.server.options.Now().UTC()
	if err := c.doZone(z.Name(), zones.ActivateKey{Key: chosen.ID, At: now}); err != nil {
		return reply{}, err
	}
	for _, other := range z.Keys() {
		if other.ID == chosen.ID || other.Role != chosen.Role || other.State != events.KeyActive {
			continue
		}
		if err := c.doZonePart(z.Name(), zones.RetireKey{Key: other.ID, At: now}, partOf(string(other.ID))); err != nil {
			return reply{}, err
		}
	}
	if z, err = c.zone(); err != nil {
		return reply{}, err
	}
	return reply{body: c.keyRecords(z)}, nil
}

func listTSIG(c *call) (reply, error) {
	if c.server.options.TSIGKeys == nil {
		return reply{}, noDNS()
	}
	keys, err := page(c.request.URL.Query(), c.server.options.TSIGKeys.TSIGs(), func(k TSIGKey) string { return k.Name })
	return reply{body: keys}, err
}

func (c *call) findTSIG(name string) error {
	if c.server.options.TSIGKeys == nil {
		return noDNS()
	}
	if slices.ContainsFunc(c.server.options.TSIGKeys.TSIGs(), func(k TSIGKey) bool { return strings.TrimSuffix(k.Name, ".") == name }) {
		return nil
	}
	return problem.New(problem.NotFound, "cannot find TSIG key %.80q", name).WithHint("pantheon dns tsig create %s", name)
}

func createTSIG(c *call) (reply, error) {
	if c.server.options.TSIGKeys == nil {
		return reply{}, noDNS()
	}
	request := TSIGKey{Algorithm: "hmac-sha256"}
	if err := c.decode(&request); err != nil {
		return reply{}, err
	}
	if request.Secret != "" {
		return reply{}, problem.New(problem.Invalid, "cannot take a secret: the platform makes it, and shows it once")
	}
	key, err := c.server.options.TSIGKeys.NewTSIG(request.Name, request.Algorithm)
	return reply{status: http.StatusCreated, body: key}, err
}

// removeTSIG refuses while a secondary needs the key: it could not transfer any
// more.
func removeTSIG(c *call) (reply, error) {
	name := recordName(c.request.PathValue("tsig"))
	if err := c.findTSIG(name); err != nil {
		return reply{}, err
	}
	state, err := c.zoneState()
	if err != nil {
		return reply{}, err
	}
	for z := range state.All() {
		for _, s := range z.Secondaries() {
			if recordName(s.TSIGKey) == name {
				return reply{}, problem.New(problem.Conflict, "cannot remove TSIG key %s: secondary %s of zone %s signs with it", name, s.Address, z.Name()).
					WithHint("pantheon dns secondary remove %s %s", z.Name(), s.Address)
			}
		}
	}
	return reply{body: struct{}{}}, c.server.options.TSIGKeys.RemoveTSIG(name)
}
