//go:build race

package e2e

// The binary is built with the race detector where the tests are.
const raceEnabled = true
