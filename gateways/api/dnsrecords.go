package api

import (
	"bytes"
	"fmt"
	"iter"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	zones "pantheon/actors/zone"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/zone"
)

// Record is one resource record of class IN.
type Record struct {
	Name string `json:"name"` // absolute
	Type string `json:"type"`
	TTL  int64  `json:"ttl"` // seconds
	Data string `json:"data"`
	// Origin is operator for what was added by hand, platform for what follows
	// from the platform's state.
	Origin string `json:"origin,omitzero"`
}

// RecordsChange adds records. Names are whole; without a final dot too.
type RecordsChange struct {
	Records []Record `json:"records"`
}

// Challenge is a proof of control over a name (RFC 8555 §8.4).
type Challenge struct {
	Zone events.ZoneName `json:"zone,omitzero"`
	// Name is the name that is proven, or that of the TXT record; it begins with
	// "_acme-challenge." in every answer.
	Name    string    `json:"name"`
	Value   string    `json:"value"`
	Expires time.Time `json:"expires,omitzero"` // default: in an hour
}

// listRecords gives the records of a zone in canonical order: those of one
// ?name=, ?type= or ?origin=.
func listRecords(c *call) (reply, error) {
	z, err := c.zone()
	if err != nil {
		return reply{}, err
	}
	query := c.request.URL.Query()
	name, rrtype, origin, start := recordName(query.Get("name")), strings.ToUpper(query.Get("type")), query.Get("origin"), query.Get("start")
	passed := start == ""
	records, err := collect(query, func(yield func(Record) bool) {
		for record := range recordsOf(z, name) {
			wanted := (rrtype == "" || record.Type == rrtype) && (origin == "" || record.Origin == origin)
			if wanted && passed && !yield(record) {
				return
			}
			passed = passed || record.ID() == start
		}
	})
	if err == nil && !passed {
		err = startIsGone()
	}
	return reply{body: records}, err
}

// Origins of records.
const (
	originOperator = "operator"
	originPlatform = "platform"
)

// recordsOf gives the records at a name, at all where it is empty: those that
// are answered, and those of the operator that something else hides.
func recordsOf(z *zone.Zone, name string) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for node := range nodesOf(z, name) {
			own := node.Own()
			for _, set := range node.RRsets() {
				for _, data := range set.Data {
					origin := originPlatform
					if contains(own, set.Type, data) {
						origin = originOperator
					}
					if !yield(recordOf(node, set, data, origin)) {
						return
					}
				}
			}
			for _, set := range own {
				for _, data := range set.Data {
					if contains(node.RRsets(), set.Type, data) {
						continue
					}
					if !yield(recordOf(node, set, data, originOperator)) {
						return
					}
				}
			}
		}
	}
}

// nodesOf gives the node of a name, every node where it is empty.
func nodesOf(z *zone.Zone, name string) iter.Seq[*zone.Node] {
	if name == "" {
		return z.Nodes()
	}
	return func(yield func(*zone.Node) bool) {
		wire, err := wireOf(name)
		if err != nil || !bytes.HasSuffix(wire, z.Apex()) || !strings.HasSuffix("."+name, "."+string(z.Name())) {
			return
		}
		if node := z.Lookup(wire).Node; node != nil && !node.Empty() {
			yield(node)
		}
	}
}

// wireOf gives a name as it is looked up.
func wireOf(name string) ([]byte, error) {
	var buffer [256]byte
	n, err := dns.PackDomainName(name+".", buffer[:], 0, nil, false)
	if err != nil {
		return nil, problem.New(problem.Invalid, "cannot use %.80q as a name", name)
	}
	return buffer[:n], nil
}

func contains(sets []*zone.RRset, rrtype uint16, data []byte) bool {
	return slices.ContainsFunc(sets, func(set *zone.RRset) bool {
		return set.Type == rrtype && slices.ContainsFunc(set.Data, func(other []byte) bool { return bytes.Equal(other, data) })
	})
}

// ID names the record in its zone, to go on from in a list.
func (r Record) ID() string { return r.Name + " " + r.Type + " " + r.Data }

// recordOf writes a record; rdata that its type's form does not fit, as the
// unknown type of RFC 3597.
func recordOf(node *zone.Node, set *zone.RRset, data []byte, origin string) Record {
	record := Record{Name: absolute(node.Name()), Type: typeText(set.Type), TTL: int64(set.TTL), Origin: origin}
	if rr, err := zone.RR(node.Name(), set.Type, set.TTL, data); err == nil {
		record.Data = strings.TrimPrefix(rr.String(), rr.Header().String())
	} else {
		record.Data = fmt.Sprintf("\\# %d %X", len(data), data)
	}
	return record
}

// recordName gives a name as events have it: lower case, no final dot.
func recordName(text string) string { return strings.TrimSuffix(strings.ToLower(text), ".") }

func zoneRecords(records []Record) []events.ZoneRecord {
	all := make([]events.ZoneRecord, len(records))
	for i, r := range records {
		all[i] = events.ZoneRecord{Name: recordName(r.Name), Type: strings.ToUpper(r.Type), TTL: r.TTL, Data: r.Data}
	}
	return all
}

