package jetstream

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"pantheon/events"
	"pantheon/events/eventlog/eventlogtest"
)

// benchEvent is a commit of the usual size.
func benchCommit(stream events.StreamID) events.Commit {
	commit := eventlogtest.Commit(stream, "0f8fad5b-d9cb-469f-a165-70867728950e")
	commit.Events = []events.Event{events.SiteDeletionRequested{Site: events.SiteID(stream.ID), Reason: "no longer wanted by its owner"}}
	return commit
}

// appendAll calls write from several writers until n are done in all, and gives
// the time and each call's latency, sorted.
func appendAll(b *testing.B, writers, n int, write func(writer int) error) (time.Duration, []time.Duration) {
	b.Helper()
	latencies := make([][]time.Duration, writers)
	began := time.Now()
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for range n / writers {
				call := time.Now()
				if err := write(w); err != nil {
					b.Error(err)
					return
				}
				latencies[w] = append(latencies[w], time.Since(call))
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	joined := slices.Concat(latencies...)
	slices.Sort(joined)
	return took, joined
}

// BenchmarkAppend appends beside a bare JetStream publish to a server with the
// same settings on the same disk, in turns of which each has the machine to
// itself, and prints the ratio of the rates.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			log, bare := open(b, b.TempDir()), openBare(b)
			tips := make([]events.Tip, writers)
			payload, _, err := events.Encode(benchCommit(eventlogtest.Stream(1)), events.Tip{Revision: 7, Hash: events.Hash{1}})
			if err != nil {
				b.Fatal(err)
			}
			const turn = 1024
			var ours, theirs time.Duration
			var ourLatencies, theirLatencies []time.Duration
			calls := 0
			for b.Loop() {
				took, latencies := appendAll(b, writers, turn, func(w int) (err error) {
					tips[w], err = log.Append(bg, tips[w], benchCommit(eventlogtest.Stream(w)))
					return err
				})
				ours, ourLatencies = ours+took, append(ourLatencies, latencies...)
				took, latencies = appendAll(b, writers, turn, func(w int) error {
					message := nats.NewMsg(subject(eventlogtest.Stream(w)))
					message.Data = payload
					_, err := bare.PublishMsg(bg, message)
					return err
				})
				theirs, theirLatencies = theirs+took, append(theirLatencies, latencies...)
				calls += turn
			}
			slices.Sort(ourLatencies)
			slices.Sort(theirLatencies)
			b.ReportMetric(float64(calls)/ours.Seconds(), "appends/s")
			b.ReportMetric(float64(calls)/theirs.Seconds(), "bare/s")
			b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")
			report(b, "", ourLatencies)
			report(b, "bare-", theirLatencies)
		})
	}
}

func report(b *testing.B, prefix string, sorted []time.Duration) {
	for name, at := range map[string]float64{"p50": 0.5, "p99": 0.99} {
		b.ReportMetric(float64(sorted[int(at*float64(len(sorted)-1))].Microseconds()), prefix+"µs-"+name)
	}
}

// openBare gives a server with the log's settings and nothing of ours around.
func openBare(b *testing.B) jetstream.JetStream {
	b.Helper()
	log := open(b, b.TempDir())
	return log.js
}

// BenchmarkReadWays reads 100,000 commits of a log on disk, as an ordered
// consumer delivers them, bare and decoded, and from the block files.
func BenchmarkReadWays(b *testing.B) {
	const commits = 100_000
	log := open(b, b.TempDir())
	fillFast(b, log, commits)
	rate := func(b *testing.B) {
		b.ReportMetric(commits*float64(b.N)/b.Elapsed().Seconds(), "commits/s")
	}
	consume := func(b *testing.B, each func(jetstream.Msg) error) {
		consumer, err := log.js.OrderedConsumer(bg, streamName, jetstream.OrderedConsumerConfig{})
		if err != nil {
			b.Fatal(err)
		}
		messages, err := consumer.Messages(jetstream.PullMaxMessages(5000))
		if err != nil {
			b.Fatal(err)
		}
		defer messages.Stop()
		for range commits {
			message, err := messages.Next()
			if err == nil {
				err = each(message)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("consumer", func(b *testing.B) {
		for b.Loop() {
			consume(b, func(jetstream.Msg) error { return nil })
		}
		rate(b)
	})
	b.Run("consumer-decoded", func(b *testing.B) {
		for b.Loop() {
			consume(b, func(m jetstream.Msg) error { _, err := events.Decode(m.Data()); return err })
		}
		rate(b)
	})
	b.Run("files", func(b *testing.B) {
		for b.Loop() {
			for _, err := range log.index.records(0, commits) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
		rate(b)
	})
	b.Run("files-decoded", func(b *testing.B) {
		for b.Loop() {
			for _, err := range log.All(bg, 0) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
		rate(b)
	})
}

// fillFast writes many commits of as many streams without waiting for each.
func fillFast(b *testing.B, log *Log, n int) {
	b.Helper()
	for w := range n {
		data, _, err := events.Encode(benchCommit(eventlogtest.Stream(w)), events.Tip{})
		if err != nil {
			b.Fatal(err)
		}
		message := nats.NewMsg(subject(eventlogtest.Stream(w)))
		message.Header.Set(jetstream.ExpectedLastSubjSeqHeader, "0")
		message.Data = data
		if _, err := log.js.PublishMsgAsync(message); err != nil {
			b.Fatal(err)
		}
		if w%1000 == 0 {
			<-log.js.PublishAsyncComplete()
		}
	}
	<-log.js.PublishAsyncComplete()
	log.head.rise(uint64(n))
}

// BenchmarkTail is the time from the return of Append to the arrival of the
// commit at a tail.
func BenchmarkTail(b *testing.B) {
	log := open(b, b.TempDir())
	ctx, cancel := context.WithCancel(bg)
	defer cancel()
	arrived := make(chan time.Time, 1)
	go func() {
		for _, err := range log.Tail(ctx, 0) {
			if err != nil {
				return
			}
			arrived <- time.Now()
		}
	}()
	var tip events.Tip
	var latencies []time.Duration
	for b.Loop() {
		tip = eventlogtest.Append(b, log, tip, benchCommit(eventlogtest.Stream(1)))
		committed := time.Now()
		latencies = append(latencies, max(0, (<-arrived).Sub(committed)))
	}
	slices.Sort(latencies)
	report(b, "", latencies)
}
