package eventstoredb

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"pantheon/events/problem"
)

// server is an EventStoreDB, one node or a cluster, whose leader it finds.
type server struct {
	config  *esdb.Configuration
	options []grpc.DialOption
	fields  metadata.MD // of every call
	nodes   []string    // host:port

	mu   sync.Mutex
	conn *grpc.ClientConn
	node string // that conn leads to
	next int    // of nodes
}

// What goes wrong that callers act on.
var (
	errConflict = errors.New("the stream does not end where it was thought to")
	errNoStream = errors.New("there is no such stream")
)

// connect makes a server that is dialed at the first call.
func connect(options Options) (*server, error) {
	config, err := esdb.ParseConnectionString(options.URL)
	if err == nil {
		err = config.Validate()
	}
	if err != nil { // its text may hold the password
		return nil, problem.New(problem.Invalid, "cannot use the address of the log on %s", hostOf(options.URL)).
			WithHint("its form is esdb://USER:PASSWORD@HOST:2113?tls=true")
	}
	s := &server{config: config, fields: metadata.Pairs("requires-leader", "true"), nodes: []string{config.Address}}
	if len(config.GossipSeeds) > 0 {
		s.nodes = nil
		for _, seed := range config.GossipSeeds {
			s.nodes = append(s.nodes, seed.String())
		}
	}
	secure := insecure.NewCredentials()
	if !config.DisableTLS {
		settings := &tls.Config{RootCAs: config.RootCAs, InsecureSkipVerify: config.SkipCertificateVerification} //nolint:gosec // the operator's wish, tlsVerifyCert=false
		if config.UserCertFile != "" {
			pair, err := tls.LoadX509KeyPair(config.UserCertFile, config.UserKeyFile)
			if err != nil {
				return nil, problem.Wrap(problem.Invalid, err, "cannot read the certificate for the log on %s", hostOf(options.URL))
			}
			settings.Certificates = []tls.Certificate{pair}
		}
		secure = credentials.NewTLS(settings)
		if config.Username != "" { // never in clear
			s.fields.Set("authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(config.Username+":"+config.Password)))
		}
	}
	s.options = []grpc.DialOption{
		grpc.WithTransportCredentials(secure),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: retryFirst, Multiplier: 2, MaxDelay: retryLast}, MinConnectTimeout: callTimeout}),
	}
	if config.KeepAliveInterval >= 0 {
		s.options = append(s.options, grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: config.KeepAliveInterval, Timeout: config.KeepAliveTimeout, PermitWithoutStream: true}))
	}
	return s, nil
}

// hostOf is what may be said of a connection string.
func hostOf(text string) string {
	if parsed, err := url.Parse(text); err == nil && parsed.Host != "" {
		return parsed.Host
	}
	return "(an address that cannot be read)"
}

// do makes a call. A node that is away is not the next one to be asked; one that
// does not lead has done nothing, and the one that it names is asked instead.
func (s *server) do(ctx context.Context, call func(context.Context, streams.StreamsClient) (metadata.MD, error)) error {
	for hop := 0; ; hop++ {
		conn, err := s.dial()
		if err != nil {
			return err
		}
		trailer, err := call(metadata.NewOutgoingContext(ctx, s.fields), streams.NewStreamsClient(conn))
		if err == nil || errors.Is(err, errConflict) || errors.Is(err, errNoStream) {
			return err
		}
		leader := leaderIn(trailer)
		if leader != "" || status.Code(err) == codes.Unavailable && len(s.nodes) > 1 {
			s.leave(conn, leader)
		}
		if leader == "" || hop == maxHops {
			return explained(ctx, err, trailer)
		}
	}
}

// dial gives the connection; it is made at the first use, and anew by itself.
func (s *server) dial() (conn *grpc.ClientConn, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		if s.node == "" {
			s.node = s.nodes[s.next%len(s.nodes)]
		}
		if s.conn, err = grpc.NewClient(s.node, s.options...); err != nil {
			return nil, problem.Wrap(problem.Invalid, err, "cannot use the address of the log on %s", s.node)
		}
	}
	return s.conn, nil
}

func leaderIn(trailer metadata.MD) string {
	host, port := trailer.Get("leader-endpoint-host"), trailer.Get("leader-endpoint-port")
	if len(host) == 0 || len(port) == 0 {
		return ""
	}
	return net.JoinHostPort(host[0], port[0])
}

// leave gives a connection up, for a node that is known to lead or for the next
// of the list.
func (s *server) leave(conn *grpc.ClientConn, leader string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != conn {
		return // somebody else has
	}
	_ = conn.Close()
	s.conn, s.node = nil, leader
	s.next++
}

func (s *server) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return nil
	}
	conn := s.conn
	s.conn = nil
	return conn.Close()
}

// event is one of a stream.
type event struct {
	revision uint64
	kind     string
	data     []byte
}

// The keys of an event's system metadata.
const (
	typeKey        = "type"
	contentTypeKey = "content-type"
)

func identifier(stream string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(stream)}
}

