package machine

import (
	"time"

	"pantheon/events"
)

// Phase is where a DROP's process stands.
type Phase uint8

// The phases.
//
//	Unprepared → Preparing → Asleep ⇄ Starting → Awake → Stopping → Asleep
//	                            ↑         ↓        │ crash: → Asleep
//	                            └───── Failed      │
const (
	Unprepared Phase = iota // nothing is there
	Preparing               // the first generation is being prepared
	Asleep                  // no process
	Starting                // php-fpm has been started and has not answered
	Awake                   // php-fpm answers
	Stopping                // php-fpm has been told to end
	Failed                  // the last start failed
)

var phaseNames = [...]string{"unprepared", "preparing", "asleep", "starting", "awake", "stopping", "failed"}

func (p Phase) String() string { return phaseNames[p] }

// State is all there is to know about a DROP's process. It is a value.
type State struct {
	Drop events.DropID
	Host events.HostID

	Phase Phase
	// Generation is the prepared one, Running that of the process.
	Generation, Running int
	IdleAfter           time.Duration // 0 is never

	Waiting     int // requests that wait for a start
	Serving     int // requests that were let through and are not done
	LastRequest time.Time

	Began   time.Time // of the start under way
	Trigger string    // of the start or stop under way
	// Then is the trigger of a stop that was wanted during a start.
	Then string

	Failures        int // starts failed in a row
	PrepareFailures int
	RetryAt         time.Time
	Reason          string // of the last failed start
}

// Input is something that happened to a DROP.
//
//sumtype:decl
type Input interface{ isInput() }

type (
	// PrepareBegan: a generation is being prepared.
	PrepareBegan struct{}
	// Prepared: from here on starts use this generation.
	Prepared struct {
		Generation int
		IdleAfter  time.Duration
	}
	// PrepareFailed: the generation before, if any, stays in use.
	PrepareFailed struct {
		Generation int
		Reason     string
	}
	// WakeRequested: somebody wants the process; one of Admit, Hold and Refuse
	// answers.
	WakeRequested struct{ Trigger string }
	// WaitAbandoned: one that was held gave up.
	WaitAbandoned struct{}
	// RequestDone: one that was let through has ended.
	RequestDone struct{}
	// Started: php-fpm has answered.
	Started struct{}
	// StartFailed: it has not, and is gone.
	StartFailed struct{ Reason string }
	// Exited: the process that was awake or stopping is gone.
	Exited struct{ Reason string }
	// IdleCheck: the time of a CheckIdle has come.
	IdleCheck struct{}
	// SleepOrdered: operator, update or shutdown want the process to end.
	SleepOrdered struct{ Trigger string }
	// Adopted: a process of an earlier agent runs.
	Adopted struct {
		Generation int
		IdleAfter  time.Duration
	}
)

func (PrepareBegan) isInput()  {}
func (Prepared) isInput()      {}
func (PrepareFailed) isInput() {}
func (WakeRequested) isInput() {}
func (WaitAbandoned) isInput() {}
func (RequestDone) isInput()   {}
func (Started) isInput()       {}
func (StartFailed) isInput()   {}
func (Exited) isInput()        {}
func (IdleCheck) isInput()     {}
func (SleepOrdered) isInput()  {}
func (Adopted) isInput()       {}

// Effect is something to do.
//
//sumtype:decl
type Effect interface{ isEffect() }

type (
	// Start starts php-fpm; Started or StartFailed answers.
	Start struct{}
	// Stop ends php-fpm; Exited answers.
	Stop struct{}
	// CheckIdle wants an IdleCheck at a time; it replaces the one before.
	CheckIdle struct{ At time.Time }
	// Admit lets the request through now.
	Admit struct{}
	// Hold lets the request wait for Started or StartFailed.
	Hold struct{}
	// Refuse turns the request away.
	Refuse struct {
		Reason     string
		RetryAfter time.Duration
	}
	// Dismiss turns away all that were held.
	Dismiss struct{ Reason string }
	// Report says a fact.
	Report struct{ Fact events.Event }
)

