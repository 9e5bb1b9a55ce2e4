// Package simulations runs a whole cell in virtual time: one goroutine, one
// seed, thousands of times faster than the clock on the wall.
//
// # What is real and what is modelled
//
// Real, the very code of production: the events and their codec, every
// actor's Decide and Evolve behind actors.Entity, the policies behind
// actors.Agenda, the views routing, zone and inventory, the DROP's state machine
// (runtime/drop/machine), the fold of a host's stream (runtime/agent/desired),
// Styx's choice and retries (gateways/styx/upstream), and the log's twin in
// memory.
//
// Modelled: the clock, the network, the log's failures, nodes of the control
// plane, machines with their agents, php-fpm, Styx's request loop, visitors
// and operators. The agent's loop is written again here (agent.go, drops.go),
// because production's lives among files, processes and goroutines; a machine
// that cannot renew its lease stops serving, which the agent of a cell of
// several machines has to do.
//
// A Level puts the real control plane in the place of the modelled one: package
// shell runs the same cells around actors.System, actors.Reactor and
// projections.Runner, in virtual time as well, but with their goroutines.
//
// # Where things enter, where state changes
//
// Run takes Options, draws every knob that they leave open from the seed
// (Knobs), and works off a heap of tasks ordered by virtual time. All that
// happens is a task: a message that arrives, a timer, a fault that begins or
// ends. Chance is split by subsystem, so that a further visitor does not
// change which host fails. The same Options give the same trace, whose running
// hash is in the Result; with Options.Repeat the first steps are run once more to
// see that.
//
// A cell of more than ThinSites sites is simulated with less (thin.go): its sites
// are there when it begins (founded.go), most visits are counted, and the zone is
// followed for some sites. Result.Thinned says so.
//
// With a Past (ReadPast) the cell does not begin empty: log, machines, what is
// prepared and awake on them and how much traffic there is come from the log of
// a real cell, which is only read. Such a run is made twice, as it would go on
// and with the scenario, and Answer compares them. What a real log asks for and
// this package does not model is not waited for: Answer.Open says what it was.
//
// A run has a safety phase, in which anything may fail and nothing may be
// wrong, and a liveness phase: everything is healed, and what was asked for
// must be there within LivenessBound. Package check watches, and only reads.
//
// # What is measured
//
//	go test -run xxx -bench NormalLoad -benchtime 3x ./simulations  simulated against real time
//	go test -run xxx -bench LargeCell -benchtime 1x ./simulations   a day of 1,000 hosts and 100,000 sites
//	go test -run xxx -bench Placement -benchtime 1x ./simulations   placing 100 DROPs a host, a lost rack: 250, 500, 1,000 hosts
//
// SIMULATION_HOSTS asks the last two for another number of hosts. Anybody runs
// the second with pantheon simulate --hosts 1000 --sites 100000 --days 1, with
// faults from the seed.
//
// # When a seed fails
//
// The violation names the rule (see package check), the position, the newest
// steps and the command that repeats the run; with --trace that command prints
// every step. A seed that found a bug goes to testdata/failed-seeds.txt (one that
// did so around the real shell to that of package shell) with its story, and the
// bug gets a test of its own where it was: what a seed draws changes with the
// model.
//
// # What is guaranteed
//
// Nothing here reads a clock, starts a goroutine or iterates a map where the
// order would reach the trace.
package simulations
