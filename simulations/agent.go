package simulations

import (
	"fmt"
	"strings"
	"time"

	"pantheon/actors/binding"
	"pantheon/actors/drop"
	"pantheon/actors/environment"
	actorhost "pantheon/actors/host"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/agent/desired"
)

// agent is the twin of runtime/agent's loop on one machine. It forgets all of
// this when it ends; what it must not forget is on the machine's disk.
type agent struct {
	*host
	boot    int
	stopped bool
	ready   bool // the stream has been read, what runs is adopted
	desired desired.State
	read    events.Revision // of the host's stream, folded
	reading bool
	again   bool // the stream has grown while it was read
	entries map[events.DropID]*entry

	// The queue of objects to reconcile: "drop/<id>" or "binding/<id>".
	waiting  []string
	queued   map[string]bool
	busy     map[string]bool
	delayed  map[string]uint64 // the valid timer of a key
	timers   uint64
	failures map[string]int

	addressed int // counts how often it said where it is

	// The reporter: facts in order, one at a time.
	facts   []fact
	sending bool
	sent    uint64

	// The budget: memory of awake DROPs, and who waits for some.
	held  map[events.DropID]int64 // KiB
	sum   int64
	wants []*want
	// availableKiB is for them, counted while that holds.
	availableKiB int64
	counted      bool
}

type fact struct {
	to    events.StreamID
	event events.Event
	done  func(error) // nil where nobody waits
}

func (a *agent) stop() {
	a.stopped = true
	for _, id := range sortedKeys(a.entries) {
		a.entries[id].abandon()
	}
	a.trace.step(a.now, "agent down", string(a.id), "", int64(a.boot))
}

// soon runs something in the agent, unless it has ended by then.
func (a *agent) soon(delay time.Duration, run func()) {
	a.later(delay, func() {
		if !a.stopped {
			run()
		}
	})
}

// register says what the machine offers, as a start of the platform does, and
// reads the stream when that is known.
func (a *agent) register() {
	meta := events.Meta{Command: events.CommandID(fmt.Sprintf("%sagent:%s:%d:register", a.ids, a.id, a.boot)), Principal: a.id.Stream().String(), Gateway: "agent"}
	command := actorhost.Register(registered(a.id, a.names[a.port], a.memoryMiB))
	if a.registered.Host != "" {
		command = actorhost.Register(a.registered)
	}
	a.do(a.port, meta, a.id.Stream(), command, func(receipt events.Receipt, err error) {
		a.acknowledged(meta.Command, receipt, err)
		if a.stopped {
			return
		}
		if err != nil {
			a.soon(agentFirst, a.register)
			return
		}
		if a.registered.Host == "" {
			a.tellAddress(agentFirst)
			a.tellSoftware(agentFirst)
		}
		a.catchUp()
	})
}

// tellAddress says where the machine is reached.
func (a *agent) tellAddress(delay time.Duration) {
	a.addressed++
	meta := events.Meta{Command: events.CommandID(fmt.Sprintf("%sagent:%s:%d:address:%d", a.ids, a.id, a.boot, a.addressed)), Principal: a.id.Stream().String(), Gateway: "agent"}
	command := actorhost.ReportAddresses{Addresses: []string{addressOf(a.address, int(a.port))}}
	a.do(a.port, meta, a.id.Stream(), command, func(receipt events.Receipt, err error) {
		a.acknowledged(meta.Command, receipt, err)
		if err != nil {
			a.soon(delay, func() { a.tellAddress(min(2*delay, agentLast)) })
		}
	})
}

// tellSoftware says what is installed on the machine. One of a real log has said
// so there.
func (a *agent) tellSoftware(delay time.Duration) {
	a.addressed++
	meta := events.Meta{Command: events.CommandID(fmt.Sprintf("%sagent:%s:%d:software:%d", a.ids, a.id, a.boot, a.addressed)), Principal: a.id.Stream().String(), Gateway: "agent"}
	command := actorhost.ReportSoftware{Protocol: simulatedProtocol, PHP: simulatedPHP()}
	a.do(a.port, meta, a.id.Stream(), command, func(receipt events.Receipt, err error) {
		a.acknowledged(meta.Command, receipt, err)
		if err != nil {
			a.soon(delay, func() { a.tellSoftware(min(2*delay, agentLast)) })
		}
	})
}

// simulatedProtocol is that of all machines.
const simulatedProtocol = 1

// simulatedPHP are the versions that every machine has.
func simulatedPHP() []string { return []string{environment.DefaultSettings("dev").PHPVersion} }

// registered is what a machine says that it offers.
func registered(id events.HostID, name string, memoryMiB int) events.HostRegistered {
	return events.HostRegistered{Host: id, Name: name, MemoryMiB: memoryMiB, Cores: 8, Isolated: true, Version: "simulated"}
}

// addressOf gives the nth address that a machine has.
func addressOf(nth, port int) string {
	return fmt.Sprintf("10.%d.%d.%d", nth%256, port/256, port%256)
}

// hear is told that the stream has grown.
func (a *agent) hear() { a.soon(a.net.delay(logEndpoint, a.port), a.catchUp) }

