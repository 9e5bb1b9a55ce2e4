package mux

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"pantheon/events/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is two ends of a line in memory, running.
type pair struct {
	near, far       *Session
	nearEnd, farEnd chan error
}

func connect(t testing.TB, handle func(*Stream, []byte), change ...func(*Config)) *pair {
	t.Helper()
	a, b := net.Pipe()
	config := Config{Handle: handle, Tick: time.Hour}
	for _, f := range change {
		f(&config)
	}
	p := &pair{nearEnd: make(chan error, 1), farEnd: make(chan error, 1)}
	p.far = New(b, config)
	config.Dialer, config.Handle = true, nil
	p.near = New(a, config)
	go func() { p.nearEnd <- p.near.Run() }()
	go func() { p.farEnd <- p.far.Run() }()
	t.Cleanup(func() {
		p.near.Close(errors.New("the test is over"))
		p.far.Close(errors.New("the test is over"))
		<-p.nearEnd
		<-p.farEnd
	})
	return p
}

// echo answers with the head, then whatever it is sent.
func echo(s *Stream, head []byte) {
	if err := s.Send(head, nil, true, false); err != nil {
		return
	}
	if _, err := io.Copy(s, s); err == nil {
		_ = s.CloseWrite()
	}
}

func ask(t testing.TB, s *Session, head, data []byte) (string, string) {
	t.Helper()
	stream, err := s.Open(head, data, true)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := stream.ReadHead()
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(stream)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer), string(body)
}

func TestRequestAndAnswer(t *testing.T) {
	p := connect(t, echo)
	for _, body := range []string{"", "a", strings.Repeat("x", MaxDataBytes), strings.Repeat("y", WindowBytes)} {
		if head, got := ask(t, p.near, []byte("head"), []byte(body)); head != "head" || got != body {
			t.Errorf("%q, %d bytes for %d", head, len(got), len(body))
		}
	}
	if left := p.near.Streams(); left != 0 {
		t.Errorf("%d streams are left", left)
	}
}

// TestManyStreamsAtOnce: each byte of each stream arrives, in order, whatever
// the others do.
func TestManyStreamsAtOnce(t *testing.T) {
	p := connect(t, echo)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			chance := rand.New(rand.NewPCG(uint64(i), 7))
			want := make([]byte, chance.IntN(5*WindowBytes))
			for j := range want {
				want[j] = byte(chance.Uint32())
			}
			stream, err := p.near.Open(fmt.Appendf(nil, "%d", i), nil, false)
			if err != nil {
				t.Error(err)
				return
			}
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				for rest := want; len(rest) > 0; {
					n := min(len(rest), 1+chance.IntN(40_000))
					if _, err := stream.Write(rest[:n]); err != nil {
						t.Error(err)
						return
					}
					rest = rest[n:]
				}
				if err := stream.CloseWrite(); err != nil {
					t.Error(err)
				}
			}()
			head, err := stream.ReadHead()
			if err != nil || string(head) != fmt.Sprint(i) {
				t.Error(string(head), err)
			}
			var got []byte
			for {
				piece, _, err := stream.Take()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Error(err)
					break
				}
				got = append(got, piece...)
			}
			<-sent
			if !bytes.Equal(got, want) {
				t.Errorf("stream %d: %d bytes came back of %d", i, len(got), len(want))
			}
		})
	}
	all.Wait()
}

func TestRefusalKeepsItsKindAndHint(t *testing.T) {
	p := connect(t, func(s *Stream, _ []byte) {
		s.Reset(problem.New(problem.Conflict, "cannot serve: it is being moved").WithHint("try again"))
	})
	stream, err := p.near.Open([]byte("x"), nil, true)
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.ReadHead()
	if problem.KindOf(err) != problem.Conflict || problem.HintOf(err) != "try again" || errors.Is(err, ErrLost) || err.Error() != "cannot serve: it is being moved" {
		t.Error(err)
	}
}

