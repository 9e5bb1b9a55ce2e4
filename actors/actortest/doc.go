// Package actortest tests the actors: scenarios as text, and properties that
// every decider has.
//
// A scenario is a txtar file. Its comment tells the story; its sections are
//
//	-- let --     name=value lines; $name stands for value everywhere below
//	-- given --   events that are in the stream already
//	-- when --    one command: <type> <JSON object>; absent fields are zero
//	-- then --    the events it gives, or "nothing", or "<kind>: <text>"
//
// in this order; when and then repeat, and what a command gives counts as given
// for those after it. Events are lines <name> <JSON object> as on the wire, at
// their newest version. Run with -update writes the then sections anew: read
// the difference before you commit it.
package actortest
