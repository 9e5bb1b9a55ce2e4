// Package e2e holds the end-to-end and fault tests of the real binary; it has
// no code of its own.
//
// TestMain builds `pantheon` once. A test starts `pantheon up` on a data folder
// and a free port (harness_test.go), or borrows the one that all tests share
// (shared), talks to it as people do, by the command line and by HTTP, and
// looks at /proc and the log for what they do not see. A platform that is
// stopped must leave no process, mount or cgroup behind: that is asserted at
// the end of every one of them.
//
// The tests need root and what `go tool task setup-test` installs; where
// something is missing they skip, and say what. Three variables matter:
//
//	PANTHEON_TEST_LONG=1       more rounds of what is random
//	PANTHEON_TEST_SEED=n       repeats a random test as its log tells
//	PANTHEON_TEST_DROPS7=…     a git location of Pantheon's Drupal 7 upstream
package e2e
