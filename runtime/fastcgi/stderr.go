package fastcgi

import "bytes"

// lines cuts the STDERR stream of one response into lines.
type lines struct {
	emit    func(string)
	partial []byte
	taken   int // bytes handed out so far
}

func (l *lines) reset() {
	l.partial = l.partial[:0]
	l.taken = 0
}

func (l *lines) write(b []byte) {
	if l.emit == nil {
		return
	}
	if room := MaxStderrBytes - l.taken; len(b) > room {
		b = b[:room]
	}
	l.taken += len(b)
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		end := i
		if i < 0 {
			end = len(b)
		}
		if room := MaxStderrLineBytes - len(l.partial); room > 0 {
			l.partial = append(l.partial, b[:min(end, room)]...)
		}
		if i < 0 {
			return
		}
		l.flush()
		b = b[i+1:]
	}
}

// flush hands out what has gathered since the last line end.
func (l *lines) flush() {
	line := bytes.TrimRight(l.partial, "\r")
	if len(line) > 0 && l.emit != nil {
		l.emit(string(line))
	}
	l.partial = l.partial[:0]
}
