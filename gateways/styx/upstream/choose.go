package upstream

import (
	"math/bits"
	"time"

	"pantheon/events"
	"pantheon/projections/routing"
)

// Target is one DROP that serves an environment, and the host that holds it,
// as the routing view gives it.
type Target = routing.Drop

// Load tells how many requests a DROP is answering.
type Load interface {
	Outstanding(drop events.DropID) int
}

// Attempts is which targets one request has tried. The zero value has tried
// none. It belongs to one slice of targets: a target is known by its index.
type Attempts struct {
	tried     [MaxTargets / 64]uint64
	unhealthy int
}

// Next picks the target of the next attempt and marks it as tried. It gives
// false where the rules allow no further attempt. random is 64 bits of chance.
func (a *Attempts) Next(targets []Target, memory *Memory, load Load, now time.Time, random uint64) (index int, ok bool) {
	targets = targets[:min(len(targets), MaxTargets)]
	healthy, unhealthy := a.sort(targets, memory, now)
	set := &healthy
	if healthy.len() == 0 {
		if unhealthy.len() == 0 || a.unhealthy == MaxUnhealthyTries {
			return 0, false
		}
		set = &unhealthy
		a.unhealthy++
	}
	index = set.draw(targets, load, random)
	a.tried[index/64] |= 1 << (index % 64)
	return index, true
}

// Left says whether Next would find a target.
func (a *Attempts) Left(targets []Target, memory *Memory, now time.Time) bool {
	healthy, unhealthy := a.sort(targets[:min(len(targets), MaxTargets)], memory, now)
	return healthy.len() > 0 || unhealthy.len() > 0 && a.unhealthy < MaxUnhealthyTries
}

// indexes is a set of indexes of targets.
type indexes [MaxTargets / 64]uint64

// sort divides the targets that were not tried yet.
func (a *Attempts) sort(targets []Target, memory *Memory, now time.Time) (healthy, unhealthy indexes) {
	for i := range targets {
		word, bit := i/64, uint64(1)<<(i%64)
		switch {
		case a.tried[word]&bit != 0:
		case memory.Healthy(targets[i].Drop, now):
			healthy[word] |= bit
		default:
			unhealthy[word] |= bit
		}
	}
	return healthy, unhealthy
}

func (s *indexes) len() int {
	n := 0
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

// at gives the n-th member, counted from 0.
func (s *indexes) at(n int) int {
	for w, word := range s {
		count := bits.OnesCount64(word)
		if n >= count {
			n -= count
			continue
		}
		for ; n > 0; n-- {
			word &= word - 1
		}
		return w*64 + bits.TrailingZeros64(word)
	}
	return 0
}

// draw takes two different members by chance and gives the one with fewer
// outstanding requests, the first drawn where they are equal.
func (s *indexes) draw(targets []Target, load Load, random uint64) int {
	n := uint64(s.len())
	if n == 1 {
		return s.at(0)
	}
	// A modulus of 32 random bits by at most 256 is uneven by less than 1e-7.
	i := (random & 0xffffffff) % n
	j := (i + 1 + (random>>32)%(n-1)) % n
	first, second := s.at(int(i)), s.at(int(j))
	if load.Outstanding(targets[second].Drop) < load.Outstanding(targets[first].Drop) {
		return second
	}
	return first
}
