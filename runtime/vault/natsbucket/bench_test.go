package natsbucket_test

import (
	"path/filepath"
	"testing"

	"pantheon/runtime/keys"
	"pantheon/runtime/vault/vaulttest"
)

// BenchmarkNewKey makes the key of a new site: on a machine that is alone, and in
// a cell of three; and gives one that is there.
func BenchmarkNewKey(b *testing.B) {
	dir := b.TempDir()
	alone, err := keys.Open(filepath.Join(dir, "alone"))
	if err != nil {
		b.Fatal(err)
	}
	c := newCell(b)
	store := c.open(0, vaulttest.CAKey(b))
	if err := store.Found(b.Context()); err != nil {
		b.Fatal(err)
	}
	shared, err := keys.OpenShared(filepath.Join(dir, "shared"), keys.SharedOptions{Vault: store})
	if err != nil {
		b.Fatal(err)
	}
	for _, row := range []struct {
		name string
		ring *keys.Ring
		same bool
	}{{"alone", alone, false}, {"three", shared, false}, {"three, there", shared, true}} {
		made := 0
		b.Run(row.name, func(b *testing.B) {
			for b.Loop() {
				if !row.same {
					made++
				}
				if _, err := row.ring.Site(siteOf(made)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
