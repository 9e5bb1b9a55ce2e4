package code

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"pantheon/events"
	"pantheon/events/problem"
)

// A release travels between hosts as the objects that its commit is made of:
// a tar of "commit/<id>", then "tree/<id>" for every folder, then "blob/<id>"
// for every content, each once and in the order of the tree, compressed with
// zstd. The same commit gives the same bytes. The name of each object is git's
// digest of it, and each is named by the one before: so what comes is checked
// against the commit that the event log names, whoever has kept it meanwhile.
// It says nothing of a site or of a file mount: sites of one upstream share it.

// Releases keeps published releases for all hosts of a cell.
type Releases interface {
	// Put keeps what it reads under a commit; where there is something already,
	// it may leave that. Nothing is kept of what cannot be read to its end.
	Put(ctx context.Context, commit string, content io.Reader) error
	// Get gives it; NotFound where nobody has put it.
	Get(ctx context.Context, commit string) (io.ReadCloser, error)
}

const modeTree = "040000"

// contents gives the objects of entries, in their order.
type contents func(ctx context.Context, entries []treeEntry, take func(treeEntry, io.Reader) error) error

func (s *Store) contentsOf(repository string) contents {
	return func(ctx context.Context, entries []treeEntry, take func(treeEntry, io.Reader) error) error {
		return s.git.contents(ctx, repository, entries, "blob", take)
	}
}

// blobContents reads the shared files themselves, of a release that was
// fetched.
func (s *Store) blobContents(_ context.Context, entries []treeEntry, take func(treeEntry, io.Reader) error) error {
	for _, entry := range entries {
		file, err := os.Open(s.blob(entry))
		if err != nil {
			return err
		}
		err = take(entry, file)
		_ = file.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// writeRelease writes the objects of a commit.
func (s *Store) writeRelease(ctx context.Context, repository, commit string, entries []treeEntry, to io.Writer) error {
	compressed, err := zstd.NewWriter(to, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	archive := tar.NewWriter(compressed)
	write := func(kind string) func(treeEntry, io.Reader) error {
		return func(entry treeEntry, content io.Reader) error {
			header := &tar.Header{Typeflag: tar.TypeReg, Name: kind + "/" + entry.object, Size: entry.size, Mode: 0o444, Format: tar.FormatPAX}
			if err := archive.WriteHeader(header); err != nil {
				return err
			}
			_, err := io.Copy(archive, content)
			return err
		}
	}
	top, trees, err := s.git.objects(ctx, repository, commit)
	if err == nil {
		err = s.git.contents(ctx, repository, top, "commit", write("commit"))
	}
	if err == nil {
		err = s.git.contents(ctx, repository, trees, "tree", write("tree"))
	}
	if err == nil {
		err = s.git.contents(ctx, repository, distinctBlobs(entries), "blob", write("blob"))
	}
	if err != nil {
		return err
	}
	return errors.Join(archive.Close(), compressed.Close())
}

func distinctBlobs(entries []treeEntry) []treeEntry {
	var distinct []treeEntry
	seen := map[string]bool{}
	for _, entry := range entries {
		if entry.mode != modeSubmodule && !seen[entry.object] {
			seen[entry.object] = true
			distinct = append(distinct, entry)
		}
	}
	return distinct
}

// objects gives the commit and its trees, the root first, with their sizes.
func (g git) objects(ctx context.Context, repository, commit string) (top, trees []treeEntry, err error) {
	out, err := g.run(ctx, call{repository: repository, args: []string{"ls-tree", "-r", "-d", "-z", "--full-tree", "--format=%(objecttype) %(objectname)", commit}})
	if err != nil {
		return nil, nil, err
	}
	names := []string{commit, commit + "^{tree}"}
	seen := map[string]bool{}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if id, is := strings.CutPrefix(line, "tree "); is && !seen[id] { // a submodule is a commit
			seen[id] = true
			names = append(names, id)
		}
	}
	sizes, err := g.run(ctx, call{repository: repository, stdin: strings.NewReader(strings.Join(names, "\n") + "\n"),
		args: []string{"cat-file", "--batch-check=%(objectname) %(objectsize)"}})
	if err != nil {
		return nil, nil, err
	}
	for line := range strings.Lines(string(sizes)) {
		var entry treeEntry
		if _, err := fmt.Sscanf(line, "%s %d\n", &entry.object, &entry.size); err != nil {
			return nil, nil, fmt.Errorf("cannot read the size of an object: %.80q", line)
		}
		trees = append(trees, entry)
	}
	if len(trees) < 2 {
		return nil, nil, errors.New("git names no objects")
	}
	// A folder with the root's content would come twice.
	top, trees = trees[:1], trees[1:]
	root := trees[0].object
	rest := slices.DeleteFunc(slices.Clone(trees[1:]), func(e treeEntry) bool { return e.object == root })
	return top, append(trees[:1:1], rest...), nil
}

// unpacked is a release that is being read.
type unpacked struct {
	store   *Store
	commit  string
	root    string            // the commit's tree
	trees   map[string][]byte // by their ids
	bytes   int64
	entries []treeEntry
	wanted  map[string][]int // entries by the ids of their contents
}

// readRelease takes in the objects of a commit: contents become shared files,
// and what it gives are the entries of the tree. Everything is checked.
func (s *Store) readRelease(commit string, from io.Reader) ([]treeEntry, error) {
	plain, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxDecoderBytes))
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	u := &unpacked{store: s, commit: commit, trees: map[string][]byte{}}
	archive := tar.NewReader(plain)
	for objects := 0; ; objects++ {
		header, err := archive.Next()
		if err == io.EOF {
			return u.finished()
		}
		if err != nil {
			return nil, err
		}
		if u.bytes += header.Size; objects > 2*MaxTreeEntries || u.bytes > MaxTreeBytes+maxOutputBytes {
			return nil, errors.New("it is larger than a release may be")
		}
		if err := u.take(header, archive); err != nil {
			return nil, fmt.Errorf("%.80q: %w", header.Name, err)
		}
	}
}

