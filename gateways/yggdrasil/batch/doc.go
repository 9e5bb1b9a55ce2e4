// Package batch moves many UDP datagrams with one system call: recvmmsg(2) and
// sendmmsg(2) on a non-blocking socket that Go's poller watches.
//
// Datagrams enter through [Conn.Read] and leave, as answers to the senders of
// that same batch, through [Conn.Write]. All buffers are allocated once, by
// [New]; neither call allocates. An answer leaves from the address that its
// query was sent to, also on a socket that is bound to all addresses.
//
// A Conn belongs to one goroutine. It ends when the socket is closed.
package batch
