package contract

import (
	"fmt"
	"io"
	"log/slog"
)

// Secrets are the values only this environment may know. The zero value is
// good for a site without a database that uses no salt.
type Secrets struct {
	DBPassword string
	HashSalt   string // DRUPAL_HASH_SALT
	// WordPress' keys and salts.
	AuthKey, SecureAuthKey, LoggedInKey, NonceKey     string
	AuthSalt, SecureAuthSalt, LoggedInSalt, NonceSalt string
}

// Derive fills every salt from one function, which gives a different value for
// each purpose; runtime/keys has it.
func Derive(databasePassword string, salt func(purpose string) string) Secrets {
	return Secrets{
		DBPassword:     databasePassword,
		HashSalt:       salt("drupal-hash-salt"),
		AuthKey:        salt("wordpress-auth-key"),
		SecureAuthKey:  salt("wordpress-secure-auth-key"),
		LoggedInKey:    salt("wordpress-logged-in-key"),
		NonceKey:       salt("wordpress-nonce-key"),
		AuthSalt:       salt("wordpress-auth-salt"),
		SecureAuthSalt: salt("wordpress-secure-auth-salt"),
		LoggedInSalt:   salt("wordpress-logged-in-salt"),
		NonceSalt:      salt("wordpress-nonce-salt"),
	}
}

const redacted = "(secrets)"

// Format keeps secrets out of every message, also with %+v and %#v.
func (Secrets) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue keeps secrets out of logs.
func (Secrets) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON keeps secrets out of files.
func (Secrets) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