func TestHandlerThatForgetsToAnswerIsOurBug(t *testing.T) {
	p := connect(t, func(*Stream, []byte) {})
	stream, _ := p.near.Open([]byte("x"), nil, true)
	if _, err := stream.ReadHead(); problem.KindOf(err) != problem.Internal {
		t.Error(err)
	}
}

func TestGivingUpTravels(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error, 1)
	p := connect(t, func(s *Stream, _ []byte) {
		close(began)
		<-s.Context().Done()
		ended <- s.Context().Err()
	})
	stream, _ := p.near.Open([]byte("x"), nil, true)
	<-began
	stream.Reset(context.Canceled)
	if err := <-ended; err == nil {
		t.Error("the other side went on")
	}
	if _, err := stream.ReadHead(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestAnswerBeforeTheQuestionIsRead: the sender is stopped, the answer is whole.
func TestAnswerBeforeTheQuestionIsRead(t *testing.T) {
	p := connect(t, func(s *Stream, _ []byte) { _ = s.Send([]byte("too large"), []byte("no"), false, true) })
	stream, _ := p.near.Open([]byte("x"), nil, false)
	var err error
	for err == nil {
		_, err = stream.Write(make([]byte, MaxDataBytes))
	}
	head, err := stream.ReadHead()
	body, _ := io.ReadAll(stream)
	if err != nil || string(head) != "too large" || string(body) != "no" {
		t.Error(string(head), string(body), err)
	}
}

// TestLostConnectionSaysSo: who asked learns that the question may have
// arrived; who asks afterwards, that it has not.
func TestLostConnectionSaysSo(t *testing.T) {
	began := make(chan struct{})
	p := connect(t, func(s *Stream, _ []byte) { close(began); <-s.Context().Done() })
	stream, _ := p.near.Open([]byte("x"), nil, true)
	<-began
	p.far.Close(errors.New("power failure"))
	if _, err := stream.ReadHead(); !errors.Is(err, ErrLost) || problem.KindOf(err) != problem.Unavailable {
		t.Error(err)
	}
	if _, err := p.near.Open([]byte("x"), nil, true); err == nil || !p.near.Spent() {
		t.Error("opened on a session that has ended")
	}
}

func TestStreamsAboveTheBoundAreRefused(t *testing.T) {
	leave := make(chan struct{})
	p := connect(t, func(s *Stream, _ []byte) { <-leave; _ = s.Send([]byte("ok"), nil, false, true) }, func(c *Config) { c.MaxStreams = 3 })
	var streams []*Stream
	for range 4 {
		stream, err := p.near.Open([]byte("x"), nil, true)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, stream)
	}
	if _, err := streams[3].ReadHead(); problem.KindOf(err) != problem.Busy {
		t.Error(err)
	}
	close(leave)
	for _, stream := range streams[:3] {
		if _, err := stream.ReadHead(); err != nil {
			t.Error(err)
		}
	}
}

// TestRapidResetsDoNotMultiplyHandlers: a peer that opens and gives up at once
// does not get around the bound while handlers are slow to leave.
func TestRapidResetsDoNotMultiplyHandlers(t *testing.T) {
	leave, handled := make(chan struct{}), make(chan struct{}, 100)
	p := connect(t, func(*Stream, []byte) { handled <- struct{}{}; <-leave }, func(c *Config) { c.MaxStreams = 3 })
	for range 50 {
		stream, err := p.near.Open([]byte("x"), nil, true)
		if err != nil {
			t.Fatal(err)
		}
		stream.Reset(nil)
	}
	last, _ := p.near.Open([]byte("x"), nil, true)
	if _, err := last.ReadHead(); problem.KindOf(err) != problem.Busy {
		t.Error(err)
	}
	if n := len(handled); n > 3 {
		t.Errorf("%d handlers at once", n)
	}
	close(leave)
}

