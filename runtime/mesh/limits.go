package mesh

import "time"

// Bounds and times of the mesh.
const (
	// dialTimeout of one address, TLS included: three lost packets on a line of
	// 50 ms would be longer, and another DROP is nearer than that.
	dialTimeout = time.Second
	// maxAddresses of a peer that are tried in one attempt.
	maxAddresses = 4
	// redialFirst doubles up to redialLast while a peer cannot be reached.
	redialFirst = 50 * time.Millisecond
	redialLast  = 2 * time.Second
	// forgetAfter: a peer that nobody has asked for so long is not dialed again.
	forgetAfter = 10 * time.Minute
	// tendEvery is how often connections are looked at: doubled ones, removed
	// hosts.
	tendEvery = time.Second

	// handshakeTimeout of a connection that arrives, and maxHandshakes of those
	// at once, of one address at most maxHandshakesPerSource: before it nothing
	// is known of the sender.
	handshakeTimeout       = 5 * time.Second
	maxHandshakes          = 256
	maxHandshakesPerSource = 32
	// apiSilence is how long a control machine may acknowledge nothing before a
	// connection to its API is given up; what the API itself takes for an answer
	// does not matter.
	apiSilence = 3 * time.Second
	// maxSessionsPerPeer: two, made at the same moment, and two that are ending.
	maxSessionsPerPeer = 4

	// inlineBodyBytes: a request's body up to this size is read before the
	// request is sent, which costs no DROP the time of a slow visitor, and can be
	// sent to another DROP if this one refuses. It is a stream's window.
	inlineBodyBytes = 64 << 10
	// pieceBytes of a body are read and sent at once.
	pieceBytes = 16 << 10
	// maxHeaderFields of a request or response.
	maxHeaderFields = 1024
	// requestFields and responseFields are what maps of fields are made for: they
	// grow where there are more.
	requestFields, responseFields = 16, 8
	// stopStep is how often a visitor's silent upload is told to end.
	stopStep = 10 * time.Millisecond
	// maxMessageBytes of a verb's JSON: certificates and keys.
	maxMessageBytes = 64 << 10
	// maxSockets of one peer to services here: MariaDB itself takes 151 in all.
	maxSockets = 1024
	// maxFiles of one peer to files here: one for each environment that has DROPs
	// there.
	maxFiles = 1024
	// maxDoubts is how often it is asked whether a connection is allowed because
	// something has changed meanwhile: changes are noticed ten times a second, an
	// answer takes a second at most.
	maxDoubts = 16
	// socketDialTimeout of a service's socket here.
	socketDialTimeout = 5 * time.Second
	// joinTimeout of a whole join, and maxJoins at once.
	joinTimeout = 30 * time.Second
	maxJoins    = 16
	// retireTimeout is how long streams in flight may go on after Run was told
	// to end.
	retireTimeout = 5 * time.Second
)
