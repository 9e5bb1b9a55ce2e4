// Package machine is the life of one DROP's process as a pure function: what
// happened to it goes in with the time, the next state and what is to be done
// come out. Package drop performs the effects with php-fpm; the simulator
// performs them with a model of it.
//
// Step is the only place where a DROP's state changes, and State is a value.
// Guaranteed: one start or stop is under way at a time; a request that was
// held is answered by the start that follows, or dismissed with the reason;
// facts are reported in the order in which they became true.
package machine
