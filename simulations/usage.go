package simulations

import (
	"math"
	"time"

	"pantheon/events"
	"pantheon/projections/inventory"
)

// usage estimates from a log how many requests its environments get. Requests
// are not in the log, but they wake DROPs, and their absence lets them sleep.
//
// Requests of a rate λ end a sleep after 1/λ on the mean. They keep a DROP
// awake that would sleep after T without one for (e^(λT)-1)/λ. Which of the two
// tells more depends on which the DROP did for longer. Of a DROP that never
// sleeps only a lower bound is known.
type usage struct {
	drops map[events.DropID]*dropUsage
}

type dropUsage struct {
	environment   events.EnvironmentID
	ready         bool
	awake         bool
	since         time.Time // of being asleep or awake
	asleep, up    time.Duration
	wakes, sleeps int // by requests, for want of them
}

func newUsage() *usage { return &usage{drops: map[events.DropID]*dropUsage{}} }

func (u *usage) apply(envelope events.Envelope) {
	if envelope.Stream.Kind != events.KindDrop {
		return
	}
	id, at := events.DropID(envelope.Stream.ID), envelope.Meta.Time
	d := u.drops[id]
	if d == nil {
		d = &dropUsage{}
		u.drops[id] = d
	}
	for _, event := range envelope.Events {
		switch e := event.(type) {
		case events.DropRequested:
			d.environment = e.Environment
		case events.DropReady:
			if !d.ready {
				d.ready, d.since = true, at
			}
		case events.DropAwoke:
			if d.change(at, true); e.Trigger != "operator" && e.Trigger != "restart" {
				d.wakes++
			}
		case events.DropSlept:
			if d.change(at, false); e.Trigger == "idle" {
				d.sleeps++
			}
		case events.DropCrashed:
			d.change(at, false)
		case events.DropDisplaced, events.DropRetired:
			d.change(at, false)
			d.ready = false
		}
	}
}

// change ends a time of being awake or asleep.
func (d *dropUsage) change(at time.Time, awake bool) {
	if d.ready && at.After(d.since) {
		if d.awake {
			d.up += at.Sub(d.since)
		} else {
			d.asleep += at.Sub(d.since)
		}
	}
	d.awake, d.since = awake, at
}

// perHour estimates the requests of an environment; false where the log tells
// nothing.
func (u *usage) perHour(env *inventory.Environment, end time.Time) (perHour float64, measured bool) {
	idle := time.Duration(env.Settings.IdleAfterSeconds) * time.Second
	for _, id := range env.Drops {
		d := u.drops[id]
		if d == nil || !d.ready {
			continue
		}
		d.change(end, d.awake)
		rate, known := d.rate(idle)
		perHour += rate * 3600
		measured = measured || known
	}
	return perHour, measured
}

// leastObserved is how long a DROP has to be watched to tell anything.
const leastObserved = 10 * time.Minute

// rate gives requests a second.
func (d *dropUsage) rate(idle time.Duration) (perSecond float64, known bool) {
	switch {
	case d.asleep+d.up < leastObserved:
		return 0, false
	case d.asleep >= d.up:
		return float64(d.wakes) / d.asleep.Seconds(), true
	case idle <= 0:
		return 0, false // it never sleeps, whoever comes
	}
	return stayingAwake(d.up.Seconds()/max(float64(d.sleeps), 0.5), idle.Seconds()), true
}

// stayingAwake gives the rate of requests at which a DROP that sleeps after
// idle seconds is awake for a mean time.
func stayingAwake(mean, idle float64) float64 {
	if mean <= idle {
		return 0
	}
	low, high := 0.0, 1.0/idle
	length := func(rate float64) float64 { return math.Expm1(rate*idle) / rate }
	for length(high) < mean && high < 1000 {
		low, high = high, 2*high
	}
	for range 60 {
		if middle := (low + high) / 2; middle > 0 && length(middle) < mean {
			low = middle
		} else {
			high = middle
		}
	}
	return (low + high) / 2
}
