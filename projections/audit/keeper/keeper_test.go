package keeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/chain"
	"pantheon/events/eventlog/eventlogtest"
	"pantheon/events/eventlog/memory"
	"pantheon/events/problem"
	"pantheon/projections/audit"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// cell is a log and a keeper's folder.
type cell struct {
	t      *testing.T
	dir    string
	log    *memory.Log
	opened int
	tips   map[events.StreamID]events.Tip
	logged bytes.Buffer
}

func newCell(t *testing.T) *cell {
	return &cell{t: t, dir: t.TempDir(), log: memory.New(), tips: map[events.StreamID]events.Tip{}}
}

// write appends a commit for each text, in five streams in turn.
func (c *cell) write(texts ...string) {
	c.t.Helper()
	for _, text := range texts {
		head, _ := c.log.Head(c.t.Context())
		stream := eventlogtest.Stream(int(head) % 5)
		c.tips[stream] = eventlogtest.Append(c.t, c.log, c.tips[stream], eventlogtest.Commit(stream, text))
	}
}

func numbers(from, to int) (texts []string) {
	for i := from; i <= to; i++ {
		texts = append(texts, fmt.Sprint("commit ", i))
	}
	return texts
}

// open opens a keeper, in turns by its own reading and by that of somebody who
// reads the log anyway.
func (c *cell) open() (*Keeper, error) {
	c.t.Helper()
	options := Options{
		Log: c.log, Dir: filepath.Join(c.dir, "audit"), Key: filepath.Join(c.dir, "keys", "audit"),
		Now: func() time.Time { return noon }, Logger: slog.New(slog.NewTextHandler(&c.logged, nil)),
	}
	if c.opened++; c.opened%2 == 1 {
		return Open(c.t.Context(), options)
	}
	options.Log = nil
	o, err := Begin(options)
	if err != nil {
		return nil, err
	}
	for entry, err := range c.log.Entries(c.t.Context(), 0) {
		if err != nil {
			c.t.Fatal(err)
		}
		link, _, err := chain.Read(entry)
		if err != nil {
			c.t.Fatal(err)
		}
		if err := o.See(link); err != nil {
			return nil, errors.Join(err, o.Close())
		}
	}
	return o.Finish(c.t.Context(), c.log)
}

// sign opens a keeper, which signs the tree as it is, and closes it.
func (c *cell) sign() {
	c.t.Helper()
	k, err := c.open()
	if err == nil {
		err = k.Close()
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// refused opens a keeper that must refuse the log, both ways, and gives the
// position that it names. Leaves and heads stay what they are.
func (c *cell) refused(what string) events.Position {
	c.t.Helper()
	var named [2]events.Position
	for i := range named {
		before := c.files()
		_, err := c.open()
		var broken *eventlog.BrokenError
		if !errors.As(err, &broken) {
			c.t.Fatalf("%s: %v", what, err)
		}
		if problem.KindOf(err) != problem.Conflict || problem.HintOf(err) == "" || strings.Contains(err.Error(), "\n") {
			c.t.Errorf("%s: %v", what, err)
		}
		if c.files() != before {
			c.t.Errorf("%s: the keeper's files have changed", what)
		}
		named[i] = broken.Position
	}
	if named[0] != named[1] {
		c.t.Errorf("%s: positions %v", what, named)
	}
	return named[0]
}

func (c *cell) files() string {
	leaves, _ := os.ReadFile(filepath.Join(c.dir, "audit", "leaves"))
	heads, _ := os.ReadFile(filepath.Join(c.dir, "audit", "heads"))
	return string(leaves) + string(heads)
}

// replace puts another history into the log.
func (c *cell) replace(texts ...string) {
	c.log, c.tips = memory.New(), map[events.StreamID]events.Tip{}
	c.write(texts...)
}

func TestHeadsAndProofs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t)
		c.write(numbers(1, 600)...)
		k, err := c.open()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- k.Run(ctx) }()
		first, err := k.Head(t.Context())
		if err != nil || first.Size != 600 || first.Position != 600 {
			t.Fatalf("%+v, %v", first, err)
		}
		for _, position := range []events.Position{1, 2, 256, 257, 599, 600} {
			if head := c.proven(k, position); head != first.Head {
				t.Errorf("position %d: head %+v", position, head)
			}
		}
		for _, position := range []events.Position{0, 601, 1 << 60} {
			if _, err := k.Prove(t.Context(), position); problem.KindOf(err) != problem.NotFound {
				t.Errorf("position %d: %v", position, err)
			}
		}
		// A commit that no head covers yet gets one.
		c.write(numbers(601, 700)...)
		synctest.Wait()
		if head := c.proven(k, 650); head.Size != 700 {
			t.Errorf("%+v", head)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	})
}

