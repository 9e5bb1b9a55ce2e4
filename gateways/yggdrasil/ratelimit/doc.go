// Package ratelimit bounds how many equal answers one network gets, so that the
// server is of no use for flooding somebody whose address was forged
// (response-rate limiting, as BIND and NSD do it).
//
// Answers enter through [Table.Allow], which changes the table's one entry for
// them. The table has a fixed size whatever the flood: an entry in use is given
// up only when all four of its set are, and then the quietest. Any number of
// goroutines may use it; none waits.
package ratelimit
