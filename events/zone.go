package events

import "time"

// ZoneRole says what a zone is to the platform.
type ZoneRole string

// The roles of a zone.
const (
	// ZonePlatform is the domain of the platform's web names.
	ZonePlatform ZoneRole = "platform"
	// ZoneInternal holds the names of services and hosts; it answers only to
	// configured networks.
	ZoneInternal ZoneRole = "internal"
	// ZoneCustom is any other zone.
	ZoneCustom ZoneRole = "custom"
)

// Known says whether the role is one of the constants.
func (r ZoneRole) Known() bool {
	switch r {
	case ZonePlatform, ZoneInternal, ZoneCustom:
		return true
	}
	return false
}

// ZoneSettings is what the platform says in a zone by itself. A zero value
// leaves it to the platform's own zone, and there to the default.
type ZoneSettings struct {
	// Primary is the name in the SOA record (MNAME); default the first of
	// NameServers.
	Primary string `json:"primary,omitzero"`
	// Hostmaster is a mail address, user@domain (RNAME).
	Hostmaster string `json:"hostmaster,omitzero"`
	// NameServers are the NS records at the apex, as long as the operator has
	// added none.
	NameServers []NameServer `json:"name_servers,omitzero"`
	// Entry addresses are where visitors reach the cell; of the platform's zone.
	Entry []string `json:"entry,omitzero"`
	// CAA are rdata of CAA records at the apex (RFC 8659): 0 issue "ca.example".
	CAA []string `json:"caa,omitzero"`
	// Services become SRV records of the internal zone.
	Services []ServicePort `json:"services,omitzero"`
	// TTLSeconds of the names that follow placements and sites, and
	// NegativeTTLSeconds of answers that there is no such name (RFC 2308 §5).
	TTLSeconds         int64 `json:"ttl_seconds,omitzero"`
	NegativeTTLSeconds int64 `json:"negative_ttl_seconds,omitzero"`
	// RefreshSeconds, RetrySeconds and ExpireSeconds tell secondaries when to
	// ask (RFC 1035 §3.3.13).
	RefreshSeconds int64 `json:"refresh_seconds,omitzero"`
	RetrySeconds   int64 `json:"retry_seconds,omitzero"`
	ExpireSeconds  int64 `json:"expire_seconds,omitzero"`
}

// NameServer is one that the zone is delegated to. Addresses are published
// where its name lies in a zone of the cell.
type NameServer struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses,omitzero"`
}

// ServicePort says where a service listens on every host that has it.
type ServicePort struct {
	// Server is appserver or the kind of a binding.
	Server string `json:"server"`
	// Service is the name of RFC 6335 without the underscore: ssh, mysql.
	Service string `json:"service"`
	Port    int    `json:"port"`
}

// ZoneRecord is one resource record of class IN.
type ZoneRecord struct {
	Name string `json:"name"` // whole, lower case, no final dot
	Type string `json:"type"` // mnemonic
	TTL  int64  `json:"ttl"`  // seconds
	// Data is the rdata in presentation form; names in it are whole and end in
	// a dot.
	Data string `json:"data"`
}

// ZoneAdded makes the cell authoritative for a zone.
type ZoneAdded struct {
	Zone     ZoneName     `json:"zone"`
	Role     ZoneRole     `json:"role"`
	Settings ZoneSettings `json:"settings"`
}

// ZoneConfigured replaces the settings as a whole.
type ZoneConfigured struct {
	Zone     ZoneName     `json:"zone"`
	Settings ZoneSettings `json:"settings"`
}

// ZoneRemoved ends the cell's authority; the zone's records, keys, challenges
// and secondaries are gone.
type ZoneRemoved struct {
	Zone ZoneName `json:"zone"`
}

// RecordsAdded adds an operator's records. All of one name and type have one
// TTL (RFC 2181 §5.2).
type RecordsAdded struct {
	Zone    ZoneName     `json:"zone"`
	Records []ZoneRecord `json:"records"`
}

// RecordsRemoved removes an operator's records.
type RecordsRemoved struct {
	Zone    ZoneName     `json:"zone"`
	Records []ZoneRecord `json:"records"`
}

// ChallengePresented publishes the proof of control over a name (RFC 8555
// §8.4) as a TXT record at Name, which begins with "_acme-challenge.".
type ChallengePresented struct {
	Zone  ZoneName `json:"zone"`
	Name  string   `json:"name"`
	Value string   `json:"value"` // of the TXT record
	// Expires is when it is cleared even if nobody asks for it.
	Expires time.Time `json:"expires"`
}

