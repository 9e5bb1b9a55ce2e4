// Package jetstreamtest makes logs on disk for tests and benchmarks, thousands
// of times faster than a log that synchronises every commit would: it writes
// the block files itself. It knows their format on its own, so that a mistake
// in the reader's shows.
package jetstreamtest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"iter"
	"os"
	"path/filepath"

	"github.com/minio/highwayhash"

	"pantheon/events"
	"pantheon/events/eventlog/jetstream"
)

// blockBytes is where the server begins another file.
const blockBytes = 8 << 20

// Write makes a log of the commits in dir, which must not have one, and gives
// the number of commits and events.
func Write(ctx context.Context, dir string, commits iter.Seq[events.Commit]) (positions, count int, err error) {
	w, err := newWriter(ctx, dir)
	if err != nil {
		return 0, 0, err
	}
	for commit := range commits {
		if err := w.append(commit); err != nil {
			return 0, 0, err
		}
		count += len(commit.Events)
	}
	return w.position, count, w.finish()
}

// WriteWire makes a log of one commit with these bytes, whatever they are.
func WriteWire(ctx context.Context, dir string, stream events.StreamID, wire []byte) error {
	w, err := newWriter(ctx, dir)
	if err != nil {
		return err
	}
	if err := w.put(stream, 0, 0, wire); err != nil {
		return err
	}
	return w.finish()
}

func newWriter(ctx context.Context, dir string) (*writer, error) {
	// A server makes the stream's description.
	log, err := jetstream.Open(ctx, jetstream.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	if err := log.Close(); err != nil {
		return nil, err
	}
	messages := filepath.Join(dir, "jetstream", "$G", "streams", "events", "msgs")
	if err := os.RemoveAll(messages); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(messages, 0o700); err != nil {
		return nil, err
	}
	return &writer{dir: messages, tips: map[events.StreamID]events.Tip{}}, nil
}

type writer struct {
	dir      string
	tips     map[events.StreamID]events.Tip
	position int
	number   int
	size     int
	file     *os.File
	out      *bufio.Writer
	record   []byte
	sum      hash.Hash
}

func (w *writer) append(commit events.Commit) error {
	tip := w.tips[commit.Stream]
	wire, hash, err := events.Encode(commit, tip)
	if err != nil {
		return err
	}
	if err := w.put(commit.Stream, tip.Position, commit.Meta.Time.UnixNano(), wire); err != nil {
		return err
	}
	w.tips[commit.Stream] = events.Tip{Revision: tip.Revision + 1, Position: events.Position(w.position), Hash: hash}
	return nil
}

// put writes the next record.
func (w *writer) put(stream events.StreamID, previous events.Position, time int64, wire []byte) error {
	if w.file == nil || w.size+len(wire) > blockBytes {
		if err := w.next(); err != nil {
			return err
		}
	}
	w.position++
	header := fmt.Sprintf("NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: %d\r\n\r\n", previous)
	w.encode(uint64(w.position), time, "events."+string(stream.Kind)+"."+stream.ID, header, wire)
	w.size += len(w.record)
	_, err := w.out.Write(w.record)
	return err
}

func (w *writer) encode(position uint64, time int64, subject, header string, message []byte) {
	le := binary.LittleEndian
	size := 22 + len(subject) + 4 + len(header) + len(message) + 8
	b := le.AppendUint32(w.record[:0], uint32(size)|1<<31)
	b = le.AppendUint64(b, position)
	b = le.AppendUint64(b, uint64(time))
	b = le.AppendUint16(b, uint16(len(subject)))
	b = append(b, subject...)
	b = le.AppendUint32(b, uint32(len(header)))
	b = append(append(b, header...), message...)
	w.sum.Reset()
	for _, part := range [][]byte{b[4:20], []byte(subject), []byte(header), message} {
		_, _ = w.sum.Write(part)
	}
	w.record = w.sum.Sum(b)
}

func (w *writer) next() error {
	if err := w.finish(); err != nil {
		return err
	}
	w.number, w.size = w.number+1, 0
	file, err := os.Create(filepath.Join(w.dir, fmt.Sprintf("%d.blk", w.number)))
	if err != nil {
		return err
	}
	w.file, w.out = file, bufio.NewWriterSize(file, 1<<20)
	key := sha256.Sum256(fmt.Appendf(nil, "events-%d", w.number))
	w.sum, err = highwayhash.New64(key[:])
	return err
}

func (w *writer) finish() error {
	if w.file == nil {
		return nil
	}
	if err := w.out.Flush(); err != nil {
		return err
	}
	return w.file.Close()
}
