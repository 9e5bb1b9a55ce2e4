package site

import "pantheon/events"

// Phase is where a site is in its life.
type Phase uint8

// The phases, drawn in the package comment.
const (
	Nothing Phase = iota
	Creating
	Active
	Deleting
	Deleted
	Forgetting
	Forgotten
)

// State is what a site's stream says; the zero value is a site that never was.
type State struct {
	Phase   Phase
	Created events.SiteCreated
}
