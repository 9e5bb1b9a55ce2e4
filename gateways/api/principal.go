package api

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"pantheon/events"
	"pantheon/events/problem"
)

// principal is who asks, as settled before any handler runs.
type principal struct {
	account  events.AccountID // empty: nobody
	operator bool
	// gateway is what the log names as the way in: cli for the Unix socket, api
	// for the rest.
	gateway string
	address string
}

// peer is what the connection itself proves about its other end.
type peer struct {
	local bool // a Unix socket
	uid   uint32
}

type peerKey struct{}

// withPeer notes the credentials of a Unix socket's other end, as the kernel
// gives them (SO_PEERCRED, unix(7)); it is the server's ConnContext.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	if counted, ok := conn.(*countedConn); ok {
		conn = counted.Conn
	}
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return ctx
	}
	var credentials *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		credentials, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil || failed != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, peer{true, credentials.Uid})
}

// identify says who sends the request. A bad session is an error even where
// none is needed, so that a client notices that its session is over.
func (s *Server) identify(r *http.Request, view view) (principal, error) {
	other, _ := r.Context().Value(peerKey{}).(peer)
	address := remoteAddress(r)
	who := principal{gateway: "api", address: r.RemoteAddr}
	if other.local {
		who.gateway, who.address = "cli", ""
	}
	header := r.Header.Get("Authorization")
	if header == "" {
		if other.local && (other.uid == 0 || other.uid == uint32(os.Geteuid())) {
			who.account, who.operator = s.options.Operator, true
		}
		return who, nil
	}
	now := s.options.Now()
	if s.failures.blocked(address, now) {
		return who, tooManyFailures()
	}
	scheme, text, _ := strings.Cut(header, " ")
	says, valid := parseSession(s.options.Key, strings.TrimSpace(text), now)
	if !valid || !strings.EqualFold(scheme, "Bearer") || !view.tokenValid(says.account, says.token, now) {
		s.failed(address)
		return who, problem.New(problem.Unauthenticated, "cannot use this session: it is over or not valid").
			WithHint("log in again with a machine token")
	}
	who.account, who.operator = says.account, says.account == s.options.Operator
	return who, nil
}

// failed counts a failed login.
func (s *Server) failed(address netip.Addr) {
	s.failures.add(address, s.options.Now())
	s.metrics.failures.Inc()
}

func tooManyFailures() error {
	return problem.New(problem.Busy, "cannot log in: too many failed logins from this address").
		WithHint("wait a minute")
}

func remoteAddress(r *http.Request) netip.Addr {
	parsed, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return parsed.Addr()
}
