// Package service keeps the long-lived server processes of a host: MariaDB
// now, others of the same shape later. A server outlives the platform's own
// process: it has a session of its own, and a platform that starts again finds
// and adopts it.
//
// Things enter through Spawn, which starts a program, and Adopt, which takes
// over one that runs. Both give a *Process, whose Done channel closes when the
// program has ended, whoever started it. What a process is stands in an
// Identity (pid, start time, boot), small enough for a file: a pid alone is
// never trusted, because pids are given again.
//
// Guaranteed: a signal never reaches a process other than the one meant (it
// goes through a pidfd); nothing is started through a shell; the child gets
// exactly the environment, the descriptors and the user that its Spec says.
package service
