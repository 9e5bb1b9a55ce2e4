package jetstream

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"os"
	"slices"
	"sync"

	"pantheon/events"
	"pantheon/events/eventlog"
)

// index knows where in the block files every position stands: four bytes each.
// It follows the files on demand (extend) and never looks behind the limit it
// is given, where the server may still be writing.
type index struct {
	dir string

	mu     sync.RWMutex
	blocks []*block
	last   uint64 // the last position that is indexed
}

// block is one file; blocks are appended to under the index's mutex.
type block struct {
	number  int
	first   uint64   // position of the first record
	offsets []uint32 // of each record
	size    uint32   // where the next record begins
	sum     hash.Hash64
}

// place is where one record stands.
type place struct {
	number int
	offset uint32
	bytes  int
}

// find gives the place of a position that is indexed.
func (x *index) find(position uint64) (place, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if position == 0 || position > x.last {
		return place{}, false
	}
	i, found := slices.BinarySearchFunc(x.blocks, position, func(b *block, position uint64) int {
		switch {
		case b.first > position:
			return 1
		case b.first+uint64(len(b.offsets)) <= position:
			return -1
		}
		return 0
	})
	if !found {
		return place{}, false
	}
	b := x.blocks[i]
	n := int(position - b.first)
	end := b.size
	if n+1 < len(b.offsets) {
		end = b.offsets[n+1]
	}
	return place{b.number, b.offsets[n], int(end - b.offsets[n])}, true
}

// extend indexes what was written up to limit. It fails with a BrokenError
// where a record below the limit is missing or damaged.
func (x *index) extend(limit uint64) error {
	x.mu.RLock()
	reached := x.last >= limit
	x.mu.RUnlock()
	if reached {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for x.last < limit {
		before := x.last
		if err := x.extendBlock(limit); err != nil {
			return err
		}
		if x.last == before && !x.nextBlock() {
			return broken(before+1, "the record is missing")
		}
	}
	return nil
}

// extendBlock reads on in the last block.
func (x *index) extendBlock(limit uint64) error {
	if len(x.blocks) == 0 {
		return nil
	}
	b := x.blocks[len(x.blocks)-1]
	file, err := os.Open(blockPath(x.dir, b.number))
	if err != nil {
		return err
	}
	defer file.Close()
	s := &scanner{file: file, offset: int64(b.size), sum: b.sum}
	for x.last < limit {
		r, err := s.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errShort) {
			return nil
		}
		if err != nil {
			return broken(x.last+1, err.Error())
		}
		if err := x.add(b, r); err != nil {
			return err
		}
	}
	return nil
}

// add takes the next record of a block.
func (x *index) add(b *block, r record) error {
	switch {
	case r.position&tombstoneFlag != 0:
		b.size += uint32(r.bytes) // the server's note of a repair; what it repaired is checked by position
		return nil
	case r.position != x.last+1:
		return broken(x.last+1, fmt.Sprintf("position %d stands in its place", r.position&^erasedFlag))
	}
	if len(b.offsets) == 0 {
		b.first = r.position
	}
	b.offsets = append(b.offsets, b.size)
	b.size += uint32(r.bytes)
	x.last = r.position
	return nil
}

// nextBlock goes to the next file, if there is one.
func (x *index) nextBlock() bool {
	last := 0
	if n := len(x.blocks); n > 0 {
		last = x.blocks[n-1].number
	}
	numbers, err := blockNumbers(x.dir)
	i, _ := slices.BinarySearch(numbers, last+1)
	if err != nil || i == len(numbers) {
		return false
	}
	x.blocks = append(x.blocks, &block{number: numbers[i], first: x.last + 1, sum: blockHash(numbers[i])})
	return true
}