// TestReaderThatStallsHoldsUpOnlyItself.
func TestReaderThatStallsHoldsUpOnlyItself(t *testing.T) {
	p := connect(t, func(s *Stream, head []byte) {
		_ = s.Send(head, make([]byte, 10*WindowBytes), false, true)
	})
	stalled, _ := p.near.Open([]byte("slow"), nil, true)
	if _, err := stalled.ReadHead(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, body := ask(t, p.near, []byte("fast"), nil); len(body) != 10*WindowBytes {
			t.Error(len(body))
		}
	}
	if body, err := io.ReadAll(stalled); err != nil || len(body) != 10*WindowBytes {
		t.Error(len(body), err)
	}
}

func TestRetiredSessionEndsWithItsLastStream(t *testing.T) {
	leave, told := make(chan struct{}), make(chan struct{}, 2)
	p := connect(t, func(s *Stream, head []byte) { <-leave; _ = s.Send(head, []byte("whole"), false, true) },
		func(c *Config) { c.Away = func() { told <- struct{}{} } })
	stream, _ := p.near.Open([]byte("last"), nil, true)
	p.far.Retire()
	<-told // there, the answer of here
	<-told // here
	if _, err := p.near.Open([]byte("x"), nil, true); err == nil || errors.Is(err, ErrLost) {
		t.Error("opened on a session that is about to end:", err)
	}
	close(leave)
	if _, err := stream.ReadHead(); err != nil {
		t.Error(err)
	}
	if body, err := io.ReadAll(stream); err != nil || string(body) != "whole" {
		t.Error(string(body), err)
	}
	for _, end := range []chan error{p.nearEnd, p.farEnd} {
		err := <-end
		if err != nil {
			t.Error(err)
		}
		end <- err
	}
}

func TestSilentPeerIsLostWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer b.Close()
		go func() { _, _ = io.Copy(io.Discard, b) }() // takes everything, says nothing
		session := New(a, Config{Dialer: true})
		begun := time.Now()
		err := session.Run()
		if took := time.Since(begun); problem.KindOf(err) != problem.Unavailable || took < 800*time.Millisecond || took > time.Second {
			t.Error(took, err)
		}
		b.Close()
		synctest.Wait()
	})
}

// TestPeerThatTakesNothingIsLost: a write that hangs holds up nobody for longer.
func TestPeerThatTakesNothingIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		session := New(a, Config{Dialer: true})
		ended := make(chan error)
		go func() { ended <- session.Run() }()
		begun := time.Now()
		stream, err := session.Open([]byte("x"), nil, true) // waits for the line
		if err == nil {
			_, err = stream.ReadHead()
		}
		if !errors.Is(err, ErrLost) || time.Since(begun) > 1100*time.Millisecond {
			t.Error(err, time.Since(begun))
		}
		<-ended
		b.Close()
	})
}

func TestIdleLineStaysUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := connect(t, echo, func(c *Config) { c.Tick = 0 })
		time.Sleep(time.Hour)
		if head, _ := ask(t, p.near, []byte("still there"), nil); head != "still there" {
			t.Error(head)
		}
	})
}

