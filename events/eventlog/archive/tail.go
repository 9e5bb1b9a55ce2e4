package archive

import (
	"encoding/binary"
	"io"
)

// Tail passes an archive on and knows whether it was whole: whether a trailer
// stands at its end. It checks nothing else.
type Tail struct {
	out  io.Writer
	head []byte // of a part or frame, as far as it has come
	skip int    // packed bytes that are still to come
	kind byte   // of the frame that is being skipped, or was
}

// NewTail passes on to out.
func NewTail(out io.Writer) *Tail { return &Tail{out: out} }

// Whole says whether the archive has ended.
func (t *Tail) Whole() bool { return t.kind == kindTrailer && t.skip == 0 && len(t.head) == 0 }

// Write implements io.Writer.
func (t *Tail) Write(p []byte) (int, error) {
	n, err := t.out.Write(p)
	for rest := p[:n]; len(rest) > 0; {
		rest = t.see(rest)
	}
	return n, err
}

// see takes some of p, and gives the rest.
func (t *Tail) see(p []byte) []byte {
	if t.skip > 0 {
		n := min(t.skip, len(p))
		t.skip -= n
		return p[n:]
	}
	begins := len(t.head) == 0 && p[0] == magicWord[0] || len(t.head) > 0 && t.head[0] == magicWord[0]
	want := frameHeadBytes
	if begins {
		want = len(magic)
	}
	n := min(want-len(t.head), len(p))
	if t.head = append(t.head, p[:n]...); len(t.head) < want {
		return p[n:]
	}
	if !begins {
		t.kind, t.skip = t.head[0], int(binary.LittleEndian.Uint32(t.head[1:]))
	}
	t.head = t.head[:0]
	return p[n:]
}
