package mux

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"pantheon/events/problem"
)

// ErrLost is in the chain of every error of a stream whose session ended before
// it: what was sent may have arrived.
var ErrLost = problem.New(problem.Unavailable, "the connection to the other machine was lost")

// errAway: Open of a session that takes no more streams.
var errAway = problem.New(problem.Unavailable, "the connection to the other machine is about to end")

// Config of a Session.
type Config struct {
	// Dialer: this side made the connection. Exactly one side did.
	Dialer bool
	// Handle serves a stream that the other side opened; when it returns, the
	// stream is over. It must end soon after the stream's Context does. It is
	// never called where nil: every stream is refused.
	Handle func(s *Stream, head []byte)
	// Away, if not nil, is told once that the other side wants no more streams.
	// It must not wait.
	Away func()
	// Tick is how often the line is looked at; DefaultTick where zero.
	Tick time.Duration
	// MaxStreams that the other side may have open; MaxStreams where zero.
	MaxStreams int
}

// Session is one connection. Run it once.
type Session struct {
	config Config
	conn   net.Conn
	out    writer
	done   chan struct{} // closed when the session has ended
	ctx    context.Context
	cancel context.CancelFunc
	active atomic.Bool // bytes have come since the last tick
	rtt    atomic.Int64
	waking *Stream // the reader's: has a head that nobody was told of yet
	woken  bool    // the reader's: somebody has something to do

	mu       sync.Mutex
	streams  map[uint32]*Stream
	next     uint32 // id of the next stream opened here
	last     uint32 // id of the last one opened there
	away     bool   // this side has said that it wants no more streams
	peerAway bool   // so has the other: nothing may be opened here
	over     bool   // this side has said that it has no streams left
	peerOver bool   // so has the other: all that was sent has arrived
	err      error  // why the session has ended

	calm    atomic.Int64 // rises with streams that come one after the other
	serving atomic.Int64 // streams being handled
	jobs    chan job
	bells   bells
	idle    atomic.Int64
	workers sync.WaitGroup
}

type job struct {
	stream *Stream
	head   []byte
}

// New makes a session of a connection that is ready for use.
func New(conn net.Conn, config Config) *Session {
	if config.Tick == 0 {
		config.Tick = DefaultTick
	}
	if config.MaxStreams == 0 {
		config.MaxStreams = MaxStreams
	}
	s := &Session{config: config, conn: conn, done: make(chan struct{}), streams: map[uint32]*Stream{}, next: 2, jobs: make(chan job)}
	if config.Dialer {
		s.next = 1
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.out.init(conn, s.Close)
	return s
}

// Run reads the connection until the session ends, by an error, by Close or
// because both sides have gone away. It gives the reason, nil for the last.
func (s *Session) Run() error {
	var helpers sync.WaitGroup
	helpers.Go(func() { s.out.loop(s.done) })
	helpers.Go(s.keepAlive)
	s.Close(s.read())
	close(s.jobs) // nobody dispatches any more
	s.bells.close()
	helpers.Wait()
	s.workers.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == errAway || s.over && len(s.streams) == 0 && errors.Is(s.err, io.EOF) {
		return nil
	}
	return s.err
}

// Close ends the session at once. The first reason counts.
func (s *Session) Close(reason error) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = reason
	streams := s.streams
	s.streams = nil
	close(s.done)
	s.mu.Unlock()

	lost := &problem.Error{Kind: problem.Unavailable, Text: "cannot go on: " + reason.Error(), Err: ErrLost}
	s.out.fail(lost)
	conn := s.conn
	if encrypted, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = encrypted.NetConn() // TLS would wait for a line that may be dead to say goodbye
	}
	conn.Close()
	for _, stream := range streams {
		stream.fail(lost)
	}
	s.cancel()
}

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Open begins a stream with a head, data of at most WindowBytes, and, if end is
// set, the end of this side's half. An error means that nothing was sent.
func (s *Session) Open(head, data []byte, end bool) (*Stream, error) {
	if len(head) > MaxHeadBytes || len(data) > WindowBytes {
		return nil, problem.New(problem.Invalid, "cannot send the request to another machine: its head has %d bytes, and may have %d", len(head), MaxHeadBytes)
	}
	// The writer's lock is held from the id's choice on: ids rise on the wire.
	if err := s.out.begin(false); err != nil {
		return nil, err
	}
	stream, err := s.add(end)
	if err != nil {
		s.out.mu.Unlock()
		return nil, err
	}
	stream.credit -= len(data)
	s.out.pending = appendOpen(s.out.pending, kindOpen, stream.id, head, data, end, false)
	s.out.commit(true)
	return stream, nil
}

