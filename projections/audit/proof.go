package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"pantheon/events"
)

// Proof shows that a commit is in the log that a head was signed of.
type Proof struct {
	Position events.Position `json:"position"`
	Index    int64           `json:"index"`  // how many commits stand before it
	Commit   string          `json:"commit"` // SHA-256 of the commit's bytes, hex
	Path     string          `json:"path"`   // the hashes, each of 32 bytes, together in base64
	Head     string          `json:"head"`   // the signed note
}

// Consistency shows that a log has only grown: the tree that had From leaves is
// the beginning of the one that the head was signed of.
type Consistency struct {
	From int64  `json:"from"`
	Root string `json:"root"` // of the tree of From leaves, base64
	Path string `json:"path"`
	Head string `json:"head"`
}

// Prove makes the proof of the leaf with an index for the tree of size leaves,
// whose signed head is given.
func (s State) Prove(index, size int64, head string, leaves Leaves) (Proof, error) {
	if index < 0 || index >= size || size > s.size {
		return Proof{}, fmt.Errorf("there is no leaf %d in a tree of %d", index, size)
	}
	some, err := leaves(index, 1)
	if err != nil {
		return Proof{}, err
	}
	path, err := tlog.ProveRecord(size, index, s.hashes(leaves))
	if err != nil {
		return Proof{}, err
	}
	return Proof{some[0].Position, index, some[0].Commit.String(), encodePath(path), head}, nil
}

// ProveConsistency makes the proof that the tree of from leaves is the
// beginning of that of size leaves, whose signed head is given.
func (s State) ProveConsistency(from, size int64, head string, leaves Leaves) (Consistency, error) {
	if from < 1 || from > size || size > s.size {
		return Consistency{}, fmt.Errorf("there is no tree of %d in one of %d", from, size)
	}
	root, err := s.RootAt(from, leaves)
	if err != nil {
		return Consistency{}, err
	}
	path, err := tlog.ProveTree(size, from, s.hashes(leaves))
	if err != nil {
		return Consistency{}, err
	}
	return Consistency{from, root.String(), encodePath(path), head}, nil
}

func encodePath(path []tlog.Hash) string {
	all := make([]byte, 0, len(path)*tlog.HashSize)
	for _, hash := range path {
		all = append(all, hash[:]...)
	}
	return base64.StdEncoding.EncodeToString(all)
}

func decodePath(text string) ([]tlog.Hash, error) {
	all, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(all)%tlog.HashSize != 0 || len(all) > maxPathHashes*tlog.HashSize {
		return nil, errors.New("its path cannot be read")
	}
	path := make([]tlog.Hash, len(all)/tlog.HashSize)
	for i := range path {
		path[i] = tlog.Hash(all[i*tlog.HashSize:])
	}
	return path, nil
}

// Check verifies the proof, signature and all, and gives the head.
func (p Proof) Check(key note.Verifier) (Head, error) {
	head, err := OpenHead(p.Head, key)
	if err != nil {
		return Head{}, fmt.Errorf("the proof's head cannot be trusted: %w", err)
	}
	path, err := decodePath(p.Path)
	if err != nil {
		return Head{}, fmt.Errorf("the proof is wrong: %w", err)
	}
	commit, err := events.ParseHash(p.Commit)
	if err != nil {
		return Head{}, fmt.Errorf("the proof is wrong: %w", err)
	}
	if p.Index < 0 || p.Index >= head.Size {
		return Head{}, fmt.Errorf("the proof is wrong: there is no leaf %d in a tree of %d", p.Index, head.Size)
	}
	if tlog.CheckRecord(path, head.Size, head.Root, p.Index, Leaf{p.Position, commit}.Hash()) != nil {
		return Head{}, fmt.Errorf("the proof is wrong: no such commit stands at position %d of the log of this head", p.Position)
	}
	return head, nil
}

