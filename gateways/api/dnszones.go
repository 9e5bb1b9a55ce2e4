package api

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/miekg/dns"

	zones "pantheon/actors/zone"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/zone"
)

// Zone is a zone's record.
type Zone struct {
	Name    events.ZoneName `json:"name"`
	Role    events.ZoneRole `json:"role"`
	Serial  uint32          `json:"serial"`
	Names   int             `json:"names"`
	Records int             `json:"records"` // without those of DNSSEC
	Signed  bool            `json:"signed"`
	// Unsigned: an operator wants it without DNSSEC. Both are true while the
	// parent has DS records still.
	Unsigned bool `json:"unsigned"`
	Internal bool `json:"internal"` // answers only to configured networks
	// Settings are those in force: the zone's own, and for what it has none,
	// the platform's.
	Settings events.ZoneSettings `json:"settings"`
	// Chosen are those that people have set here; a start of the platform
	// changes them only where one of its flags says so.
	Chosen      events.ZoneSettings `json:"chosen,omitzero"`
	Secondaries []ZoneSecondary     `json:"secondaries"`
}

// ZoneChange is what a zone is made from.
type ZoneChange struct {
	Name     events.ZoneName     `json:"name"`
	Settings events.ZoneSettings `json:"settings"`
}

// ZoneSecondary is another server that may transfer a zone.
type ZoneSecondary struct {
	Zone    events.ZoneName `json:"zone,omitzero"`
	Address string          `json:"address"`
	TSIGKey string          `json:"tsig_key,omitzero"`
	Notify  bool            `json:"notify"`
}

// ZoneDelegation is what a zone should look like from outside, for who
// compares it with what the world sees.
type ZoneDelegation struct {
	Name        string              `json:"name"` // absolute
	NameServers []string            `json:"name_servers"`
	Glue        map[string][]string `json:"glue"` // addresses of the servers inside the zone
	Serial      uint32              `json:"serial"`
	DS          []string            `json:"ds"`
	Tags        []uint16            `json:"tags"` // of every published key
}

func listZones(c *call) (reply, error) {
	state, err := c.zoneState()
	if err != nil {
		return reply{}, err
	}
	all := []Zone{}
	for z := range state.All() {
		all = append(all, zoneRecord(z))
	}
	all, err = page(c.request.URL.Query(), all, func(z Zone) string { return string(z.Name) })
	return reply{body: all}, err
}

func zoneRecord(z *zone.Zone) Zone {
	_, chosen := z.Own()
	record := Zone{
		Name: z.Name(), Role: z.Role(), Serial: z.Serial(), Names: z.Len(), Records: z.Records(), Signed: signed(z), Unsigned: z.Unsigned(),
		Internal: z.Internal(), Settings: z.Settings(), Chosen: chosen, Secondaries: []ZoneSecondary{},
	}
	for _, s := range z.Secondaries() {
		record.Secondaries = append(record.Secondaries, secondaryRecord(s))
	}
	return record
}

func secondaryRecord(s zone.Secondary) ZoneSecondary {
	return ZoneSecondary{Address: s.Address, TSIGKey: s.TSIGKey, Notify: s.Notify}
}

func signed(z *zone.Zone) bool {
	for _, key := range z.Keys() {
		if key.State == events.KeyActive {
			return true
		}
	}
	return false
}

func showZone(c *call) (reply, error) {
	z, err := c.zone()
	if err != nil {
		return reply{}, err
	}
	return reply{body: zoneRecord(z)}, nil
}

// showZoneText streams the zone as a master file.
func showZoneText(c *call) (reply, error) {
	z, err := c.zone()
	if err != nil {
		return reply{}, err
	}
	return reply{stream: func(w http.ResponseWriter) error {
		w.Header().Set("Content-Type", "text/dns; charset=utf-8") // RFC 4027
		return z.Text(w)
	}}, nil
}

func addZone(c *call) (reply, error) {
	var change ZoneChange
	if err := c.decode(&change); err != nil {
		return reply{}, err
	}
	name := zoneNameOf(string(change.Name))
	if err := c.doZone(name, zones.Add{Zone: name, Settings: change.Settings}); err != nil {
		return reply{}, err
	}
	return c.zoneReply(http.StatusCreated, name)
}

func configureZone(c *call) (reply, error) {
	z, err := c.zone()
	if err != nil {
		return reply{}, err
	}
	var settings events.ZoneSettings
	if err := c.decode(&settings); err != nil {
		return reply{}, err
	}
	if err := c.doZone(z.Name(), zones.Configure{Settings: settings}); err != nil {
		return reply{}, err
	}
	return c.zoneReply(http.StatusOK, z.Name())
}

// SettingsChange changes the settings that it names; an empty value gives one
// back to the platform.
type SettingsChange struct {
	Primary            *string               `json:"primary,omitzero"`
	Hostmaster         *string               `json:"hostmaster,omitzero"`
	NameServers        *[]events.NameServer  `json:"name_servers,omitzero"`
	Entry              *[]string             `json:"entry,omitzero"`
	CAA                *[]string             `json:"caa,omitzero"`
	Services           *[]events.ServicePort `json:"services,omitzero"`
	TTLSeconds         *int64                `json:"ttl_seconds,omitzero"`
	NegativeTTLSeconds *int64                `json:"negative_ttl_seconds,omitzero"`
	RefreshSeconds     *int64                `json:"refresh_seconds,omitzero"`
	RetrySeconds       *int64                `json:"retry_seconds,omitzero"`
	ExpireSeconds      *int64                `json:"expire_seconds,omitzero"`
}

