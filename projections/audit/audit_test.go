package audit

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"pantheon/events"
)

// commits gives n commits whose positions have gaps.
func commits(n int) []events.Envelope {
	all := make([]events.Envelope, n)
	position := events.Position(0)
	for i := range all {
		position += events.Position(1 + i%5)
		all[i] = events.Envelope{Position: position, Hash: sha256.Sum256(fmt.Append(nil, i))}
	}
	return all
}

func leavesOf(all []events.Envelope) []Leaf {
	leaves := make([]Leaf, len(all))
	for i, e := range all {
		leaves[i] = Leaf{e.Position, e.Hash}
	}
	return leaves
}

func from(all []Leaf) Leaves {
	return func(first int64, count int) ([]Leaf, error) {
		if first+int64(count) > int64(len(all)) {
			return nil, errors.New("there are not as many leaves")
		}
		return slices.Clone(all[first : first+int64(count)]), nil
	}
}

// plain is the tree of golang.org/x/mod with all hashes stored.
type plain struct{ stored []tlog.Hash }

func (p *plain) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	all := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		all[i] = p.stored[index]
	}
	return all, nil
}

func (p *plain) add(t *testing.T, n int, leaf Leaf) {
	t.Helper()
	b := leaf.Bytes()
	hashes, err := tlog.StoredHashes(int64(n), b[:], p)
	if err != nil {
		t.Fatal(err)
	}
	p.stored = append(p.stored, hashes...)
}

func testKey(t testing.TB, seed byte) (note.Signer, note.Verifier) {
	t.Helper()
	secret, public, err := note.GenerateKey(constant(seed), "pantheon")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifier
}

// constant is no source of chance.
type constant byte

func (c constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c)
	}
	return len(p), nil
}

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// The fold gives the tree of golang.org/x/mod, at every size, and however the
// leaves came in.
func TestSameAsStoredHashes(t *testing.T) {
	all := commits(1100)
	leaves := leavesOf(all)
	var state, tiled State
	reference := &plain{}
	for i, e := range all {
		state = state.Apply(e)
		reference.add(t, i, leaves[i])
		want, err := tlog.TreeHash(int64(i+1), reference)
		if err != nil {
			t.Fatal(err)
		}
		if state.Root() != want || state.Size() != int64(i+1) || state.Last() != e.Position {
			t.Fatalf("size %d at position %d: root %s, want %s", state.Size(), state.Last(), state.Root(), want)
		}
		if (i+1)%TileLeaves == 0 {
			tiled = tiled.AddTile(TileHash(leaves[i+1-TileLeaves:i+1]), e.Position)
			if tiled.Root() != want {
				t.Fatalf("size %d by tiles: root %s, want %s", i+1, tiled.Root(), want)
			}
		}
	}
	for _, size := range []int64{0, 1, 2, 255, 256, 257, 700, 1023, 1024, 1100} {
		want, _ := tlog.TreeHash(size, reference)
		if got, err := state.RootAt(size, from(leaves)); err != nil || got != want {
			t.Errorf("root at %d: %s, %v, want %s", size, got, err, want)
		}
	}
	if _, err := state.RootAt(1101, from(leaves)); err == nil {
		t.Error("a tree beyond the end has a root")
	}
}

// An old state shows what it showed, whatever was made of it.
func TestStatesAreValues(t *testing.T) {
	all := commits(600)
	var state State
	var roots []tlog.Hash
	var states []State
	for _, e := range all {
		states, roots = append(states, state), append(roots, state.Root())
		state = state.Apply(e)
	}
	other := Leaf{1 << 40, events.Hash{1}}
	for i := range states {
		branch := states[i]
		for range 300 {
			branch = branch.Add(other)
		}
		if states[i].Root() != roots[i] {
			t.Fatalf("the state of %d leaves has changed", i)
		}
	}
	for i, s := range states[257:] {
		if got, err := s.RootAt(256, from(leavesOf(all))); err != nil || got != roots[256] {
			t.Fatalf("in the state of %d leaves, the first tile has changed: %v", 257+i, err)
		}
	}
}

