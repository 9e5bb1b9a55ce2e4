package clock

// blockCommits is how many commits one block holds: copied by every commit
// that is published by itself (1 KiB), looked into by a question whose time it
// spans (2 µs), and 100 bytes of bookkeeping for each.
const blockCommits = 256
