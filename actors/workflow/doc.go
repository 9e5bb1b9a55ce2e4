// Package workflow decides about one workflow: a long operation with steps.
//
//	          Start             the last CompleteStep
//	(nothing) ─────▶ Forward ────────────────────────▶ Succeeded
//	                    │
//	                    │ FailStep           the last CompleteStep
//	                    └─────────▶ Back ───────────────────────▶ Failed
//
// A workflow whose way back is empty goes from Forward to Failed in one
// decision. The order of steps stands in events.WorkflowType (Stages,
// UndoStages, Undo), where the policy that carries them out reads it too.
// Commands enter through Decide; Evolve gives the state after an event. Both
// are pure.
//
// Invariants:
//
//  1. A step is done at most once, and only while it is open: all stages
//     before its own are done, and nothing has failed (on the way back: it is
//     in the Undo list).
//  2. A workflow succeeds exactly when all its steps are done.
//  3. Once a step has failed no step of the way forward is done any more; the
//     workflow fails, with that step's reason, exactly when all of the Undo
//     list is done.
//  4. Nothing follows Succeeded or Failed.
//
// A report about a step that is done, or was open when another failed, changes
// nothing.
package workflow