func (u *unpacked) take(header *tar.Header, content io.Reader) error {
	kind, id := path.Split(header.Name)
	checked := &checkedReader{from: content, id: id, size: header.Size, digest: newDigest(id)}
	fmt.Fprintf(checked.digest, "%s %d\x00", strings.TrimSuffix(kind, "/"), header.Size)
	switch {
	case header.Typeflag != tar.TypeReg || !commitPattern.MatchString(id):
		return errors.New("it is no object")
	case kind == "commit/" && u.root == "":
		return u.takeCommit(id, checked)
	case kind == "tree/" && u.root != "" && u.wanted == nil:
		return u.takeTree(id, checked)
	case kind == "blob/" && u.root != "":
		return u.takeBlob(id, checked)
	}
	return errors.New("it is out of its place")
}

func (u *unpacked) takeCommit(id string, content *checkedReader) error {
	text, err := content.all(maxObjectBytes)
	if err != nil {
		return err
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	tree, is := strings.CutPrefix(string(line), "tree ")
	if id != u.commit || !is || !commitPattern.MatchString(tree) {
		return errors.New("it is not the commit that was asked for")
	}
	u.root = tree
	return nil
}

func (u *unpacked) takeTree(id string, content *checkedReader) error {
	text, err := content.all(maxOutputBytes)
	u.trees[id] = text
	return err
}

// takeBlob makes shared files of a content, one for each way in which the tree
// uses it.
func (u *unpacked) takeBlob(id string, content *checkedReader) error {
	if err := u.walkOnce(); err != nil {
		return err
	}
	uses := u.wanted[id]
	if uses == nil {
		return errors.New("the commit has no such content, or it comes twice")
	}
	delete(u.wanted, id)
	first := &u.entries[uses[0]]
	for _, i := range uses {
		u.entries[i].size = content.size
	}
	if err := u.store.makeBlob(*first, content); err != nil {
		return err
	}
	for _, i := range uses[1:] {
		if other := u.entries[i]; u.store.blob(other) != u.store.blob(*first) {
			source := u.store.blob(*first)
			return u.store.copyBlob(other, source)
		}
	}
	return nil
}

// walkOnce turns the trees into entries when all of them are here.
func (u *unpacked) walkOnce() error {
	if u.wanted != nil {
		return nil
	}
	u.wanted = map[string][]int{}
	if err := u.walk(u.root, "", 0); err != nil {
		return err
	}
	for i, entry := range u.entries {
		if entry.mode != modeSubmodule {
			u.wanted[entry.object] = append(u.wanted[entry.object], i)
		}
	}
	return nil
}

// walk reads one folder: "<mode> <name>\0<id in binary>", in git's order.
func (u *unpacked) walk(tree, at string, depth int) error {
	text, known := u.trees[tree]
	if !known || depth > maxTreeDepth {
		return fmt.Errorf("folder %.80q is missing, or too deep", at)
	}
	for len(text) > 0 {
		head, rest, found := bytes.Cut(text, []byte{0})
		mode, name, both := strings.Cut(string(head), " ")
		size := len(tree) / 2
		if !found || !both || len(rest) < size || strings.ContainsRune(name, '/') {
			return fmt.Errorf("folder %.80q cannot be read", at)
		}
		entry := treeEntry{mode: strings.Repeat("0", max(0, len(modeTree)-len(mode))) + mode, object: hex.EncodeToString(rest[:size]), path: path.Join(at, name)}
		text = rest[size:]
		if checkMount(entry.path) != nil || name == "." || name == ".." {
			return fmt.Errorf("its path %.80q is not plain", entry.path)
		}
		if entry.mode == modeTree {
			if err := u.walk(entry.object, entry.path, depth+1); err != nil {
				return err
			}
			continue
		}
		if u.entries = append(u.entries, entry); len(u.entries) > MaxTreeEntries {
			return errors.New("it has too many files")
		}
	}
	return nil
}

func (u *unpacked) finished() ([]treeEntry, error) {
	if u.root == "" {
		return nil, errors.New("it has no commit")
	}
	if err := u.walkOnce(); err != nil {
		return nil, err
	}
	if len(u.wanted) > 0 {
		return nil, fmt.Errorf("%d of its contents are missing", len(u.wanted))
	}
	return u.entries, nil
}

// checkedReader ends with an error unless what was read has its digest.
type checkedReader struct {
	from   io.Reader
	id     string
	size   int64
	digest hash.Hash
	read   int64
}

func newDigest(id string) hash.Hash {
	if len(id) == 2*sha256.Size {
		return sha256.New()
	}
	return sha1.New()
}

var errDigest = errors.New("its content is not what its name says")

func (r *checkedReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.digest.Write(p[:n])
	r.read += int64(n)
	if err == io.EOF && (r.read != r.size || hex.EncodeToString(r.digest.Sum(nil)) != r.id) {
		return n, errDigest
	}
	return n, err
}

func (r *checkedReader) all(limit int64) ([]byte, error) {
	if r.size > limit {
		return nil, errTooMuch
	}
	return io.ReadAll(r)
}

// Publish makes the release of a commit known to the other hosts. It is
// idempotent.
func (s *Store) Publish(ctx context.Context, site events.SiteID, commit string) error {
	if s.published == nil {
		return problem.New(problem.Unsupported, "cannot publish a release: there is nobody to publish it to")
	}
	if err := checkCommit(commit); err != nil {
		return err
	}
	leave, err := s.enter(ctx, site)
	if err != nil {
		return err
	}
	defer leave()
	entries, err := s.git.list(ctx, s.Repository(site), commit)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reader, writer := io.Pipe()
	written := make(chan error, 1)
	go func() { // ends with the reader, which is closed below
		err := s.writeRelease(ctx, s.Repository(site), commit, entries, writer)
		_ = writer.CloseWithError(err)
		written <- err
	}()
	err = s.published.Put(ctx, commit, reader)
	_ = reader.CloseWithError(errEnough)
	if wrote := <-written; err == nil && !errors.Is(wrote, errEnough) {
		err = wrote
	}
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot publish commit %.12s", commit)
	}
	return nil
}

