package jetstream

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"pantheon/events"
	"pantheon/events/eventlog/eventlogtest"
	"pantheon/events/problem"
)

// holders gives the machines that have the log and a bucket.
func (c *cell) holders(of int) (log, bucket []string) {
	c.t.Helper()
	js, err := jetstream.New(c.members[of].Conn())
	if err != nil {
		c.t.Fatal(err)
	}
	names := func(stream string) (all []string) {
		s, err := js.Stream(c.t.Context(), stream)
		if err != nil {
			c.t.Fatal(err)
		}
		cluster := s.CachedInfo().Cluster
		all = []string{cluster.Leader}
		for _, replica := range cluster.Replicas {
			all = append(all, replica.Name)
		}
		slices.Sort(all)
		return all
	}
	return names(streamName), names("KV_beside")
}

// writer appends to one stream until it is told to end: all that was acknowledged
// must be there then.
func (c *cell) writer(client *Client) (end func()) {
	ctx, stop := context.WithCancel(c.t.Context())
	var running sync.WaitGroup
	var failed error
	var written int
	stream := eventlogtest.Stream(7)
	running.Go(func() {
		var tip events.Tip
		for ctx.Err() == nil {
			next, err := client.Append(context.WithoutCancel(ctx), tip, eventlogtest.Commit(stream, fmt.Sprint(written)))
			if err != nil {
				failed = err
				return
			}
			tip = next
			written++
		}
	})
	return func() {
		c.t.Helper()
		stop()
		running.Wait()
		if failed != nil {
			c.t.Errorf("a commit was refused: %v", failed)
		}
		if tip := afterAll(c.t, client, stream); int(tip.Revision) != written || written == 0 {
			c.t.Errorf("%d commits were acknowledged and %d are there", written, tip.Revision)
		}
	}
}

// A log that three machines hold is spread over five, and back, while it is
// written. Two of the five may die, and when there are three again one of them.
func TestResize(t *testing.T) {
	dir, _ := standalone(t, 20)
	c := grown(t, dir)
	client := c.dial()
	if _, err := client.Bucket(t.Context(), jetstream.KeyValueConfig{Bucket: "beside", Storage: jetstream.MemoryStorage}); err != nil {
		t.Fatal(err)
	}
	for machines, kind := range map[int]problem.Kind{4: problem.Invalid, 0: problem.Invalid, 6: problem.Unsupported, 7: problem.Unsupported} {
		if err := Widen(t.Context(), c.members[0], machines); problem.KindOf(err) != kind {
			t.Errorf("%d machines: %v", machines, err)
		}
	}
	end := c.writer(client)
	c.size = 5
	c.start(3)
	c.start(4)
	began := time.Now()
	if err := Widen(t.Context(), c.members[0], 5); err != nil {
		t.Fatal(err)
	}
	t.Logf("from three to five took %s", time.Since(began).Round(time.Millisecond))
	five := []string{"host-0", "host-1", "host-2", "host-3", "host-4"}
	if log, bucket := c.holders(0); !slices.Equal(log, five) || !slices.Equal(bucket, five) {
		t.Errorf("the log is held by %v, the bucket by %v", log, bucket)
	}
	if err := Widen(t.Context(), c.members[4], 5); err != nil {
		t.Errorf("again: %v", err)
	}
	end()
	_ = c.members[3].Close()
	_ = c.members[2].Close()
	tip := afterAll(t, client, eventlogtest.Stream(7))
	if _, err := client.Append(t.Context(), tip, eventlogtest.Commit(eventlogtest.Stream(7), "by three of five")); err != nil {
		t.Errorf("two of five are gone: %v", err)
	}
	began = time.Now()
	if err := Narrow(t.Context(), c.members[0], 3, []string{"host-0"}); problem.KindOf(err) != problem.Invalid {
		t.Errorf("taking out oneself: %v", err)
	}
	if err := Narrow(t.Context(), c.members[0], 3, []string{"host-2", "host-3"}); err != nil {
		t.Fatal(err)
	}
	t.Logf("from five to three took %s", time.Since(began).Round(time.Millisecond))
	three := []string{"host-0", "host-1", "host-4"}
	if log, bucket := c.holders(4); !slices.Equal(log, three) || !slices.Equal(bucket, three) {
		t.Errorf("the log is held by %v, the bucket by %v", log, bucket)
	}
	_ = c.members[1].Close()
	tip = afterAll(t, client, eventlogtest.Stream(7))
	if _, err := client.Append(t.Context(), tip, eventlogtest.Commit(eventlogtest.Stream(7), "by two of three")); err != nil {
		t.Errorf("one of three is gone: %v", err)
	}
}

// From one machine to five at once, and back to one.
func TestGrowToFive(t *testing.T) {
	dir, want := standalone(t, 20)
	c := newCell(t)
	c.size = 5
	c.startAll()
	if err := Grow(t.Context(), dir, c.members[0]); err != nil {
		t.Fatal(err)
	}
	client := c.dial()
	sameLog(t, "by five", eventlogtest.Collect(t, client.All(t.Context(), 0)), want)
	if n, err := client.replicas(t.Context()); n != 5 || err != nil {
		t.Errorf("%d replicas, %v", n, err)
	}
	_ = c.members[4].Close()
	_ = c.members[3].Close()
	stream := eventlogtest.Stream(7)
	for i := range 20 {
		eventlogtest.Append(t, client, afterAll(t, client, stream), eventlogtest.Commit(stream, fmt.Sprint("by three of five ", i)))
	}
	want = eventlogtest.Collect(t, client.All(t.Context(), 0))
	if err := Shrink(t.Context(), dir, c.members[0]); err != nil {
		t.Fatal(err)
	}
	sameLog(t, "by one", eventlogtest.Collect(t, open(t, dir).All(t.Context(), 0)), want)
}
