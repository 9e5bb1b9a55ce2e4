package keys

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
)

// Key is the key of one site or account. The zero Key derives nothing: it panics, because
// a secret from an empty key would be known to everybody.
type Key struct {
	secret *[keyBytes]byte
}

// Derive gives the secret for a purpose ("db-password"), the thing that has it
// (a binding id) and its generation: DerivedBytes characters of A–Z a–z 0–9 -
// and _, so it stands in a URL, a DSN or a PHP string without quoting.
func (k Key) Derive(purpose, id string, generation int) string {
	if k.secret == nil {
		panic("keys: Derive of the zero Key")
	}
	mac := hmac.New(sha256.New, k.secret[:])
	// Each part is preceded by its length, so that no two triples of parts
	// give the same message.
	for _, part := range []string{purpose, id} {
		mac.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		mac.Write([]byte(part))
	}
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(generation)))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

const masked = "key"

// String gives nothing away; so do the other printers.
func (Key) String() string { return masked }

// GoString is String for %#v.
func (Key) GoString() string { return masked }

// Format is String for every verb, %d and %x too.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, masked) }

// LogValue is String for log/slog.
func (Key) LogValue() slog.Value { return slog.StringValue(masked) }