// errEnough: whoever keeps the release has it already.
var errEnough = errors.New("nobody reads any more")

// tree gives the entries of a commit and the way to their contents: from the
// site's repository, or without one from what other hosts have published.
func (s *Store) tree(ctx context.Context, site events.SiteID, commit string) ([]treeEntry, contents, error) {
	repository := s.Repository(site)
	_, missing := os.Lstat(repository)
	if s.published == nil || missing == nil {
		entries, err := s.git.list(ctx, repository, commit)
		if s.published == nil || problem.KindOf(err) != problem.NotFound {
			return entries, s.contentsOf(repository), err
		}
	}
	entries, err := s.fetched(ctx, commit)
	return entries, s.blobContents, err
}

// fetched gives the entries of a release of another host, whose contents are
// here afterwards. One caller at a time fetches a commit, for all sites.
func (s *Store) fetched(ctx context.Context, commit string) ([]treeEntry, error) {
	leave, err := s.turns.take(ctx, "fetch/"+commit)
	if err != nil {
		return nil, err
	}
	defer leave()
	if text, err := os.ReadFile(s.listing(commit)); err == nil {
		if entries, err := parseTree(string(text)); err == nil && s.haveBlobs(entries) {
			return entries, nil
		}
	}
	from, err := s.published.Get(ctx, commit)
	if err != nil {
		return nil, problem.Wrap(problem.KindOf(err), err, "cannot fetch commit %.12s", commit)
	}
	defer from.Close()
	entries, err := s.readRelease(commit, from)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot use what was fetched as commit %.12s", commit)
	}
	var text strings.Builder
	for _, entry := range entries {
		kind := "blob"
		if entry.mode == modeSubmodule {
			kind = "commit"
		}
		fmt.Fprintf(&text, "%s %s %s %d\t%s\x00", entry.mode, kind, entry.object, entry.size, entry.path)
	}
	checked, err := parseTree(text.String()) // bounds and paths are those of a repository's
	if err != nil {
		return nil, err
	}
	if err := replaceFile(s.listing(commit), []byte(text.String())); err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot keep the list of a release")
	}
	return checked, nil
}