// catchUp reads the stream to its end.
func (a *agent) catchUp() {
	if a.stopped {
		return
	}
	if a.reading {
		a.again = true
		return
	}
	a.reading, a.again = true, false
	began := a.now
	answered := false
	a.log.read(a.port, a.id.Stream(), a.read, 0, func(loaded actorsLoaded) {
		a.soon(0, func() {
			if !answered {
				answered = true
				a.loaded(loaded, began)
			}
		})
	})
	a.soon(readTimeout, func() {
		if !answered {
			answered = true
			a.reading = false
			a.fence = true // it does not know what it has to give up
			a.soon(followRetry, a.catchUp)
		}
	})
}

func (a *agent) loaded(loaded actorsLoaded, began time.Duration) {
	a.reading = false
	if loaded.Err != nil {
		a.soon(followRetry, a.catchUp)
		return
	}
	for _, envelope := range loaded.Envelopes {
		if envelope.Revision != a.read+1 {
			return // a late answer to an earlier question
		}
		a.read = envelope.Revision
		for n, event := range envelope.Events {
			a.take(event, n)
		}
		if a.ready {
			a.revision = envelope.Revision
		}
	}
	if !loaded.End {
		a.catchUp()
		return
	}
	if !a.ready {
		a.takeOver()
	}
	if a.fence && a.renewing && began >= a.renewed {
		a.fence = false
		a.trace.step(a.now, "lease renewed", string(a.id), "", 0)
	}
	if a.again {
		a.catchUp()
	}
}

// take folds one event of the stream and begins what it asks for. While the
// stream is read for the first time only orders that were not carried out
// before count.
func (a *agent) take(event events.Event, n int) {
	change := a.desired.Apply(event)
	a.counted = a.counted && change.Drop == "" && change.Binding == ""
	a.note(change)
	switch {
	case change.Binding != "" && a.ready:
		if spec, wanted := a.desired.Bindings[change.Binding]; wanted {
			a.markBinding(change.Binding, bindingMarker{spec: spec})
		}
		a.add("binding/" + string(change.Binding))
	case change.Binding != "" && a.read > a.revision:
		if spec, dismissed := a.desired.Dismissed[change.Binding]; dismissed {
			a.markBinding(change.Binding, bindingMarker{spec: spec})
		}
	case change.Drop != "" && a.ready:
		a.add("drop/" + string(change.Drop))
	case change.Order != nil && a.read > a.revision:
		order := *change.Order
		a.ledger.Ordered(a.id, a.read, n)
		a.soon(0, func() { a.carryOut(order) })
	}
}

// note keeps the entries in step with what is desired.
func (a *agent) note(change desired.Change) {
	if change.Drop == "" {
		return
	}
	spec, wanted := a.desired.Drops[change.Drop]
	e := a.entries[change.Drop]
	switch {
	case wanted && e == nil:
		a.entries[change.Drop] = a.newEntry(change.Drop, spec)
	case wanted:
		e.spec = spec
	case e != nil:
		e.dismissed = true
	}
}

func (a *agent) carryOut(order desired.Order) {
	e := a.entries[order.Drop]
	if e == nil || e.dismissed {
		return
	}
	a.trace.step(a.now, "order", string(order.Drop), "", 0)
	if !order.Wake {
		e.step(sleepOrdered("operator"))
		return
	}
	e.use(func(err error) {
		if err == nil {
			e.wakeOnce()
		}
	})
}

// takeOver compares the stream with the disk: what differs is queued, what
// runs is adopted, what nobody wants is ended.
func (a *agent) takeOver() {
	a.ready = true
	a.revision = max(a.revision, a.read)
	for _, id := range sortedKeys(a.drops) {
		if a.entries[id] == nil {
			e := a.newEntry(id, events.DropSpec{})
			e.dismissed = true
			a.entries[id] = e
		}
	}
	for _, id := range sortedKeys(a.entries) {
		a.takeOverDrop(a.entries[id])
	}
	for _, id := range sortedKeys(a.desired.Bindings) {
		a.add("binding/" + string(id))
	}
	for _, id := range sortedKeys(a.desired.Dismissed) {
		if _, marked := a.bindings[id]; marked {
			a.add("binding/" + string(id))
		} else {
			delete(a.desired.Dismissed, id) // an earlier run has carried it out
		}
	}
}

func (a *agent) takeOverDrop(e *entry) {
	if p := a.processes[e.id]; p != nil {
		e.adopt(p)
	}
	marker, marked := a.drops[e.id]
	if e.dismissed || !marked || !marker.reported || marker.generation != e.spec.Generation {
		a.add("drop/" + string(e.id))
	}
}

// add asks for an object to be reconciled; one that is being reconciled comes
// again afterwards.
func (a *agent) add(key string) {
	delete(a.delayed, key)
	if a.queued[key] {
		return
	}
	a.queued[key] = true
	if !a.busy[key] {
		a.waiting = append(a.waiting, key)
		a.soon(0, a.work)
	}
}

func (a *agent) addAfter(key string, delay time.Duration) {
	if a.queued[key] || a.delayed[key] != 0 {
		return
	}
	a.timers++
	timer := a.timers
	a.delayed[key] = timer
	a.soon(delay, func() {
		if a.delayed[key] == timer {
			a.add(key)
		}
	})
}

