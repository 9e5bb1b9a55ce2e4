package delegation

import "time"

const (
	// answerTimeout bounds one question; resolvers that have to go round the
	// world answer in less.
	answerTimeout = 4 * time.Second
	// attempts is how often a question is sent over UDP.
	attempts = 2
	// maxServers bounds the name servers that are asked, of the zone and of its
	// parent: a root answer has 13.
	maxServers = 13
	// udpBytes is the EDNS payload size we offer, which passes without
	// fragments everywhere (DNS flag day 2020).
	udpBytes = 1232
)