// appendOpen appends a head and the data that goes with it.
func appendOpen(b []byte, k kind, id uint32, head, data []byte, end, flush bool) []byte {
	var last byte
	if end {
		last |= flagEnd
	}
	if flush {
		last |= flagFlush
	}
	if len(data) == 0 {
		return appendFrame(b, k, last, id, head)
	}
	return appendData(appendFrame(b, k, 0, id, head), id, data, last)
}

// appendData appends data in frames; the flags go on the last.
func appendData(b []byte, id uint32, data []byte, last byte) []byte {
	for len(data) > MaxDataBytes {
		b = appendFrame(b, kindData, 0, id, data[:MaxDataBytes])
		data = data[MaxDataBytes:]
	}
	return appendFrame(b, kindData, last, id, data)
}

// add makes a stream of this side.
func (s *Session) add(end bool) (*Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return nil, problem.Wrap(problem.Unavailable, s.err, "cannot send")
	case s.peerAway || s.away || s.next >= 1<<32-2:
		return nil, errAway
	case len(s.streams) >= 2*MaxStreams:
		return nil, problem.New(problem.Busy, "cannot send: %d requests are under way to the other machine", len(s.streams))
	}
	stream := newStream(s, s.next)
	stream.sent = end
	s.streams[stream.id] = stream
	s.opened(false)
	s.next += 2
	return stream, nil
}

// Spent says that the session can open no more streams: another one is needed.
func (s *Session) Spent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err != nil || s.away || s.peerAway || s.next >= 1<<32-2
}

// Retire ends the session as soon as its streams have ended; neither side
// begins another one.
func (s *Session) Retire() {
	s.mu.Lock()
	was := s.away || s.err != nil
	s.away = true
	s.mu.Unlock()
	if !was {
		s.urgent(false, kindAway, 0, 0, nil)
		s.endIfIdle()
	}
}

// endIfIdle ends a session that both sides are done with. Each says when its
// last stream has ended: only then has all that was sent to it arrived.
func (s *Session) endIfIdle() {
	s.mu.Lock()
	idle := s.away && s.peerAway && len(s.streams) == 0 && s.serving.Load() == 0
	say := idle && !s.over
	s.over = s.over || idle
	end := s.over && s.peerOver
	s.mu.Unlock()
	if say {
		s.urgent(false, kindAway, flagEnd, 0, nil)
	}
	if end {
		s.Close(errAway)
	}
}

// Streams is how many there are, from both sides.
func (s *Session) Streams() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams)
}

// RoundTrip is how long the last ping took; zero before the first.
func (s *Session) RoundTrip() time.Duration { return time.Duration(s.rtt.Load()) }

// Probe sends a ping at once: RoundTrip and the next ticks tell.
func (s *Session) Probe() {
	s.urgent(false, kindPing, 0, 0, binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano())))
}

// keepAlive asks a silent line for a sign, and ends the session of one that
// gives none.
func (s *Session) keepAlive() {
	ticker := time.NewTicker(s.config.Tick)
	defer ticker.Stop()
	silent := 0
	for {
		select {
		case <-s.done:
			return
		case <-ticker.C:
		}
		if s.active.Swap(false) {
			silent = 0
		}
		if silent++; silent > SilentTicks {
			s.Close(problem.New(problem.Unavailable, "the other machine has been silent for %v", SilentTicks*s.config.Tick))
			return
		}
		s.Probe()
	}
}

// remove takes a stream that is over out of the table. It says whether the session
// may be over, too.
func (s *Session) remove(id uint32) (away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, id)
	return s.away && s.peerAway
}

func (s *Session) find(id uint32) (stream *Stream, opened bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ours := id%2 == s.next%2
	return s.streams[id], ours && id < s.next || !ours && id <= s.last
}

// quiet says that so little goes on that a second thread would be of no use: who
// waits then waits at a bell.
func (s *Session) quiet() bool { return s.calm.Load() >= calmStreams }

// opened counts a stream that has just been put into the table. One that is about
// to leave it may still be there.
func (s *Session) opened(more bool) {
	calm := s.calm.Load()
	if more || len(s.streams) > 1 {
		calm = max(calm-calmStreams/2, 0)
	} else {
		calm = min(calm+1, 2*calmStreams)
	}
	s.calm.Store(calm)
}

// lively marks every byte as a sign of life. Before it waits for the next one
// it lets those go on who have been given something.
type lively struct{ s *Session }

