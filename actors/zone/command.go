package zone

import (
	"time"

	"pantheon/events"
)

// Command is a wish addressed to one zone. The set of types is closed.
//
//sumtype:decl
type Command interface{ isCommand() }

// Add makes the cell authoritative for a custom zone.
type Add struct {
	Zone     events.ZoneName
	Settings events.ZoneSettings
}

// Configure replaces the settings. A zone of the platform (by its role) begins
// with that.
type Configure struct {
	Zone     events.ZoneName
	Role     events.ZoneRole // read only where the zone begins
	Settings events.ZoneSettings
}

// Remove ends the cell's authority for a custom zone.
type Remove struct{}

// AddRecords adds records. Names are whole, with or without a final dot, in
// any case. A TTL of 0 is that of the other records of the name and type, or
// DefaultTTL. Text of a TXT record without quotes is one string.
type AddRecords struct{ Records []events.ZoneRecord }

// SetRecords replaces all records of one name and type by others; with no data
// it removes them.
type SetRecords struct {
	Name string
	Type string
	TTL  int64 // seconds; 0 as with AddRecords
	Data []string
}

// RemoveRecords removes records, whatever TTL is given; those that are not
// there are no error.
type RemoveRecords struct{ Records []events.ZoneRecord }

// PresentChallenge publishes a proof of control until it is cleared.
type PresentChallenge struct {
	Name    string // begins with "_acme-challenge."
	Value   string
	Expires time.Time
}

// ClearChallenge takes a proof back.
type ClearChallenge struct {
	Name    string
	Value   string
	Expired bool // its time is over
}

// AddSecondary lets another server transfer the zone, or replaces what was
// said of it.
type AddSecondary struct {
	Address string
	TSIGKey string
	Notify  bool
}

// RemoveSecondary ends that.
type RemoveSecondary struct{ Address string }

// IntroduceKey publishes the public half of a key.
type IntroduceKey struct {
	Key       events.ZoneKeyID
	Role      events.ZoneKeyRole
	Algorithm int
	Tag       int
	Public    string // base64
	At        time.Time
}

// ActivateKey has a published key sign.
type ActivateKey struct {
	Key events.ZoneKeyID
	At  time.Time
}

// RetireKey has an active key sign no longer.
type RetireKey struct {
	Key events.ZoneKeyID
	At  time.Time
	// Unsigned: the zone may be left without signatures.
	Unsigned bool
}

// RemoveKey takes a key out of the zone, one that was never active or is
// retired.
type RemoveKey struct {
	Key events.ZoneKeyID
	At  time.Time
}

// Resign raises the serial of a signed zone, once for each time At.
type Resign struct{ At time.Time }

// DecideSigning says whether the zone shall be signed. Where it shall not, no
// key is introduced any more, and its keys may go.
type DecideSigning struct {
	Signed bool
	At     time.Time
}

func (Add) isCommand()              {}
func (Configure) isCommand()        {}
func (Remove) isCommand()           {}
func (AddRecords) isCommand()       {}
func (SetRecords) isCommand()       {}
func (RemoveRecords) isCommand()    {}
func (PresentChallenge) isCommand() {}
func (ClearChallenge) isCommand()   {}
func (AddSecondary) isCommand()     {}
func (RemoveSecondary) isCommand()  {}
func (IntroduceKey) isCommand()     {}
func (ActivateKey) isCommand()      {}
func (RetireKey) isCommand()        {}
func (RemoveKey) isCommand()        {}
func (Resign) isCommand()           {}
func (DecideSigning) isCommand()    {}
