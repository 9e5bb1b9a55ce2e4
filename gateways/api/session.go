package api

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"pantheon/events"
)

// minKeyBytes is the strength of HMAC-SHA256 itself.
const minKeyBytes = sha256.Size

// machineTokenBytes of chance make guessing hopeless and make the plain
// SHA-256 in the log safe: there is nothing to look up in a table.
const machineTokenBytes = 32

// NewMachineToken makes a machine token and the hash that stands for it in the
// log. The token is shown once and kept nowhere.
func NewMachineToken() (token, hash string) {
	secret := make([]byte, machineTokenBytes)
	_, _ = rand.Read(secret) // crypto/rand.Read never fails (Go 1.24)
	token = base64.RawURLEncoding.EncodeToString(secret)
	return token, hashMachineToken(token)
}

func hashMachineToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// A session is what a machine token was exchanged for:
//
//	<account id> : <token id>.<unix time it ends> : <HMAC-SHA256, base64url>
//
// Three parts joined by colons, as the original's. It is checked without any
// store; that its token has not been revoked is asked of the inventory.
type session struct {
	account events.AccountID
	token   events.TokenID
	expires time.Time
}

func signSession(key []byte, s session) string {
	text := string(s.account) + ":" + string(s.token) + "." + strconv.FormatInt(s.expires.Unix(), 10)
	return text + ":" + sessionMAC(key, text)
}

// parseSession gives what a session says, and whether this cell has said it
// and the time is not over.
func parseSession(key []byte, text string, now time.Time) (session, bool) {
	end := strings.LastIndexByte(text, ':')
	if end < 0 || !hmac.Equal([]byte(text[end+1:]), []byte(sessionMAC(key, text[:end]))) {
		return session{}, false
	}
	account, rest, _ := strings.Cut(text[:end], ":")
	token, expires, _ := strings.Cut(rest, ".")
	seconds, err := strconv.ParseInt(expires, 10, 64)
	if err != nil || now.Unix() >= seconds {
		return session{}, false
	}
	return session{events.AccountID(account), events.TokenID(token), time.Unix(seconds, 0)}, true
}

func sessionMAC(key []byte, text string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("session:" + text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
