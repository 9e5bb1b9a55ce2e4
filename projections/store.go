package projections

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"

	"pantheon/events"
)

// Store keeps one snapshot of each view.
type Store interface {
	// Save replaces the snapshot of header.Name, wholly or not at all.
	Save(ctx context.Context, header Header, records iter.Seq2[[]byte, error]) error
	// Load hands the snapshot of a view to read. A record is valid until the
	// next; a snapshot that is not whole ends with an error. ErrNoSnapshot when
	// there is none.
	Load(ctx context.Context, name string, read func(Header, iter.Seq2[[]byte, error]) error) error
}

// Header says what a snapshot is of.
type Header struct {
	Name     string          `json:"name"`
	Version  int             `json:"version"`
	Position events.Position `json:"position"`
	Hash     string          `json:"hash"` // of the commit at the position
}

// ErrNoSnapshot: the store has no snapshot of that name.
var ErrNoSnapshot = errors.New("there is no snapshot")

// Files is a Store of one file a view, "<name>.snapshot" in Dir.
//
// The file is the header as one line of JSON; then each record behind its
// length (unsigned varint); then a zero and the SHA-256 of all before it. It is
// written beside the old one, synchronised, and renamed over it.
type Files struct {
	Dir string
}

func (f Files) path(name string) string { return filepath.Join(f.Dir, name+".snapshot") }

// Save implements Store.
func (f Files) Save(ctx context.Context, header Header, records iter.Seq2[[]byte, error]) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot save snapshot of %s: %w", header.Name, err)
		}
	}()
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(f.path(header.Name)+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // after the rename there is nothing to remove
	err = writeSnapshot(ctx, file, header, records)
	err = errors.Join(err, file.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(file.Name(), f.path(header.Name)); err != nil {
		return err
	}
	return syncDir(f.Dir)
}

func writeSnapshot(ctx context.Context, file *os.File, header Header, records iter.Seq2[[]byte, error]) error {
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(file, sum), 1<<20)
	line, err := json.Marshal(header)
	if err != nil {
		return err
	}
	if _, err := out.Write(append(line, '\n')); err != nil {
		return err
	}
	var length [binary.MaxVarintLen64]byte
	for record, err := range records {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if len(record) == 0 || len(record) > maxRecordBytes {
			return fmt.Errorf("a record has %d bytes, 1 to %d are allowed", len(record), maxRecordBytes)
		}
		if _, err := out.Write(binary.AppendUvarint(length[:0], uint64(len(record)))); err != nil {
			return err
		}
		if _, err := out.Write(record); err != nil {
			return err
		}
	}
	if err := errors.Join(out.WriteByte(0), out.Flush()); err != nil {
		return err
	}
	if _, err := file.Write(sum.Sum(nil)); err != nil {
		return err
	}
	return file.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Load implements Store.
func (f Files) Load(ctx context.Context, name string, read func(Header, iter.Seq2[[]byte, error]) error) error {
	file, err := os.Open(f.path(name))
	if errors.Is(err, os.ErrNotExist) {
		return ErrNoSnapshot
	}
	if err != nil {
		return fmt.Errorf("cannot load snapshot of %s: %w", name, err)
	}
	defer file.Close()
	r := &snapshotReader{ctx: ctx, in: bufio.NewReaderSize(file, 1<<20), sum: sha256.New()}
	header, err := r.header()
	if err == nil && header.Name != name {
		err = fmt.Errorf("it is of view %q", header.Name)
	}
	if err == nil {
		err = read(header, r.records)
	}
	if err == nil && !r.whole {
		err = errors.New("it was not read to its end")
	}
	if err != nil {
		return fmt.Errorf("cannot load snapshot of %s: %w", name, err)
	}
	return nil
}

// Names implements Past.
func (f Files) Names(context.Context) ([]string, error) {
	entries, err := os.ReadDir(f.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if name, isSnapshot := strings.CutSuffix(entry.Name(), ".snapshot"); isSnapshot {
			names = append(names, name)
		}
	}
	return names, nil
}

// Remove implements Past.
func (f Files) Remove(_ context.Context, name string) error {
	if err := os.Remove(f.path(name)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// snapshotReader reads a file and sums what it has read.
type snapshotReader struct {
	ctx   context.Context
	in    *bufio.Reader
	sum   hash.Hash
	buf   []byte
	whole bool // the checksum was reached and is right
}

func (r *snapshotReader) header() (Header, error) {
	line, err := r.in.ReadSlice('\n')
	if err != nil {
		return Header{}, fmt.Errorf("its header has no end: %w", err)
	}
	r.sum.Write(line)
	var header Header
	if err := json.Unmarshal(line, &header, json.RejectUnknownMembers(true)); err != nil {
		return Header{}, fmt.Errorf("its header: %w", err)
	}
	return header, nil
}

func (r *snapshotReader) records(yield func([]byte, error) bool) {
	for {
		record, err := r.next()
		if err == nil {
			err = r.ctx.Err()
		}
		if err != nil {
			yield(nil, err)
			return
		}
		if record == nil || !yield(record, nil) {
			return
		}
	}
}

// next gives a record, or nil at the end.
func (r *snapshotReader) next() ([]byte, error) {
	length, err := binary.ReadUvarint(r.in)
	if err != nil {
		return nil, fmt.Errorf("it ends early: %w", err)
	}
	r.buf = binary.AppendUvarint(r.buf[:0], length)
	r.sum.Write(r.buf)
	if length == 0 {
		return nil, r.check()
	}
	if length > maxRecordBytes {
		return nil, fmt.Errorf("a record claims %d bytes", length)
	}
	if uint64(cap(r.buf)) < length {
		r.buf = make([]byte, length)
	}
	r.buf = r.buf[:length]
	if _, err := io.ReadFull(r.in, r.buf); err != nil {
		return nil, fmt.Errorf("it ends early: %w", err)
	}
	r.sum.Write(r.buf)
	return r.buf, nil
}

func (r *snapshotReader) check() error {
	var want [sha256.Size]byte
	if _, err := io.ReadFull(r.in, want[:]); err != nil {
		return fmt.Errorf("it ends early: %w", err)
	}
	if want != [sha256.Size]byte(r.sum.Sum(nil)) {
		return errors.New("its checksum is wrong")
	}
	r.whole = true
	return nil
}
