package eventstoredb_test

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

// standIn takes the place of an EventStoreDB, which no package registry has: a
// server of its protocol over memory, as far as a log needs it, with the faults
// that a real one has.
type standIn struct {
	streams.UnimplementedStreamsServer
	address string

	mu      sync.Mutex
	streams map[string][]recorded
	changed chan struct{}
	fault   func(stream string) fault // asked once for an append
	leader  string                    // host:port, where this node does not lead
	running *grpc.Server
}

type recorded struct {
	id       string
	metadata map[string]string
	data     []byte
}

// fault of one append.
type fault int

const (
	none     fault = iota
	refused        // not written, and said so
	lost           // written, and the answer is lost
	lostLate       // not written, and the answer is lost
)

func newStandIn(t testing.TB) *standIn {
	t.Helper()
	s := &standIn{streams: map[string][]recorded{}, changed: make(chan struct{}), address: "127.0.0.1:0"}
	s.start(t)
	t.Cleanup(s.stop)
	return s
}

func (s *standIn) url() string { return "esdb://" + s.address + "?tls=false" }

// start listens, after a stop where it did before.
func (s *standIn) start(t testing.TB) {
	t.Helper()
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	s.running = grpc.NewServer()
	streams.RegisterStreamsServer(s.running, s)
	go s.running.Serve(listener)
}

// stop cuts all connections.
func (s *standIn) stop() { s.running.Stop() }

func (s *standIn) set(f func(stream string) fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// edit changes what is stored, as no server does.
func (s *standIn) edit(stream string, change func([]recorded) []recorded) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[stream] = change(s.streams[stream])
	s.tell()
}

func (s *standIn) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// follower refuses calls that need the leader, and names it.
func (s *standIn) follower(ctx context.Context) error {
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

func (s *standIn) Append(call streams.Streams_AppendServer) error {
	if err := s.follower(call.Context()); err != nil {
		return err
	}
	first, err := call.Recv()
	if err != nil {
		return err
	}
	options := first.GetOptions()
	stream := string(options.GetStreamIdentifier().GetStreamName())
	var added []recorded
	for {
		next, err := call.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		m := next.GetProposedMessage()
		added = append(added, recorded{m.GetId().String(), m.GetMetadata(), m.GetData()})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	injected := none
	if s.fault != nil {
		injected = s.fault(stream)
	}
	if injected == refused {
		return status.Error(codes.Unavailable, "Server Is Too Busy")
	}
	if injected == lostLate {
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
	if injected == lost {
		return status.Error(codes.Unavailable, "connection reset")
	}
	return call.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: uint64(len(have) + len(added) - 1)},
	}}})
}

func (s *standIn) view(stream string) ([]recorded, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams[stream], s.changed
}

func (s *standIn) Read(request *streams.ReadReq, call streams.Streams_ReadServer) error {
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

func (s *standIn) subscribe(stream string, at *streams.ReadReq_Options_StreamOptions, call streams.Streams_ReadServer) error {
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

func send(call streams.Streams_ReadServer, stream string, e recorded, revision int) error {
	return call.Send(&streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{Event: &streams.ReadResp_ReadEvent_RecordedEvent{
		StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(stream)}, StreamRevision: uint64(revision), Metadata: e.metadata, Data: e.data,
	}}}})
}

func (s *standIn) Delete(_ context.Context, request *streams.DeleteReq) (*streams.DeleteResp, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stream := string(request.GetOptions().GetStreamIdentifier().GetStreamName())
	if len(s.streams[stream]) == 0 {
		return nil, status.Error(codes.NotFound, "stream not found")
	}
	delete(s.streams, stream)
	return &streams.DeleteResp{}, nil
}
