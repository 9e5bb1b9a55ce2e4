package simulations

import (
	"pantheon/events"
	"pantheon/runtime/drop/machine"
)

// want is a start that waits for memory.
type want struct {
	entry  *entry
	kib    int64
	victim *entry // put to sleep for it
	then   func(bool)
}

// reserve takes a DROP's memory before it starts: the twin of runtime/agent's
// budget. The longest idle DROP is put to sleep where there is not enough.
func (e *entry) reserve(spec events.DropSpec, then func(granted bool)) {
	w := &want{entry: e, kib: int64(spec.Settings.MemoryMiB) * 1024, then: then}
	e.wants = append(e.wants, w)
	e.serveWants()
	e.soon(machine.StartTimeout, func() {
		for i, other := range e.wants {
			if other == w {
				e.wants = append(e.wants[:i:i], e.wants[i+1:]...)
				then(false)
				return
			}
		}
	})
}

// serveWants grants what fits.
func (a *agent) serveWants() {
	var left []*want
	wants := a.wants
	a.wants = nil
	for _, w := range wants {
		if a.fits(w) {
			w.entry.hold(w.kib)
			w.then(true)
			continue
		}
		left = append(left, w)
		if w.victim == nil || w.victim.process == nil {
			w.victim = a.longestIdle()
			if w.victim != nil {
				victim := w.victim
				a.soon(0, func() { victim.step(sleepOrdered("memory")) })
			}
		}
	}
	a.wants = append(left, a.wants...)
}

func (a *agent) fits(w *want) bool {
	others := a.sum - a.held[w.entry.id]
	return others+w.kib <= a.available() || others == 0 || a.seams.Overcommit
}

// available is what the machine has for awake DROPs; it changes with what is
// desired only.
func (a *agent) available() int64 {
	if !a.counted {
		a.availableKiB, a.counted = a.desired.AvailableKiB(a.memoryMiB), true
	}
	return a.availableKiB
}

func (e *entry) hold(kib int64) {
	e.sum += kib - e.held[e.id]
	e.held[e.id] = kib
	e.peakKiB = max(e.peakKiB, e.sum)
}

func (e *entry) release() {
	e.sum -= e.held[e.id]
	delete(e.held, e.id)
	if len(e.wants) > 0 {
		e.soon(0, e.serveWants)
	}
}

// longestIdle gives the awake DROP without a request whose last one is the
// longest ago.
func (a *agent) longestIdle() *entry {
	var longest *entry
	for _, p := range a.processes {
		e := p.entry
		if e == nil || e.state.Phase != machine.Awake || e.state.Serving > 0 {
			continue
		}
		earlier := longest == nil || e.state.LastRequest.Before(longest.state.LastRequest) ||
			e.state.LastRequest.Equal(longest.state.LastRequest) && e.id < longest.id
		if earlier {
			longest = e
		}
	}
	return longest
}
