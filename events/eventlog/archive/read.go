package archive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/go-json-experiment/json"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/chain"
	"pantheon/events/problem"
)

// Batch is some consecutive entries with what was read from each for its place
// in the chain; or, where a part begins, the heads that it brings.
type Batch struct {
	Heads   *Heads
	Entries []eventlog.Entry
	Links   []chain.Link
}

// Reader reads one archive from its beginning to its end, once.
type Reader struct {
	in      *bufio.Reader
	chain   *chain.Checker
	last    chain.Link
	commits uint64 // of the part
	parts   int
	ended   bool // behind a trailer
	trailer Trailer
}

// NewReader reads nothing yet.
func NewReader(in io.Reader) *Reader {
	return &Reader{in: bufio.NewReaderSize(in, 1<<16), chain: chain.NewChecker()}
}

// Trailer is known when Batches has ended without an error.
func (r *Reader) Trailer() Trailer { return r.trailer }

// Batches gives all commits in order; the iterator ends after the first error:
// a problem.Unsupported for an archive of a newer format, and a problem.Conflict
// that says where it is not what was written.
func (r *Reader) Batches(ctx context.Context) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		pieces := make(chan chan piece, workers)
		go r.readPieces(ctx, pieces)
		defer func() {
			cancel()
			for range pieces { // until the reading has ended
			}
		}()
		for result := range pieces {
			p := <-result
			if err := r.take(p); err != nil {
				yield(Batch{}, err)
				return
			}
			if batch, any := p.batch(); any && !yield(batch, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Batch{}, err)
		}
	}
}

// piece is one frame that was read, or why none was.
type piece struct {
	kind    byte
	header  header
	entries []eventlog.Entry
	links   []chain.Link
	trailer Trailer
	err     error
}

func (p *piece) batch() (Batch, bool) {
	switch p.kind {
	case kindHeader:
		return Batch{Heads: &p.header.Heads}, true
	case kindCommits:
		return Batch{Entries: p.entries, Links: p.links}, true
	}
	return Batch{}, false
}

// kindEnd is the piece at the end of the input.
const kindEnd = 0

// readPieces reads the frames in order, and unpacks them on all cores.
func (r *Reader) readPieces(ctx context.Context, pieces chan<- chan piece) {
	defer close(pieces)
	s := scanner{in: r.in}
	for {
		f, err := s.next()
		result := make(chan piece, 1)
		select {
		case pieces <- result:
		case <-ctx.Done():
			return
		}
		switch {
		case errors.Is(err, io.EOF):
			result <- piece{kind: kindEnd}
			return
		case err != nil:
			result <- piece{err: err}
			return
		}
		go func() { result <- f.open() }()
	}
}

// scanner finds the frames of a file.
type scanner struct {
	in     *bufio.Reader
	inPart bool
	sum    checksum
	offset int64 // behind the last whole frame
}

// next gives the next frame; io.EOF at an end between two frames.
func (s *scanner) next() (frame, error) {
	first, err := s.in.Peek(1)
	if errors.Is(err, io.EOF) {
		if s.offset == 0 {
			return frame{}, errForeign
		}
		return frame{}, io.EOF
	}
	if err != nil {
		return frame{}, err
	}
	read := int64(0)
	if !s.inPart || first[0] == magicWord[0] {
		if err := s.magic(); err != nil {
			return frame{}, err
		}
		s.inPart, s.sum, read = true, checksum{}, int64(len(magic))
	}
	f, sum, err := readFrame(s.in, s.sum)
	if err != nil {
		return frame{}, err
	}
	if (f.kind == kindHeader) != (read > 0) {
		return frame{}, errOrder
	}
	s.sum = sum
	s.offset += read + frameHeadBytes + int64(len(f.packed))
	if f.kind == kindTrailer {
		s.inPart = false
	}
	return f, nil
}

// newerError is a part of a format that this version does not know.
type newerError struct{ version string }

func (e newerError) Error() string {
	return fmt.Sprintf("it has format %.20s, and this version of pantheon reads format %s", e.version, strings.TrimSpace(magic[len(magicWord):]))
}

