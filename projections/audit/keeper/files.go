package keeper

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"pantheon/events/problem"
	"pantheon/projections/audit"
)

// KeyName stands in every head, and begins the public key.
const KeyName = "pantheon"

// loadKey reads the private key, or makes one.
func loadKey(path string) (note.Signer, string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(path)
	}
	if err != nil {
		return nil, "", problem.Wrap(problem.Unavailable, err, "cannot read the audit key")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		return nil, "", problem.New(problem.Denied, "cannot use the audit key %s: others may read it", path).WithHint("chmod 0600 %s", path)
	}
	signer, err := note.NewSigner(strings.TrimSpace(string(text)))
	if err != nil { // which may hold the key
		return nil, "", problem.New(problem.Unavailable, "cannot use the audit key %s: it is damaged", path).
			WithHint("restore it from a copy; without one, move it and the folder audit away: a new key is made, and old heads prove nothing to it")
	}
	public, err := os.ReadFile(path + ".pub")
	if err != nil {
		return nil, "", problem.Wrap(problem.Unavailable, err, "cannot read the public audit key")
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(public)))
	if err != nil || verifier.KeyHash() != signer.KeyHash() || verifier.Name() != signer.Name() {
		return nil, "", problem.New(problem.Unavailable, "cannot use the audit key: %s.pub does not belong to it", path)
	}
	return signer, strings.TrimSpace(string(public)), nil
}

// makeKey writes the public key first: a private one without it is none.
func makeKey(path string) (note.Signer, string, error) {
	secret, public, err := note.GenerateKey(rand.Reader, KeyName)
	if err != nil {
		return nil, "", err
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		return nil, "", err
	}
	err = os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = errors.Join(replaceFile(path+".pub", 0o644, []byte(public+"\n")), replaceFile(path, 0o600, []byte(secret+"\n")))
	}
	if err != nil {
		return nil, "", problem.Wrap(problem.Unavailable, err, "cannot make the audit key")
	}
	return signer, public, nil
}

// ReadKey reads a public key from a file, or takes the text of one where there
// is no such file.
func ReadKey(fileOrText string) (note.Verifier, error) {
	text := fileOrText
	if file, err := os.Open(fileOrText); err == nil {
		defer file.Close()
		data, err := io.ReadAll(io.LimitReader(file, maxKeyBytes))
		if err != nil {
			return nil, problem.Wrap(problem.Invalid, err, "cannot read the public key")
		}
		text = string(data)
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(text))
	if err != nil {
		return nil, problem.New(problem.Invalid, "cannot use the public key: there is no file of this name, or it holds no key of a log").
			WithHint("pantheon audit head --field key prints it")
	}
	return verifier, nil
}

// replaceFile writes a file as a whole.
func replaceFile(path string, mode fs.FileMode, data []byte) error {
	file, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return errors.Join(os.Rename(file.Name(), path), syncFolder(filepath.Dir(path)))
}

func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// ReadHeads reads the heads that a keeper in dir has signed, without a look at
// their signatures; none where there is no file. A line that is not complete at
// the end is what a crash leaves.
func ReadHeads(dir string) ([]audit.SignedHead, error) {
	file, err := os.Open(filepath.Join(dir, "heads"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot read the signed heads")
	}
	defer file.Close()
	var all []audit.SignedHead
	lines := bufio.NewReaderSize(file, maxHeadLineBytes)
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		var head audit.SignedHead
		if err == nil {
			err = json.Unmarshal(line, &head.Note)
		}
		if err == nil {
			head.Head, err = audit.ReadHead(head.Note)
		}
		if err != nil {
			return nil, problem.New(problem.Conflict, "cannot use the signed heads: line %d of %s is damaged", len(all)+1, file.Name()).
				WithHint("restore the file from a copy; without one, move it away: what was signed before is then no longer compared")
		}
		all = append(all, head)
	}
}

func headLine(text string) []byte {
	line, _ := json.Marshal(text) // a string can be marshalled
	return append(line, '\n')
}

// thin drops every second of the older heads when there are too many.
func thin(heads []audit.SignedHead) []audit.SignedHead {
	for len(heads) > maxHeads {
		kept := heads[:0:0]
		for i, head := range heads {
			if i%2 == 0 || len(heads)-i <= recentHeads {
				kept = append(kept, head)
			}
		}
		heads = kept
	}
	return heads
}

// leafFile is the file of leaves.
type leafFile struct {
	file *os.File
	out  *bufio.Writer
}

func (f *leafFile) add(leaf audit.Leaf) error {
	b := leaf.Bytes()
	_, err := f.out.Write(b[:])
	return err
}

// read implements audit.Leaves on what was flushed.
func (f *leafFile) read(first int64, count int) ([]audit.Leaf, error) {
	data := make([]byte, count*audit.LeafBytes)
	if _, err := f.file.ReadAt(data, first*audit.LeafBytes); err != nil {
		return nil, fmt.Errorf("cannot read leaf %d: %w", first, err)
	}
	leaves := make([]audit.Leaf, count)
	for i := range leaves {
		leaves[i] = audit.ParseLeaf([audit.LeafBytes]byte(data[i*audit.LeafBytes:]))
	}
	return leaves, nil
}

// leafReader reads leaves in order; it says only once that there is no more.
type leafReader struct {
	in *bufio.Reader
	n  int64
}

func newLeafReader(file *os.File) *leafReader {
	return &leafReader{in: bufio.NewReaderSize(file, leafBuffer*audit.LeafBytes)}
}

// next gives the leaf with the next index. An incomplete one is none.
func (r *leafReader) next(int64) (audit.Leaf, bool) {
	var b [audit.LeafBytes]byte
	if _, err := io.ReadFull(r.in, b[:]); err != nil {
		return audit.Leaf{}, false
	}
	r.n++
	return audit.ParseLeaf(b), true
}
