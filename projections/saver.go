package projections

import (
	"context"
	"errors"

	"pantheon/events"
)

// saver writes snapshots in the background, one at a time.
type saver struct {
	options Options
	folds   []fold
	saved   map[string]events.Position // of the newest snapshot of each view
	wanted  chan struct{}
	done    chan struct{}
}

func newSaver(options Options, folds []fold) *saver {
	s := &saver{
		options: options, folds: folds, saved: map[string]events.Position{},
		wanted: make(chan struct{}, 1), done: make(chan struct{}),
	}
	go s.loop()
	return s
}

func (s *saver) loop() {
	defer close(s.done)
	for range s.wanted {
		s.save(context.Background())
	}
}

// request asks for a round of snapshots; while one is written, the next one is
// only remembered.
func (s *saver) request() {
	select {
	case s.wanted <- struct{}{}:
	default:
	}
}

// close waits for the round under way and writes the last one.
func (s *saver) close() {
	close(s.wanted)
	<-s.done
	ctx, cancel := context.WithTimeout(context.Background(), saveTimeout)
	defer cancel()
	s.save(ctx)
}

func (s *saver) save(ctx context.Context) {
	if s.options.Store == nil {
		return
	}
	for _, f := range s.folds {
		position, err := f.save(ctx, s.options.Store, s.saved[f.name()])
		if err != nil && !errors.Is(err, context.Canceled) {
			s.options.Logger.Warn("cannot save a view: a restart replays more of the log", "view", f.name(), "error", err)
			continue
		}
		s.saved[f.name()] = position
	}
}