// magic reads a part's first line.
func (s *scanner) magic() error {
	err := peekMagic(s.in)
	if err == errForeign && s.offset > 0 {
		return errFollows
	}
	if err == nil {
		_, err = s.in.Discard(len(magic))
	}
	return err
}

func peekMagic(in *bufio.Reader) error {
	line, err := in.Peek(len(magic))
	switch {
	case string(line) == magic:
		return nil
	case errors.Is(err, io.EOF) && len(line) > 0 && strings.HasPrefix(magic, string(line)):
		return errTorn
	case err != nil && !errors.Is(err, io.EOF):
		return err
	}
	if version, found := strings.CutPrefix(string(line), magicWord); found {
		if version, _, _ = strings.Cut(version, "\n"); strings.Trim(version, "0123456789") == "" && version != "" {
			return newerError{version}
		}
	}
	return errForeign
}

// Peek says what is wrong with an archive that is none, or is of a newer
// format, and reads nothing.
func Peek(in *bufio.Reader) error {
	return (&Reader{}).explain(peekMagic(in))
}

// open unpacks a frame and reads what it holds.
func (f frame) open() piece {
	p := piece{kind: f.kind}
	plain, err := decoder.DecodeAll(f.packed, make([]byte, 0, f.plain))
	if err != nil || len(plain) != f.plain {
		p.err = errBatch
		return p
	}
	switch f.kind {
	case kindHeader:
		p.err = unmarshal(plain, &p.header)
	case kindTrailer:
		p.err = unmarshal(plain, &p.trailer)
	case kindCommits:
		p.entries, p.links, p.err = openCommits(plain)
	default:
		p.err = damage(fmt.Sprintf("a frame is of the unknown kind %q", f.kind))
	}
	return p
}

func unmarshal(text []byte, value any) error {
	if err := json.Unmarshal(text, value, json.RejectUnknownMembers(true)); err != nil {
		return damage(err.Error())
	}
	return nil
}

func openCommits(plain []byte) ([]eventlog.Entry, []chain.Link, error) {
	entries, seals, err := parseBatch(plain)
	if err != nil {
		return nil, nil, err
	}
	links := make([]chain.Link, len(entries))
	for i, entry := range entries {
		link, name, err := chain.Read(entry)
		if err != nil {
			return nil, nil, &eventlog.BrokenError{Position: entry.Position, Reason: err.Error()}
		}
		if seal(link.Hash[:]) != seals[i] {
			return nil, nil, &eventlog.BrokenError{Position: entry.Position, Stream: chain.StreamOf(name), Reason: "it is not what was written there"}
		}
		links[i] = link
	}
	return entries, links, nil
}

// take checks a piece against what came before it.
func (r *Reader) take(p piece) error {
	err := p.err
	if err == nil {
		err = r.follow(p)
	}
	return r.explain(err)
}

// explain says what an error means for the whole archive.
func (r *Reader) explain(err error) error {
	var newer newerError
	var broken *eventlog.BrokenError
	var damaged damage
	switch {
	case err == nil:
		return nil
	case errors.As(err, &newer):
		return problem.Wrap(problem.Unsupported, err, "cannot read the archive").WithHint("a newer pantheon can")
	case errors.Is(err, errForeign):
		return problem.Wrap(problem.Invalid, err, "cannot read the archive").WithHint("pantheon log export makes one")
	case errors.As(err, &broken):
		return problem.Wrap(problem.Conflict, broken, "the archive is not what was written")
	case errors.As(err, &damaged) && r.last.Position == 0:
		return problem.Wrap(problem.Conflict, err, "the archive is not what was written, from its beginning on")
	case errors.As(err, &damaged):
		return problem.Wrap(problem.Conflict, err, "the archive is not what was written, after position %d", r.last.Position)
	}
	return problem.Wrap(problem.Unavailable, err, "cannot read the archive")
}

