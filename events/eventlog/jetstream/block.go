package jetstream

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/minio/highwayhash"

	"pantheon/events"
)

// # Block files
//
// The server keeps a stream in msgs/1.blk, 2.blk …, each about 8 MiB of
// records, little endian:
//
//	length   4  of the whole record; the top bit says that there is a header
//	position 8  top bit: erased; next bit: tombstone of a deleted message
//	time     8  nanoseconds
//	subject  2  its length, then the subject
//	header   4  its length, then the header; only with the top bit of length
//	message     the rest
//	checksum 8  HighwayHash-64 of position, time, subject, header, message,
//	            with the key SHA-256("<stream>-<block number>")
//
// This is nats-server v2.15.2 and, by its code's history, all since 2.2; the
// pinned version and the tests of this package guard it.
const (
	streamName      = "events"
	subjectPrefix   = streamName + "."
	recordHeadBytes = 22
	checksumBytes   = 8
	headerFlag      = 1 << 31
	erasedFlag      = 1 << 63
	tombstoneFlag   = 1 << 62
)

var (
	errShort   = errors.New("the record is not complete")
	errDamaged = errors.New("the record is damaged")
)

// record is one message of a block file; its slices belong to the buffer it
// was parsed from.
type record struct {
	position uint64
	subject  []byte
	header   []byte
	message  []byte
	bytes    int // in the file
}

// blockHash gives the checksum of a block's records.
func blockHash(number int) hash.Hash64 {
	key := sha256.Sum256([]byte(streamName + "-" + strconv.Itoa(number)))
	sum, err := highwayhash.New64(key[:])
	if err != nil {
		panic("internal error: highwayhash takes every key of 32 bytes: " + err.Error())
	}
	return sum
}

// parseRecord reads the record at the beginning of buf: errShort when buf ends
// within it, errDamaged when it is none.
func parseRecord(buf []byte, sum hash.Hash64) (record, error) {
	le := binary.LittleEndian
	if len(buf) < recordHeadBytes {
		return record{}, errShort
	}
	length := le.Uint32(buf)
	hasHeader := length&headerFlag != 0
	size, subjectLen := int(length&^headerFlag), int(le.Uint16(buf[20:]))
	if size < recordHeadBytes+subjectLen+checksumBytes || size > maxRecordBytes {
		return record{}, errDamaged
	}
	if len(buf) < size {
		return record{}, errShort
	}
	body := buf[recordHeadBytes : size-checksumBytes]
	r := record{position: le.Uint64(buf[4:]), subject: body[:subjectLen], message: body[subjectLen:], bytes: size}
	if hasHeader {
		if len(r.message) < 4 || int(le.Uint32(r.message)) > len(r.message)-4 {
			return record{}, errDamaged
		}
		end := 4 + int(le.Uint32(r.message))
		r.header, r.message = r.message[4:end], r.message[end:]
	}
	sum.Reset()
	_, _ = sum.Write(buf[4:20])
	_, _ = sum.Write(r.subject)
	_, _ = sum.Write(r.header)
	_, _ = sum.Write(r.message)
	if le.Uint64(buf[size-checksumBytes:]) != sum.Sum64() {
		return record{}, errDamaged
	}
	return r, nil
}

var expectedHeader = []byte("Nats-Expected-Last-Subject-Sequence: ")

// previous gives the position of the commit before this one in its stream, 0
// for the first.
func (r record) previous() (uint64, error) {
	_, rest, found := bytes.Cut(r.header, expectedHeader)
	digits, _, ended := bytes.Cut(rest, []byte("\r\n"))
	position, err := strconv.ParseUint(string(digits), 10, 64)
	if !found || !ended || err != nil || position >= r.position {
		return 0, fmt.Errorf("its header names no earlier commit")
	}
	return position, nil
}

// subject of a stream. Identifiers hold dots, which only makes more tokens:
// nobody subscribes to parts.
func subject(stream events.StreamID) string {
	return subjectPrefix + string(stream.Kind) + "." + stream.ID
}

// isOf says whether the record stands in the stream, without making strings.
func (r record) isOf(stream events.StreamID) bool {
	rest, found := bytes.CutPrefix(r.subject, []byte(subjectPrefix))
	kind, id, cut := bytes.Cut(rest, []byte{'.'})
	return found && cut && string(kind) == string(stream.Kind) && string(id) == stream.ID
}

// streamOf gives the stream of a subject, zero for a foreign one.
func streamOf(subject []byte) events.StreamID {
	kind, id, _ := strings.Cut(strings.TrimPrefix(string(subject), subjectPrefix), ".")
	stream, err := events.ParseStreamID(kind + "/" + id)
	if err != nil {
		return events.StreamID{}
	}
	return stream
}

// messagesDir is where the server keeps the block files under its store.
func messagesDir(dir string) string {
	return filepath.Join(dir, "jetstream", "$G", "streams", streamName, "msgs")
}

// summaryPath is the server's summary of the block files, made again from them
// when it is missing.
func summaryPath(dir string) string { return filepath.Join(messagesDir(dir), "index.db") }

func blockPath(dir string, number int) string {
	return filepath.Join(messagesDir(dir), strconv.Itoa(number)+".blk")
}

// blockNumbers lists the block files in order; none for a new log.
func blockNumbers(dir string) ([]int, error) {
	files, err := os.ReadDir(messagesDir(dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, file := range files {
		if name, isBlock := strings.CutSuffix(file.Name(), ".blk"); isBlock {
			number, err := strconv.Atoi(name)
			if err != nil || number <= 0 {
				return nil, fmt.Errorf("%s is no block file of this log", file.Name())
			}
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}
