package yggdrasil

import (
	"errors"

	"pantheon/gateways/yggdrasil/wire"
)

// refusal is why a query is not answered from a zone: the response code, and the
// extended error (RFC 8914 §4) that tells the operator of the resolver more.
type refusal struct {
	rcode    wire.Rcode
	extended uint16
	text     string
	hasMore  bool
}

// The refusals.
var (
	refusedForeign   = refusal{wire.Refused, 20, "not authoritative for this name", true}
	refusedInternal  = refusal{wire.Refused, 18, "the zone is not for this network", true}
	refusedTransfer  = refusal{wire.Refused, 18, "not a secondary of this zone", true}
	refusedBusy      = refusal{wire.Refused, 23, "too many transfers: try again", true}
	refusedUpdate    = refusal{wire.Refused, 21, "zones are changed through the platform", true}
	refusedNotify    = refusal{wire.Refused, 21, "this server is the primary", true}
	refusedClass     = refusal{wire.Refused, 21, "class IN only", true}
	notImplemented   = refusal{wire.NotImp, 21, "", true}
	formatError      = refusal{rcode: wire.FormErr}
	unknownVersion   = refusal{rcode: wire.BadVers}
	serverFailure    = refusal{wire.ServFail, 0, "internal error", true}
	cookieIsRequired = refusal{rcode: wire.BadCookie}
)

// errTooLarge ends a transfer. The actors' limits keep such records out of zones.
var errTooLarge = errors.New("a record does not fit in a message")