func TestProofs(t *testing.T) {
	signer, verifier := testKey(t, 1)
	all := commits(700)
	leaves := leavesOf(all)
	var state State
	for _, e := range all {
		state = state.Apply(e)
	}
	for _, size := range []int64{1, 2, 255, 256, 300, 512, 699, 700} {
		head := Head{size, leaves[size-1].Position, root(t, state, size, leaves), noon}
		signed, err := head.Sign(signer)
		if err != nil {
			t.Fatal(err)
		}
		for _, index := range []int64{0, 1, size / 2, size - 1} {
			if index >= size {
				continue
			}
			proof, err := state.Prove(index, size, signed, from(leaves))
			if err != nil {
				t.Fatal(err)
			}
			checkForms(t, proof, verifier, head)
		}
		for _, older := range []int64{1, 2, 255, 256, size - 1, size} {
			if older < 1 || older > size {
				continue
			}
			growth, err := state.ProveConsistency(older, size, signed, from(leaves))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := growth.Check(verifier); err != nil || got != head || growth.Root != root(t, state, older, leaves).String() {
				t.Fatalf("%d to %d: %+v, %v", older, size, got, err)
			}
			_, read, err := ReadProof([]byte(growth.Text()))
			if err != nil || *read != growth {
				t.Fatalf("as text: %+v, %v", read, err)
			}
			growth.From++
			if _, err := growth.Check(verifier); err == nil {
				t.Errorf("a proof of growth from %d is one from %d", older, growth.From)
			}
		}
	}
	for _, index := range []int64{-1, 700} {
		if _, err := state.Prove(index, 700, "", from(leaves)); err == nil {
			t.Errorf("a proof of leaf %d", index)
		}
	}
}

func root(t *testing.T, s State, size int64, leaves []Leaf) tlog.Hash {
	t.Helper()
	hash, err := s.RootAt(size, from(leaves))
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// checkForms checks a proof as it is, as text and as JSON, and that nothing in
// it can be changed.
func checkForms(t *testing.T, proof Proof, verifier note.Verifier, want Head) {
	t.Helper()
	if got, err := proof.Check(verifier); err != nil || got != want {
		t.Fatalf("%+v, %v", got, err)
	}
	object, _ := json.Marshal(proof)
	for _, form := range []string{proof.Text(), string(object)} {
		read, _, err := ReadProof([]byte(form))
		if err != nil || *read != proof {
			t.Fatalf("%s\nread as %+v, %v", form, read, err)
		}
	}
	for what, change := range map[string]func(*Proof){
		"position": func(p *Proof) { p.Position++ },
		"index":    func(p *Proof) { p.Index ^= 1 },
		"commit":   func(p *Proof) { p.Commit = strings.Replace(p.Commit, p.Commit[:1], "g", 1) },
		"hash":     func(p *Proof) { p.Commit = events.Hash{}.String() },
		"path":     func(p *Proof) { p.Path += strings.Repeat("A", 128) },
		"size":     func(p *Proof) { p.Head = strings.Replace(p.Head, "\n", "\n1", 1) },
		"key":      func(p *Proof) { p.Head = strings.Replace(p.Head, "pantheon", "pantheom", 1) },
		"nothing":  func(p *Proof) { p.Head = "" },
	} {
		changed := proof
		change(&changed)
		if _, err := changed.Check(verifier); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s changed: %v", what, err)
		}
	}
}

