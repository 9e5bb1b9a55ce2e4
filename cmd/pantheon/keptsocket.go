package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// keptSocket is the listening socket of sites between two turns of a process
// that begins anew: visitors who come meanwhile are not refused but wait, in the
// kernel's queue, until they are served again. It goes along when the process
// becomes another binary.
type keptSocket struct {
	mu      sync.Mutex
	address string // as the option has it
	file    *os.File
	late    *time.Timer
}

const (
	// keptSocketVariable brings the socket to the next binary: its descriptor, a
	// space, its address.
	keptSocketVariable = "PANTHEON_KEPT_SOCKET"
	// keptSocketFor is how long visitors are left waiting for requests in flight
	// that do not end; then they are refused, and may try another machine.
	keptSocketFor = 5 * time.Second
)

// inheritSocket takes what the binary before this one has left.
func inheritSocket() *keptSocket {
	text := os.Getenv(keptSocketVariable)
	_ = os.Unsetenv(keptSocketVariable) // it is not for php-fpm; the name is valid
	var fd int
	number, address, found := strings.Cut(text, " ")
	if _, err := fmt.Sscanf(number, "%d", &fd); err != nil || !found || fd < 3 {
		return &keptSocket{}
	}
	syscall.CloseOnExec(fd)
	return &keptSocket{address: address, file: os.NewFile(uintptr(fd), "the sites' socket")}
}

// listen takes the kept socket, where it is of that address, or makes one.
func (k *keptSocket) listen(ctx context.Context, address, flag string) (net.Listener, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.file != nil && k.address == address {
		listener, err := net.FileListener(k.file) // on a descriptor of its own
		k.drop()
		if err == nil {
			return listener, nil
		}
	}
	k.drop()
	return listenTCP(ctx, address, flag)
}

// keep lets a socket outlast its listener, for keptSocketFor unless it is taken
// before.
func (k *keptSocket) keep(address string, listener net.Listener) {
	tcp, ok := listener.(*net.TCPListener)
	if !ok {
		return
	}
	file, err := tcp.File()
	if err != nil {
		return // it was closed, as this machine is no entry
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop()
	k.address, k.file = address, file
	k.late = time.AfterFunc(keptSocketFor, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.file == file {
			k.drop()
		}
	})
}

func (k *keptSocket) drop() {
	if k.file == nil {
		return
	}
	if k.late != nil {
		k.late.Stop()
	}
	_ = k.file.Close() // nothing was written
	k.file, k.late = nil, nil
}

// exec makes this process another binary, and gives it the socket. It returns
// only when it cannot.
func (k *keptSocket) exec(binary string, arguments, environment []string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.file == nil {
		return syscall.Exec(binary, arguments, environment)
	}
	syscall.ForkLock.Lock() // no child may get the descriptor
	defer syscall.ForkLock.Unlock()
	fd := k.file.Fd()
	if _, err := unix.FcntlInt(fd, unix.F_SETFD, 0); err != nil {
		return err
	}
	defer syscall.CloseOnExec(int(fd))
	return syscall.Exec(binary, arguments, append(environment, fmt.Sprintf("%s=%d %s", keptSocketVariable, fd, k.address)))
}
