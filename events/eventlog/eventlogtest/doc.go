// Package eventlogtest is what an adapter of the log port must pass: Run is
// the conformance suite, Differential drives an adapter beside the memory twin
// with the same calls. Both take an Adapter, which says how a log is opened
// and, where commits outlive the process, how it is opened again.
package eventlogtest