// readRequest reads forwards from a revision, or backwards from the end.
func readRequest(stream string, from uint64, backwards bool) *streams.ReadReq_Options {
	at := &streams.ReadReq_Options_StreamOptions{StreamIdentifier: identifier(stream), RevisionOption: &streams.ReadReq_Options_StreamOptions_Revision{Revision: from}}
	options := &streams.ReadReq_Options{
		StreamOption: &streams.ReadReq_Options_Stream{Stream: at},
		FilterOption: &streams.ReadReq_Options_NoFilter{NoFilter: &shared.Empty{}},
		UuidOption:   &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_Structured{Structured: &shared.Empty{}}},
	}
	if backwards {
		at.RevisionOption = &streams.ReadReq_Options_StreamOptions_End{End: &shared.Empty{}}
		options.ReadDirection = streams.ReadReq_Options_Backwards
	}
	return options
}

// read gives up to count events to visit, until it wants no more; errNoStream
// where there is none.
func (s *server) read(ctx context.Context, options *streams.ReadReq_Options, count uint64, visit func(event) bool) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	options.CountOption = &streams.ReadReq_Options_Count{Count: count}
	return s.receive(ctx, options, visit)
}

// subscribe is read without an end.
func (s *server) subscribe(ctx context.Context, options *streams.ReadReq_Options, visit func(event) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	options.CountOption = &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}}
	return s.receive(ctx, options, visit)
}

func (s *server) receive(ctx context.Context, options *streams.ReadReq_Options, visit func(event) bool) error {
	return s.do(ctx, func(ctx context.Context, client streams.StreamsClient) (metadata.MD, error) {
		reading, err := client.Read(ctx, &streams.ReadReq{Options: options})
		if err != nil {
			return nil, err
		}
		for {
			answer, err := reading.Recv()
			if errors.Is(err, io.EOF) {
				return nil, nil
			}
			if err != nil {
				return reading.Trailer(), err
			}
			switch content := answer.Content.(type) {
			case *streams.ReadResp_StreamNotFound_:
				return nil, errNoStream
			case *streams.ReadResp_Event:
				recorded := content.Event.GetEvent()
				if !visit(event{recorded.GetStreamRevision(), recorded.GetMetadata()[typeKey], recorded.GetData()}) {
					return nil, nil
				}
			}
		}
	})
}

// append writes events behind the first size ones, all or none of them;
// errConflict where the stream has another size.
func (s *server) append(ctx context.Context, stream string, size uint64, list []event) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	options := &streams.AppendReq_Options{StreamIdentifier: identifier(stream), ExpectedStreamRevision: &streams.AppendReq_Options_NoStream{NoStream: &shared.Empty{}}}
	if size > 0 {
		options.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: size - 1}
	}
	return s.do(ctx, func(ctx context.Context, client streams.StreamsClient) (metadata.MD, error) {
		appending, err := client.Append(ctx)
		if err != nil {
			return nil, err
		}
		err = appending.Send(&streams.AppendReq{Content: &streams.AppendReq_Options_{Options: options}})
		for i := 0; err == nil && i < len(list); i++ {
			err = appending.Send(&streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: proposed(list[i])}})
		}
		if err != nil && !errors.Is(err, io.EOF) { // at EOF the answer says why
			return nil, err
		}
		answer, err := appending.CloseAndRecv()
		if err == nil && answer.GetWrongExpectedVersion() != nil {
			err = errConflict
		}
		return appending.Trailer(), err
	})
}

// proposed gives an event an id that follows from its content, so that the
// server takes it once.
func proposed(e event) *streams.AppendReq_ProposedMessage {
	sum := sumOf(e)
	return &streams.AppendReq_ProposedMessage{
		Id: &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
			MostSignificantBits: int64(binary.BigEndian.Uint64(sum[:8])), LeastSignificantBits: int64(binary.BigEndian.Uint64(sum[8:16])),
		}}},
		Metadata: map[string]string{typeKey: e.kind, contentTypeKey: "application/octet-stream"},
		Data:     e.data,
	}
}

// remove deletes a stream; one that is not there is no error.
func (s *server) remove(ctx context.Context, stream string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return s.do(ctx, func(ctx context.Context, client streams.StreamsClient) (trailer metadata.MD, err error) {
		_, err = client.Delete(ctx, &streams.DeleteReq{Options: &streams.DeleteReq_Options{
			StreamIdentifier: identifier(stream), ExpectedStreamRevision: &streams.DeleteReq_Options_Any{Any: &shared.Empty{}},
		}}, grpc.Trailer(&trailer))
		if status.Code(err) == codes.NotFound && leaderIn(trailer) == "" {
			err = nil
		}
		return trailer, err
	})
}

// explained turns a call's error into a problem. What the server says may be
// shown: it knows no secret of ours but the password, which it does not repeat.
func explained(ctx context.Context, err error, trailer metadata.MD) error {
	hint := "look whether the EventStoreDB that holds the log runs and can be reached"
	exception := strings.Join(trailer.Get("exception"), " ")
	switch {
	case exception == "stream-deleted":
		hint = "the log's stream was deleted on the server: it is to be restored from an export"
	case exception == "access-denied" || status.Code(err) == codes.PermissionDenied || status.Code(err) == codes.Unauthenticated:
		hint = "look at the user and password of the log's address, and at the access list of its stream"
	}
	text := status.Convert(err).Message()
	if context.Cause(ctx) == context.DeadlineExceeded {
		text = "no answer within " + callTimeout.Round(time.Second).String()
	}
	return problem.New(problem.Unavailable, "the EventStoreDB of the log does not answer: %.200s", text).WithHint("%s", hint)
}
