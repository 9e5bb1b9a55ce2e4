package actors

import (
	"crypto/rand"
	"fmt"
	"log/slog"

	"github.com/asynkron/protoactor-go/actor"

	"pantheon/events/problem"
)

// crash is a panic inside an actor. Its incident id is what the caller sees
// and what finds the log line.
type crash struct {
	resident *resident
	incident string
	fault    *Fault
}

func newCrash(r *resident, value any, stack []byte) *crash {
	fault, ok := value.(*Fault)
	if !ok {
		fault = &Fault{Stream: r.stream, What: "shell", Value: value, Stack: stack}
	}
	return &crash{r, rand.Text()[:10], fault}
}

func (c *crash) problem() error {
	return problem.New(problem.Internal, "internal error (incident %s) in %s", c.incident, c.resident.stream).WithHint("the platform's log tells more: search it for %s", c.incident)
}

// supervisor is the supervision table:
//
//	panic while             directive   effect
//	a command is decided    restart     that command is answered Internal; the
//	                                    entity reads the stream again; commands
//	                                    behind it go on
//	an event is folded, or  stop        everything under way is answered
//	anywhere else                       Internal; the next command finds a new
//	                                    actor, which reads the stream
//
// Other actors notice neither. There is no limit of restarts: each ends one
// command, and commands are bounded.
type supervisor struct{ system *System }

// HandleFailure is called by protoactor with what Receive panicked with, on
// the goroutine of the actor's mailbox, which is suspended.
func (v *supervisor) HandleFailure(_ *actor.ActorSystem, children actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, _ any) {
	crashed, ok := reason.(*crash)
	if !ok {
		v.system.options.Logger.Error("internal error in protoactor", slog.String("actor", child.GetId()), slog.Any("panic", reason))
		children.StopChildren(child)
		return
	}
	fault := crashed.fault
	v.system.options.Logger.Error("internal error: an actor panicked",
		slog.String("incident", crashed.incident), slog.String("stream", fault.Stream.String()),
		slog.String("at", fault.What), slog.Bool("deciding", fault.Deciding),
		slog.String("panic", fmt.Sprint(fault.Value)), slog.String("stack", string(fault.Stack)))
	if fault.Deciding {
		children.RestartChildren(child)
		return
	}
	v.system.abandon(crashed.resident, crashed.problem())
	children.StopChildren(child)
}