// TestHostilePeers: each of these ends the session, with its reason.
func TestHostilePeers(t *testing.T) {
	open := func(id uint32) []byte { return appendFrame(nil, kindOpen, 0, id, []byte("head")) }
	window := func(id, n uint32) []byte {
		return appendFrame(nil, kindWindow, 0, id, binary.BigEndian.AppendUint32(nil, n))
	}
	long := func(k kind, n uint32) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(k)<<24|n), 0, 0, 0, 1)
	}
	flood := open(1)
	for range WindowBytes/MaxDataBytes + 1 {
		flood = appendFrame(flood, kindData, 0, 1, make([]byte, MaxDataBytes))
	}
	heads := open(1)
	for range maxHeadsQueued + 1 {
		heads = appendFrame(heads, kindHead, 0, 1, nil)
	}
	for name, bytes := range map[string][]byte{
		"unknown kind":           {0x3f, 0, 0, 0, 0, 0, 0, 0},
		"kind 0":                 make([]byte, 8),
		"head too long":          long(kindOpen, MaxHeadBytes+1),
		"data too long":          long(kindData, MaxDataBytes+1),
		"reset too long":         long(kindReset, maxResetBytes+1),
		"ping on a stream":       appendFrame(nil, kindPing, 0, 1, nil),
		"data on no stream":      appendFrame(nil, kindData, 0, 0, nil),
		"never opened":           appendFrame(nil, kindData, 0, 7, nil),
		"our own id":             open(2),
		"id again":               append(open(1), open(1)...),
		"id falls":               append(open(3), open(1)...),
		"more than the window":   flood,
		"heads without end":      heads,
		"credit above the limit": append(open(1), window(1, 1)...),
		"credit of nothing":      append(open(1), window(1, 0)...),
		"a window of 3 bytes":    append(open(1), appendFrame(nil, kindWindow, 0, 1, []byte{0, 0, 1})...),
		"data after the end":     append(open(1), append(appendFrame(nil, kindData, flagEnd, 1, nil), appendFrame(nil, kindData, 0, 1, []byte("x"))...)...),
	} {
		t.Run(name, func(t *testing.T) {
			a, b := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, b) }()
			session := New(a, Config{Handle: func(s *Stream, _ []byte) { <-s.Context().Done() }, Tick: time.Hour})
			ended := make(chan error)
			go func() { ended <- session.Run() }()
			_, _ = b.Write(bytes)
			if err := <-ended; problem.KindOf(err) != problem.Invalid {
				t.Error(err)
			}
			b.Close()
		})
	}
}

// TestPeerThatAsksAndNeverReads: refusals and pongs pile up to a bound.
func TestPeerThatAsksAndNeverReads(t *testing.T) {
	a, b := net.Pipe()
	session := New(a, Config{Tick: time.Hour})
	ended := make(chan error)
	go func() { ended <- session.Run() }()
	pings := bytes.Repeat(appendFrame(nil, kindPing, 0, 0, make([]byte, 8)), 1000)
	var err error
	for sent := 0; err == nil && sent < 4*maxUnsentBytes; sent += len(pings) {
		_, err = b.Write(pings)
	}
	if err == nil {
		t.Error("everything was taken")
	}
	if err := <-ended; problem.KindOf(err) != problem.Invalid {
		t.Error(err)
	}
	b.Close()
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte{1, 0, 0, 4, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < headerBytes {
			return
		}
		h, err := parseHeader(b)
		if err == nil && h.length > MaxHeadBytes {
			t.Error(h)
		}
	})
}

// FuzzSession: no bytes of a peer make a session panic, hang or leak.
func FuzzSession(f *testing.F) {
	f.Add(appendOpen(nil, kindOpen, 1, []byte("head"), []byte("data"), true, false))
	f.Add(append(appendFrame(nil, kindOpen, 0, 1, nil), appendFrame(nil, kindReset, 0, 1, appendReason(nil, errGivenUp))...))
	f.Add(append(appendFrame(nil, kindAway, 0, 0, nil), appendFrame(nil, kindAway, flagEnd, 0, nil)...))
	f.Fuzz(func(t *testing.T, received []byte) {
		a, b := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, b) }()
		session := New(a, Config{Handle: echo, Tick: time.Hour})
		ended := make(chan error)
		go func() { ended <- session.Run() }()
		_, _ = b.Write(received)
		b.Close()
		<-ended
	})
}

func FuzzReason(f *testing.F) {
	f.Add(appendReason(nil, problem.New(problem.Busy, "cannot").WithHint("wait")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := parseReason(b); err.Text == "" {
			t.Error("an error without words")
		}
	})
}
