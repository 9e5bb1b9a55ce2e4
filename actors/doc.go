// Package actors runs the actors of a cell: it takes commands, has the pure
// deciders in its sub-packages decide, and writes what they decide to the log.
//
// # Where things enter, where state changes
//
// A command enters through (*System).Do. The directory finds the live actor of
// its stream or spawns one, and posts the command to its mailbox. The actor
// hands it to its Entity, which is the pure core: inputs in, effects out, no
// clock, no I/O, no goroutine. The shell performs the effects: appends and
// loads run in a bounded set of workers which post the result back, answers go
// to who waits in Do. Nothing waits inside a receive.
//
// State changes in one place, Entity.fold: by events that are in the log.
//
//	Do ─▶ directory ─▶ mailbox ─▶ Entity.Step ─▶ effects ┬▶ answer ─▶ Do
//	                      ▲                              └▶ worker: append, load ─┐
//	                      └───────────────────────────────────────────────────────┘
//
// # What is guaranteed
//
//   - A command answered without error is in the log. The same command id
//     again has no second effect, also after a restart, as long as no more than
//     RecentCommands commits of its stream lie between.
//   - Two Systems on one log are harmless: an append is refused when the stream
//     has moved on, and then the actor reads and decides again. An answer that
//     writes nothing (a refusal, a wish that is fulfilled already) is given
//     only by a state that was the stream's end at some moment after the command
//     had come in.
//   - Every command is answered: at the latest Busy when a bound is reached,
//     Unavailable when the log fails, Internal when a decider panics.
//   - What one actor does never changes another.
//
// # Passivation
//
// An actor lives as long as a command is under way and for a while after. At
// most Options.ResidentActors live; the longest idle makes room. Its state is
// in the log, so nothing has to be saved.
//
// # protoactor
//
// github.com/asynkron/protoactor-go gives mailboxes, dispatching and
// supervision, and is touched in shell.go and supervisor.go only. Of it we use
// neither futures (a data race, its issue 1145: answers go through a channel
// of our own), nor persistence, passivation, cluster and remote; its bounded
// mailbox would block the sender, so the directory counts what waits for an
// actor and answers Busy before the mailbox sees it.
package actors
