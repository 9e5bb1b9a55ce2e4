package shell

import "time"

const (
	// answerTimeout is when a node gives up on the log; actors.DefaultLogTimeout
	// ends appends and loads of actors earlier.
	answerTimeout = 20 * time.Second
	// restartAfter is when policies that ended are started again.
	restartAfter = time.Second
)
