package mariadb

import (
	"os"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// uid gives the user that the server runs as.
func (s *Server) uid(t *testing.T) uint32 {
	t.Helper()
	info, err := os.Stat("/proc/" + strconv.Itoa(s.Process().Identity().PID))
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Uid
}

func credential(uid uint32) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
}

// socketDomain looks at a descriptor of another process.
func socketDomain(pid, fd int) (domain int, ok bool) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return 0, false
	}
	defer unix.Close(pidfd)
	ours, err := unix.PidfdGetfd(pidfd, fd, 0)
	if err != nil {
		return 0, false
	}
	defer unix.Close(ours)
	domain, err = unix.GetsockoptInt(ours, unix.SOL_SOCKET, unix.SO_DOMAIN)
	return domain, err == nil
}
