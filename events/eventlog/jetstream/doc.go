// Package jetstream is the log on disk: one JetStream stream of an embedded
// NATS server that listens to nobody.
//
// # What is written
//
// The stream "events" has file storage, one replica, deny delete, deny purge
// and no limits. The subject of a commit is events.<kind>.<id>, its message is
// the wire form of events.Encode, and the stream's sequence is the position:
// gapless, because nothing is ever taken out. Append publishes with the
// expected last sequence of the subject, which is the fence; the server runs
// with sync-always, so an acknowledged commit has been synchronised to disk.
// The server stores the expected sequence with the message: each commit so
// points to the one before it in its stream.
//
// # What is read
//
// Readers do not ask the server for messages, they read its block files
// (block.go): records are appended, never rewritten, so up to the head (the
// highest position that was acknowledged) they are stable. Every record's
// checksum, position and subject are checked. All decodes batches on all
// cores; Stream asks the server for the last position of the subject and walks
// back along the pointers, so its cost is that of the stream alone.
//
// Ways to read 100,000 commits of 400 bytes, side by side on a busy 2-core
// machine (BenchmarkReadWays): an ordered consumer 158,000/s, with decoding
// 72,000/s; the block files 2,900,000/s, with decoding on all cores 313,000/s.
//
// # What is verified, and when
//
// Open reads the whole log before the server may touch it (4,400,000 commits,
// 2.4 GB: 2.7 s with the server's start): checksums, order
// without a gap, revisions and hash chain of every stream. The file "head"
// beside the log holds, for a position, the running digest over the hashes of
// all commits up to there (it is written every checkpointEvery and by Close):
// a log that ends before it has lost its tail, and another digest means that
// history was replaced. In all these cases Open fails with an
// *eventlog.BrokenError naming the position and leaves the files as they are.
// An incomplete record at the very end, behind the last checkpoint, is what a
// power failure leaves of a commit that was never acknowledged; it is dropped
// with a warning. Verify does the same offline and decodes every event too, and
// ReadFiles reads a log that a platform may have open, without touching it.
//
// # When the disk fails
//
// Append refuses with problem.Unavailable while less than ReserveBytes are
// free, so that the server never meets a full disk in the middle of a record.
// If it meets a write error all the same, it takes no more writes; the log
// then closes it and starts it again (heal.go), as often as needed: reading
// goes on, appends are refused with the reason, and work again when the cause
// is gone.
//
// # Goroutines
//
// The server's, the checkpointer, and the healer while there is something to
// heal. Close ends them all.
package jetstream
