package events

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// # Sealed texts
//
// A personal or secret text of an event (personal.go lists them) stands in the
// log as
//
//	sealed:1:<base64url of: owners, box>
//
// where owners is one byte (1: a site, 2: an account, 3: both) and the 16 bytes
// of each of their UUIDs, and box is what events/eventlog/sealed has made of
// the text. To everything that folds, hashes, stores or moves events it is a
// text like any other: commits, proofs, views, snapshots and exports hold the
// sealed form, and only those who show a text or act on it open it. So nothing
// has to be looked for when a key is destroyed: the text is gone everywhere.

const (
	// SealedPrefix begins every sealed text; the number is the version of the
	// form.
	SealedPrefix = "sealed:1:"

	// Forgotten stands for a sealed text whose key is gone.
	Forgotten = "(forgotten)"

	uuidBytes      = 16
	ownerIsSite    = 1
	ownerIsAccount = 2
)

// Owner says whose key seals a text. Where both are set both keys are needed:
// the text is gone with the first of them. The zero Owner seals nothing.
type Owner struct {
	Site    SiteID
	Account AccountID
}

// FormatSealed writes a sealed text; it is empty for an owner whose ids are no
// UUIDs.
func FormatSealed(owner Owner, box []byte) string {
	var data []byte
	kinds, ok := byte(0), true
	if owner.Site != "" {
		kinds |= ownerIsSite
		data, ok = appendUUID(data, string(owner.Site))
	}
	if owner.Account != "" && ok {
		kinds |= ownerIsAccount
		data, ok = appendUUID(data, string(owner.Account))
	}
	if kinds == 0 || !ok {
		return ""
	}
	data = append(append([]byte{kinds}, data...), box...)
	return SealedPrefix + base64.RawURLEncoding.EncodeToString(data)
}

// ParseSealed is the inverse of FormatSealed; false for any other text.
func ParseSealed(text string) (Owner, []byte, bool) {
	var owner Owner
	coded, found := strings.CutPrefix(text, SealedPrefix)
	data, err := base64.RawURLEncoding.Strict().DecodeString(coded)
	if !found || err != nil || strings.ContainsAny(coded, "\r\n") || len(data) == 0 || data[0] == 0 || data[0]&^(ownerIsSite|ownerIsAccount) != 0 {
		return owner, nil, false
	}
	kinds, data := data[0], data[1:]
	if kinds&ownerIsSite != 0 && len(data) >= uuidBytes {
		owner.Site, data = SiteID(uuidText(data)), data[uuidBytes:]
	}
	if kinds&ownerIsAccount != 0 && len(data) >= uuidBytes {
		owner.Account, data = AccountID(uuidText(data)), data[uuidBytes:]
	}
	whole := (kinds&ownerIsSite != 0) == (owner.Site != "") && (kinds&ownerIsAccount != 0) == (owner.Account != "")
	return owner, data, whole
}

// IsSealed says whether the whole text is sealed.
func IsSealed(text string) bool {
	_, _, sealed := ParseSealed(text)
	return sealed
}

// ReplaceSealed gives the text with every sealed text in it replaced, once: in
// what open gives nothing is looked for.
func ReplaceSealed(text string, open func(sealed string) string) string {
	at := strings.Index(text, SealedPrefix)
	if at < 0 {
		return text
	}
	var out strings.Builder
	for ; at >= 0; at = strings.Index(text, SealedPrefix) {
		end := at + len(SealedPrefix)
		for end < len(text) && isBase64URL(text[end]) {
			end++
		}
		out.WriteString(text[:at])
		if sealed := text[at:end]; IsSealed(sealed) {
			out.WriteString(open(sealed))
		} else {
			out.WriteString(sealed)
		}
		text = text[end:]
	}
	out.WriteString(text)
	return out.String()
}

func isBase64URL(c byte) bool {
	return isAlphanumeric(c) || 'A' <= c && c <= 'Z' || c == '-' || c == '_'
}

func appendUUID(data []byte, id string) ([]byte, bool) {
	if !isUUID(id) {
		return data, false
	}
	bytes, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	return append(data, bytes...), err == nil
}

func uuidText(data []byte) string {
	digits := hex.EncodeToString(data[:uuidBytes])
	return digits[:8] + "-" + digits[8:12] + "-" + digits[12:16] + "-" + digits[16:20] + "-" + digits[20:]
}
