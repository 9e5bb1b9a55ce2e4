package batch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// Size is the most datagrams of one call. 64 of them take the kernel about
	// 100 µs to send: the longest that one answer waits for the others.
	Size = 64
	// InBytes bounds a query; what is longer is cut, and MSG_TRUNC tells. A query
	// with every option and a TSIG stays below 1,000.
	InBytes = 2048
	// OutBytes is the buffer of an answer.
	OutBytes = 4096
	// controlBytes holds IP_PKTINFO (28) or IPV6_PKTINFO (36) with padding.
	controlBytes = 64
	// socketBufferBytes is asked of the kernel, which may give less: 4 MiB are
	// about 5,000 queries, a tenth of a second of a full load.
	socketBufferBytes = 4 << 20
)

// message is struct mmsghdr.
type message struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

// Conn is one UDP socket.
type Conn struct {
	raw      syscall.RawConn
	anywhere bool // bound to all addresses

	in, out  [Size]message
	vectorIn [Size]unix.Iovec
	vector   [Size]unix.Iovec
	names    [Size]unix.RawSockaddrInet6
	control  [Size][controlBytes]byte
	buffers  [Size][InBytes]byte
	answers  [Size][OutBytes]byte
	pending  int // answers to send

	// Arguments and results of the calls of the poller, kept here so that the
	// functions given to it are made once.
	receive, transmit func(fd uintptr) bool
	count             int
	begin             int
	failure           syscall.Errno
}

// New takes a socket, which stays the caller's to close.
func New(socket *net.UDPConn) (*Conn, error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &Conn{raw: raw}
	if local, ok := socket.LocalAddr().(*net.UDPAddr); ok && local.IP.IsUnspecified() {
		c.anywhere = true
		if err := c.askForAddresses(); err != nil {
			return nil, err
		}
	}
	// What the kernel gives is enough to work with.
	_ = socket.SetReadBuffer(socketBufferBytes)
	_ = socket.SetWriteBuffer(socketBufferBytes)
	for i := range Size {
		c.vectorIn[i].Base = &c.buffers[i][0]
		c.vectorIn[i].SetLen(InBytes)
		h := &c.in[i].header
		h.Name = (*byte)(unsafe.Pointer(&c.names[i]))
		h.Iov = &c.vectorIn[i]
		h.SetIovlen(1)
	}
	c.receive, c.transmit = c.recvmmsg, c.sendmmsg
	return c, nil
}

// askForAddresses makes the kernel tell where each datagram was sent to.
func (c *Conn) askForAddresses() error {
	var failure error
	err := c.raw.Control(func(fd uintptr) {
		domain, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
		switch {
		case err != nil:
			failure = err
		case domain == unix.AF_INET6: // tells of IPv4 datagrams too, in IPv6 clothes
			failure = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		default:
			failure = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
	})
	return errors.Join(err, failure)
}

// Read waits for datagrams and gives their number. It forgets the batch before.
func (c *Conn) Read() (int, error) {
	for i := range Size {
		h := &c.in[i].header
		h.Namelen = unix.SizeofSockaddrInet6
		h.Flags = 0
		if c.anywhere {
			h.Control = &c.control[i][0]
			h.SetControllen(controlBytes)
		}
	}
	c.pending = 0
	for {
		if err := c.raw.Read(c.receive); err != nil {
			return 0, err
		}
		switch {
		case c.failure == 0:
			return c.count, nil
		case transient(c.failure):
			continue // of a datagram sent before, whose receiver is gone
		}
		return 0, os.NewSyscallError("recvmmsg", c.failure)
	}
}

// transient errors are told of earlier datagrams, or pass by.
func transient(e syscall.Errno) bool {
	return slices.Contains(passing, e)
}

var passing = []syscall.Errno{
	unix.EINTR, unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EPROTO, unix.EMSGSIZE, unix.ENOBUFS, unix.ENOMEM,
}

// recvmmsg is called by the poller; false waits for the socket. The call never
// blocks, so that the scheduler need not know of it.
func (c *Conn) recvmmsg(fd uintptr) bool {
	n, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&c.in)), Size, unix.MSG_DONTWAIT, 0, 0)
	if e == unix.EAGAIN {
		return false
	}
	c.count, c.failure = int(n), e
	return true
}

