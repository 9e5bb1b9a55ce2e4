package inventory

import (
	"testing"

	"pantheon/events"
	"pantheon/events/eventlog/eventlogtest"
)

// BenchmarkApply folds the history of 5,000 sites in place.
func BenchmarkApply(b *testing.B) {
	var history []events.Envelope
	for commit := range eventlogtest.Fleet(5_000) {
		history = append(history, events.Envelope{Commit: commit, Position: events.Position(len(history) + 1)})
	}
	b.ReportAllocs()
	for b.Loop() {
		state := State{}.Edit()
		for _, envelope := range history {
			state = state.Apply(envelope)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(history)), "ns/event")
}