func (l lively) Read(p []byte) (int, error) {
	l.s.later(nil)
	if l.s.woken {
		l.s.woken = false
		if !l.s.quiet() {
			runtime.Gosched()
		}
	}
	n, err := l.s.conn.Read(p)
	if n > 0 && !l.s.active.Load() {
		l.s.active.Store(true)
	}
	return n, err
}

// later wakes a stream before the reader waits, instead of at once, and the one
// that was to be woken later until now. Only the reader calls it.
func (s *Session) later(stream *Stream) {
	if was := s.waking; was != nil && was != stream {
		was.mu.Lock()
		was.wake()
		s.woken = true
	}
	s.waking = stream
}

func (s *Session) read() error {
	in := bufio.NewReaderSize(lively{s}, readBufferBytes)
	for {
		first, err := in.Peek(headerBytes)
		if err != nil {
			return err
		}
		h, err := parseHeader(first)
		if err != nil {
			return err
		}
		_, _ = in.Discard(headerBytes)
		if err := s.receive(in, h); err != nil {
			return err
		}
	}
}

// receive reads the payload of a frame and does what it says. It never waits
// for anything but the connection.
func (s *Session) receive(in *bufio.Reader, h header) error {
	if h.kind == kindOpen || h.kind == kindHead {
		head := make([]byte, h.length)
		if _, err := io.ReadFull(in, head); err != nil {
			return err
		}
		if h.kind == kindOpen {
			return s.accept(h, head, in.Buffered() > 0 && h.flags&flagEnd != 0)
		}
		stream, opened := s.find(h.stream)
		if stream == nil {
			return unknown(h, opened)
		}
		return stream.takeHead(head, h.flags)
	}
	payload, err := in.Peek(int(h.length))
	if err != nil {
		return err
	}
	defer in.Discard(len(payload))
	switch h.kind {
	case kindPing:
		s.urgent(false, kindPong, 0, 0, payload)
		return nil
	case kindPong:
		s.measure(payload)
		return nil
	case kindAway:
		s.peerLeaves(h.flags&flagEnd != 0)
		return nil
	default:
		return s.receiveOn(h, payload)
	}
}

// receiveOn is receive for the frames of a stream.
func (s *Session) receiveOn(h header, payload []byte) error {
	stream, opened := s.find(h.stream)
	if stream == nil {
		return unknown(h, opened)
	}
	switch h.kind {
	case kindData:
		if s.woken = true; s.waking == stream {
			s.waking = nil
		}
		return stream.takeData(payload, h.flags)
	case kindReset:
		stream.takeReset(parseReason(payload), h.flags&flagEnd != 0)
		return nil
	default: // a window
		if len(payload) != 4 {
			return broken("a window of %d bytes", len(payload))
		}
		return stream.takeWindow(binary.BigEndian.Uint32(payload))
	}
}

// unknown: frames of a stream that was reset may still be under way.
func unknown(h header, opened bool) error {
	if !opened {
		return broken("a frame on stream %d, which was never opened", h.stream)
	}
	return nil
}

func (s *Session) measure(payload []byte) {
	if len(payload) != 8 {
		return
	}
	if took := time.Now().UnixNano() - int64(binary.BigEndian.Uint64(payload)); took > 0 {
		s.rtt.Store(took)
	}
}

func (s *Session) peerLeaves(over bool) {
	s.mu.Lock()
	answer, first := !s.away, !s.peerAway
	s.away, s.peerAway, s.peerOver = true, true, s.peerOver || over
	s.mu.Unlock()
	if answer {
		s.urgent(false, kindAway, 0, 0, nil)
	}
	if first && s.config.Away != nil {
		s.config.Away()
	}
	s.endIfIdle()
}

// accept begins a stream that the other side opened, or refuses it. more says that
// what other streams have sent has come with it.
func (s *Session) accept(h header, head []byte, more bool) error {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return nil
	}
	if h.stream%2 == s.next%2 || h.stream <= s.last {
		s.mu.Unlock()
		return broken("stream %d opened after %d", h.stream, s.last)
	}
	s.last = h.stream
	if s.config.Handle == nil || s.serving.Load() >= int64(s.config.MaxStreams) {
		s.mu.Unlock()
		busy := problem.New(problem.Busy, "cannot take the request: the machine has %d of this peer", s.serving.Load())
		s.urgent(false, kindReset, 0, h.stream, appendReason(nil, busy))
		return nil
	}
	stream := newStream(s, h.stream)
	stream.received = h.flags&flagEnd != 0
	s.streams[h.stream] = stream
	s.opened(more)
	s.serving.Add(1)
	s.mu.Unlock()
	s.dispatch(job{stream, head})
	return nil
}
