// Package eventstoredbtest has what takes the place of an EventStoreDB in tests.
package eventstoredbtest

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// StandIn takes the place of an EventStoreDB, which no package registry has: a
// server of its protocol over memory, as far as a log needs it, with the faults
// that a real one has.
type StandIn struct {
	streams.UnimplementedStreamsServer
	// Address is host:port.
	Address string

	mu      sync.Mutex
	streams map[string][]Recorded
	changed chan struct{}
	fault   func(stream string) Fault // asked once for an append
	leader  string                    // host:port, where this node does not lead
	running *grpc.Server
}

// Recorded is one event of a stream.
type Recorded struct {
	ID       string
	Metadata map[string]string
	Data     []byte
}

// Fault of one append.
type Fault int

// The faults.
const (
	None     Fault = iota
	Refused        // not written, and said so
	Lost           // written, and the answer is lost
	LostLate       // not written, and the answer is lost
)

// New starts a server that the test's cleanup stops.
func New(t testing.TB) *StandIn {
	t.Helper()
	s := &StandIn{streams: map[string][]Recorded{}, changed: make(chan struct{}), Address: "127.0.0.1:0"}
	s.Start(t)
	t.Cleanup(s.Stop)
	return s
}

// URL is its connection string.
func (s *StandIn) URL() string { return "esdb://" + s.Address + "?tls=false" }

// Start listens, after a Stop where it did before.
func (s *StandIn) Start(t testing.TB) {
	t.Helper()
	listener, err := net.Listen("tcp", s.Address)
	if err != nil {
		t.Fatal(err)
	}
	s.Address = listener.Addr().String()
	s.running = grpc.NewServer()
	streams.RegisterStreamsServer(s.running, s)
	go func() { _ = s.running.Serve(listener) }() // ends with Stop
}

// Stop cuts all connections; what is stored stays.
func (s *StandIn) Stop() { s.running.Stop() }

// Inject asks f for the fault of each append.
func (s *StandIn) Inject(f func(stream string) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Edit changes what is stored, as no server does.
func (s *StandIn) Edit(stream string, change func([]Recorded) []Recorded) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[stream] = change(s.streams[stream])
	s.tell()
}

func (s *StandIn) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Follow makes this node one that does not lead.
func (s *StandIn) Follow(leader string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leader = leader
}

// Len counts the events of a stream.
func (s *StandIn) Len(stream string) int {
	all, _ := s.view(stream)
	return len(all)
}

// follower refuses calls that need the leader, and names it.
func (s *StandIn) follower(ctx context.Context) error {
	s.mu.Lock()
	leader := s.leader
	s.mu.Unlock()
	fields, _ := metadata.FromIncomingContext(ctx)
	if leader == "" || len(fields.Get("requires-leader")) == 0 {
		return nil
	}
	host, port, _ := net.SplitHostPort(leader)
	_ = grpc.SetTrailer(ctx, metadata.Pairs("exception", "not-leader", "leader-endpoint-host", host, "leader-endpoint-port", port))
	return status.Error(codes.NotFound, "Leader info available")
}

func (s *StandIn) Append(call streams.Streams_AppendServer) error {
	if err := s.follower(call.Context()); err != nil {
		return err
	}
	first, err := call.Recv()
	if err != nil {
		return err
	}
	options := first.GetOptions()
	stream := string(options.GetStreamIdentifier().GetStreamName())
	var added []Recorded
	for {
		next, err := call.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		m := next.GetProposedMessage()
		added = append(added, Recorded{m.GetId().String(), m.GetMetadata(), m.GetData()})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	injected := None
	if s.fault != nil {
		injected = s.fault(stream)
	}
	if injected == Refused {
		return status.Error(codes.Unavailable, "Server Is Too Busy")
	}
	if injected == LostLate {
		return status.Error(codes.Unavailable, "connection reset")
	}
	have := s.streams[stream]
	expected, size := int64(-1), int64(len(have))-1
	switch e := options.GetExpectedStreamRevision().(type) {
	case *streams.AppendReq_Options_Revision:
		expected = int64(e.Revision)
	case *streams.AppendReq_Options_NoStream:
	default:
		return status.Error(codes.InvalidArgument, "a log names what it expects")
	}
	if expected != size {
		return call.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: &streams.AppendResp_WrongExpectedVersion{}}})
	}
	s.streams[stream] = append(have, added...)
	s.tell()
	if injected == Lost {
		return status.Error(codes.Unavailable, "connection reset")
	}
	return call.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: uint64(len(have) + len(added) - 1)},
	}}})
}

func (s *StandIn) view(stream string) ([]Recorded, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams[stream], s.changed
}

func (s *StandIn) Read(request *streams.ReadReq, call streams.Streams_ReadServer) error {
	if err := s.follower(call.Context()); err != nil {
		return err
	}
	options := request.GetOptions()
	at := options.GetStream()
	stream := string(at.GetStreamIdentifier().GetStreamName())
	if options.GetSubscription() != nil {
		return s.subscribe(stream, at, call)
	}
	all, _ := s.view(stream)
	if len(all) == 0 {
		return call.Send(&streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{StreamNotFound: &streams.ReadResp_StreamNotFound{StreamIdentifier: at.GetStreamIdentifier()}}})
	}
	step, from := 1, int(at.GetRevision())
	if options.GetReadDirection() == streams.ReadReq_Options_Backwards {
		step = -1
	}
	if at.GetEnd() != nil {
		from = len(all) - 1
	}
	for left := options.GetCount(); left > 0 && from >= 0 && from < len(all); left, from = left-1, from+step {
		if err := send(call, stream, all[from], from); err != nil {
			return err
		}
	}
	return nil
}

func (s *StandIn) subscribe(stream string, at *streams.ReadReq_Options_StreamOptions, call streams.Streams_ReadServer) error {
	if err := call.Send(&streams.ReadResp{Content: &streams.ReadResp_Confirmation{Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: "1"}}}); err != nil {
		return err
	}
	next := int(at.GetRevision()) + 1
	if at.GetStart() != nil {
		next = 0
	}
	for {
		all, changed := s.view(stream)
		for ; next < len(all); next++ {
			if err := send(call, stream, all[next], next); err != nil {
				return err
			}
		}
		_ = call.Send(&streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}})
		select {
		case <-changed:
		case <-call.Context().Done():
			return call.Context().Err()
		}
	}
}

func send(call streams.Streams_ReadServer, stream string, e Recorded, revision int) error {
	return call.Send(&streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{Event: &streams.ReadResp_ReadEvent_RecordedEvent{
		StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)}, StreamRevision: uint64(revision), Metadata: e.Metadata, Data: e.Data,
	}}}})
}

func (s *StandIn) Delete(_ context.Context, request *streams.DeleteReq) (*streams.DeleteResp, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stream := string(request.GetOptions().GetStreamIdentifier().GetStreamName())
	if len(s.streams[stream]) == 0 {
		return nil, status.Error(codes.NotFound, "stream not found")
	}
	delete(s.streams, stream)
	return &streams.DeleteResp{}, nil
}
