// Package upstream is how Styx decides where a request goes, and whether it
// goes somewhere else after a failure. It is pure: time, chance and load come
// in as arguments, state is a value, so a simulator drives the same code as
// the gateway.
//
// Things enter in two places. [Attempts.Next] picks the next target of a
// request; [Memory.Failed] remembers that a target failed and gives a new
// Memory, the old one unchanged. [Retryable] is the rule whether a result may
// be followed by another attempt.
//
// Guaranteed:
//
//   - No target is tried twice in one Attempts.
//   - A target without a failure within UnhealthyFor is tried before any with
//     one; of those with one at most MaxUnhealthyTries are tried.
//   - Among equals the choice is the better of two drawn by chance
//     (fewer outstanding requests), so it is uniform where load is.
//   - A Memory never holds more than MaxRemembered failures; over that the
//     oldest of a shard is forgotten, which only means that its target is
//     tried as a healthy one.
package upstream
