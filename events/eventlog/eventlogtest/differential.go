package eventlogtest

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"pantheon/events"
	"pantheon/events/eventlog"
)

// Differential makes the same calls on a log and on a fresh twin and compares
// every answer. The log is used for the whole run: each case has streams of
// its own and reads behind what was there. Positions are compared by rank,
// because an adapter's may have gaps.
func Differential(t *testing.T, log eventlog.Log, twin func() eventlog.Log) {
	round := 0
	rapid.Check(t, func(r *rapid.T) {
		round++
		base, err := log.Head(t.Context())
		if err != nil {
			r.Fatal(err)
		}
		d := &duel{t: t, log: log, twin: twin(), base: base, round: round, ours: map[events.Position]events.Tip{}}
		r.Repeat(map[string]func(*rapid.T){
			"append": d.append,
			"stream": d.stream,
			"all":    d.all,
		})
	})
}

// duel is one case. Its tips are the twin's; ours maps a twin's position to
// the log's tip.
type duel struct {
	t         *testing.T
	log, twin eventlog.Log
	base      events.Position
	round     int
	tips      []events.Tip
	ours      map[events.Position]events.Tip
}

func (d *duel) name(r *rapid.T) events.StreamID {
	return Stream(d.round<<8 | rapid.IntRange(0, 3).Draw(r, "stream"))
}

// append decides on any tip ever seen, so most of them are old.
func (d *duel) append(r *rapid.T) {
	stream := d.name(r)
	var tip events.Tip
	if n := rapid.IntRange(0, len(d.tips)).Draw(r, "tip"); n > 0 {
		tip = d.tips[n-1]
	} else if rapid.Bool().Draw(r, "newest") {
		for envelope, err := range d.twin.Stream(d.t.Context(), stream, 0) {
			if err != nil {
				r.Fatal(err)
			}
			tip = envelope.Tip()
		}
	}
	commit := Commit(stream, rapid.StringMatching(`[a-zäß]{0,8}`).Draw(r, "text"))
	for range rapid.IntRange(0, 2).Draw(r, "more") {
		commit.Events = append(commit.Events, commit.Events[0])
	}
	want, wantErr := d.twin.Append(d.t.Context(), tip, commit)
	got, gotErr := d.log.Append(d.t.Context(), d.translate(tip), commit)
	if errors.Is(wantErr, eventlog.ErrConflict) != errors.Is(gotErr, eventlog.ErrConflict) || (wantErr == nil) != (gotErr == nil) {
		r.Fatalf("append of %s after %d: %v, the twin says %v", stream, tip.Revision, gotErr, wantErr)
	}
	if gotErr == nil {
		if got.Hash != want.Hash || got.Revision != want.Revision {
			r.Fatalf("append gave %v, the twin %v", got, want)
		}
		d.ours[want.Position] = got
		d.tips = append(d.tips, want)
	}
}

func (d *duel) translate(tip events.Tip) events.Tip {
	if tip.Position == 0 {
		return tip
	}
	return d.ours[tip.Position]
}

func (d *duel) stream(r *rapid.T) {
	stream := d.name(r)
	after := events.Revision(rapid.IntRange(0, 5).Draw(r, "after"))
	d.same(r, Collect(d.t, d.log.Stream(d.t.Context(), stream, after)), Collect(d.t, d.twin.Stream(d.t.Context(), stream, after)))
}

func (d *duel) all(r *rapid.T) {
	after, ourAfter := events.Position(0), d.base
	if n := rapid.IntRange(0, len(d.tips)).Draw(r, "tip"); n > 0 {
		after = d.tips[n-1].Position
		ourAfter = d.ours[after].Position
	}
	d.same(r, Collect(d.t, d.log.All(d.t.Context(), ourAfter)), Collect(d.t, d.twin.All(d.t.Context(), after)))
}

func (d *duel) same(r *rapid.T, got, want []events.Envelope) {
	for i := range want {
		want[i].Position = d.ours[want[i].Position].Position
	}
	if len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
		r.Fatalf("read\n%s\nthe twin says\n%s", fmt.Sprint(got), fmt.Sprint(want))
	}
}
