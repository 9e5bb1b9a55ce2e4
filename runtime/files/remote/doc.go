// Package remote shows the files of an environment on a machine that does not
// have them, as a mounted file system.
//
// # Where things enter, where state changes
//
// On the host that has the files, Serve answers one connection: SFTP of
// github.com/pkg/sftp, from a Volume. On the other, Mounts.Mount makes a FUSE
// file system (github.com/hanwen/go-fuse) at <dir>/<host>/<environment> whose
// operations go out over such a connection. How a connection comes to be is not
// known here: Options.Dial and the caller of Serve do, by the mesh's verb files.
//
// State is on the serving side alone: the files, and for each connection what
// is open. Mounts keeps a table of mounts, each with at most one connection
// (link.go); a node of the file system knows its name and inode number and
// nothing else. Nothing is written later: an operation is over when the serving
// host has done it.
//
// # What is guaranteed
//
//   - Confined: every path is resolved below the volume by os.Root, and the
//     last element is never followed. Links that a tenant makes mean on a
//     machine what they mean in its sandbox; the serving side follows none of
//     them out of the volume.
//   - As the tenant: where the serving side is root, each operation that looks
//     at permissions runs with the environment's user as fsuid and fsgid. What is
//     made belongs to it, and it can do what a DROP beside the files could.
//   - A handle is a file, as on a disk: it is read, written, cut and asked for
//     after a rename or removal by anybody.
//   - Appending (O_APPEND) is done by the serving side's kernel: of two machines
//     that append, neither overwrites the other. A write of up to MaxWriteBytes is
//     whole.
//   - An operation ends. Without a connection it waits for one, in the first
//     connectWait after it was lost and no longer than that, and then not at all
//     while attempts are failing; a connection that says nothing for
//     silentTimeout while it is asked something is given up. What was asked then
//     fails with EIO and may or may not have been done, if asking again could do
//     it twice; otherwise it is asked again, once. The mesh finds a lost machine
//     within a second.
//   - A mount outlives its connection and makes the next one with the next
//     operation; one that nobody uses for idleTimeout has none. Files that were open over the last one fail with EIO until they
//     are closed: whether they are still what their name says is not known.
//   - While the host's lease has lapsed nothing goes out: Options.Allowed is
//     asked before and after a connection is made, and Cut ends those it refuses.
//
// # What differs from a local folder
//
// Attributes and names are believed for cacheTime, what does not exist for no
// time, and contents until the file is opened: if its size and times are then
// what they were, the kernel's copy stays. What another machine has written and
// closed is read after the next opening, and what it did to names and attributes
// is seen after cacheTime, as with NFS. Locks (flock, fcntl) hold on one machine and are not
// seen on others. There are no device files, sockets or pipes (EPERM), no
// extended attributes (EOPNOTSUPP), no O_TMPFILE, no fallocate; the owner
// cannot be changed. A folder of more than maxFolderEntries cannot be listed
// (EOVERFLOW). close(2) reports no error, as writing has. A file that has lost
// its name and is not open cannot be asked for or opened through a descriptor of
// O_PATH (ESTALE).
//
// # SFTP as it is spoken here
//
// Both ends are ours, of one version (the mesh refuses others), and use the
// protocol's extension points for what version 3 lacks: attributes carry an
// extended one with inode, links and nanoseconds; what SSH_FXP_SETSTAT cannot
// say is in an extended attribute of it (wire.go); an error's text is its errno;
// the path of SSH_FXP_OPEN begins with a token that the client chose, so that
// SSH_FXP_FSTAT and FSETSTAT, which the library hands on by path, find the open
// file.
//
// # Mounting
//
// A mount is made with fsopen(2), without fusermount, as a shared mount. A
// sandbox gets a recursive bind of the folder; if that is a slave
// (sandbox.Bind.Follows), it keeps its files over a restart of the agent: what
// an earlier process left is dead (ENOTCONN), the next Mount or Restore puts a
// new file system on top of it, which the kernel then does in every sandbox,
// and takes the dead one away here.
//
// The process that serves a mount also reads from it (static files). That is
// safe because opened files never make close(2) wait (FOPEN_NOFLUSH, Linux
// 5.16): a child between fork and exec closes what it inherits, and the Go
// runtime cannot answer it then. It has one consequence: a process that is
// killed in the middle of reading its own mount stays, undead, until the mount
// is aborted. Sweep does that; call it before anything that such a process may
// still hold.
package remote
