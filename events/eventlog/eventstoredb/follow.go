package eventstoredb

import (
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
)

// follow takes what other machines append, until the log is closed. A
// subscription that breaks is begun again behind the head.
func (l *Log) follow() {
	pause := retryFirst
	for l.ctx.Err() == nil {
		if l.subscribe() {
			pause = retryFirst
		}
		if _, _, err := l.state(); err != nil {
			break
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-l.ctx.Done():
		}
		timer.Stop()
		pause = min(2*pause, retryLast)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell() // whoever waits learns that it is over
}

// subscribe follows one subscription to its end, and says whether it had one.
func (l *Log) subscribe() (began bool) {
	head, _, err := l.state()
	if err != nil {
		return false
	}
	request := readRequest(l.stream, uint64(head)-1, false) // exclusive
	if head == 0 {
		request.GetStream().RevisionOption = &streams.ReadReq_Options_StreamOptions_Start{Start: &shared.Empty{}}
	}
	// Why it ended is no news: it is begun again, and whoever needs the server
	// learns from it.
	_ = l.server.subscribe(l.ctx, request, func(e event) bool {
		began = true
		entry, err := entryOf(e)
		if err == nil {
			err = l.advance(entry)
		}
		if err != nil {
			l.breakOff(err)
		}
		return err == nil
	})
	return began
}

// breakOff: nothing of this log is believed any more.
func (l *Log) breakOff(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken == nil {
		l.broken = err
	}
	l.tell()
}