func (s *Store) fetchedDir() string           { return filepath.Join(s.dir, "fetched") }
func (s *Store) listing(commit string) string { return filepath.Join(s.fetchedDir(), commit) }

func (s *Store) haveBlobs(entries []treeEntry) bool {
	for _, entry := range entries {
		if entry.mode == modeSubmodule {
			continue
		}
		if info, err := os.Lstat(s.blob(entry)); err != nil || info.Size() != entry.size {
			return false
		}
	}
	return true
}

// Borrowed says whether the releases of a site come from other hosts.
func (s *Store) Borrowed(site events.SiteID) bool {
	if s.published == nil {
		return false
	}
	_, err := os.Lstat(s.Repository(site))
	return errors.Is(err, fs.ErrNotExist)
}

// CollectFetched forgets what was fetched but for the commits to keep, and
// frees the files that no release uses. Releases that are there stay whole.
func (s *Store) CollectFetched(ctx context.Context, keep map[string]bool) (freed int64, err error) {
	lists, err := os.ReadDir(s.fetchedDir())
	if err != nil {
		return 0, problem.Wrap(problem.Unavailable, err, "cannot list what was fetched")
	}
	removed := false
	for _, list := range lists {
		if commitPattern.MatchString(list.Name()) && !keep[list.Name()] {
			if err := os.Remove(s.listing(list.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return 0, problem.Wrap(problem.Unavailable, err, "cannot forget what was fetched")
			}
			removed = true
		}
	}
	if !removed {
		return 0, nil
	}
	return s.CollectBlobs(ctx)
}
