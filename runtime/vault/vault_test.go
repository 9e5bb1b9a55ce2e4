package vault_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"pantheon/events/problem"
	"pantheon/runtime/vault"
	"pantheon/runtime/vault/vaulttest"
)

func TestMemoryConformance(t *testing.T) {
	vaulttest.Run(t, func(*testing.T) (vault.Bucket, vault.Bucket) {
		m := &vault.Memory{}
		return m, m
	})
}

// cell gives the stores of three control machines over one bucket, founded.
func cell(t *testing.T) (stores [3]*vault.Store, links [3]*vaulttest.Link, memory *vault.Memory) {
	t.Helper()
	memory = &vault.Memory{}
	ca := vaulttest.CAKey(t)
	for i := range stores {
		links[i] = &vaulttest.Link{Bucket: memory}
		stores[i] = vaulttest.Open(t, links[i], ca)
	}
	if err := stores[0].Found(t.Context()); err != nil {
		t.Fatal(err)
	}
	return stores, links, memory
}

func TestCreatedOnce(t *testing.T) {
	stores, _, _ := cell(t)
	var group sync.WaitGroup
	got := make([]vault.Secret, 12)
	for i := range got {
		group.Go(func() {
			var err error
			if got[i], err = stores[i%3].Create(t.Context(), "a name", fmt.Appendf(nil, "of caller %d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, secret := range got {
		if !secret.Live() || secret.Revision != got[0].Revision || !bytes.Equal(secret.Content(), got[0].Content()) {
			t.Fatal("callers got different secrets")
		}
	}
}

func TestPutAndRemove(t *testing.T) {
	stores, _, _ := cell(t)
	if found, err := stores[1].Get(t.Context(), "x"); err != nil || found.Revision != 0 || found.Live() {
		t.Fatalf("what never was: revision %d, %v", found.Revision, err)
	}
	one, err := stores[0].Put(t.Context(), "x", []byte("one"), 0)
	if err != nil {
		t.Fatal(err)
	}
	two, err := stores[1].Put(t.Context(), "x", []byte("two"), one.Revision)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stores[2].Put(t.Context(), "x", []byte("three"), one.Revision); problem.KindOf(err) != problem.Conflict {
		t.Errorf("over what is no more: %v", err)
	}
	if found, err := stores[2].Get(t.Context(), "x"); err != nil || string(found.Content()) != "two" || found.Revision != two.Revision {
		t.Errorf("revision %d, %v", found.Revision, err)
	}
	gone, err := stores[2].Remove(t.Context(), "x")
	if err != nil || !gone.Removed || gone.Revision <= two.Revision {
		t.Fatalf("%d, %v", gone.Revision, err)
	}
	again, err := stores[0].Remove(t.Context(), "x")
	if err != nil || again.Revision != gone.Revision {
		t.Errorf("removed again at %d, %v; want %d", again.Revision, err, gone.Revision)
	}
	if found, err := stores[0].Create(t.Context(), "x", []byte("new")); err != nil || !found.Removed || found.Content() != nil {
		t.Errorf("what was removed was made again: %v", err)
	}
	if never, err := stores[0].Remove(t.Context(), "never was"); err != nil || !never.Removed {
		t.Errorf("removing what never was: %v", err)
	}
}

// Before the first machine has put in what the cell has, nobody makes anything.
func TestNotFounded(t *testing.T) {
	memory, ca := &vault.Memory{}, vaulttest.CAKey(t)
	first, second := vaulttest.Open(t, memory, ca), vaulttest.Open(t, memory, ca)
	if _, err := second.Create(t.Context(), "x", []byte("a second one")); problem.KindOf(err) != problem.Unavailable || problem.HintOf(err) == "" {
		t.Fatalf("Create before Found: %v", err)
	}
	if _, err := first.Put(t.Context(), "x", []byte("of before"), 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := first.Found(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := second.Create(t.Context(), "x", []byte("a second one")); err != nil || string(got.Content()) != "of before" {
		t.Errorf("Create: %v", err)
	}
}

// A machine with another CA is refused by every method, and leaves nothing.
func TestAnotherAuthority(t *testing.T) {
	stores, _, memory := cell(t)
	if _, err := stores[0].Create(t.Context(), "x", []byte("secret")); err != nil {
		t.Fatal(err)
	}
	other := vaulttest.Open(t, memory, vaulttest.CAKey(t))
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"Get":     func() error { _, err := other.Get(ctx, "x"); return err },
		"Create":  func() error { _, err := other.Create(ctx, "x", nil); return err },
		"Put":     func() error { _, err := other.Put(ctx, "x", nil, 0); return err },
		"Remove":  func() error { _, err := other.Remove(ctx, "x"); return err },
		"Found":   func() error { return other.Found(ctx) },
		"Founded": func() error { _, err := other.Founded(ctx); return err },
		"Watch":   func() error { return other.Watch(ctx, 0, func(vault.Secret) error { return nil }) },
	} {
		err := call()
		if problem.KindOf(err) != problem.Denied || problem.HintOf(err) == "" || !strings.Contains(err.Error(), "certificate authority") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if entries := entriesOf(t, memory); len(entries) != 3 {
		t.Errorf("%d entries", len(entries))
	}
	for _, bad := range [][]byte{nil, []byte("no PEM")} {
		if _, err := vault.New(vault.Options{Bucket: memory, CAKey: bad, Cell: vaulttest.Cell}); problem.KindOf(err) != problem.Invalid {
			t.Errorf("a CA key that is none: %v", err)
		}
	}
	if _, err := vault.New(vault.Options{Bucket: memory, CAKey: vaulttest.CAKey(t)}); problem.KindOf(err) != problem.Invalid {
		t.Errorf("no cell: %v", err)
	}
}

var errStop = errors.New("stop")

func entriesOf(t *testing.T, bucket vault.Bucket) (all []vault.Entry) {
	t.Helper()
	err := bucket.Watch(t.Context(), 0, func(entry vault.Entry) error {
		if entry.Key == "" {
			return errStop
		}
		all = append(all, entry)
		return nil
	})
	if !errors.Is(err, errStop) {
		t.Fatal(err)
	}
	return all
}

// Nothing in the bucket tells a name, a content, or whether it is a tombstone.
func TestSealed(t *testing.T) {
	stores, _, memory := cell(t)
	const name, content = "sites/0f9d7c3e-5a41-4f0b-9c57-1d2e3f405162", "a short secret"
	if _, err := stores[0].Create(t.Context(), name, []byte(content)); err != nil {
		t.Fatal(err)
	}
	if _, err := stores[0].Remove(t.Context(), "another"); err != nil {
		t.Fatal(err)
	}
	sizes := map[int]bool{}
	for _, entry := range entriesOf(t, memory) {
		if strings.Contains(entry.Key+string(entry.Value), name[6:14]) || bytes.Contains(entry.Value, []byte(content)) {
			t.Error("the bucket tells a name or a secret")
		}
		sizes[len(entry.Value)] = true
	}
	if len(sizes) != 1 {
		t.Errorf("sizes tell: %v", sizes)
	}
}

// What was moved to another key, changed, or is of another version is refused.
func TestForged(t *testing.T) {
	stores, _, memory := cell(t)
	for _, name := range []string{"a", "b"} {
		if _, err := stores[0].Create(t.Context(), name, []byte("of "+name)); err != nil {
			t.Fatal(err)
		}
	}
	var own []vault.Entry
	for _, entry := range entriesOf(t, memory) {
		if entry.Key != "seal" && entry.Key != "founded" {
			own = append(own, entry)
		}
	}
	flipped, newer := bytes.Clone(own[0].Value), bytes.Clone(own[0].Value)
	flipped[len(flipped)/2] ^= 1
	newer[0] = 9
	for what, value := range map[string][]byte{"moved": own[1].Value, "changed": flipped, "newer": newer, "empty": {}, "large": make([]byte, vault.MaxValueBytes+1)} {
		now, _ := memory.Get(t.Context(), own[0].Key)
		if _, err := memory.Put(t.Context(), own[0].Key, value, now.Revision); err != nil {
			t.Fatal(err)
		}
		if _, err := stores[1].Get(t.Context(), "a"); problem.KindOf(err) != problem.Denied {
			t.Errorf("%s: %v", what, err)
		}
		var seen []string
		err := stores[1].Watch(t.Context(), 0, func(secret vault.Secret) error {
			if secret.Name == "" {
				return errStop
			}
			seen = append(seen, secret.Name)
			return nil
		})
		if !errors.Is(err, errStop) || fmt.Sprint(seen) != "[b]" {
			t.Errorf("%s: the watch gives %v, %v", what, seen, err)
		}
	}
	if gone, err := stores[2].Remove(t.Context(), "a"); err != nil || !gone.Removed {
		t.Errorf("what cannot be opened is not removed: %v", err)
	}
}

// Without the bucket everything is refused, soon and with a hint.
func TestUnreachable(t *testing.T) {
	stores, links, _ := cell(t)
	links[1].Cut()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // no need to wait for the bound
	for name, call := range map[string]func() error{
		"Get":    func() error { _, err := stores[1].Get(ctx, "x"); return err },
		"Create": func() error { _, err := stores[1].Create(ctx, "x", nil); return err },
		"Put":    func() error { _, err := stores[1].Put(ctx, "x", nil, 0); return err },
		"Remove": func() error { _, err := stores[1].Remove(ctx, "x"); return err },
	} {
		if err := call(); problem.KindOf(err) != problem.Unavailable || problem.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBounds(t *testing.T) {
	stores, _, _ := cell(t)
	if _, err := stores[0].Put(t.Context(), "x", make([]byte, vault.MaxContentBytes+1), 0); problem.KindOf(err) != problem.Invalid {
		t.Errorf("too large: %v", err)
	}
	if _, err := stores[0].Put(t.Context(), strings.Repeat("x", 512), make([]byte, vault.MaxContentBytes), 0); err != nil {
		t.Errorf("as large as may be: %v", err)
	}
	for _, name := range []string{"", strings.Repeat("x", 513)} {
		if _, err := stores[0].Get(t.Context(), name); problem.KindOf(err) != problem.Invalid {
			t.Errorf("a name of %d bytes: %v", len(name), err)
		}
	}
}

// unsure is a bucket whose answers to writes get lost, and which refuses writes
// that are in nobody's way, as a leader does while another write of the key is
// under way that may come to nothing.
type unsure struct {
	*vault.Memory
	lose   int
	refuse int
}

func (u *unsure) Put(ctx context.Context, key string, value []byte, expected uint64) (uint64, error) {
	if u.refuse > 0 {
		u.refuse--
		return 0, problem.New(problem.Conflict, "another one is under way")
	}
	revision, err := u.Memory.Put(ctx, key, value, expected)
	if u.lose > 0 {
		u.lose--
		return 0, problem.New(problem.Unavailable, "the answer is lost")
	}
	return revision, err
}

func TestLostAnswer(t *testing.T) {
	bucket := &unsure{Memory: &vault.Memory{}}
	store := vaulttest.Open(t, bucket, vaulttest.CAKey(t))
	if err := store.Found(t.Context()); err != nil {
		t.Fatal(err)
	}
	bucket.refuse, bucket.lose = 2, 2
	made, err := store.Put(t.Context(), "x", []byte("mine"), 0)
	if err != nil {
		t.Fatalf("a write whose answer was lost: %v", err)
	}
	found, err := store.Get(t.Context(), "x")
	if err != nil || found.Revision != made.Revision {
		t.Errorf("written at %d, and there is %d, %v", made.Revision, found.Revision, err)
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	stores, _, _ := cell(t)
	made, err := stores[0].Create(t.Context(), "x", []byte("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", made)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", made)
	marshalled, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%v %+v %#v %s %q %x %d", made, made, made, made, made, made, made) + log.String() + string(marshalled)
	for _, form := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), strings.Trim(fmt.Sprint([]byte("hunter2")), "[]")} {
		if strings.Contains(text, form) {
			t.Errorf("a printer gives the secret away: %s", text)
		}
	}
}
