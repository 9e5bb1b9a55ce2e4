package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"pantheon/events"
	"pantheon/events/eventlog"
)

// magic begins every part; the number is the format's version.
const (
	magicWord = "pantheon archive "
	magic     = magicWord + "1\n"
)

// The kinds of frames.
const (
	kindHeader  = 'h'
	kindCommits = 'c'
	kindTrailer = 't'
)

const frameHeadBytes = 1 + 4 + 4 + 16

type checksum [16]byte

// next gives the checksum of the frame after the one with this checksum.
func (c checksum) next(head, packed []byte) checksum {
	sum := sha256.New()
	_, _ = sum.Write(c[:])
	_, _ = sum.Write(head[:9])
	_, _ = sum.Write(packed)
	return checksum(sum.Sum(nil)[:len(c)])
}

// frame is one frame as it stands in the file.
type frame struct {
	kind   byte
	plain  int // bytes when unpacked
	packed []byte
}

// appendTo writes the frame and gives its checksum.
func (f frame) appendTo(out []byte, before checksum) ([]byte, checksum) {
	start := len(out)
	out = append(out, f.kind)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(f.packed)))
	out = binary.LittleEndian.AppendUint32(out, uint32(f.plain))
	sum := before.next(out[start:], f.packed)
	return append(append(out, sum[:]...), f.packed...), sum
}

// damage is what is wrong with the bytes of an archive, in contrast to an error
// of reading them.
type damage string

func (d damage) Error() string { return string(d) }

const (
	errTorn    damage = "it ends too early"
	errForeign damage = "it is no archive of pantheon"
	errFollows damage = "something else follows"
	errOrder   damage = "its frames are not in order"
	errSum     damage = "a frame was changed, or is not in its place: its checksum is wrong"
	errBatch   damage = "a frame does not hold what it should"
)

// readFrame reads the next frame; its packed bytes are the caller's.
func readFrame(in io.Reader, before checksum) (frame, checksum, error) {
	var head [frameHeadBytes]byte
	if err := readFull(in, head[:]); err != nil {
		return frame{}, before, err
	}
	packed, plain := binary.LittleEndian.Uint32(head[1:]), binary.LittleEndian.Uint32(head[5:])
	if packed > maxPackedBytes || plain > maxPlainBytes {
		return frame{}, before, damage(fmt.Sprintf("a frame claims %d bytes, packed %d", plain, packed))
	}
	f := frame{kind: head[0], plain: int(plain), packed: make([]byte, packed)}
	if err := readFull(in, f.packed); err != nil {
		return frame{}, before, err
	}
	sum := before.next(head[:], f.packed)
	if !bytes.Equal(sum[:], head[9:]) {
		return frame{}, before, errSum
	}
	return f, sum, nil
}

// readFull gives errTorn where the input ends too early.
func readFull(in io.Reader, buf []byte) error {
	_, err := io.ReadFull(in, buf)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errTorn
	}
	return err
}

// seal is the beginning of a commit's hash: when a commit does not have the
// hash it was written with, it is known which one.
type seal [8]byte

// batch is what a frame of commits is made of.
type batch struct {
	positions []events.Position
	lengths   []int
	data      []byte // of all commits
}

func (b *batch) add(entry eventlog.Entry) {
	b.positions, b.lengths = append(b.positions, entry.Position), append(b.lengths, len(entry.Wire))
	b.data = append(b.data, entry.Wire...)
}

func (b *batch) full() bool { return len(b.positions) >= frameCommits || len(b.data) >= frameBytes }

// plain gives the batch as it is packed.
func (b *batch) plain() []byte {
	out := make([]byte, 0, len(b.data)+28*len(b.positions))
	out = binary.AppendUvarint(out, uint64(len(b.positions)))
	rest := b.data
	for _, length := range b.lengths {
		sum := sha256.Sum256(rest[:length])
		out = append(out, sum[:len(seal{})]...)
		rest = rest[length:]
	}
	var before events.Position
	for _, position := range b.positions {
		out = binary.AppendUvarint(out, uint64(position-before))
		before = position
	}
	for _, length := range b.lengths {
		out = binary.AppendUvarint(out, uint64(length))
	}
	return append(out, b.data...)
}

// parseBatch is the inverse of plain; what it gives refers to data.
func parseBatch(data []byte) ([]eventlog.Entry, []seal, error) {
	count, data, err := uvarint(data, frameCommits)
	if err != nil || count == 0 || uint64(len(data)) < count*uint64(len(seal{})) {
		return nil, nil, errBatch
	}
	entries, seals := make([]eventlog.Entry, count), make([]seal, count)
	for i := range seals {
		seals[i], data = seal(data), data[len(seal{}):]
	}
	var position uint64
	for i := range entries {
		var above uint64
		if above, data, err = uvarint(data, math.MaxUint64-position); err != nil || above == 0 {
			return nil, nil, errBatch
		}
		position += above
		entries[i].Position = events.Position(position)
	}
	lengths, all := make([]int, count), 0
	for i := range lengths {
		var length uint64
		if length, data, err = uvarint(data, events.MaxCommitBytes); err != nil {
			return nil, nil, errBatch
		}
		lengths[i], all = int(length), all+int(length)
	}
	if all != len(data) {
		return nil, nil, errBatch
	}
	for i, length := range lengths {
		entries[i].Wire, data = data[:length:length], data[length:]
	}
	return entries, seals, nil
}

func uvarint(data []byte, most uint64) (uint64, []byte, error) {
	n, size := binary.Uvarint(data)
	if size <= 0 || n > most {
		return 0, data, errBatch
	}
	return n, data[size:], nil
}
