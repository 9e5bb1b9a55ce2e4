package natsbucket_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"pantheon/events/problem"
	"pantheon/runtime/vault"
	"pantheon/runtime/vault/vaulttest"
)

func TestConformance(t *testing.T) {
	c := newCell(t)
	opened := 0
	vaulttest.Run(t, func(t *testing.T) (vault.Bucket, vault.Bucket) {
		c.t = t
		opened++
		name := fmt.Sprint("conformance-", opened)
		here, there := c.bucket(opened%3, name), c.bucket((opened+1)%3, name)
		answers(t, here)
		answers(t, there)
		return here, there
	})
}

// answers waits until a bucket that was made a moment ago has a leader; package
// vault does so by itself.
func answers(t *testing.T, bucket vault.Bucket) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := bucket.Get(ctx, "nothing")
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// open gives the vault as one machine opens it.
func (c *cell) open(i int, caKey []byte) *vault.Store {
	c.t.Helper()
	return vaulttest.Open(c.t, c.bucket(i, "vault"), caKey)
}

// holding gives the files below a folder that hold a text.
func holding(t testing.TB, dir string, text []byte) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return ignoreGone(err)
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, text) {
			files = append(files, strings.TrimPrefix(path, dir))
		}
		return ignoreGone(err)
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// ignoreGone: the server writes meanwhile.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// blocks waits until the block files of member i's streams hold a text, or do
// not: a member carries out what the majority has agreed on in its own time.
func (c *cell) blocks(i int, what string, text []byte, hold bool) {
	c.t.Helper()
	folder := filepath.Join(c.dirs[i], "jetstream", "$G")
	for deadline := time.Now().Add(time.Minute); ; runtime.Gosched() {
		files := holding(c.t, folder, text)
		if len(files) > 0 == hold {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("member %d: %s is in %v; want it there: %v", i, what, files, hold)
		}
	}
}

var errStop = errors.New("stop")

// valueOf gives the sealed value of the newest entry.
func valueOf(t *testing.T, bucket vault.Bucket) (newest []byte) {
	t.Helper()
	err := bucket.Watch(t.Context(), 0, func(entry vault.Entry) error {
		if entry.Key == "" {
			return errStop
		}
		newest = entry.Value
		return nil
	})
	if !errors.Is(err, errStop) {
		t.Fatal(err)
	}
	return newest
}

// The files of the servers hold no secret and no name in any form, and once a
// secret was removed, or written over, the stream's files do not hold the sealed
// value either.
func TestNothingOnDisk(t *testing.T) {
	c := newCell(t)
	ca := vaulttest.CAKey(t)
	stores := [2]*vault.Store{c.open(0, ca), c.open(1, ca)}
	if err := stores[0].Found(t.Context()); err != nil {
		t.Fatal(err)
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	const name = "sites/0f9d7c3e-5a41-4f0b-9c57-1d2e3f405162"
	made, err := stores[1].Create(t.Context(), name, secret)
	if err != nil {
		t.Fatal(err)
	}
	first := valueOf(t, c.bucket(2, "vault"))
	if _, err := stores[0].Put(t.Context(), name, append(secret, secret...), made.Revision); err != nil {
		t.Fatal(err)
	}
	second := valueOf(t, c.bucket(2, "vault"))
	for i := range 3 {
		c.blocks(i, "the sealed value", second, true)
	}
	if _, err := stores[1].Remove(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	for i, dir := range c.dirs {
		c.blocks(i, "what was written over", first[13:], false) // behind the nonce
		c.blocks(i, "what was removed", second[13:], false)
		for _, form := range [][]byte{
			secret, secret[:8], []byte(hex.EncodeToString(secret)), []byte(base64.StdEncoding.EncodeToString(secret)[:20]),
			[]byte("0f9d7c3e"), ca[40:80],
		} {
			if files := holding(t, dir, form); len(files) > 0 {
				t.Errorf("member %d: %v hold a secret or a name", i, files)
			}
		}
	}
}

// All machines open the vault at once, and one of them has sealed it.
func TestOpenedAtOnce(t *testing.T) {
	c := newCell(t)
	ca := vaulttest.CAKey(t)
	var group sync.WaitGroup
	for i := range 3 {
		store := c.open(i, ca)
		group.Go(func() {
			if err := store.Found(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for i := range 3 {
		if founded, err := c.open(i, ca).Founded(t.Context()); !founded || err != nil {
			t.Errorf("machine %d: %v, %v", i, founded, err)
		}
		if err := c.open(i, vaulttest.CAKey(t)).Found(t.Context()); problem.KindOf(err) != problem.Denied {
			t.Errorf("a machine of another cell: %v", err)
		}
	}
}

// What a machine that died has not erased, the next one that watches from the
// beginning does.
func TestStaleValues(t *testing.T) {
	c := newCell(t)
	bucket := c.bucket(0, "vault")
	answers(t, bucket)
	js, err := jetstream.New(c.clients[1].Conn())
	if err != nil {
		t.Fatal(err)
	}
	values, err := js.KeyValue(t.Context(), "vault")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := values.Put(t.Context(), "a", fmt.Appendf(nil, "the value number %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(valueOf(t, bucket)); got != "the value number 2" {
		t.Errorf("newest: %q", got)
	}
	for i := range 3 {
		for value := range 3 {
			text := fmt.Sprintf("the value number %d", value)
			c.blocks(i, text, []byte(text), value == 2)
		}
	}
}

// A member that was off erases what the others have erased meanwhile. With two
// of three the vault works, with one it refuses and says so.
func TestMemberOff(t *testing.T) {
	c := newCell(t)
	ca := vaulttest.CAKey(t)
	store := c.open(0, ca)
	if err := store.Found(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Create(t.Context(), "a", []byte("secret")); err != nil {
		t.Fatal(err)
	}
	value := valueOf(t, c.bucket(2, "vault"))
	c.blocks(2, "the value", value, true)
	c.stop(2)
	if _, err := store.Remove(t.Context(), "a"); err != nil {
		t.Fatalf("with two of three: %v", err)
	}
	c.blocks(2, "the value", value, true)
	c.start(2)
	c.connect(2)
	c.blocks(2, "what was removed", value, false)
	again := c.open(2, ca)
	if found, err := again.Get(t.Context(), "a"); err != nil || !found.Removed {
		t.Errorf("on the machine that was off: %v", err)
	}
	c.stop(1)
	c.stop(2)
	if _, err := store.Create(t.Context(), "b", []byte("secret")); problem.KindOf(err) != problem.Unavailable || problem.HintOf(err) == "" {
		t.Errorf("with one of three: %v", err)
	}
	// By now the leader has noticed, if it was this one.
	if _, err := c.open(0, ca).Get(t.Context(), "a"); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("opened with one of three: %v", err)
	}
}
