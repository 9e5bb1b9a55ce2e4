package jetstream

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

var bg = context.Background()

func TestBucketOutlivesTheLog(t *testing.T) {
	dir := t.TempDir()
	log := open(t, dir)
	config := jetstream.KeyValueConfig{Bucket: "leases"}
	bucket, err := log.Bucket(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Put(t.Context(), "host.1", []byte("here")); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	log = open(t, dir)
	if bucket, err = log.Bucket(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	entry, err := bucket.Get(t.Context(), "host.1")
	if err != nil || string(entry.Value()) != "here" {
		t.Fatalf("%v, %v", entry, err)
	}
}
