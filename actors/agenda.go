package actors

import (
	"cmp"
	"time"

	"pantheon/actors/policy"
	"pantheon/events"
	"pantheon/events/problem"
)

// Agenda is the core of a Reactor: what the policies want, what of it is on
// its way, and what is tried again and when. It has no clock, no I/O and no
// goroutine; it belongs to one goroutine. Envelopes enter through Apply and
// results through Settle; Next gives the intents to send now. Production
// carries them out with a System, the simulator as it likes.
//
// An intent that is on its way, settled or waiting to be tried again is not
// given twice. One whose command the fold has not seen yet counts as settled
// until the fold has reached the command's position.
type Agenda struct {
	state *policy.State
	at    events.Position

	// All by the intents' gap: one that was given a host is not given another
	// before it is known what came of the first.
	// inFlight and queued have how far the log was folded when the policies last
	// wanted it.
	inFlight map[string]events.Position
	queued   map[string]events.Position
	// settled holds the intents carried out whose events the fold has not seen
	// yet, by the position it has to reach.
	settled map[string]events.Position
	retries map[string]*retry
	next    time.Time // no retry is due before; zero where none waits
	// unclear holds placements that may have happened: the same is tried again.
	unclear map[string]policy.Intent
	queue   []policy.Intent
	// left are the sites of intents that did not fit the queue, in the order in
	// which they are planned again.
	left   []events.SiteID
	isLeft map[events.SiteID]bool
	// rebalance is when a DROP may be moved for the sake of balance, matrix how far
	// the log was when that was put off because of what happened to hosts; look is
	// when that is due, zero where nothing waits for it.
	pace      Pace
	rebalance time.Time
	matrix    events.Position
	look      time.Time
}

type retry struct {
	failures  int
	fruitless int // commands that were carried out and did not close the gap
	until     time.Time
	waiting   bool // until is ahead
	site      events.SiteID
}

// NewAgenda makes the agenda of policies that have folded the log up to at.
func NewAgenda(state *policy.State, at events.Position) *Agenda {
	return &Agenda{
		state:    state,
		at:       at,
		inFlight: map[string]events.Position{},
		queued:   map[string]events.Position{},
		settled:  map[string]events.Position{},
		retries:  map[string]*retry{},
		unclear:  map[string]policy.Intent{},
		isLeft:   map[events.SiteID]bool{},
		pace:     Pace{rebalanceCalm, rebalanceEvery},
	}
}

// Pace is how slowly DROPs are moved for the sake of balance.
type Pace struct {
	// Calm is how long hosts have to be as they are before any is; 1 min where zero.
	Calm time.Duration
	// Every so long at most one DROP of the cell is moved; 10 s where zero.
	Every time.Duration
}

// Rebalance sets the pace; before the first Next.
func (a *Agenda) Rebalance(pace Pace) {
	a.pace = Pace{cmp.Or(pace.Calm, rebalanceCalm), cmp.Or(pace.Every, rebalanceEvery)}
}

// State gives the policies' fold.
func (a *Agenda) State() *policy.State { return a.state }

// Position gives how far the log has been folded.
func (a *Agenda) Position() events.Position { return a.at }

// InFlight gives the number of intents that were given by Next and are not
// settled.
func (a *Agenda) InFlight() int { return len(a.inFlight) }

// Apply folds one commit. Envelopes come in log order, each once.
func (a *Agenda) Apply(envelope events.Envelope) {
	a.state.Apply(envelope)
	a.at = envelope.Position
	for key, at := range a.settled {
		if at <= a.at {
			delete(a.settled, key)
		}
	}
}

// Next gives the intents to send now, at most as many as may be in flight;
// Settle answers each.
func (a *Agenda) Next(now time.Time) []policy.Intent {
	a.plan(now)
	a.balance(now)
	for len(a.left) > 0 && len(a.queue) < maxIntentsQueued/2 {
		a.resume()
		a.plan(now)
	}
	var next []policy.Intent
	for len(a.queue) > 0 && len(a.inFlight) < maxIntentsInFlight {
		intent := a.queue[0]
		a.queue = a.queue[1:]
		if _, unclear := a.unclear[intent.Gap()]; !unclear {
			intent = a.state.ChooseAgain(intent)
		}
		a.inFlight[intent.Gap()] = a.queued[intent.Gap()]
		delete(a.queued, intent.Gap())
		next = append(next, intent)
	}
	return next
}

func (a *Agenda) plan(now time.Time) {
	for _, intent := range a.state.Plan() {
		a.want(intent, now)
	}
}

// balance has one DROP moved where that is due: slowly, and not before hosts have
// been as they are for a while.
func (a *Agenda) balance(now time.Time) {
	if at := a.state.MatrixAt(); at != a.matrix {
		a.matrix, a.rebalance = at, now.Add(a.pace.Calm)
	}
	if a.state.Unbalanced() && !now.Before(a.rebalance) {
		a.rebalance = now.Add(a.pace.Every)
		if intent, found := a.state.Rebalance(); found {
			a.want(intent, now)
		}
	}
	if a.look = a.rebalance; !a.state.Unbalanced() {
		a.look = time.Time{}
	}
}