// records gives the records with positions above after up to limit, which are
// indexed or get so; each is valid until the next.
func (x *index) records(after, limit uint64) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		if err := x.extend(limit); err != nil {
			yield(record{}, err)
			return
		}
		for after < limit {
			next, err := x.recordsOfBlock(after, limit, yield)
			if err != nil {
				yield(record{}, err)
				return
			}
			if next == after {
				return // the reader has left
			}
			after = next
		}
	}
}

// recordsOfBlock gives the records of the block that holds after+1, and the
// last position given; after itself when the reader has left.
func (x *index) recordsOfBlock(after, limit uint64, yield func(record, error) bool) (uint64, error) {
	at, found := x.find(after + 1)
	if !found {
		return 0, broken(after+1, "the record is missing")
	}
	file, err := os.Open(blockPath(x.dir, at.number))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	s := &scanner{file: file, offset: int64(at.offset), sum: blockHash(at.number)}
	last := after
	for last < limit {
		r, err := s.next()
		if errors.Is(err, io.EOF) && last > after {
			break
		}
		if err != nil {
			return 0, broken(last+1, err.Error())
		}
		if r.position&tombstoneFlag != 0 {
			continue
		}
		if r.position != last+1 {
			return 0, broken(last+1, fmt.Sprintf("position %d stands in its place", r.position&^erasedFlag))
		}
		if !yield(r, nil) {
			return after, nil
		}
		last = r.position
	}
	return last, nil
}

// read gives one record; buf is used when it is large enough.
func (x *index) read(position uint64, buf []byte) (record, []byte, error) {
	if err := x.extend(position); err != nil {
		return record{}, buf, err
	}
	at, _ := x.find(position)
	file, err := os.Open(blockPath(x.dir, at.number))
	if err != nil {
		return record{}, buf, err
	}
	defer file.Close()
	if cap(buf) < at.bytes {
		buf = make([]byte, at.bytes)
	}
	buf = buf[:at.bytes]
	if _, err := file.ReadAt(buf, int64(at.offset)); err != nil {
		return record{}, buf, broken(position, "the record is missing: "+err.Error())
	}
	r, err := parseRecord(buf, blockHash(at.number))
	if err == nil && r.position != position {
		err = fmt.Errorf("position %d stands in its place", r.position)
	}
	if err != nil {
		return record{}, buf, broken(position, err.Error())
	}
	return r, buf, nil
}

func broken(position uint64, reason string) error {
	return &eventlog.BrokenError{Position: events.Position(position), Reason: reason}
}

// scanner reads the records of one file in order.
type scanner struct {
	file   *os.File
	offset int64 // of buf's end in the file
	buf    []byte
	start  int // of the next record in buf
	chunk  int // bytes of the next read; grows to chunkBytes
	sum    hash.Hash64
	ended  bool
}

// next gives the next record, valid until the one after; io.EOF at the end of
// the file, errShort when it ends within a record.
func (s *scanner) next() (record, error) {
	for {
		r, err := parseRecord(s.buf[s.start:], s.sum)
		if err == nil {
			s.start += r.bytes
			return r, nil
		}
		if !errors.Is(err, errShort) {
			return record{}, err
		}
		if s.ended {
			if s.start == len(s.buf) {
				return record{}, io.EOF
			}
			return record{}, errShort
		}
		if err := s.fill(); err != nil {
			return record{}, err
		}
	}
}

// fill reads more of the file behind what is left.
func (s *scanner) fill() error {
	s.chunk = min(max(2*s.chunk, firstChunkBytes), chunkBytes)
	left := copy(s.buf, s.buf[s.start:])
	if cap(s.buf) < left+s.chunk {
		s.buf = append(make([]byte, 0, left+s.chunk), s.buf[:left]...)
	}
	n, err := s.file.ReadAt(s.buf[left:left+s.chunk], s.offset)
	s.buf, s.start, s.offset = s.buf[:left+n], 0, s.offset+int64(n)
	if errors.Is(err, io.EOF) {
		s.ended = true
		return nil
	}
	return err
}
