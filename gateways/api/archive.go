package api

import (
	"context"
	"net/http"
	"time"

	"pantheon/events"
	"pantheon/events/eventlog/archive"
	"pantheon/events/problem"
)

// exportLog answers with the log as an archive: all of it, or the part after a
// position where the commit with the given hash stands. Nobody waits for it:
// what is appended meanwhile is not in it.
func exportLog(c *call) (reply, error) {
	entries := c.server.options.Entries
	if entries == nil {
		return reply{}, problem.New(problem.Unsupported, "cannot export the log of this cell")
	}
	start, err := c.exportStart()
	if err != nil {
		return reply{}, err
	}
	select {
	case c.server.exports <- struct{}{}:
	default:
		return reply{}, problem.New(problem.Busy, "cannot export the log: %d exports are under way", maxExports)
	}
	return reply{stream: func(w http.ResponseWriter) error {
		defer func() { <-c.server.exports }()
		ctx, cancel := context.WithCancel(c.request.Context())
		defer cancel()
		go func() {
			select {
			case <-c.server.closing:
				cancel()
			case <-ctx.Done():
			}
		}()
		w.Header().Set("Content-Type", "application/vnd.pantheon.archive")
		var signed archive.Signed
		if auditor := c.server.options.Audit; auditor != nil {
			signed = auditor.Signed
		}
		_, err := archive.Write(ctx, exportWriter{w, http.NewResponseController(w)}, start, entries, signed)
		if ctx.Err() != nil {
			return nil // the client has left, or has to come again: it sees no trailer
		}
		return err
	}}, nil
}

// exportStart reads where to begin, and makes sure that it is a place of this
// log.
func (c *call) exportStart() (archive.Start, error) {
	query := c.request.URL.Query()
	after, err := numberOf[events.Position](query, "after")
	if err != nil {
		return archive.Start{}, err
	}
	start, err := archive.ParseStart(after, query.Get("hash"))
	if err != nil {
		return archive.Start{}, problem.Wrap(problem.Invalid, err, "cannot export the log after position %d", after)
	}
	return start, start.Check(c.request.Context(), c.server.options.Entries)
}

type exportWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (e exportWriter) Write(p []byte) (int, error) {
	_ = e.control.SetWriteDeadline(time.Now().Add(exportWriteTimeout))
	return e.w.Write(p)
}