func (r *Reader) follow(p piece) error {
	switch p.kind {
	case kindEnd:
		if !r.ended {
			return errTorn
		}
	case kindHeader:
		return r.begin(p.header)
	case kindTrailer:
		if p.trailer.Commits != r.commits || p.trailer.Last != r.last.Position {
			return damage(fmt.Sprintf("it should hold %d commits up to position %d", p.trailer.Commits, p.trailer.Last))
		}
		r.trailer, r.ended = p.trailer, true
	case kindCommits:
		return r.followCommits(p.links)
	}
	return nil
}

// begin checks that a part goes on where the one before ended.
func (r *Reader) begin(head header) error {
	if !r.fits(head) {
		return damage(fmt.Sprintf("a part that begins after position %d stands here", head.After))
	}
	r.parts++
	r.commits, r.ended, r.trailer = 0, false, Trailer{}
	return nil
}

func (r *Reader) fits(head header) bool {
	if r.last.Position == 0 {
		return head.After == 0 && head.Hash == ""
	}
	return head.After == r.last.Position && head.Hash == r.last.Hash.String()
}

func (r *Reader) followCommits(links []chain.Link) error {
	for _, link := range links {
		if link.Position <= r.last.Position {
			return &eventlog.BrokenError{Position: link.Position, Reason: fmt.Sprintf("it stands after position %d", r.last.Position)}
		}
		if _, err := r.chain.Add(link); err != nil {
			return err
		}
		r.last = link
	}
	r.commits += uint64(len(links))
	return nil
}

// Extent is what Scan has found of an archive.
type Extent struct {
	// Start is where another part has to begin, and Bytes where it has to be
	// written: behind the last whole frame. Zero where nothing can be used.
	Start Start
	Bytes int64
	// Complete says that the file ends with a trailer.
	Complete bool
}

// Scan looks how far an archive goes that an interrupted export has left.
// Checksums are checked, and no more: the whole is checked by a Reader. Its
// error is one of reading, or of a newer format.
func Scan(in io.Reader) (Extent, error) {
	s := scanner{in: bufio.NewReaderSize(in, 1<<16)}
	var extent Extent
	var last frame
	for {
		f, err := s.next()
		var newer newerError
		var damaged damage
		switch {
		case errors.As(err, &newer):
			return Extent{}, problem.Wrap(problem.Unsupported, newer, "cannot go on with the archive")
		case errors.Is(err, io.EOF), errors.As(err, &damaged):
			return extent, extent.end(last)
		case err != nil:
			return Extent{}, problem.Wrap(problem.Unavailable, err, "cannot go on with the archive")
		}
		extent.Bytes, extent.Complete = s.offset, f.kind == kindTrailer
		if f.kind == kindCommits {
			last = f
		}
	}
}

// end finds the start of the part to come in the last frame of commits.
func (e *Extent) end(last frame) error {
	if last.kind != kindCommits {
		return nil
	}
	p := last.open()
	if p.err != nil {
		return problem.Wrap(problem.Conflict, p.err, "cannot go on with the archive: it is damaged")
	}
	link := p.links[len(p.links)-1]
	e.Start = Start{link.Position, link.Hash}
	return nil
}

// ParseStart reads a Start; 0 and no hash are the beginning of a log.
func ParseStart(after events.Position, hash string) (Start, error) {
	if after == 0 && hash == "" {
		return Start{}, nil
	}
	parsed, err := events.ParseHash(hash)
	return Start{after, parsed}, err
}

// Check refuses a start that is not a place of the log.
func (s Start) Check(ctx context.Context, log eventlog.EntryReader) error {
	if s.After == 0 {
		return nil
	}
	for entry, err := range log.Entries(ctx, s.After-1) {
		if err != nil {
			return err
		}
		if link, _, err := chain.Read(entry); err == nil && entry.Position == s.After && link.Hash == s.Hash {
			return nil
		}
		break
	}
	return problem.New(problem.Conflict, "cannot go on after position %d: the log has another commit there, or none", s.After).
		WithHint("the export that was interrupted is of another log: remove its file, or choose another name")
}