// ChallengeCleared takes the proof back.
type ChallengeCleared struct {
	Zone  ZoneName `json:"zone"`
	Name  string   `json:"name"`
	Value string   `json:"value"`
	// Expired: nobody asked for it.
	Expired bool `json:"expired"`
}

// SecondaryAdded lets another server transfer the zone (RFC 5936).
type SecondaryAdded struct {
	Zone ZoneName `json:"zone"`
	// Address is an IP address, with a port where that is not 53.
	Address string `json:"address"`
	// TSIGKey names the key that its requests must be signed with (RFC 8945);
	// empty where the address is enough. The secret is not in the log.
	TSIGKey string `json:"tsig_key,omitzero"`
	// Notify: it is told of each change (RFC 1996).
	Notify bool `json:"notify"`
}

// SecondaryRemoved ends the right to transfer.
type SecondaryRemoved struct {
	Zone    ZoneName `json:"zone"`
	Address string   `json:"address"`
}

// ZoneKeyRole says what a key of a zone signs (RFC 6781 §3.1).
type ZoneKeyRole string

// The roles of a key.
const (
	KeySigning    ZoneKeyRole = "ksk" // the DNSKEY set; the parent's DS names it
	ZoneSigning   ZoneKeyRole = "zsk" // everything else
	CommonSigning ZoneKeyRole = "csk" // both
)

// Known says whether the role is one of the constants.
func (r ZoneKeyRole) Known() bool {
	switch r {
	case KeySigning, ZoneSigning, CommonSigning:
		return true
	}
	return false
}

// ZoneKeyState is where a key stands in its life.
type ZoneKeyState string

// The states of a key, in order.
const (
	KeyPublished ZoneKeyState = "published" // in the DNSKEY set, signs nothing yet
	KeyActive    ZoneKeyState = "active"    // signs
	KeyRetired   ZoneKeyState = "retired"   // in the DNSKEY set, signs no longer
)

// ZoneKeyIntroduced publishes a key in the DNSKEY set; it signs nothing yet.
// The private half is in the keys' folder, under the zone's name and the tag.
type ZoneKeyIntroduced struct {
	Zone      ZoneName    `json:"zone"`
	Key       ZoneKeyID   `json:"key"`
	Role      ZoneKeyRole `json:"role"`
	Algorithm int         `json:"algorithm"` // 13 is ECDSA P-256 with SHA-256 (RFC 6605)
	Tag       int         `json:"tag"`       // RFC 4034 appendix B
	Public    string      `json:"public"`    // base64, as in a DNSKEY record
	At        time.Time   `json:"at"`
}

// ZoneKeyActivated has the key sign from here on.
type ZoneKeyActivated struct {
	Zone ZoneName  `json:"zone"`
	Key  ZoneKeyID `json:"key"`
	At   time.Time `json:"at"`
}

// ZoneKeyRetired has the key sign no longer; it stays published as long as
// its signatures are in caches.
type ZoneKeyRetired struct {
	Zone ZoneName  `json:"zone"`
	Key  ZoneKeyID `json:"key"`
	At   time.Time `json:"at"`
}

// ZoneKeyRemoved takes the key out of the DNSKEY set.
type ZoneKeyRemoved struct {
	Zone ZoneName  `json:"zone"`
	Key  ZoneKeyID `json:"key"`
	At   time.Time `json:"at"`
}

// ZoneResigned gives a signed zone a new serial, so that secondaries fetch
// fresh signatures before those they have run out. Nothing else changes.
type ZoneResigned struct {
	Zone ZoneName  `json:"zone"`
	At   time.Time `json:"at"`
}

// ZoneSigningDecided is an operator's decision whether the zone shall be
// signed. Where it shall not, and is, the parent is told to take its DS records
// away (RFC 8078 §4), and the keys follow when nobody validates any more.
type ZoneSigningDecided struct {
	Zone   ZoneName  `json:"zone"`
	Signed bool      `json:"signed"`
	At     time.Time `json:"at"`
}

func (ZoneAdded) isEvent()          {}
func (ZoneConfigured) isEvent()     {}
func (ZoneRemoved) isEvent()        {}
func (RecordsAdded) isEvent()       {}
func (RecordsRemoved) isEvent()     {}
func (ChallengePresented) isEvent() {}
func (ChallengeCleared) isEvent()   {}
func (SecondaryAdded) isEvent()     {}
func (SecondaryRemoved) isEvent()   {}
func (ZoneKeyIntroduced) isEvent()  {}
func (ZoneKeyActivated) isEvent()   {}
func (ZoneKeyRetired) isEvent()     {}
func (ZoneKeyRemoved) isEvent()     {}
func (ZoneResigned) isEvent()       {}
func (ZoneSigningDecided) isEvent() {}
