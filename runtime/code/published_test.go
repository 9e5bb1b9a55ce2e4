package code

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"

	"pantheon/events/problem"
)

// counted counts what is fetched.
type counted struct {
	MemoryReleases
	fetched atomic.Int64
}

func (c *counted) Get(ctx context.Context, commit string) (io.ReadCloser, error) {
	c.fetched.Add(1)
	return c.MemoryReleases.Get(ctx, commit)
}

func openHost(t *testing.T, releases Releases) *Store {
	t.Helper()
	openStore(t) // skips without git
	store, err := Open(Options{Dir: filepath.Join(t.TempDir(), "code"), Releases: releases})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = removeTree(store.dir) })
	return store
}

// manyKinds is a commit with all that a tree can hold, the same content under
// two modes and two folders with one tree among it.
func manyKinds(up upstream) string {
	up.write(map[string]string{"index.php": "<?php", "bin/run": "#!/bin/sh", "bin/same": "#!/bin/sh", "lib/a/x.php": "x", "lib/b/x.php": "x",
		"lib.php": "sorts before lib/ in no locale", "empty": "", "ünï/cödé.txt": "é", "files/hidden.txt": "under the mount"})
	if err := os.Chmod(filepath.Join(up.dir, "bin/run"), 0o755); err != nil {
		up.t.Fatal(err)
	}
	if err := os.Symlink("lib/a", filepath.Join(up.dir, "link")); err != nil {
		up.t.Fatal(err)
	}
	up.git("add", "-A")
	up.git("update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("12", 20)+",vendor/sub")
	up.git("commit", "-q", "-m", "all kinds")
	return up.git("rev-parse", "HEAD")
}

func (u upstream) write(files map[string]string) {
	u.t.Helper()
	for name, content := range files {
		file := filepath.Join(u.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			u.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			u.t.Fatal(err)
		}
	}
}

// described says all that there is below a folder.
func described(t *testing.T, dir string) string {
	t.Helper()
	var text strings.Builder
	err := filepath.Walk(dir, func(name string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		rest, _ := filepath.Rel(dir, name)
		text.WriteString(info.Mode().String() + " " + rest + " ")
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			text.Write(content)
		case info.Mode()&os.ModeSymlink != 0:
			target, _ := os.Readlink(name)
			text.WriteString(target)
		}
		text.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// TestReleaseReachesAnotherHost: the tree is the same in every way, the site's
// neighbour shares what was fetched, and so does a second mount.
func TestReleaseReachesAnotherHost(t *testing.T) {
	releases := &counted{}
	origin, other := openHost(t, releases), openHost(t, releases)
	up := newUpstream(t)
	commit := manyKinds(up)
	mustImport(t, origin, siteID(1), up.source())
	if _, err := other.Release(t.Context(), siteID(1), commit, filesMount); problem.KindOf(err) != problem.NotFound {
		t.Errorf("before it was published: %v", err)
	}
	for range 2 {
		if err := origin.Publish(t.Context(), siteID(1), commit); err != nil {
			t.Fatal(err)
		}
	}
	releases.fetched.Store(0)
	var group sync.WaitGroup
	for n := 1; n <= 4; n++ {
		group.Go(func() {
			if _, err := other.Release(t.Context(), siteID(n), commit, filesMount); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, at := range []Mount{filesMount, {}} {
		want, got := described(t, mustRelease(t, origin, siteID(1), commit, at)), described(t, mustRelease(t, other, siteID(1), commit, at))
		if want != got {
			t.Errorf("with mount %q it is\n%s\nand not\n%s", at.Path, got, want)
		}
	}
	if n := releases.fetched.Load(); n != 1 {
		t.Errorf("it was fetched %d times", n)
	}
	if !other.Borrowed(siteID(1)) || origin.Borrowed(siteID(1)) {
		t.Error("the hosts do not know whose code it is")
	}
}

// TestSameCommitGivesTheSameBytes, whoever publishes it.
func TestSameCommitGivesTheSameBytes(t *testing.T) {
	up := newUpstream(t)
	commit := manyKinds(up)
	var kept [2]MemoryReleases
	for i := range kept {
		store := openHost(t, &kept[i])
		mustImport(t, store, siteID(i), up.source())
		if err := store.Publish(t.Context(), siteID(i), commit); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(kept[0].kept[commit], kept[1].kept[commit]) {
		t.Error("two hosts published different bytes")
	}
}

// TestSpoiledReleaseIsRefused: each change of what was kept is noticed, and
// nothing of it is served or stays as a shared file.
func TestSpoiledReleaseIsRefused(t *testing.T) {
	releases := &MemoryReleases{}
	origin := openHost(t, releases)
	up := newUpstream(t)
	commit := manyKinds(up)
	mustImport(t, origin, siteID(1), up.source())
	if err := origin.Publish(t.Context(), siteID(1), commit); err != nil {
		t.Fatal(err)
	}
	whole := releases.kept[commit]
	objects := unpack(t, whole)
	spoiled := map[string][]byte{"nothing": {}, "half": whole[:len(whole)/2], "no archive": []byte("hello"), "empty": pack(t, nil)}
	for i, one := range objects {
		without := append(append([]object{}, objects[:i]...), objects[i+1:]...)
		spoiled["without "+one.name] = pack(t, without)
		changed := append([]object{}, objects...)
		changed[i].content = append([]byte("!"), one.content...)
		spoiled["with another "+one.name] = pack(t, changed)
		spoiled["twice "+one.name] = pack(t, append(append([]object{}, objects...), one))
	}
	store := openHost(t, releases)
	for name, bad := range spoiled {
		releases.kept[commit] = bad
		if dir, err := store.Release(t.Context(), siteID(1), commit, filesMount); err == nil {
			t.Errorf("%s: served from %s", name, dir)
		} else if strings.Contains(err.Error(), "internal error") {
			t.Errorf("%s: %v", name, err)
		}
	}
	checkBlobs(t, store)
	releases.kept[commit] = whole
	mustRelease(t, openHost(t, releases), siteID(1), commit, filesMount)
}

// checkBlobs: every shared file is what its name says.
func checkBlobs(t *testing.T, store *Store) {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(store.blobs(), "*", "*"))
	for _, file := range found {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		id := strings.TrimSuffix(filepath.Base(file), "x")
		r := &checkedReader{from: bytes.NewReader(content), id: id, size: int64(len(content)), digest: newDigest(id)}
		fmt.Fprintf(r.digest, "blob %d\x00", len(content))
		if _, err := r.all(1 << 20); err != nil {
			t.Errorf("shared file %s is wrong", filepath.Base(file))
		}
	}
}

type object struct {
	name    string
	content []byte
}

func unpack(t *testing.T, kept []byte) (objects []object) {
	t.Helper()
	plain, err := zstd.NewReader(bytes.NewReader(kept))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	archive := tar.NewReader(plain)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object{header.Name, content})
	}
}

func pack(t *testing.T, objects []object) []byte {
	t.Helper()
	var kept bytes.Buffer
	compressed, err := zstd.NewWriter(&kept)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewWriter(compressed)
	for _, o := range objects {
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: o.name, Size: int64(len(o.content)), Mode: 0o444}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(o.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := compressed.Close(); err != nil {
		t.Fatal(err)
	}
	return kept.Bytes()
}

// TestFetchedReleasesAreCollected, but not those that are kept, which stay
// whole; what is needed again is fetched again.
func TestFetchedReleasesAreCollected(t *testing.T) {
	releases := &counted{}
	origin, other := openHost(t, releases), openHost(t, releases)
	up := newUpstream(t)
	first := up.commit("first", map[string]string{"index.php": "1", "old.php": "old"})
	second := up.commit("second", map[string]string{"index.php": "2"})
	mustImport(t, origin, siteID(1), up.source())
	for _, commit := range []string{first, second} {
		if err := origin.Publish(t.Context(), siteID(1), commit); err != nil {
			t.Fatal(err)
		}
		mustRelease(t, other, siteID(1), commit, filesMount)
	}
	kept := mustRelease(t, other, siteID(1), second, filesMount)
	if n, err := other.Collect(t.Context(), siteID(1), []string{kept}); err != nil || n != 1 {
		t.Fatalf("%d releases removed: %v", n, err)
	}
	if freed, err := other.CollectFetched(t.Context(), map[string]bool{second: true}); err != nil || freed == 0 {
		t.Errorf("%d bytes freed: %v", freed, err)
	}
	if read(t, kept, "index.php") != "2" {
		t.Error("the release in use is not whole")
	}
	releases.fetched.Store(0)
	if read(t, mustRelease(t, other, siteID(1), first, filesMount), "index.php") != "1" || releases.fetched.Load() != 1 {
		t.Error("what was collected does not come back")
	}
}
