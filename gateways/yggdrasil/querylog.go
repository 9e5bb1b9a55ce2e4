package yggdrasil

import (
	"context"
	"net/netip"
	"strconv"
	"time"

	"pantheon/gateways/yggdrasil/wire"
)

// logLine is one sampled query.
type logLine struct {
	at     time.Time
	client netip.Addr
	tcp    bool
	name   []byte
	rrtype uint16
	rcode  wire.Rcode
	bytes  int // of the answer; 0 for none
	flags  [3]bool
}

// sample hands one of every QueryLogEvery queries to the log; it never waits.
func (r *responder) sample(answer []byte) {
	s := r.server
	if s.lines == nil || s.sampled.Add(1)%uint64(s.options.QueryLogEvery) != 0 {
		return
	}
	line := logLine{
		at: r.now, client: r.client, tcp: r.tcp, name: append([]byte(nil), r.query.Name()...), rrtype: r.query.Type,
		rcode: r.header.Rcode, bytes: len(answer), flags: [3]bool{r.query.EDNS, r.query.DO, r.header.TC},
	}
	select {
	case s.lines <- line:
	default:
		s.metrics.logDropped.Inc()
	}
}

// writeLog writes the lines until the context ends, and then what is left.
func (s *Server) writeLog(ctx context.Context) {
	for {
		select {
		case line := <-s.lines:
			s.writeLine(line)
			continue
		case <-ctx.Done():
		}
		for {
			select {
			case line := <-s.lines:
				s.writeLine(line)
				continue
			default:
			}
			return
		}
	}
}

func (s *Server) writeLine(line logLine) {
	if _, err := s.options.QueryLog.Write(line.append(nil)); err != nil {
		s.options.Logger.Error("cannot write the query log", "error", err)
	}
}

// append writes the line: time, client, transport, name, type, response code,
// octets of the answer, and E, D, T for EDNS, DO and a truncated answer.
func (l logLine) append(b []byte) []byte {
	b = l.at.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z ")
	b = l.client.AppendTo(b)
	b = append(b, map[bool]string{false: " udp ", true: " tcp "}[l.tcp]...)
	if len(l.name) == 0 {
		b = append(b, '-')
	} else {
		b = wire.AppendName(b, l.name)
	}
	b = append(b, ' ')
	if i := typeIndex(l.rrtype); i > 0 {
		b = append(b, countedTypes[i].name...)
	} else {
		b = strconv.AppendUint(append(b, "TYPE"...), uint64(l.rrtype), 10) // RFC 3597 §5
	}
	b = append(append(b, ' '), l.rcode.String()...)
	b = strconv.AppendInt(append(b, ' '), int64(l.bytes), 10)
	b = append(b, ' ')
	for i, letter := range "EDT" {
		if l.flags[i] {
			b = append(b, byte(letter))
		} else {
			b = append(b, '-')
		}
	}
	return append(b, '\n')
}