// work reconciles as many objects at once as the agent has workers.
func (a *agent) work() {
	for len(a.waiting) > 0 && len(a.busy) < agentWorkers {
		key := a.waiting[0]
		a.waiting = a.waiting[1:]
		delete(a.queued, key)
		a.busy[key] = true
		kind, id, _ := strings.Cut(key, "/")
		done := func(err error) { a.reconciled(key, err) }
		if kind == "drop" {
			a.reconcileDrop(events.DropID(id), done)
		} else {
			a.reconcileBinding(events.BindingID(id), done)
		}
	}
}

func (a *agent) reconciled(key string, err error) {
	if a.stopped {
		return
	}
	delete(a.busy, key)
	if a.queued[key] {
		a.waiting = append(a.waiting, key)
	}
	if err == nil {
		delete(a.failures, key)
	} else {
		first := agentFirst
		if problem.KindOf(err) == problem.Conflict { // the fact came early
			first = agentEarly
		}
		a.failures[key]++
		a.addAfter(key, min(first<<min(a.failures[key]-1, 10), agentLast))
	}
	a.soon(0, a.work)
}

// report queues a fact; done may be nil.
func (a *agent) report(to events.StreamID, event events.Event, done func(error)) {
	a.facts = append(a.facts, fact{to, event, done})
	a.sendNext()
}

func (a *agent) sendNext() {
	if a.sending || a.stopped || len(a.facts) == 0 {
		return
	}
	next := a.facts[0]
	a.facts = a.facts[1:]
	a.sending = true
	a.sent++
	meta := events.Meta{Command: events.CommandID(fmt.Sprintf("%sagent:%s:%d:%d", a.ids, a.id, a.boot, a.sent)), Principal: a.id.Stream().String(), Gateway: "agent"}
	if a.seams.Unreported && a.random.yes(0.2) {
		a.answered(next, nil)
		return
	}
	a.send(meta, next, agentFirst)
}

func (a *agent) send(meta events.Meta, f fact, delay time.Duration) {
	var command any = drop.Report{Host: a.id, Fact: f.event}
	if f.to.Kind == events.KindBinding {
		command = binding.Report{Host: a.id, Fact: f.event}
	}
	a.do(a.port, meta, f.to, command, func(receipt events.Receipt, err error) {
		a.acknowledged(meta.Command, receipt, err)
		a.soon(0, func() {
			if err != nil && retriable(problem.KindOf(err)) {
				a.soon(delay, func() { a.send(meta, f, min(2*delay, agentLast)) })
				return
			}
			a.answered(f, err)
		})
	})
}

func (a *agent) answered(f fact, err error) {
	a.sending = false
	if err != nil {
		a.trace.step(a.now, "fact refused", events.NameOf(f.event), f.to.ID, int64(problem.KindOf(err)))
	}
	if f.done != nil {
		f.done(err)
	}
	a.sendNext()
}

// reconcileBinding provides or removes a service.
func (a *agent) reconcileBinding(id events.BindingID, done func(error)) {
	spec, wanted := a.desired.Bindings[id]
	if wanted {
		a.provide(id, spec, done)
		return
	}
	if _, dismissed := a.desired.Dismissed[id]; !dismissed {
		done(nil)
		return
	}
	a.soon(a.takesIO(a.random.between(20*time.Millisecond, time.Second)), func() {
		a.report(id.Stream(), events.BindingRetired{Binding: id, Host: a.id}, func(err error) {
			if err == nil {
				delete(a.desired.Dismissed, id)
				delete(a.bindings, id)
			}
			done(err)
		})
	})
}

func (a *agent) provide(id events.BindingID, spec events.BindingSpec, done func(error)) {
	if a.bindings[id].reported {
		done(nil)
		return
	}
	a.markBinding(id, bindingMarker{spec: spec})
	duration := a.random.between(50*time.Millisecond, 3*time.Second)
	var event events.Event
	var failure error
	switch {
	case spec.Kind == events.CodeServer && strings.HasSuffix(spec.Source.Location, "missing"):
		event = events.BindingFailed{Binding: id, Host: a.id, Reason: "cannot import code: there is no such repository", Final: true}
	case a.full > 0 || a.random.yes(a.knobs.ProvideFails):
		failure = problem.New(problem.Unavailable, "the disk is full")
		event = events.BindingFailed{Binding: id, Host: a.id, Reason: failure.Error()}
	case spec.Kind == events.CodeServer:
		event = events.BindingProvisioned{Binding: id, Host: a.id, Code: codeOf(spec.Source)}
	default:
		event = events.BindingProvisioned{Binding: id, Host: a.id}
	}
	a.soon(a.takesIO(duration), func() {
		a.report(id.Stream(), event, func(err error) {
			if err == nil && failure == nil && a.full == 0 {
				a.markBinding(id, bindingMarker{spec: spec, reported: true})
			} else if err == nil && failure == nil {
				failure = errDiskFull
			}
			if err == nil {
				err = failure
			}
			done(err)
		})
	})
}