// Check verifies the proof, signature and all, and gives the newer head. That
// the root is the one of an older head the caller knows is left to the caller.
func (c Consistency) Check(key note.Verifier) (Head, error) {
	head, err := OpenHead(c.Head, key)
	if err != nil {
		return Head{}, fmt.Errorf("the proof's head cannot be trusted: %w", err)
	}
	path, err := decodePath(c.Path)
	if err != nil {
		return Head{}, fmt.Errorf("the proof is wrong: %w", err)
	}
	root, err := tlog.ParseHash(c.Root)
	if err != nil {
		return Head{}, errors.New("the proof is wrong: its root cannot be read")
	}
	if c.From < 1 || c.From > head.Size || tlog.CheckTree(path, head.Size, head.Root, c.From, root) != nil {
		return Head{}, fmt.Errorf("the proof is wrong: the tree of %d is not the beginning of that of %d", c.From, head.Size)
	}
	return head, nil
}

// The text form of a proof is for mail and paper: the lines below, an empty one,
// and the head.
const (
	proofTitle       = "pantheon proof of a commit"
	consistencyTitle = "pantheon proof of growth"
)

// Text gives the proof as text.
func (p Proof) Text() string {
	return fmt.Sprintf("%s\nposition %d\nindex %d\ncommit %s\npath %s\n\n%s", proofTitle, p.Position, p.Index, p.Commit, p.Path, p.Head)
}

// Text gives the proof as text.
func (c Consistency) Text() string {
	return fmt.Sprintf("%s\nfrom %d\nroot %s\npath %s\n\n%s", consistencyTitle, c.From, c.Root, c.Path, c.Head)
}

// ReadProof reads a proof of either kind, as text or as JSON; exactly one of
// what it gives is not nil.
func ReadProof(text []byte) (*Proof, *Consistency, error) {
	if len(text) > maxProofBytes {
		return nil, nil, fmt.Errorf("a proof of %d bytes, %d are allowed", len(text), maxProofBytes)
	}
	title, rest, _ := strings.Cut(string(text), "\n")
	body, head, _ := strings.Cut(rest, "\n\n")
	switch title {
	case proofTitle:
		return readProof(body, head)
	case consistencyTitle:
		return readConsistency(body, head)
	}
	var p Proof
	var c Consistency
	if json.Unmarshal(text, &p, json.RejectUnknownMembers(true)) == nil && p.Position > 0 {
		return &p, nil, nil
	}
	if json.Unmarshal(text, &c, json.RejectUnknownMembers(true)) == nil && c.From > 0 {
		return nil, &c, nil
	}
	return nil, nil, errProof
}

var errProof = errors.New("it is no proof: neither the text nor the JSON of one")

func readProof(body, head string) (*Proof, *Consistency, error) {
	values, err := lineValues(body, "position", "index", "commit", "path")
	if err != nil {
		return nil, nil, err
	}
	position, positionErr := strconv.ParseUint(values[0], 10, 64)
	index, indexErr := strconv.ParseInt(values[1], 10, 64)
	if positionErr != nil || indexErr != nil {
		return nil, nil, errProof
	}
	return &Proof{events.Position(position), index, values[2], values[3], head}, nil, nil
}

func readConsistency(body, head string) (*Proof, *Consistency, error) {
	values, err := lineValues(body, "from", "root", "path")
	if err != nil {
		return nil, nil, err
	}
	from, err := strconv.ParseInt(values[0], 10, 64)
	if err != nil {
		return nil, nil, errProof
	}
	return nil, &Consistency{from, values[1], values[2], head}, nil
}

// lineValues reads one line for each name: "<name> <value>".
func lineValues(text string, names ...string) ([]string, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != len(names) {
		return nil, errProof
	}
	for i, name := range names {
		value, found := strings.CutPrefix(lines[i], name+" ")
		if !found {
			return nil, errProof
		}
		lines[i] = value
	}
	return lines, nil
}
