// Package shell is the second level of a simulated cell: the same world, the
// same scenarios and the same checkers, around the real shell of the actors
// instead of its twin.
//
// # What is real here, beyond the first level
//
// actors.System with protoactor's mailboxes and dispatching, the directory with
// its bounds, passivation, supervision and the workers of the log;
// actors.Reactor with its catch-up, snapshots and back-off; projections.Runner
// with its published views. All of them run as many goroutines as in
// production. What stays modelled, and by the very code of the first level, is
// everything around them: network, log failures around the log in memory,
// machines and their agents, php-fpm, Styx' loop, visitors, operators.
//
// # Time, and where things enter
//
// Run has to be called in a bubble of testing/synctest: there time.Now and
// timers are virtual, and stand still while any goroutine can go on. The World
// keeps its one goroutine. A goroutine of the shell that wants something of the
// World (append, read, send a command to another node, answer) posts a function
// and waits; Level.Await takes them on the World's goroutine when the shell has
// come to rest. So the World has no lock, and the log sees one append at a time
// in an order that goroutines, not the seed, decide.
//
// # What is guaranteed
//
// The seed decides everything but the order of goroutines that run at one
// instant: a run cannot be repeated step by step. What came of it is compared
// with the first level by its Class.
package shell
