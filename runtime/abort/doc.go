// Package abort ends exchanges whose visitor has left.
//
// Waiting for the end of a context makes it, and those it comes from, ready to
// be waited for: several allocations and locks, which a request that is
// answered at once never needs. Here nobody waits for a context before its
// exchange has lasted for [Period]; one [Watch] looks after all exchanges of a
// pool or connection.
//
// Things enter through [Watch.Begin]. State changes under the lock of the Watch:
//
//	listed ──still there at the second look──▶ bound to its context
//	   └───────────── End ─────────────┴──▶ over
//
// # Guaranteed
//
//   - What belongs to an exchange is closed at most once, and never after an End
//     that gave true.
//   - It is closed at once where the context ends after twice [Period], and by
//     then where it ends before.
//   - At rest there is no goroutine and no timer that runs.
package abort
