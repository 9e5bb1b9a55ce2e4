package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"pantheon/events"
	"pantheon/events/problem"
)

// tokenPrefix tells people and scanners for leaked secrets what they see.
const tokenPrefix = "ptj1."

// Secret is the secret half of an invitation. It prints as the word "secret".
type Secret struct{ text string }

// NewSecret makes a secret of 256 random bits.
func NewSecret() Secret {
	var bits [secretBytes]byte
	_, _ = rand.Read(bits[:]) // never fails, see crypto/rand
	return Secret{base64.RawURLEncoding.EncodeToString(bits[:])}
}

// ParseSecret accepts what Reveal gave.
func ParseSecret(text string) (Secret, error) {
	bits, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(bits) != secretBytes {
		return Secret{}, problem.New(problem.Invalid, "cannot read the secret of a token")
	}
	return Secret{text}, nil
}

// Hash is the SHA-256 of the secret's text in hexadecimal: what the log holds.
func (s Secret) Hash() string {
	hash := sha256.Sum256([]byte(s.text))
	return hex.EncodeToString(hash[:])
}

// Reveal gives the secret's text, for the wire.
func (s Secret) Reveal() string { return s.text }

const masked = "secret"

// String gives nothing away; so do the other printers.
func (Secret) String() string { return masked }

// GoString is String for %#v.
func (Secret) GoString() string { return masked }

// Format is String for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, masked) }

// LogValue is String for log/slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(masked) }

// Token is what a new machine needs to join a cell.
type Token struct {
	Invitation events.TokenID
	Secret     Secret
	// Authority is the fingerprint of the cell's CA: whom the machine trusts.
	Authority string
	// Addresses of control machines' meshes, host:port.
	Addresses []string
}

// wireToken is the form inside the text.
type wireToken struct {
	ID        events.TokenID `json:"id"`
	Secret    string         `json:"secret"`
	CA        string         `json:"ca"`
	Addresses []string       `json:"addresses"`
}

// Text gives the token as users copy it.
func (t Token) Text() (string, error) {
	if err := t.validate(); err != nil {
		return "", err
	}
	content, err := json.Marshal(wireToken{t.Invitation, t.Secret.text, t.Authority, t.Addresses})
	if err != nil {
		return "", problem.Wrap(problem.Internal, err, "cannot write a token")
	}
	text := tokenPrefix + base64.RawURLEncoding.EncodeToString(content)
	if len(text) > MaxTokenBytes {
		return "", problem.New(problem.Invalid, "cannot write a token: it would have %d bytes, and may have %d", len(text), MaxTokenBytes)
	}
	return text, nil
}

const anotherToken = "copy the whole line that pantheon host token create printed"

// ParseToken reads a token; space around it does not matter. No error holds
// anything of the text.
func ParseToken(text string) (Token, error) {
	text = strings.TrimSpace(text)
	encoded, found := strings.CutPrefix(text, tokenPrefix)
	switch {
	case text == "":
		return Token{}, problem.New(problem.Invalid, "cannot read the token: it is empty").WithHint(anotherToken)
	case len(text) > MaxTokenBytes:
		return Token{}, problem.New(problem.Invalid, "cannot read the token: it has %d bytes, and may have %d", len(text), MaxTokenBytes).WithHint(anotherToken)
	case !found && isLaterToken(text):
		return Token{}, problem.New(problem.Unsupported, "cannot read the token: a newer version made it").WithHint("install the cell's version of pantheon on this machine")
	case !found:
		return Token{}, problem.New(problem.Invalid, "cannot read the token: it does not begin with %s", tokenPrefix).WithHint(anotherToken)
	}
	content, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return Token{}, problem.New(problem.Invalid, "cannot read the token: it is damaged or cut off").WithHint(anotherToken)
	}
	var wire wireToken
	if err := json.Unmarshal(content, &wire, json.RejectUnknownMembers(true)); err != nil {
		return Token{}, problem.New(problem.Invalid, "cannot read the token: it is damaged or cut off").WithHint(anotherToken)
	}
	token := Token{Invitation: wire.ID, Secret: Secret{wire.Secret}, Authority: wire.CA, Addresses: wire.Addresses}
	if err := token.validate(); err != nil {
		return Token{}, err
	}
	return token, nil
}

// isLaterToken: "ptj2." and so on.
func isLaterToken(text string) bool {
	version, _, found := strings.Cut(strings.TrimPrefix(text, "ptj"), ".")
	number, err := strconv.ParseUint(version, 10, 16)
	return strings.HasPrefix(text, "ptj") && found && err == nil && number > 1
}

func (t Token) validate() error {
	bad := func(what string) error {
		return problem.New(problem.Invalid, "cannot use the token: %s", what).WithHint(anotherToken)
	}
	if _, err := events.ParseSiteID(string(t.Invitation)); err != nil { // a UUID too
		return bad("its id is no UUID")
	}
	if _, err := ParseSecret(t.Secret.text); err != nil {
		return bad("its secret is damaged")
	}
	if fingerprint, err := hex.DecodeString(t.Authority); err != nil || len(fingerprint) != sha256.Size || strings.ToLower(t.Authority) != t.Authority {
		return bad("its fingerprint of the certificate authority is damaged")
	}
	if len(t.Addresses) == 0 || len(t.Addresses) > MaxAddresses {
		return bad(fmt.Sprintf("it has %d addresses, and must have 1 to %d", len(t.Addresses), MaxAddresses))
	}
	for _, address := range t.Addresses {
		host, port, err := net.SplitHostPort(address)
		if number, portErr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || portErr != nil || number == 0 {
			return bad("one of its addresses is no host:port")
		}
	}
	return nil
}
