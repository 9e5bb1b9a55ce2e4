package jetstream

import (
	"sync"
	"time"
	_ "unsafe" // for linkname

	_ "github.com/nats-io/nats-server/v2/server"
)

// The server elects a leader 4 to 9 seconds after the last one was heard of,
// and has no option for it; these are the variables that its own tests set to
// less than we do. A version without them does not link.
//
//go:linkname serverMinElection github.com/nats-io/nats-server/v2/server.minElectionTimeout
var serverMinElection time.Duration

//go:linkname serverMaxElection github.com/nats-io/nats-server/v2/server.maxElectionTimeout
var serverMaxElection time.Duration

//go:linkname serverHeartbeat github.com/nats-io/nats-server/v2/server.hbInterval
var serverHeartbeat time.Duration

//go:linkname serverLostQuorum github.com/nats-io/nats-server/v2/server.lostQuorumInterval
var serverLostQuorum time.Duration

//go:linkname serverLostQuorumCheck github.com/nats-io/nats-server/v2/server.lostQuorumCheck
var serverLostQuorumCheck time.Duration

// hurryElections is called before the process' first member of a cluster
// starts; a server without a cluster holds no elections.
var hurryElections = sync.OnceFunc(func() {
	serverHeartbeat, serverMinElection, serverMaxElection = heartbeat, minElection, maxElection
	serverLostQuorum, serverLostQuorumCheck = lostQuorum, lostQuorumCheck
})