// proven proves a position and gives the head that it was proven for.
func (c *cell) proven(k *Keeper, position events.Position) audit.Head {
	c.t.Helper()
	verifier, err := ReadKey(k.Key())
	if err != nil {
		c.t.Fatal(err)
	}
	proof, err := k.Prove(c.t.Context(), position)
	if err != nil {
		c.t.Fatal(err)
	}
	head, err := proof.Check(verifier)
	if err != nil || proof.Position != position {
		c.t.Errorf("position %d: %+v, %v", position, head, err)
	}
	for envelope := range c.log.All(c.t.Context(), position-1) {
		if envelope.Hash.String() != proof.Commit {
			c.t.Errorf("position %d: the proof is of another commit", position)
		}
		break
	}
	return head
}

func TestConsistency(t *testing.T) {
	c := newCell(t)
	sizes := []int64{3, 256, 300, 777}
	written := 0
	for _, size := range sizes {
		c.write(numbers(written+1, int(size))...)
		written = int(size)
		c.sign()
	}
	k, err := c.open()
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	verifier, _ := ReadKey(k.Key())
	roots := map[int64]string{}
	for _, head := range k.heads {
		roots[head.Size] = head.Root.String()
	}
	if len(roots) != len(sizes) {
		t.Fatalf("heads of %v", roots)
	}
	for i, from := range sizes {
		for _, to := range append(slices.Clone(sizes[i:]), 0) {
			growth, err := k.ProveConsistency(t.Context(), from, to)
			if err != nil {
				t.Fatal(err)
			}
			head, err := growth.Check(verifier)
			if want := max(to, 777*min(1, 1-min(1, to))); err != nil || growth.Root != roots[from] || head.Size != want {
				t.Errorf("%d to %d: %+v, %v", from, to, head, err)
			}
		}
	}
	for _, bad := range [][2]int64{{0, 3}, {4, 3}, {-1, 0}, {778, 0}, {3, 5}, {1, 1 << 40}} {
		if _, err := k.ProveConsistency(t.Context(), bad[0], bad[1]); problem.KindOf(err) != problem.Invalid && problem.KindOf(err) != problem.NotFound {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestEmptyLog(t *testing.T) {
	c := newCell(t)
	k, err := c.open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Head(t.Context()); problem.KindOf(err) != problem.NotFound {
		t.Errorf("head: %v", err)
	}
	if _, err := k.Prove(t.Context(), 1); problem.KindOf(err) != problem.NotFound {
		t.Errorf("prove: %v", err)
	}
	if _, err := k.ProveConsistency(t.Context(), 1, 0); problem.KindOf(err) != problem.NotFound {
		t.Errorf("consistency: %v", err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if c.files() != "" {
		t.Error("something was signed")
	}
}

// Whatever was changed in the log since it was signed, the position is named.
func TestRewrittenLogIsRefused(t *testing.T) {
	original := numbers(1, 700)
	for name, test := range map[string]struct {
		texts []string
		at    events.Position
	}{
		"the first changed":      {append([]string{"other"}, original[1:]...), 1},
		"one changed":            {slices.Concat(original[:400], []string{"other"}, original[401:]), 401},
		"the newest changed":     {slices.Concat(original[:699], []string{"other"}), 700},
		"one removed":            {slices.Concat(original[:300], original[301:]), 301},
		"one added":              {slices.Concat(original[:300], []string{"other"}, original[300:]), 301},
		"two exchanged":          {slices.Concat(original[:300], []string{original[301], original[300]}, original[302:]), 301},
		"the end cut off":        {original[:650], 651},
		"one removed, one added": {slices.Concat(original[:9], original[10:], []string{"other"}), 10},
		"everything gone":        {nil, 1},
	} {
		c := newCell(t)
		c.write(original[:500]...)
		c.sign()
		c.write(original[500:]...)
		c.sign()
		c.replace(test.texts...)
		if at := c.refused(name); at != test.at {
			t.Errorf("%s: position %d is named, not %d", name, at, test.at)
		}
		// Without the leaves, only the heads tell: the head before it is named.
		if err := os.Remove(filepath.Join(c.dir, "audit", "leaves")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(c.dir, "audit", "leaves"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		want := events.Position(1)
		if test.at > 500 {
			want = 501
		}
		if at := c.refused(name); at != want && at != test.at {
			t.Errorf("%s, without leaves: position %d is named, not %d", name, at, want)
		}
	}
}

// A removed commit whose successors keep their positions leaves a gap.
func TestRemovedCommitIsNamed(t *testing.T) {
	c := newCell(t)
	c.write(numbers(1, 300)...)
	c.sign()
	whole := c.log
	c.log = memory.New()
	into, err := memory.Restore(c.log)
	if err != nil {
		t.Fatal(err)
	}
	for entry, err := range whole.Entries(t.Context(), 0) {
		if err == nil && entry.Position != 123 {
			err = into.Put(t.Context(), entry)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := into.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if at := c.refused("one left out"); at != 123 {
		t.Errorf("position %d is named", at)
	}
}

// The leaves are a copy: wrong, short, long or lost ones are made again.
func TestLeavesAreMended(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"lost":        func([]byte) []byte { return nil },
		"short":       func(b []byte) []byte { return b[:100*audit.LeafBytes] },
		"torn":        func(b []byte) []byte { return b[:100*audit.LeafBytes+7] },
		"long":        func(b []byte) []byte { return append(b, b[:3*audit.LeafBytes]...) },
		"one wrong":   func(b []byte) []byte { b[200*audit.LeafBytes+30] ^= 1; return b },
		"first wrong": func(b []byte) []byte { b[0] ^= 1; return b },
		"last torn":   func(b []byte) []byte { return b[:len(b)-1] },
	} {
		c := newCell(t)
		c.write(numbers(1, 300)...)
		c.sign()
		want := c.files()
		path := filepath.Join(c.dir, "audit", "leaves")
		data, err := os.ReadFile(path)
		if err != nil || len(data) != 300*audit.LeafBytes {
			t.Fatalf("%d bytes, %v", len(data), err)
		}
		if err := os.WriteFile(path, spoil(data), 0o600); err != nil {
			t.Fatal(err)
		}
		c.sign()
		if c.files() != want {
			t.Errorf("%s: the files are not what they were", name)
		}
	}
}

// A keeper that was killed has leaves and heads of a shorter log.
func TestGoesOn(t *testing.T) {
	c := newCell(t)
	var heads string
	for i := range 20 {
		c.write(numbers(40*i+1, 40*i+40)...)
		k, err := c.open()
		if err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
		}
		heads = c.files()
	}
	if heads == "" {
		t.Error("nothing was signed")
	}
	if c.logged.Len() > 0 {
		t.Errorf("logged %s", &c.logged)
	}
}

func TestHeadsDamaged(t *testing.T) {
	c := newCell(t)
	c.write(numbers(1, 10)...)
	c.sign()
	path := filepath.Join(c.dir, "audit", "heads")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole[:len(whole)-len("A=\\n\"\n")] {
		changed := bytes.Clone(whole)
		changed[i] ^= 1
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if k, err := c.open(); err == nil {
			_ = k.Close()
			t.Fatalf("byte %d changed, and nobody noticed", i)
		} else if problem.KindOf(err) != problem.Conflict {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	// What a crash leaves of a line is no head.
	if err := os.WriteFile(path, append(bytes.Clone(whole), whole[:50]...), 0o600); err != nil {
		t.Fatal(err)
	}
	c.sign()
	if after, _ := os.ReadFile(path); !bytes.Equal(after, whole) {
		t.Errorf("%s\nis not\n%s", after, whole)
	}
}

func TestKeyLostOrReplaced(t *testing.T) {
	c := newCell(t)
	c.write(numbers(1, 10)...)
	c.sign()
	key := filepath.Join(c.dir, "keys", "audit")
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	for name, spoil := range map[string]func() error{
		"gone":         func() error { return os.Remove(key) },
		"readable":     func() error { return os.Chmod(key, 0o644) },
		"nonsense":     func() error { return os.WriteFile(key, []byte("PRIVATE+KEY+nonsense"), 0o600) },
		"not its .pub": func() error { return os.WriteFile(key+".pub", []byte("x"), 0o600) },
	} {
		secret, _ := os.ReadFile(key)
		public, _ := os.ReadFile(key + ".pub")
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		_, err := c.open()
		if err == nil || problem.HintOf(err) == "" && name != "not its .pub" || strings.Contains(err.Error(), "nonsense") {
			t.Errorf("%s: %v", name, err)
		}
		if err := errors.Join(os.WriteFile(key, secret, 0o600), os.Chmod(key, 0o600), os.WriteFile(key+".pub", public, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	c.sign()
}

func TestThin(t *testing.T) {
	var heads []audit.SignedHead
	for i := range 20 * maxHeads {
		heads = thin(append(heads, audit.SignedHead{Head: audit.Head{Size: int64(i + 1)}}))
		if len(heads) > maxHeads {
			t.Fatalf("%d heads are kept", len(heads))
		}
		if heads[len(heads)-1].Size != int64(i+1) || heads[0].Size != 1 {
			t.Fatalf("of %d heads, the first is %d and the last %d", i+1, heads[0].Size, heads[len(heads)-1].Size)
		}
	}
	if len(heads) < recentHeads {
		t.Errorf("%d heads are left", len(heads))
	}
}

// A head is signed at every interval in which the log has grown, and at the
// end.
func TestInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t)
		k, err := c.open()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- k.Run(ctx) }()
		heads := func() int {
			synctest.Wait()
			k.mu.Lock()
			defer k.mu.Unlock()
			return len(k.heads)
		}
		for i, step := range []struct {
			write, heads int
		}{{0, 0}, {3, 1}, {0, 1}, {1, 2}, {0, 2}} {
			c.write(numbers(1, step.write)...)
			synctest.Wait()
			time.Sleep(DefaultInterval + time.Second)
			if got := heads(); got != step.heads {
				t.Errorf("after interval %d there are %d heads, not %d", i, got, step.heads)
			}
		}
		c.write("the last")
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		c.write("later than Run")
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		if k.heads[len(k.heads)-1].Size != 6 {
			t.Error("the last head does not cover what came last")
		}
		if got := heads(); got != 3 {
			t.Errorf("%d heads at the end", got)
		}
	})
}

// benchLog is a long log, given from memory as often as it is asked.
func benchLinks(b *testing.B, n int) []eventlog.Entry {
	b.Helper()
	tips := map[events.StreamID]events.Tip{}
	all := make([]eventlog.Entry, 0, n)
	for commit := range eventlogtest.Fleet(n/eventlogtest.FleetCommits + 1) {
		wire, hash, err := events.Encode(commit, tips[commit.Stream])
		if err != nil {
			b.Fatal(err)
		}
		tips[commit.Stream] = events.Tip{Revision: tips[commit.Stream].Revision + 1, Hash: hash}
		all = append(all, eventlog.Entry{Position: events.Position(len(all) + 1), Wire: wire})
	}
	return all
}

// BenchmarkCheck is the fold of a log that is in memory, hashing of the commits
// included: what a start costs beside the reading.
func BenchmarkCheck(b *testing.B) {
	all := benchLinks(b, 100_000)
	for b.Loop() {
		check := NewCheck(nil, nil)
		for _, entry := range all {
			link, _, err := chain.Read(entry)
			if err == nil {
				err = check.Add(audit.Leaf{Position: link.Position, Commit: link.Hash})
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		if state, err := check.Finish(); err != nil || state.Size() != int64(len(all)) {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(all)*b.N)/b.Elapsed().Seconds(), "commits/s")
}
