package styx

import (
	"context"
	"io"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// record is what one line of the access log says.
type record struct {
	at       time.Time
	visitor  visitor
	method   string
	uri      string
	proto    string
	host     string
	status   int
	bytes    int64
	referer  string
	agent    string
	duration time.Duration
	id       string
	drop     string // "-" for none
	attempts int
}

// accessLog is a buffer between requests and the disk. A request adds its line
// and never waits; one goroutine writes. What does not fit is dropped and
// counted.
type accessLog struct {
	to      io.Writer
	format  LogFormat
	dropped func()
	failed  func(error)

	mu      sync.Mutex
	pending []byte
	wake    chan struct{} // holds a token while pending is not empty
}

func newAccessLog(to io.Writer, format LogFormat, dropped func(), failed func(error)) *accessLog {
	return &accessLog{to: to, format: format, dropped: dropped, failed: failed, wake: make(chan struct{}, 1)}
}

// lineBuffers hold lines that are being composed.
var lineBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 1<<10); return &b }}

func (l *accessLog) add(r *record) {
	buffer := lineBuffers.Get().(*[]byte)
	var line []byte
	if l.format == JSON {
		line = appendJSON((*buffer)[:0], r)
	} else {
		line = appendCombined((*buffer)[:0], r)
	}
	l.mu.Lock()
	fits := len(l.pending)+len(line) <= MaxLogBufferBytes
	first := len(l.pending) == 0
	if fits {
		l.pending = append(l.pending, line...)
	}
	l.mu.Unlock()
	*buffer = line
	lineBuffers.Put(buffer)
	if !fits {
		l.dropped()
		return
	}
	if first {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// run writes until ctx ends, and then what is left.
func (l *accessLog) run(ctx context.Context) {
	var spare []byte
	timer := time.NewTimer(logInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			l.flush(spare)
			return
		case <-l.wake:
		}
		spare = l.flush(spare)
		timer.Reset(logInterval)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
}

// flush writes what is pending; spare becomes the buffer of the next lines.
func (l *accessLog) flush(spare []byte) []byte {
	l.mu.Lock()
	lines := l.pending
	l.pending = spare[:0]
	l.mu.Unlock()
	if len(lines) == 0 {
		return lines
	}
	if _, err := l.to.Write(lines); err != nil {
		l.failed(err)
	}
	return lines
}

func appendCombined(b []byte, r *record) []byte {
	b = append(b, r.visitor.client...)
	b = append(b, " - - ["...)
	b = r.at.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, "] \""...)
	b = appendField(b, r.method)
	b = append(b, ' ')
	b = appendField(b, r.uri)
	b = append(b, ' ')
	b = append(b, r.proto...)
	b = append(b, "\" "...)
	b = strconv.AppendInt(b, int64(r.status), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, r.bytes, 10)
	b = append(b, " \""...)
	b = appendField(b, orDash(r.referer))
	b = append(b, "\" \""...)
	b = appendField(b, orDash(r.agent))
	b = append(b, "\" "...)
	b = appendSeconds(b, r.duration)
	b = append(b, ' ')
	b = append(b, r.id...)
	b = append(b, " \""...)
	b = appendField(b, orDash(r.host))
	b = append(b, "\" "...)
	b = append(b, r.drop...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(r.attempts), 10)
	b = append(b, " \""...)
	b = appendField(b, r.visitor.chain)
	return append(b, "\"\n"...)
}

func appendJSON(b []byte, r *record) []byte {
	text := func(key, value string) {
		b = append(b, ",\""...)
		b = append(b, key...)
		b = append(b, "\":\""...)
		b = appendJSONField(b, value)
		b = append(b, '"')
	}
	number := func(key string, value int64) {
		b = append(b, ",\""...)
		b = append(b, key...)
		b = append(b, "\":"...)
		b = strconv.AppendInt(b, value, 10)
	}
	b = append(b, "{\"time\":\""...)
	b = r.at.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	text("client", r.visitor.client)
	text("method", r.method)
	text("uri", r.uri)
	text("protocol", r.proto)
	text("host", r.host)
	number("status", int64(r.status))
	number("bytes", r.bytes)
	text("referer", r.referer)
	text("user_agent", r.agent)
	number("duration_us", r.duration.Microseconds())
	text("request_id", r.id)
	text("drop", r.drop)
	number("attempts", int64(r.attempts))
	text("chain", r.visitor.chain)
	return append(b, "}\n"...)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// appendSeconds writes d with milliseconds.
func appendSeconds(b []byte, d time.Duration) []byte {
	ms := d.Milliseconds()
	b = strconv.AppendInt(b, ms/1000, 10)
	return append(b, '.', byte('0'+ms/100%10), byte('0'+ms/10%10), byte('0'+ms%10))
}

const hexDigits = "0123456789abcdef"

// appendField writes what a visitor sent so that it cannot leave its quotes
// or its line: nginx' escaping, \xHH.
func appendField(b []byte, s string) []byte {
	s = s[:min(len(s), MaxLogFieldBytes)]
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}

// appendJSONField is appendField for JSON, which must be UTF-8.
func appendJSONField(b []byte, s string) []byte {
	s = s[:min(len(s), MaxLogFieldBytes)]
	for len(s) > 0 {
		c, size := utf8.DecodeRuneInString(s)
		switch {
		case c == utf8.RuneError && size <= 1:
			b = append(b, `\ufffd`...)
		case c < ' ' || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		case c == '"' || c == '\\':
			b = append(b, '\\', byte(c))
		default:
			b = append(b, s[:size]...)
		}
		s = s[size:]
	}
	return b
}
