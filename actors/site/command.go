package site

import "pantheon/events"

// Command is a wish addressed to one site. The set of types is closed.
//
//sumtype:decl
type Command interface{ isCommand() }

// Create begins the site.
type Create struct {
	Site      events.SiteID
	Name      string
	Label     string
	Owner     events.AccountID
	Upstream  events.UpstreamID
	Framework events.Framework
	Source    events.CodeSource
}

// Activate says that the site's first environment serves.
type Activate struct{}

// RequestDeletion begins the site's end.
type RequestDeletion struct{ Reason string }

// Delete ends the site; all that it held has been given back.
type Delete struct{}

// Forget asks for the end of all personal data and secrets of the deleted site.
type Forget struct{}

// ReportForgotten is the fact that the site's key is destroyed.
type ReportForgotten struct{}

func (Create) isCommand()          {}
func (Activate) isCommand()        {}
func (RequestDeletion) isCommand() {}
func (Delete) isCommand()          {}
func (Forget) isCommand()          {}
func (ReportForgotten) isCommand() {}
