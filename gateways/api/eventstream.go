package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"pantheon/events"
)

// stream writes the commits after q.after to one follower until it leaves, is
// too slow, or the server stops. The log's reader waits while the buffer is
// full, so a slow follower costs no memory, and followerWriteTimeout later it
// is gone.
func (s *Server) stream(ctx context.Context, w http.ResponseWriter, q eventQuery, open func([]byte) []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	out := follower{w, http.NewResponseController(w), open}
	w.Header().Set("Content-Type", "text/event-stream")
	commits := make(chan events.Envelope, followerBufferCommits)
	failed := make(chan error, 1)
	go func() {
		defer close(commits)
		failed <- s.feed(ctx, q, commits)
	}()
	defer func() {
		cancel()
		for range commits { // until the feed has ended
		}
	}()
	heartbeat := time.NewTicker(followerHeartbeat)
	defer heartbeat.Stop()
	err := out.write(": the log after position %d\n\n", q.after)
	for err == nil {
		select {
		case envelope, open := <-commits:
			if !open {
				return <-failed
			}
			err = out.writeCommit(envelope)
		case <-heartbeat.C:
			err = out.write(": still here\n\n")
		case <-s.closing:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
	return nil // the follower left or is too slow: nobody to tell
}

// feed passes on what the filter wants until ctx ends.
func (s *Server) feed(ctx context.Context, q eventQuery, commits chan<- events.Envelope) error {
	for envelope, err := range s.options.Log.Tail(ctx, q.after) {
		if ctx.Err() != nil || errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot follow the log: %w", err)
		}
		if !q.wants(envelope) {
			continue
		}
		select {
		case commits <- envelope:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

type follower struct {
	w       http.ResponseWriter
	control *http.ResponseController
	open    func([]byte) []byte // gives a JSON text with its sealed texts opened
}

func (f follower) writeCommit(envelope events.Envelope) error {
	text, err := json.Marshal(commitRecord(envelope))
	if err != nil {
		return err
	}
	return f.write("id: %d\nevent: commit\ndata: %s\n\n", envelope.Position, f.open(text))
}

func (f follower) write(format string, args ...any) error {
	_ = f.control.SetWriteDeadline(time.Now().Add(followerWriteTimeout))
	if _, err := fmt.Fprintf(f.w, format, args...); err != nil {
		return err
	}
	return f.control.Flush()
}