// resume has some of the sites planned that were left for want of room.
func (a *Agenda) resume() {
	n := min(len(a.left), maxIntentsQueued/2)
	for _, id := range a.left[:n] {
		delete(a.isLeft, id)
		a.state.Again(id)
	}
	a.left = a.left[n:]
}

// want queues an intent. One that is on its way, settled, or waiting to be
// tried again is not queued twice; one that does not fit the queue is planned
// again with its site when there is room, or, where it has none, after a delay.
func (a *Agenda) want(intent policy.Intent, now time.Time) {
	if same, unclear := a.unclear[intent.Gap()]; unclear {
		intent = same
	}
	for _, waiting := range []map[string]events.Position{a.inFlight, a.queued} {
		if _, waits := waiting[intent.Gap()]; waits {
			waiting[intent.Gap()] = a.at
			return
		}
	}
	_, settled := a.settled[intent.Gap()]
	if earlier := a.retries[intent.Gap()]; settled || earlier != nil && earlier.waiting {
		return
	}
	if len(a.queue) >= maxIntentsQueued {
		switch {
		case intent.Site == "":
			a.backOff(intent, now)
		case !a.isLeft[intent.Site]:
			a.isLeft[intent.Site] = true
			a.left = append(a.left, intent.Site)
		}
		return
	}
	a.queued[intent.Gap()] = a.at
	a.queue = append(a.queue, intent)
}

// MetaOf gives what an intent's command is sent with.
func MetaOf(intent policy.Intent) events.Meta {
	return events.Meta{
		Command:   events.CommandID("policy:" + intent.Gap()),
		Principal: "policy/" + intent.Policy,
		Gateway:   "policy",
		Cause:     intent.Cause,
	}
}

// Settle learns how an intent ended and says whether it failed in a way that
// makes it be tried again.
func (a *Agenda) Settle(intent policy.Intent, receipt events.Receipt, err error, now time.Time) (failed bool) {
	wanted := a.inFlight[intent.Gap()]
	delete(a.inFlight, intent.Gap())
	delete(a.unclear, intent.Gap())
	switch kind := problem.KindOf(err); {
	case err == nil && receipt.Tip.Position > a.at:
		a.settled[intent.Gap()] = receipt.Tip.Position
		delete(a.retries, intent.Gap())
	case err == nil && receipt.Tip.Position > wanted:
		// The log told of it before the answer came. It is looked at once more,
		// because the command may have done nothing and others much.
		delete(a.retries, intent.Gap())
		a.state.Again(intent.Site)
	case err == nil:
		// The gap was there when the fold had all that this command did: it did
		// nothing to close it. Not at full speed, then, and a workflow does not
		// wait for it for ever. Refusals for want of room are not counted: after
		// many of them the first success is one.
		a.backOff(intent, now)
		again := a.retries[intent.Gap()]
		if again.fruitless++; intent.Step != "" && again.fruitless > maxFruitless {
			failure, _ := policy.Failed(intent, "its command has no effect")
			a.want(failure, now)
		}
	case kind == problem.Exhausted && intent.Placement != "":
		a.state.Refuse(intent, err.Error())
		return true
	case final(kind) && intent.Step != "":
		failure, _ := policy.Failed(intent, err.Error())
		a.want(failure, now)
	default:
		if intent.Placement != "" && !final(kind) {
			a.unclear[intent.Gap()] = intent
		}
		a.backOff(intent, now)
		return true
	}
	return false
}

// final says whether trying the same command again cannot help.
func final(kind problem.Kind) bool {
	switch kind {
	case problem.Invalid, problem.Denied, problem.NotFound, problem.Conflict, problem.Unsupported, problem.Unauthenticated, problem.Exhausted:
		return true
	case problem.Busy, problem.Unavailable, problem.Internal:
	}
	return false
}

func (a *Agenda) backOff(intent policy.Intent, now time.Time) {
	again := a.retries[intent.Gap()]
	if again == nil {
		again = &retry{site: intent.Site}
		a.retries[intent.Gap()] = again
	}
	delay := min(retryFirst<<min(again.failures, 16), retryLast)
	again.failures++
	again.until, again.waiting = now.Add(delay), true
	if a.next.IsZero() || again.until.Before(a.next) {
		a.next = again.until
	}
}

// Wake lets the sites of the intents whose delay is over be planned again, and
// forgets what has not been wanted for long.
func (a *Agenda) Wake(now time.Time) {
	a.next = time.Time{}
	if !now.Before(a.look) {
		a.look = time.Time{}
	}
	for key, again := range a.retries {
		switch {
		case again.waiting && !now.Before(again.until):
			again.waiting = false
			a.state.Again(again.site)
		case !again.waiting && now.Sub(again.until) > 2*retryLast:
			delete(a.retries, key)
			delete(a.unclear, key)
		case again.waiting && (a.next.IsZero() || again.until.Before(a.next)):
			a.next = again.until
		}
	}
}

// NextWake gives the time before which neither Wake has anything to plan again nor
// Next a DROP to move; false where nothing waits.
func (a *Agenda) NextWake() (at time.Time, any bool) {
	if at = a.next; at.IsZero() || !a.look.IsZero() && a.look.Before(at) {
		at = a.look
	}
	return at, !at.IsZero()
}
