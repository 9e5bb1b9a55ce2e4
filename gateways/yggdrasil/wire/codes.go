package wire

// Types that the server knows by number (RFC 1035 §3.2.2 and later).
const (
	TypeA          uint16 = 1
	TypeNS         uint16 = 2
	TypeCNAME      uint16 = 5
	TypeSOA        uint16 = 6
	TypePTR        uint16 = 12
	TypeMX         uint16 = 15
	TypeTXT        uint16 = 16
	TypeAAAA       uint16 = 28
	TypeSRV        uint16 = 33
	TypeDNAME      uint16 = 39
	TypeOPT        uint16 = 41
	TypeDS         uint16 = 43
	TypeRRSIG      uint16 = 46
	TypeNSEC       uint16 = 47
	TypeDNSKEY     uint16 = 48
	TypeCDS        uint16 = 59
	TypeCDNSKEY    uint16 = 60
	TypeSVCB       uint16 = 64
	TypeHTTPS      uint16 = 65
	TypeNXNAME     uint16 = 128 // RFC 9824 §3.4: never asked for
	firstMetaType  uint16 = 128 // RFC 6895 §3.1
	lastMetaType   uint16 = 255
	TypeTSIG       uint16 = 250
	TypeIXFR       uint16 = 251
	TypeAXFR       uint16 = 252
	TypeANY        uint16 = 255
	TypeCAA        uint16 = 257
	ClassIN        uint16 = 1
	ClassCH        uint16 = 3
	ClassANY       uint16 = 255
	OpcodeQuery    uint8  = 0
	OpcodeNotify   uint8  = 4
	OpcodeUpdate   uint8  = 5
	OptionNSID     uint16 = 3  // RFC 5001
	OptionCookie   uint16 = 10 // RFC 7873
	OptionTCP      uint16 = 11 // edns-tcp-keepalive, RFC 7828
	OptionEDE      uint16 = 15 // RFC 8914
	HeaderBytes           = 12
	optFixedBytes         = 11
	pointerToFirst        = 0xc00c // to the question's name
)

// IsMeta says that a type names no data (RFC 6895 §3.1).
func IsMeta(rrtype uint16) bool { return rrtype >= firstMetaType && rrtype <= lastMetaType }

// Rcode is a response code (RFC 6895 §2.3); over 15 it needs EDNS or TSIG.
type Rcode uint16

// The codes that the server gives.
const (
	NoError   Rcode = 0
	FormErr   Rcode = 1
	ServFail  Rcode = 2
	NXDomain  Rcode = 3
	NotImp    Rcode = 4
	Refused   Rcode = 5
	YXDomain  Rcode = 6 // a DNAME makes the name too long
	NotAuth   Rcode = 9
	BadVers   Rcode = 16
	BadSig    Rcode = 16 // in a TSIG
	BadKey    Rcode = 17
	BadTime   Rcode = 18
	BadTrunc  Rcode = 22
	BadCookie Rcode = 23
)

// String gives the mnemonic of the IANA registry.
func (r Rcode) String() string {
	switch r {
	case NoError:
		return "NOERROR"
	case FormErr:
		return "FORMERR"
	case ServFail:
		return "SERVFAIL"
	case NXDomain:
		return "NXDOMAIN"
	case NotImp:
		return "NOTIMP"
	case Refused:
		return "REFUSED"
	case YXDomain:
		return "YXDOMAIN"
	case NotAuth:
		return "NOTAUTH"
	case BadVers:
		return "BADVERS"
	case BadKey:
		return "BADKEY"
	case BadTime:
		return "BADTIME"
	case BadTrunc:
		return "BADTRUNC"
	case BadCookie:
		return "BADCOOKIE"
	}
	return "OTHER"
}