func addRecords(c *call) (reply, error) {
	z, err := c.zone()
	if err != nil {
		return reply{}, err
	}
	var change RecordsChange
	if err := c.decode(&change); err != nil {
		return reply{}, err
	}
	if err := c.doZone(z.Name(), zones.AddRecords{Records: zoneRecords(change.Records)}); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusCreated, body: change}, nil
}

// removeRecords removes what an operator added at ?name=: all of ?type=, or the
// one with ?data=.
func removeRecords(c *call) (reply, error) {
	z, err := c.zone()
	if err != nil {
		return reply{}, err
	}
	query := c.request.URL.Query()
	name, rrtype, data := recordName(query.Get("name")), strings.ToUpper(query.Get("type")), query.Get("data")
	if name == "" || rrtype == "" {
		return reply{}, problem.New(problem.Invalid, "cannot tell which records to remove: name and type are needed")
	}
	var removed []Record
	for record := range recordsOf(z, name) {
		if record.Origin == originOperator && record.Type == rrtype && (data == "" || sameData(record, data)) {
			removed = append(removed, record)
		}
	}
	if len(removed) == 0 {
		return reply{}, problem.New(problem.NotFound, "cannot find such a record at %.80q that somebody added", name).
			WithHint("pantheon dns record list %s --name %s; what the platform says by itself follows its sites and hosts", z.Name(), name)
	}
	if err := c.doZone(z.Name(), zones.RemoveRecords{Records: zoneRecords(removed)}); err != nil {
		return reply{}, err
	}
	return reply{body: RecordsChange{Records: removed}}, nil
}

// sameData compares rdata by what it means: "10 MAIL.example.org." is 10
// mail.example.org.
func sameData(record Record, data string) bool {
	if record.Data == data {
		return true
	}
	given, err := dns.NewRR(record.Name + " 0 IN " + record.Type + " " + data)
	if err != nil || given == nil {
		return false
	}
	ours, err := dns.NewRR(record.Name + " 0 IN " + record.Type + " " + record.Data)
	return err == nil && dns.IsDuplicate(ours, given)
}

func addressText(rdata []byte) string {
	address, ok := netip.AddrFromSlice(rdata)
	if !ok {
		return "?"
	}
	return address.String()
}

const challengeLabel = "_acme-challenge."

// challengeZone finds the zone that a challenge's name lies in.
func (c *call) challengeZone(name string) (*zone.Zone, string, error) {
	state, err := c.zoneState()
	if err != nil {
		return nil, "", err
	}
	name = recordName(strings.TrimPrefix(name, "*."))
	if !strings.HasPrefix(name, challengeLabel) {
		name = challengeLabel + name
	}
	wire, err := wireOf(name)
	if err != nil {
		return nil, "", err
	}
	z := state.Find(wire)
	if z == nil {
		return nil, "", problem.New(problem.NotFound, "cannot prove control over %.80q: it lies in no zone of this cell", name).
			WithHint("pantheon dns zone list")
	}
	return z, name, nil
}

func listChallenges(c *call) (reply, error) {
	state, err := c.zoneState()
	if err != nil {
		return reply{}, err
	}
	all := []Challenge{}
	for z := range state.All() {
		for _, challenge := range z.Challenges() {
			all = append(all, Challenge{Zone: z.Name(), Name: challenge.Name, Value: challenge.Value, Expires: challenge.Expires})
		}
	}
	all, err = page(c.request.URL.Query(), all, Challenge.ID)
	return reply{body: all}, err
}

// ID names the challenge, to go on from in a list.
func (c Challenge) ID() string { return c.Name + " " + c.Value }

func presentChallenge(c *call) (reply, error) {
	var challenge Challenge
	if err := c.decode(&challenge); err != nil {
		return reply{}, err
	}
	z, name, err := c.challengeZone(challenge.Name)
	if err != nil {
		return reply{}, err
	}
	now := c.server.options.Now().UTC()
	if challenge.Expires.IsZero() {
		challenge.Expires = now.Add(challengeLifetime).Truncate(time.Second)
	}
	if !challenge.Expires.After(now) {
		return reply{}, problem.New(problem.Invalid, "cannot present a challenge whose time is over already")
	}
	challenge.Zone, challenge.Name, challenge.Expires = z.Name(), name, challenge.Expires.UTC()
	command := zones.PresentChallenge{Name: name, Value: challenge.Value, Expires: challenge.Expires}
	if err := c.doZone(z.Name(), command); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusCreated, body: challenge}, nil
}

// clearChallenge takes ?name= and ?value= back; without a value, all of the
// name.
func clearChallenge(c *call) (reply, error) {
	query := c.request.URL.Query()
	z, name, err := c.challengeZone(query.Get("name"))
	if err != nil {
		return reply{}, err
	}
	cleared := []Challenge{}
	for _, challenge := range z.Challenges() {
		if challenge.Name != name || (query.Get("value") != "" && query.Get("value") != challenge.Value) {
			continue
		}
		if err := c.doZonePart(z.Name(), zones.ClearChallenge{Name: name, Value: challenge.Value}, partOf(challenge.Value)); err != nil {
			return reply{}, err
		}
		cleared = append(cleared, Challenge{Zone: z.Name(), Name: name, Value: challenge.Value, Expires: challenge.Expires})
	}
	if len(cleared) == 0 {
		return reply{}, problem.New(problem.NotFound, "cannot find that challenge at %.80q", name).WithHint("pantheon dns challenge list")
	}
	return reply{body: cleared}, nil
}