func (Start) isEffect()     {}
func (Stop) isEffect()      {}
func (CheckIdle) isEffect() {}
func (Admit) isEffect()     {}
func (Hold) isEffect()      {}
func (Refuse) isEffect()    {}
func (Dismiss) isEffect()   {}
func (Report) isEffect()    {}

// Step gives the state after an input at a time, and what is to be done. An
// input that means nothing in a phase changes nothing.
func Step(s State, in Input, now time.Time) (State, []Effect) {
	switch in := in.(type) {
	case PrepareBegan:
		if s.Phase == Unprepared {
			s.Phase = Preparing
		}
		return s, nil
	case Prepared:
		return s.prepared(in, now)
	case PrepareFailed:
		return s.prepareFailed(in)
	case WakeRequested:
		return s.wake(in, now)
	case WaitAbandoned:
		s.Waiting = max(s.Waiting-1, 0)
		return s, nil
	case RequestDone:
		s.Serving, s.LastRequest = max(s.Serving-1, 0), now
		return s, nil
	case Started:
		return s.started(now)
	case StartFailed:
		return s.startFailed(in, now)
	case Exited:
		return s.exited(in, now)
	case IdleCheck:
		return s.idleCheck(now)
	case SleepOrdered:
		return s.sleep(in.Trigger)
	case Adopted:
		return s.adopted(in, now)
	}
	return s, nil
}

func (s State) prepared(in Prepared, now time.Time) (State, []Effect) {
	s.Generation, s.IdleAfter, s.PrepareFailures = in.Generation, in.IdleAfter, 0
	effects := []Effect{Report{events.DropReady{Drop: s.Drop, Host: s.Host, Generation: in.Generation}}}
	switch s.Phase {
	case Unprepared, Preparing, Failed:
		s.Phase, s.Failures, s.RetryAt, s.Reason = Asleep, 0, time.Time{}, ""
	case Awake, Starting:
		if s.Running != in.Generation {
			var more []Effect
			s, more = s.sleep(triggerUpdate)
			return s, append(effects, more...)
		}
		effects = append(effects, s.checkIdle(now)...)
	case Asleep, Stopping:
	}
	return s, effects
}

func (s State) prepareFailed(in PrepareFailed) (State, []Effect) {
	if s.Phase == Preparing {
		s.Phase = Unprepared
	}
	s.PrepareFailures++
	return s, []Effect{Report{events.DropPrepareFailed{
		Drop: s.Drop, Host: s.Host, Generation: in.Generation, Reason: in.Reason,
		RetryAfterSeconds: seconds(backoff(s.PrepareFailures)),
	}}}
}

// admitted is the answer to most requests; who gets it does not change it.
var admitted = []Effect{Admit{}}

func (s State) wake(in WakeRequested, now time.Time) (State, []Effect) {
	switch s.Phase {
	case Unprepared, Preparing:
		return s, []Effect{Refuse{Reason: notPrepared, RetryAfter: FirstRetry}}
	case Awake:
		s.Serving++
		s.LastRequest = now
		return s, admitted
	case Failed:
		// An operator who asks has mended something, or wants to see it fail.
		if now.Before(s.RetryAt) && in.Trigger != triggerOperator {
			return s, []Effect{Refuse{s.Reason, s.RetryAt.Sub(now)}}
		}
		return s.start(in.Trigger, now, Hold{})
	case Asleep:
		return s.start(in.Trigger, now, Hold{})
	case Starting, Stopping:
		if s.Waiting >= MaxWaiting {
			return s, []Effect{Refuse{Reason: "too many requests wait for the DROP to start", RetryAfter: FirstRetry}}
		}
		s.Waiting++
		return s, []Effect{Hold{}}
	}
	return s, nil
}

func (s State) start(trigger string, now time.Time, answer ...Effect) (State, []Effect) {
	s.Phase, s.Began, s.Trigger, s.Running, s.Then = Starting, now, trigger, s.Generation, ""
	if len(answer) > 0 {
		s.Waiting++
	}
	return s, append([]Effect{Start{}}, answer...)
}

