package main

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"pantheon/events/problem"
	"pantheon/gateways/api"
)

// downCommand stops the platform of the data folder. Which process that is,
// its socket knows: the kernel names the process that listens (SO_PEERCRED),
// so there is no file with a number that may have become another's.
func (c *cli) downCommand() *cobra.Command {
	var patience time.Duration
	var leave bool
	cmd := &cobra.Command{
		Use: "down", Short: "Stop the platform that runs on the data folder", Args: arguments(0, 0),
		Long: `down ends the platform with its sites and their database. With --leave-sites
they go on running, without anybody to route to them, until the next up takes
them over.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := api.DialUnix(cmd.Context(), c.socketPath())
			if err != nil {
				return problem.Wrap(problem.Unavailable, err, "no platform runs on %s", c.data)
			}
			process, err := listener(conn)
			_ = conn.Close()
			if err != nil {
				return err
			}
			defer func() { _ = unix.Close(process) }()
			signal := unix.SIGINT
			if leave {
				signal = unix.SIGTERM
			}
			if err := unix.PidfdSendSignal(process, signal, nil, 0); err != nil {
				return problem.Wrap(problem.Denied, err, "cannot stop the platform")
			}
			return awaitEnd(cmd.Context(), process, patience)
		},
	}
	cmd.Flags().BoolVar(&leave, "leave-sites", false, "leave sites and database running for the next up")
	cmd.Flags().DurationVar(&patience, "timeout", time.Minute, "how long to wait for its end")
	return cmd
}

// listener gives a handle on the process at the other end.
func listener(conn net.Conn) (pidfd int, err error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, errors.New("cannot tell which process listens: this is no Unix socket")
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	var credentials *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		credentials, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if failed != nil {
		return 0, failed
	}
	return unix.PidfdOpen(int(credentials.Pid), 0)
}

// awaitEnd returns when the process has ended: its handle becomes readable
// (pidfd_open(2)).
func awaitEnd(ctx context.Context, pidfd int, patience time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := poll(limited, func() (bool, error) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 0)
		if errors.Is(err, unix.EINTR) {
			return false, nil
		}
		return n == 1, err
	})
	if ctx.Err() == nil && limited.Err() != nil {
		return problem.New(problem.Unavailable, "the platform has not ended after %s", patience)
	}
	return err
}
