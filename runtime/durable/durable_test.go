package durable

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSyncTree(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "a/b"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "a/b/c"), []byte("c"), 0o400); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/no/such/place", filepath.Join(root, "a/link")); err != nil {
		t.Fatal(err)
	}
	if err := SyncTree(root); err != nil {
		t.Error(err)
	}
	if err := Sync(filepath.Join(root, "gone")); !os.IsNotExist(err) {
		t.Errorf("Sync of nothing: %v", err)
	}
}
