package name

import "pantheon/events"

// Command is a wish addressed to one unique name. The set of types is closed.
//
//sumtype:decl
type Command interface{ isCommand() }

// Claim takes the name for a holder.
type Claim struct {
	Name events.NameID
	By   string // "<kind>/<id>" of the holder
}

// Release gives the name back.
type Release struct {
	Name events.NameID
	By   string
}

func (Claim) isCommand()   {}
func (Release) isCommand() {}
