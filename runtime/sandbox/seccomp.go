package sandbox

import (
	"slices"

	"golang.org/x/sys/unix"
)

// The filter is a binary decision tree over system call numbers. What is not
// named answers "no such call" (ENOSYS), so that a C library takes its older
// way; what is refused on purpose answers "not permitted" (EPERM). A program
// of another architecture is killed.

// seccompSpecial gives calls whose arguments decide. Each block ends in a
// return and finds the number in the accumulator.
var seccompSpecial = map[uint32][]unix.SockFilter{
	unix.SYS_CLONE:       denyBits(0, namespaceFlags),
	unix.SYS_SOCKET:      socketRule(),
	unix.SYS_IOCTL:       denyValues(1, unix.TIOCSTI, unix.TIOCLINUX),
	unix.SYS_PERSONALITY: allowValues(0, 0, 0xffffffff),
}

// namespaceFlags are the flags of clone that make a namespace.
const namespaceFlags = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP

const (
	retAllow  = unix.SECCOMP_RET_ALLOW
	retEPERM  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	retNOSYS  = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	retFamily = unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)
)

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func jump(test uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | test, K: k, Jt: yes, Jf: no}
}

func skip(n int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(n)}
}

func answer(action uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
}

// argument gives the offset of an argument's low half in seccomp_data; both
// architectures are little-endian.
func argument(n uint32) uint32 { return 16 + 8*n }

func denyBits(arg, bits uint32) []unix.SockFilter {
	return []unix.SockFilter{load(argument(arg)), jump(unix.BPF_JSET, bits, 0, 1), answer(retEPERM), answer(retAllow)}
}

func denyValues(arg uint32, values ...uint32) []unix.SockFilter {
	block := []unix.SockFilter{load(argument(arg))}
	for _, v := range values {
		block = append(block, jump(unix.BPF_JEQ, v, 0, 1), answer(retEPERM))
	}
	return append(block, answer(retAllow))
}

func allowValues(arg uint32, values ...uint32) []unix.SockFilter {
	block := []unix.SockFilter{load(argument(arg))}
	for _, v := range values {
		block = append(block, jump(unix.BPF_JEQ, v, 0, 1), answer(retAllow))
	}
	return append(block, answer(retEPERM))
}

// socketRule allows unix and internet sockets that are not raw, and routing
// netlink, from which the C library learns whether there is IPv6.
func socketRule() []unix.SockFilter {
	return []unix.SockFilter{
		load(argument(0)),
		jump(unix.BPF_JEQ, unix.AF_NETLINK, 6, 0),
		jump(unix.BPF_JEQ, unix.AF_UNIX, 7, 0),
		jump(unix.BPF_JEQ, unix.AF_INET, 1, 0),
		jump(unix.BPF_JEQ, unix.AF_INET6, 0, 7),
		load(argument(1)),
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0xf},
		jump(unix.BPF_JEQ, unix.SOCK_RAW, 3, 2),
		load(argument(2)),
		jump(unix.BPF_JEQ, unix.NETLINK_ROUTE, 0, 1),
		answer(retAllow),
		answer(retEPERM),
		answer(retFamily),
	}
}

// interval is a run of call numbers, from its first up to the next one's, with
// the same answer.
type interval struct {
	first uint32
	block []unix.SockFilter
}

// seccompFilter builds the program once.
func seccompFilter() []unix.SockFilter {
	program := []unix.SockFilter{
		load(4), // arch
		jump(unix.BPF_JEQ, auditArch, 1, 0),
		answer(unix.SECCOMP_RET_KILL_PROCESS),
		load(0), // nr
	}
	return append(program, decide(seccompIntervals())...)
}

func seccompIntervals() []interval {
	answers := map[uint32][]unix.SockFilter{}
	for _, nr := range slices.Concat(allowedCalls, allowedCallsOfArch) {
		answers[nr] = []unix.SockFilter{answer(retAllow)}
	}
	for _, nr := range slices.Concat(refusedCalls, refusedCallsOfArch) {
		answers[nr] = []unix.SockFilter{answer(retEPERM)}
	}
	for nr, block := range seccompSpecial {
		answers[nr] = block
	}
	unknown := []unix.SockFilter{answer(retNOSYS)}
	runs := []interval{}
	for nr := uint32(0); nr <= lastCall+1; nr++ {
		block, known := answers[nr]
		if !known {
			block = unknown
		}
		if n := len(runs); n == 0 || !slices.Equal(runs[n-1].block, block) {
			runs = append(runs, interval{nr, block})
		}
	}
	return runs
}

// decide emits the tree: the number is in the accumulator.
func decide(runs []interval) []unix.SockFilter {
	if len(runs) == 1 {
		return runs[0].block
	}
	half := len(runs) / 2
	low, high := decide(runs[:half]), decide(runs[half:])
	code := []unix.SockFilter{jump(unix.BPF_JGE, runs[half].first, 0, 1), skip(len(low))}
	return slices.Concat(code, low, high)
}