func (s State) started(now time.Time) (State, []Effect) {
	if s.Phase != Starting {
		return s, nil
	}
	s.Phase, s.Failures, s.RetryAt, s.Reason = Awake, 0, time.Time{}, ""
	s.Serving, s.Waiting, s.LastRequest = s.Serving+s.Waiting, 0, now
	effects := []Effect{Report{events.DropAwoke{
		Drop: s.Drop, Host: s.Host, Trigger: s.Trigger, DurationMS: now.Sub(s.Began).Milliseconds(),
	}}}
	if s.Then != "" {
		var more []Effect
		s, more = s.sleep(s.Then)
		return s, append(effects, more...)
	}
	return s, append(effects, s.checkIdle(now)...)
}

func (s State) startFailed(in StartFailed, now time.Time) (State, []Effect) {
	if s.Phase != Starting {
		return s, nil
	}
	s.Failures++
	delay := backoff(s.Failures)
	s.Phase, s.Waiting, s.Running, s.Reason, s.RetryAt, s.Then = Failed, 0, 0, in.Reason, now.Add(delay), ""
	return s, []Effect{Report{events.DropStartFailed{
		Drop: s.Drop, Host: s.Host, Reason: in.Reason, Attempt: s.Failures, RetryAfterSeconds: seconds(delay),
	}}}
}

func (s State) exited(in Exited, now time.Time) (State, []Effect) {
	var fact events.Event
	switch s.Phase {
	case Awake:
		fact = events.DropCrashed{Drop: s.Drop, Host: s.Host, Reason: in.Reason}
	case Stopping:
		fact = events.DropSlept{Drop: s.Drop, Host: s.Host, Trigger: s.Trigger, IdleSeconds: s.idleSeconds(now)}
	default:
		return s, nil
	}
	s.Phase, s.Running = Asleep, 0
	if s.Generation == 0 {
		s.Phase = Unprepared // it was adopted, and nothing has been prepared since
	}
	effects := []Effect{Report{fact}}
	switch {
	case s.Waiting == 0:
	case s.Phase == Unprepared:
		s.Waiting = 0
		effects = append(effects, Dismiss{notPrepared})
	default:
		var more []Effect
		s, more = s.start(triggerHTTP, now)
		effects = append(effects, more...)
	}
	return s, effects
}

func (s State) idleSeconds(now time.Time) int64 {
	if s.LastRequest.IsZero() {
		return 0
	}
	return int64(now.Sub(s.LastRequest) / time.Second)
}

func (s State) idleCheck(now time.Time) (State, []Effect) {
	if s.Phase != Awake || s.IdleAfter <= 0 {
		return s, nil
	}
	if s.Serving == 0 && now.Sub(s.LastRequest) >= s.IdleAfter {
		return s.sleep(triggerIdle)
	}
	return s, s.checkIdle(now)
}

// checkIdle asks for the next check: when the idle time would be over if
// nothing came, or after a whole one where requests are under way.
func (s State) checkIdle(now time.Time) []Effect {
	if s.Phase != Awake || s.IdleAfter <= 0 {
		return nil
	}
	if s.Serving > 0 {
		return []Effect{CheckIdle{now.Add(s.IdleAfter)}}
	}
	return []Effect{CheckIdle{s.LastRequest.Add(s.IdleAfter)}}
}

func (s State) sleep(trigger string) (State, []Effect) {
	switch s.Phase {
	case Awake:
		s.Phase, s.Trigger, s.Then = Stopping, trigger, ""
		return s, []Effect{Stop{}}
	case Starting:
		s.Then = trigger
	default:
	}
	return s, nil
}

func (s State) adopted(in Adopted, now time.Time) (State, []Effect) {
	if s.Phase != Unprepared && s.Phase != Asleep {
		return s, nil
	}
	s.Phase, s.Running, s.IdleAfter, s.LastRequest = Awake, in.Generation, in.IdleAfter, now
	return s, s.checkIdle(now)
}

const notPrepared = "it is not prepared yet"

// The triggers of facts.
const (
	triggerHTTP     = "http"
	triggerOperator = "operator"
	triggerIdle     = "idle"
	triggerUpdate   = "update"
)

// backoff gives the delay after a number of failures in a row.
func backoff(failures int) time.Duration {
	delay := FirstRetry
	for range failures - 1 {
		if delay *= 2; delay >= MaxRetry {
			return MaxRetry
		}
	}
	return delay
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
