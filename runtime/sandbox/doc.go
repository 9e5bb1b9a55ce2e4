// Package sandbox starts a command in the sandbox of an environment and keeps
// hold of it until it has ended, also when this process has not started it.
//
// # Where things enter
//
// Open looks at the machine once and says what it can do. Start runs a
// command; Adopt takes over one that another process started, by the Identity
// its starter has saved. Both give a Process, whose end, signals and use of
// the machine are asked of it. Sweep removes what an earlier process left.
//
// # What is guaranteed in a sandbox
//
// The command sees its own root: a read-only folder prepared by the caller,
// with read-only binds of the system's programs, the binds it was given, a
// minimal /dev, and a /proc of its own pid namespace. Nothing of the host's
// tree can be reached: the old root is unmounted before the command starts.
// It runs in its own mount, pid, ipc and uts namespaces (the network is the
// host's) under the environment's user and group, without supplementary
// groups, without capabilities in any set, the bounding one included, with
// no_new_privs, with a seccomp filter that allows what PHP, git, rsync and the
// database client need, with resource limits, and in a cgroup that bounds
// memory, processor time and processes. Where the kernel knows Landlock's
// scopes (ABI 6) it cannot reach abstract unix sockets from outside either.
// When the command ends, or is killed, every process it has started ends with
// it, and no mount and no cgroup stays.
//
// Without root there is none of this: Isolated is false, the command runs as
// the caller in the real tree, and only its process group is kept track of.
//
// Processes outlive their starter: own session, no parent-death signal, no
// pipe that must be read.
//
// # How a command is started, and what it costs
//
// Waking a site is what the platform sells, so from Start to execve counts.
// A helper program (this binary again) would cost its own start, 5 to 15 ms
// with everything that is linked in; a spawner process would cost a second
// kind of process to keep alive. Neither is used:
//
//  1. A goroutine takes a thread that is thrown away afterwards, never the
//     main one. The thread opens the binds as detached mounts, unshares its
//     mount namespace, puts them together, pivots, and drops the bounding set.
//     All restrictions of a thread die with it.
//  2. The thread clones a child that borrows its memory until execve
//     (CLONE_VM|CLONE_VFORK, as os/exec does), straight into new pid, ipc and
//     uts namespaces, and on cgroup v2 straight into its cgroup. The child
//     does only what must be done from inside and is plain system calls:
//     joins its cgroups (v1), mounts /proc, drops user and capabilities,
//     installs the filter, executes.
//
// On cgroup v1 the child writes "0" to the tasks files: that moves one thread,
// and the kernel then needs no RCU grace period, which a write to
// cgroup.procs from outside waits for (8 to 20 ms).
//
// Measured (BenchmarkStart, 2 cores, kernel 6.18, cgroup v1): a bare start of
// /bin/true takes 0.7 ms to its end, the sandbox 1.5 ms to execve and 2.2 ms
// until the last cgroup is gone. Opening, moving and pivoting twenty mounts is
// 0.2 ms of it, so a mount namespace kept for each sleeping DROP, or a template
// of one, would win nothing and cost a descriptor each.
package sandbox