func TestHeads(t *testing.T) {
	signer, verifier := testKey(t, 1)
	_, stranger := testKey(t, 2)
	head := State{}.Apply(commits(1)[0]).HeadAt(noon.Add(time.Millisecond))
	signed, err := head.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(signed, "pantheon\n1\n"+head.Root.String()+"\nposition 1\ntime 2026-11-28T12:00:00Z\n\n— pantheon ") {
		t.Errorf("the note is\n%s", signed)
	}
	if got, err := OpenHead(signed, verifier); err != nil || got != head {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := ReadHead(signed); err != nil || got != head {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := OpenHead(signed, stranger); err == nil {
		t.Error("a stranger's key opens it")
	}
	for i := range signed[:len(signed)-len("A=\n")] { // the bits there that base64 has to spare say nothing
		changed := []byte(signed)
		changed[i] ^= 1
		if _, err := OpenHead(string(changed), verifier); err == nil {
			t.Errorf("byte %d changed: %q", i, changed)
		}
	}
	for _, text := range []string{"", "\n\n", "pantheon\n1\n", "pantheon\n-1\n" + head.Root.String() + "\nposition 1\ntime 2026-11-28T12:00:00Z\n\n", strings.Repeat("x", 5000)} {
		if _, err := ReadHead(text); err == nil {
			t.Errorf("%.40q is a head", text)
		}
	}
}

func TestReadProofOfNonsense(t *testing.T) {
	for _, text := range []string{
		"", "{}", "[]", "null", `{"position":0}`, "pantheon proof of a commit", "pantheon proof of a commit\nposition x\nindex 0\ncommit y\npath \n\n",
		"pantheon proof of growth\nfrom x\nroot y\npath z\n\n", "pantheon proof of growth\nfrom 1", strings.Repeat("{", 20_000),
	} {
		if p, c, err := ReadProof([]byte(text)); err == nil {
			t.Errorf("%.40q is a proof: %+v, %+v", text, p, c)
		}
	}
}

// The leaf and the head are what is written down elsewhere: they never change.
func TestLeafIsPinned(t *testing.T) {
	leaf := Leaf{Position: 258, Commit: sha256.Sum256([]byte("commit"))}
	b := leaf.Bytes()
	if got, want := fmt.Sprintf("%x", b), "0000000000000102"+leaf.Commit.String(); got != want {
		t.Errorf("leaf %s, want %s", got, want)
	}
	if ParseLeaf(b) != leaf {
		t.Error("it is read otherwise than written")
	}
	if want := sha256.Sum256(append([]byte{0}, b[:]...)); leaf.Hash() != tlog.Hash(want) {
		t.Error("the leaf's hash is not that of RFC 6962")
	}
}

// BenchmarkProof makes and verifies proofs at a million commits, and reports
// what one takes in the file.
func BenchmarkProof(b *testing.B) {
	const size = 1_000_000
	leaves := make([]Leaf, size)
	var state State
	for i := range leaves {
		leaves[i] = Leaf{events.Position(i + 1), sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)})}
		if (i+1)%TileLeaves == 0 {
			state = state.AddTile(TileHash(leaves[i+1-TileLeaves:i+1]), leaves[i].Position)
		}
	}
	for _, leaf := range leaves[state.Size():] {
		state = state.Add(leaf)
	}
	signer, verifier := testKey(b, 1)
	signed, err := state.HeadAt(noon).Sign(signer)
	if err != nil {
		b.Fatal(err)
	}
	proof, err := state.Prove(size/3, size, signed, from(leaves))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("prove", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := state.Prove(int64(i*7919%size), size, signed, from(leaves)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			if _, err := proof.Check(verifier); err != nil {
				b.Fatal(err)
			}
		}
		object, _ := json.Marshal(proof)
		b.ReportMetric(float64(len(proof.Path)*3/4+LeafBytes), "B-proof")
		b.ReportMetric(float64(len(proof.Text())-len(proof.Head)), "B-text")
		b.ReportMetric(float64(len(proof.Head)), "B-head")
		b.ReportMetric(float64(len(object)), "B-json")
	})
}

func BenchmarkFold(b *testing.B) {
	all := commits(100_000)
	for b.Loop() {
		var state State
		for _, e := range all {
			state = state.Apply(e)
		}
	}
	b.ReportMetric(float64(len(all)*b.N)/b.Elapsed().Seconds(), "commits/s")
}