// changed takes the new value where there is one.
func changed[T any](value T, change *T) T {
	if change != nil {
		return *change
	}
	return value
}

func (s SettingsChange) of(own events.ZoneSettings) events.ZoneSettings {
	return events.ZoneSettings{
		Primary: changed(own.Primary, s.Primary), Hostmaster: changed(own.Hostmaster, s.Hostmaster),
		NameServers: changed(own.NameServers, s.NameServers), Entry: changed(own.Entry, s.Entry),
		CAA: changed(own.CAA, s.CAA), Services: changed(own.Services, s.Services),
		TTLSeconds: changed(own.TTLSeconds, s.TTLSeconds), NegativeTTLSeconds: changed(own.NegativeTTLSeconds, s.NegativeTTLSeconds),
		RefreshSeconds: changed(own.RefreshSeconds, s.RefreshSeconds), RetrySeconds: changed(own.RetrySeconds, s.RetrySeconds),
		ExpireSeconds: changed(own.ExpireSeconds, s.ExpireSeconds),
	}
}

func changeZone(c *call) (reply, error) {
	z, err := c.zone()
	if err != nil {
		return reply{}, err
	}
	var change SettingsChange
	if err := c.decode(&change); err != nil {
		return reply{}, err
	}
	own, _ := z.Own()
	if err := c.doZone(z.Name(), zones.Configure{Settings: change.of(own)}); err != nil {
		return reply{}, err
	}
	return c.zoneReply(http.StatusOK, z.Name())
}

func (c *call) zoneReply(status int, name events.ZoneName) (reply, error) {
	state, err := c.zoneState()
	if err != nil {
		return reply{}, err
	}
	z := state.Named(name)
	if z == nil {
		return reply{}, problem.New(problem.Conflict, "cannot show zone %s: it was removed meanwhile", name)
	}
	return reply{status: status, body: zoneRecord(z)}, nil
}

func removeZone(c *call) (reply, error) {
	z, err := c.zone()
	if err != nil {
		return reply{}, err
	}
	return reply{body: struct{}{}}, c.doZone(z.Name(), zones.Remove{})
}

func listSecondaries(c *call) (reply, error) {
	z, err := c.zone()
	if err != nil {
		return reply{}, err
	}
	return reply{body: zoneRecord(z).Secondaries}, nil
}

// addSecondary wants the TSIG key to be there: a name that is misspelt would
// refuse every transfer later, far from who can see why.
func addSecondary(c *call) (reply, error) {
	z, err := c.zone()
	if err != nil {
		return reply{}, err
	}
	var s ZoneSecondary
	if err := c.decode(&s); err != nil {
		return reply{}, err
	}
	if s.TSIGKey != "" {
		s.TSIGKey = strings.TrimSuffix(strings.ToLower(s.TSIGKey), ".")
		if err := c.findTSIG(s.TSIGKey); err != nil {
			return reply{}, err
		}
	}
	if err := c.doZone(z.Name(), zones.AddSecondary{Address: s.Address, TSIGKey: s.TSIGKey, Notify: s.Notify}); err != nil {
		return reply{}, err
	}
	s.Zone = z.Name()
	return reply{status: http.StatusCreated, body: s}, nil
}

func removeSecondary(c *call) (reply, error) {
	z, err := c.zone()
	if err != nil {
		return reply{}, err
	}
	return reply{body: struct{}{}}, c.doZone(z.Name(), zones.RemoveSecondary{Address: c.request.PathValue("address")})
}

func showDelegation(c *call) (reply, error) {
	z, err := c.zone()
	if err != nil {
		return reply{}, err
	}
	d := ZoneDelegation{
		Name: absolute(z.Apex()), NameServers: []string{}, Glue: map[string][]string{}, Serial: z.Serial(), DS: []string{}, Tags: []uint16{},
	}
	apex := z.Lookup(z.Apex()).Node
	if set := apex.RRset(dns.TypeNS); set != nil {
		for _, server := range set.Data {
			name := absolute(server)
			d.NameServers = append(d.NameServers, name)
			if addresses := addressesOf(z, server); len(addresses) > 0 {
				d.Glue[name] = addresses
			}
		}
	}
	for _, key := range z.Keys() {
		d.Tags = append(d.Tags, key.Tag)
	}
	for _, ds := range c.dsRecords(z) {
		d.DS = append(d.DS, fmt.Sprintf("%d %d %d %s", ds.Tag, ds.Algorithm, ds.DigestType, ds.Digest))
	}
	return reply{body: d}, nil
}

// addressesOf gives the addresses of a name, if it lies in the zone.
func addressesOf(z *zone.Zone, name []byte) []string {
	if !strings.HasSuffix("."+absolute(name), "."+absolute(z.Apex())) {
		return nil
	}
	node := z.Lookup(name).Node
	if node == nil {
		return nil
	}
	var all []string
	for _, rrtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		if set := node.RRset(rrtype); set != nil {
			for _, address := range set.Data {
				all = append(all, addressText(address))
			}
		}
	}
	return all
}
