package api

import (
	"context"
	"iter"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"pantheon/events"
)

// endlessLog always has one more commit.
type endlessLog struct{ Log }

func (endlessLog) Tail(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		for position := after + 1; ctx.Err() == nil; position++ {
			if !yield(events.Envelope{Position: position}, nil) {
				return
			}
		}
		yield(events.Envelope{}, ctx.Err())
	}
}

// stuckWriter is the connection of a client that has stopped reading.
type stuckWriter struct{ deadline time.Time }

func (w *stuckWriter) Header() http.Header { return http.Header{} }
func (w *stuckWriter) WriteHeader(int)     {}
func (w *stuckWriter) FlushError() error   { return nil }

func (w *stuckWriter) SetWriteDeadline(deadline time.Time) error {
	w.deadline = deadline
	return nil
}

func (w *stuckWriter) Write([]byte) (int, error) {
	<-time.After(time.Until(w.deadline))
	return 0, os.ErrDeadlineExceeded
}

// A follower that reads nothing is dropped after followerWriteTimeout, and
// leaves no goroutine behind (the bubble would not end).
func TestSlowFollowerIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{options: Options{Log: endlessLog{}}, closing: make(chan struct{})}
		start := time.Now()
		if err := s.stream(t.Context(), &stuckWriter{}, eventQuery{}, func(text []byte) []byte { return text }); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != followerWriteTimeout {
			t.Errorf("dropped after %s, want %s", took, followerWriteTimeout)
		}
	})
}
