// Package jetstream is the log on disk: one JetStream stream of an embedded
// NATS server that listens to nobody, unless it is told to (Options.Listen).
// Machines that do not hold the log read and write it through a Client, and so
// do all where three or five members hold it together.
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
// # More machines
//
// A Client (Dial, Member.Client) is the same log over a connection. Append is
// a publish with the same expected sequence; an attempt without an answer is
// made again, which is harmless: the tip lets one of them be written, and the
// commit behind the tip tells whether it was ours. A conflict is said only when
// the other commit was seen, because the leader also refuses two commits of one
// stream that are both on their way. What has to be newest (Head, the end of a
// stream) the stream's leader is asked for; what cannot change (a commit at its
// position) any replica, in batches that are read ahead, two at most. There are
// no consumers: the leader publishes each stored commit once more under
// committed.<kind>.<id>, which wakes Tail and Follow and mostly is all they
// need; it is news that may be lost, so gaps are read from the stream, and the
// head is asked for every second. Follow of one stream subscribes to that
// stream's subject alone.
//
// Whoever connects needs a certificate, and cannot delete, change the stream or
// publish under committed. Some are guests (Rights), who may append nothing: each is
// in an account of its own, which imports from the log's the subjects it may ask
// at, with the answers, and those it may hear. Subject permissions without accounts
// would be no fence: the server sends an answer wherever who asks wants it, and what
// comes to a stream's subject is stored. A guest's answers stay in its account.
// A Log that listens asks its server before it says
// what its head is; one that does not is as it was.
//
// A Member is a server of a cluster, in a folder of its own. The stream has as
// many replicas as there are members; an acknowledged commit has been
// synchronised by a majority's Raft logs. Before it starts, the block files of
// its replica are checked, and a damaged replica is refused. Elections take one
// to two seconds (election.go sets the server's timers, which has no options for
// them). A minority refuses commits, and Client.Stale gives what it has. A leader
// that was voted out, and cannot be told so, may answer with an older head for
// lostQuorum; it cannot take commits, so nothing is decided on it.
//
// # Growing and shrinking
//
// A server that becomes a member removes the streams the cluster has not agreed
// on (nats-server calls them orphans), so a log is never turned into a
// cluster's in place. Grow writes every commit of a closed log to the cluster's
// stream, at its position (the server checks each position, many being under
// way), reads the copy back, compares chains and digest, and waits until all
// members have it. The stream's description says "copying" meanwhile, and no
// Client takes such a stream for the log. Then the file <folder>.moved is
// written, the description becomes "complete", and the folder is emptied. Shrink
// takes the stream's subjects away, so that nobody can append, waits for what is
// on its way, and makes the folder by the way of Restore; the log it is when
// <folder>.moved is gone. Each can be called again after a crash, and at every
// moment one complete log exists, and at most one that takes commits. Buckets do
// not move: leases are renewed, and releases published again.
//
// # Goroutines
//
// The server's, the checkpointer, and the healer while there is something to
// heal; of a Client with a tail the one that asks for the head; of a Member the
// one that starts its server again and the one that lets clients in. Close ends
// them all.
package jetstream
