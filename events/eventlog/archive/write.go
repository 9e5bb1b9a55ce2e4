package archive

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"iter"

	"github.com/go-json-experiment/json"
	"github.com/klauspost/compress/zstd"

	"pantheon/events"
	"pantheon/events/eventlog"
)

// Start is where a part begins: after a position, where a commit of this hash
// stands. The zero value is the beginning of the log.
type Start struct {
	After events.Position
	Hash  events.Hash
}

// header and Trailer are the JSON of their frames.
type header struct {
	After events.Position `json:"after"`
	Hash  string          `json:"hash,omitzero"`
	Heads
}

// Heads are signed tree heads of the log, oldest first, as their notes; a
// reader gets them before the commits. Key is the public key they can be
// checked with, as the exporter says: who does not trust the file has it from
// elsewhere.
type Heads struct {
	Notes []string `json:"heads,omitzero"`
	Key   string   `json:"key,omitzero"`
}

// Trailer ends a part.
type Trailer struct {
	Commits uint64          `json:"commits"` // of the part
	Last    events.Position `json:"last"`    // of the log that was exported
}

// Signed gives the signed tree heads of a log that ends at last, and their
// public key.
type Signed func(last events.Position) (heads []string, key string)

// Write writes one part: the log as it is now, after start. signed may be nil.
// When it fails, what was written can be gone on from (Scan).
func Write(ctx context.Context, out io.Writer, start Start, log eventlog.EntryReader, signed Signed) (Trailer, error) {
	last, err := log.Head(ctx)
	if err != nil {
		return Trailer{}, err
	}
	w := &writer{out: out}
	if err := w.begin(start, signed, last); err != nil {
		return Trailer{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	packed := make(chan chan packedBatch, workers)
	go pack(ctx, upTo(log.Entries(ctx, start.After), last), packed)
	trailer := Trailer{Last: start.After}
	for result := range packed {
		next := <-result
		if next.err != nil {
			return Trailer{}, next.err
		}
		if err := w.frame(next.frame); err != nil {
			return Trailer{}, err
		}
		trailer.Commits += uint64(next.commits)
		trailer.Last = next.last
	}
	if err := ctx.Err(); err != nil {
		return Trailer{}, err
	}
	return trailer, w.json(kindTrailer, trailer)
}

// upTo leaves out what has come to the log meanwhile.
func upTo(entries iter.Seq2[eventlog.Entry, error], last events.Position) iter.Seq2[eventlog.Entry, error] {
	return func(yield func(eventlog.Entry, error) bool) {
		for entry, err := range entries {
			if err == nil && entry.Position > last || !yield(entry, err) {
				return
			}
		}
	}
}

// packedBatch is a frame on its way through a packer.
type packedBatch struct {
	frame   frame
	commits int
	last    events.Position
	err     error
}

// pack reads the entries and packs them on all cores; the channel's capacity
// bounds both memory and packers.
func pack(ctx context.Context, entries iter.Seq2[eventlog.Entry, error], packed chan<- chan packedBatch) {
	defer close(packed)
	send := func(b *batch, err error) bool {
		result := make(chan packedBatch, 1)
		select {
		case packed <- result:
		case <-ctx.Done():
			return false
		}
		if err != nil {
			result <- packedBatch{err: err}
			return false
		}
		go func() {
			plain := b.plain()
			result <- packedBatch{
				frame:   frame{kindCommits, len(plain), compress(plain)},
				commits: len(b.positions), last: b.positions[len(b.positions)-1],
			}
		}()
		return true
	}
	current := &batch{}
	for entry, err := range entries {
		if err != nil {
			send(nil, err)
			return
		}
		if current.add(entry); current.full() {
			if !send(current, nil) {
				return
			}
			current = &batch{data: make([]byte, 0, frameBytes+events.MaxCommitBytes/8)}
		}
	}
	if len(current.positions) > 0 {
		send(current, nil)
	}
}

// writer writes frames.
type writer struct {
	out io.Writer
	sum checksum
	buf []byte
}

func (w *writer) begin(start Start, signed Signed, last events.Position) error {
	w.buf, w.sum = append(w.buf[:0], magic...), checksum{}
	head := header{After: start.After}
	if signed != nil {
		head.Notes, head.Key = signed(last)
	}
	if start.After > 0 {
		head.Hash = hex.EncodeToString(start.Hash[:])
	}
	return w.json(kindHeader, head)
}

// frame writes one frame behind what is in buf, in one piece.
func (w *writer) frame(f frame) error {
	w.buf, w.sum = f.appendTo(w.buf, w.sum)
	_, err := w.out.Write(w.buf)
	w.buf = w.buf[:0]
	return err
}

func (w *writer) json(kind byte, value any) error {
	text, err := json.Marshal(value, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("cannot write the archive: %w", err)
	}
	if len(text) > maxPlainBytes {
		return fmt.Errorf("cannot write the archive: a frame of %d bytes, %d are allowed", len(text), maxPlainBytes)
	}
	return w.frame(frame{kind, len(text), compress(text)})
}

// Both can be used by all goroutines at once (EncodeAll, DecodeAll).
var (
	encoder = must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(workers)))
	decoder = must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(workers), zstd.WithDecoderMaxMemory(maxPlainBytes), zstd.WithDecoderMaxWindow(maxWindowBytes)))
)

func must[T any](value T, err error) T {
	if err != nil {
		panic("internal error: options of zstd: " + err.Error())
	}
	return value
}

func compress(plain []byte) []byte { return encoder.EncodeAll(plain, nil) }
