// Package pmap has the two persistent collections that projections are made
// of: Map, a hash trie, and Sorted, a B-tree ordered by key.
//
// A collection is a value: Set and Delete give another one, and the old one
// stays as it was, so a reader can hold a snapshot of 100,000 sites while an
// event changes one of them at the price of O(log n). Both share all nodes
// that did not change.
//
// # Editing in place
//
// Copying the path to every key is too slow for replaying a log. A writer that
// owns an Edit passes it to Set and Delete: nodes made under the same Edit are
// changed in place, others are copied once and then belong to it. The writer
// promises to use only the newest value while it edits and to drop the Edit
// before it shows the value to anybody (that is all "sealing" is). A nil Edit
// copies always.
//
// Measured on a busy 2-core machine, random access to 1,000,000 keys of 36 bytes: Map.Set 0.5 µs
// with an Edit, 2.8 µs without; Map.Get 0.35 µs. github.com/benbjohnson/immutable
// has builders, but a builder can only begin from nothing: it cannot go on
// from a published snapshot, which is what a projection does all the time.
//
// Iteration of a Map is in hash order: the same for the same keys on every
// machine and in every run (the hash has no random seed), and without meaning.
package pmap
