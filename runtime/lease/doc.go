// Package lease keeps a host's lease and watches those of the others. The
// rules, and what they guarantee, are package terms; here are the clock, the
// goroutines and the exchanges with the bucket.
//
// A Keeper runs beside a host's agent: it renews, and says at any moment
// whether the host holds its lease, without asking anybody. A Watcher runs where
// the policies do. Both share one Bucket, which the log's server keeps in
// memory; Memory is one for a single process.
//
// The clock is CLOCK_BOOTTIME, which goes on while a machine is suspended. A
// virtual machine that is stopped as a whole and started again knows nothing of
// it: nor does this package, until the next renewal is refused.
package lease