// Datagram gives one of the batch. cut says that it was longer than InBytes.
func (c *Conn) Datagram(i int) (data []byte, cut bool) {
	m := &c.in[i]
	return c.buffers[i][:m.length], m.header.Flags&unix.MSG_TRUNC != 0
}

// Sender gives the address that a datagram came from; an IPv4 address never
// comes in IPv6 clothes.
func (c *Conn) Sender(i int) netip.AddrPort {
	name := &c.names[i]
	if name.Family == unix.AF_INET {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), hostOrder(four.Port))
	}
	return netip.AddrPortFrom(netip.AddrFrom16(name.Addr).Unmap(), hostOrder(name.Port))
}

func hostOrder(port uint16) uint16 { return port<<8 | port>>8 }

// Buffer is where the answer to a datagram is written.
func (c *Conn) Buffer(i int) []byte { return c.answers[i][:0] }

// Answer queues an answer to a datagram, which must lie in its Buffer or stay
// as it is until Write.
func (c *Conn) Answer(i int, answer []byte) {
	k := c.pending
	c.pending++
	c.vector[k].Base = &answer[0]
	c.vector[k].SetLen(len(answer))
	from, to := &c.in[i].header, &c.out[k].header
	to.Name, to.Namelen = from.Name, from.Namelen
	to.Iov = &c.vector[k]
	to.SetIovlen(1)
	to.Control, to.Controllen = nil, 0
	if c.anywhere && from.Controllen > 0 {
		anyInterface(c.control[i][:from.Controllen])
		to.Control, to.Controllen = from.Control, from.Controllen
	}
}

// anyInterface takes the interface from the control messages: an answer leaves
// from the address asked, on the way that the routes say.
func anyInterface(control []byte) {
	for len(control) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		length := int(h.Len)
		if length < unix.SizeofCmsghdr || length > len(control) {
			return
		}
		data := control[unix.CmsgLen(0):length]
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			(*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])).Ifindex = 0
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0]))
			if !netip.AddrFrom16(info.Addr).IsLinkLocalUnicast() {
				info.Ifindex = 0
			}
		}
		control = control[min(len(control), unix.CmsgSpace(length-unix.CmsgLen(0))):]
	}
}

// Write sends the answers of the batch. An answer that the kernel refuses, to
// an unreachable sender say, is left out; the number of those is given.
func (c *Conn) Write() (lost int, err error) {
	c.begin = 0
	for c.begin < c.pending {
		if err := c.raw.Write(c.transmit); err != nil {
			return lost, err
		}
		switch {
		case c.failure == 0:
			c.begin += c.count
		case c.failure == unix.EINTR:
		default:
			lost++
			c.begin++
		}
	}
	c.pending = 0
	return lost, nil
}

func (c *Conn) sendmmsg(fd uintptr) bool {
	n, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&c.out[c.begin])), uintptr(c.pending-c.begin), unix.MSG_DONTWAIT, 0, 0)
	if e == unix.EAGAIN {
		return false
	}
	c.count, c.failure = int(n), e
	return true
}

// Listen opens sockets of one address among which the kernel divides the
// datagrams by sender (SO_REUSEPORT). With port 0 all get the first one's.
func Listen(ctx context.Context, address string, sockets int) ([]*net.UDPConn, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failure error
		err := raw.Control(func(fd uintptr) {
			failure = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
		return errors.Join(err, failure)
	}}
	var all []*net.UDPConn
	for range sockets {
		conn, err := config.ListenPacket(ctx, "udp", address)
		if err != nil {
			for _, opened := range all {
				err = errors.Join(err, opened.Close())
			}
			return nil, err
		}
		udp := conn.(*net.UDPConn) //nolint:forcetypeassert // a "udp" network gives no other
		all = append(all, udp)
		address = udp.LocalAddr().String()
	}
	return all, nil
}
