package mux

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
)

// calm asks until who waits does so at a bell.
func calm(t *testing.T, p *pair) {
	t.Helper()
	for p.near.calm.Load() < 2*calmStreams || p.far.calm.Load() < 2*calmStreams {
		ask(t, p.near, []byte("head"), []byte("body"))
		for p.near.Streams()+p.far.Streams() > 0 { // the handler's end has gone out before its place is free
			runtime.Gosched()
		}
	}
	if !p.near.quiet() || !p.far.quiet() {
		t.Fatal("one stream after the other is not quiet")
	}
}

// atBell waits until somebody waits at the stream's bell.
func atBell(st *Stream) {
	for {
		st.mu.Lock()
		waits := st.bell != nil
		st.mu.Unlock()
		if waits {
			return
		}
		runtime.Gosched()
	}
}

func TestCalmLine(t *testing.T) {
	p := connect(t, echo)
	calm(t, p)
	for _, body := range []string{"", "a", strings.Repeat("x", 3*MaxDataBytes), strings.Repeat("y", WindowBytes)} {
		if head, got := ask(t, p.near, []byte("head"), []byte(body)); head != "head" || got != body {
			t.Errorf("%q, %d bytes for %d", head, len(got), len(body))
		}
	}
	p.far.bells.mu.Lock()
	resting := len(p.far.bells.idle)
	p.far.bells.mu.Unlock()
	if resting > maxKeptBells {
		t.Errorf("%d workers rest at bells", resting)
	}
}

func TestStreamsBesideOneAnotherAreNotQuiet(t *testing.T) {
	p := connect(t, echo)
	calm(t, p)
	one, err := p.near.Open([]byte("one"), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	if head, err := one.ReadHead(); string(head) != "one" || err != nil {
		t.Fatalf("%q, %v", head, err)
	}
	for range 4 {
		ask(t, p.near, []byte("other"), nil)
	}
	if p.near.quiet() || p.far.quiet() {
		t.Error("quiet beside another stream")
	}
	if _, err := one.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := one.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(one); string(data) != "x" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	calm(t, p)
}

// TestWhoWaitsAtABellLearnsOfTheEnd: of every kind of it.
func TestWhoWaitsAtABellLearnsOfTheEnd(t *testing.T) {
	refusal := errors.New("not today")
	for name, c := range map[string]struct {
		end  func(p *pair, st *Stream, release chan struct{})
		lost bool
	}{
		"reset here":        {end: func(_ *pair, st *Stream, _ chan struct{}) { st.Reset(nil) }},
		"reset there":       {end: func(_ *pair, _ *Stream, release chan struct{}) { close(release) }},
		"session lost here": {end: func(p *pair, _ *Stream, _ chan struct{}) { p.near.Close(refusal) }, lost: true},
		"session lost":      {end: func(p *pair, _ *Stream, _ chan struct{}) { p.far.Close(refusal) }, lost: true},
	} {
		t.Run(name, func(t *testing.T) {
			begun, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
			p := connect(t, func(st *Stream, head []byte) {
				if string(head) != "wait" {
					echo(st, head)
					return
				}
				close(begun)
				select {
				case <-release:
				case <-st.Context().Done():
				}
				st.Reset(refusal)
				close(ended)
			})
			calm(t, p)
			st, err := p.near.Open([]byte("wait"), nil, true)
			if err != nil {
				t.Fatal(err)
			}
			read := make(chan error, 1)
			go func() {
				_, err := st.ReadHead()
				read <- err
			}()
			atBell(st)
			<-begun
			c.end(p, st, release)
			if err := <-read; err == nil || errors.Is(err, ErrLost) != c.lost {
				t.Errorf("it ended with %v", err)
			}
			<-ended
		})
	}
}
