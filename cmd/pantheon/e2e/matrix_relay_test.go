package e2e

import (
	"context"
	endian "encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// relayFrame is the largest frame that a relay passes on, with its header:
	// the kernel sends up to 64 KiB at once between namespaces.
	relayFrame = 68 << 10
	// relayQueue is how many frames may be on their way in one direction.
	relayQueue = 4096
)

// line is what a machine's cable is like.
type line struct {
	delay          time.Duration // one way
	jitter         time.Duration // on top, up to so much; frames stay in order
	loss           float64       // of the frames
	bytesPerSecond int           // 0: no limit
}

// relay is a machine's cable through this process: every frame that the machine
// sends or gets passes here, and takes its time. Frames that are summed up or not
// summed over yet, as between namespaces, pass as they are (PACKET_VNET_HDR).
type relay struct {
	line    atomic.Pointer[line]
	stalled atomic.Bool // nothing passes, nothing is lost
	// reset is a port: the next frame of one of its connections is replaced by the
	// connection's end, and this by 0.
	reset  atomic.Uint32
	end    context.CancelFunc
	all    sync.WaitGroup
	passed atomic.Int64
	lost   atomic.Int64
}

// relayed puts a relay into the cable of a machine, until the test ends.
func (n *network) relayed(t testing.TB, number int) *relay {
	t.Helper()
	hub, port := n.namespace(0), fmt.Sprintf("m%d", number)
	n.must(t, "-n %s link add relay type veth peer name relayed", hub)
	t.Cleanup(func() {
		n.must(t, "-n %s link delete relay", hub)
		n.must(t, "-n %s link set %s master switch", hub, port)
	})
	n.must(t, "-n %s link set relay up", hub)
	n.must(t, "-n %s link set relayed master switch up", hub)
	n.must(t, "-n %s link set %s nomaster", hub, port)
	here, there := n.packets(t, port), n.packets(t, "relay")
	r := &relay{}
	r.line.Store(&line{})
	ctx, end := context.WithCancel(context.Background())
	r.end = end
	r.all.Go(func() { r.carry(ctx, here, there) })
	r.all.Go(func() { r.carry(ctx, there, here) })
	t.Cleanup(func() {
		end()
		r.all.Wait()
		_, _ = unix.Close(here), unix.Close(there)
		t.Logf("the relay has passed %d frames and lost %d", r.passed.Load(), r.lost.Load())
	})
	return r
}

// packets opens an interface of the switch for all that arrives there.
func (n *network) packets(t testing.TB, name string) int {
	t.Helper()
	fd, err := -1, error(nil)
	var opened sync.WaitGroup
	opened.Go(func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this
		var hub int
		if hub, err = unix.Open(filepath.Join(namespaces, n.namespace(0)), unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return
		}
		defer func() { _ = unix.Close(hub) }()
		if err = unix.Setns(hub, unix.CLONE_NEWNET); err == nil {
			fd, err = openPackets(name)
		}
	})
	opened.Wait()
	if err != nil {
		t.Fatalf("cannot read what passes %s: %v", name, err)
	}
	return fd
}

func openPackets(name string) (int, error) {
	every := endian.NativeEndian.Uint16(endian.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	one, err := net.InterfaceByName(name)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(every))
	if err != nil {
		return -1, err
	}
	for _, set := range []func() error{
		func() error { return unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1) },
		func() error { return unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1) },
		func() error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20) },
		func() error {
			return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000})
		},
		func() error {
			return unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
				&unix.PacketMreq{Ifindex: int32(one.Index), Type: unix.PACKET_MR_PROMISC})
		},
		func() error {
			return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: every, Ifindex: one.Index})
		},
	} {
		if err := set(); err != nil {
			_ = unix.Close(fd)
			return -1, err
		}
	}
	return fd, nil
}

// frame is on its way.
type frame struct {
	due   time.Time
	bytes []byte
}

// carry takes frames of one direction until ctx ends.
func (r *relay) carry(ctx context.Context, from, to int) {
	queue := make(chan frame, relayQueue)
	r.all.Go(func() { r.deliver(ctx, queue, to) })
	defer close(queue)
	buffer := make([]byte, relayFrame)
	last, free := time.Time{}, time.Time{}
	for ctx.Err() == nil {
		n, err := unix.Read(from, buffer)
		if err != nil {
			continue // nothing came for a while
		}
		if port := r.reset.Load(); port != 0 {
			if end, of := resetOf(buffer[:n], uint16(port)); of && r.reset.CompareAndSwap(port, 0) {
				n = copy(buffer, end)
			}
		}
		is := r.line.Load()
		if rand.Float64() < is.loss {
			r.lost.Add(1)
			continue
		}
		due := time.Now()
		if is.bytesPerSecond > 0 {
			if free.Before(due) {
				free = due
			}
			free = free.Add(time.Duration(n) * time.Second / time.Duration(is.bytesPerSecond))
			due = free
		}
		due = due.Add(is.delay)
		if is.jitter > 0 {
			due = due.Add(rand.N(is.jitter))
		}
		if due.Before(last) {
			due = last
		}
		last = due
		select {
		case queue <- frame{due, append([]byte(nil), buffer[:n]...)}:
		default:
			r.lost.Add(1)
		}
	}
}

func (r *relay) deliver(ctx context.Context, queue chan frame, to int) {
	for one := range queue {
		for until := time.Until(one.due); until > 0 || r.stalled.Load() && ctx.Err() == nil; until = time.Until(one.due) {
			<-time.After(max(until, time.Millisecond))
		}
		if _, err := unix.Write(to, one.bytes); err != nil {
			r.lost.Add(1)
			continue
		}
		r.passed.Add(1)
	}
}
