package identity_test

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pantheon/events/problem"
	"pantheon/runtime/identity"
)

func newToken() identity.Token {
	return identity.Token{
		Invitation: "6ba7b810-9dad-11d1-80b4-00c04fd430c8", Secret: identity.NewSecret(), Authority: strings.Repeat("0f", 32),
		Addresses: []string{"192.0.2.1:7443", "[2001:db8::1]:7443", "one.example.org:7443"},
	}
}

func TestTokenIsReadAsItWasWritten(t *testing.T) {
	token := newToken()
	text, err := token.Text()
	if err != nil || !strings.HasPrefix(text, "ptj1.") {
		t.Fatal(text, err)
	}
	read, err := identity.ParseToken("\n " + text + "\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := read.Text(); again != text || read.Secret.Hash() != token.Secret.Hash() || len(token.Secret.Hash()) != 64 {
		t.Error("another token came back")
	}
}

func TestSecretIsNotPrinted(t *testing.T) {
	token := newToken()
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("token", "secret", token.Secret)
	printed := fmt.Sprintf("%v %+v %#v %s %q %x %d", token, token, token, token.Secret, token.Secret, token.Secret, token.Secret) + log.String()
	if strings.Contains(printed, token.Secret.Reveal()) {
		t.Error(printed)
	}
}

func TestDamagedTokensAreRefused(t *testing.T) {
	text, _ := newToken().Text()
	inside := func(json string) string { return "ptj1." + base64.RawURLEncoding.EncodeToString([]byte(json)) }
	good, _ := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, "ptj1."))
	change := func(old, with string) string { return inside(strings.Replace(string(good), old, with, 1)) }
	for name, c := range map[string]struct {
		text, says string
		kind       problem.Kind
	}{
		"empty":           {"", "is empty", problem.Invalid},
		"another thing":   {"ghp_0123456789", "does not begin", problem.Invalid},
		"cut off":         {text[:len(text)-7], "damaged or cut off", problem.Invalid},
		"typing error":    {strings.Replace(text, text[20:21], "!", 1), "damaged or cut off", problem.Invalid},
		"later version":   {"ptj2." + text[5:], "newer version", problem.Unsupported},
		"no version":      {"ptj0." + text[5:], "does not begin", problem.Invalid},
		"too long":        {"ptj1." + strings.Repeat("A", identity.MaxTokenBytes), "bytes", problem.Invalid},
		"no JSON":         {inside("hello"), "damaged", problem.Invalid},
		"more members":    {change(`{"id"`, `{"x":1,"id"`), "damaged", problem.Invalid},
		"twice the same":  {change(`{"id"`, `{"id":"1","id"`), "damaged", problem.Invalid},
		"wrong id":        {change("6ba7b810", "6BA7B810"), "no UUID", problem.Invalid},
		"short secret":    {change(`"secret":"`, `"secret":"","ca2":"`), "damaged", problem.Invalid},
		"no fingerprint":  {change("0f0f", "0F0F"), "fingerprint", problem.Invalid},
		"no addresses":    {change(`["192.0.2.1:7443","[2001:db8::1]:7443","one.example.org:7443"]`, "[]"), "0 addresses", problem.Invalid},
		"address no port": {change("192.0.2.1:7443", "192.0.2.1"), "host:port", problem.Invalid},
		"port 0":          {change("192.0.2.1:7443", "192.0.2.1:0"), "host:port", problem.Invalid},
	} {
		_, err := identity.ParseToken(c.text)
		if err == nil || !strings.Contains(err.Error(), c.says) || problem.KindOf(err) != c.kind || problem.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTokenThatCannotBeIsNotWritten(t *testing.T) {
	for name, spoil := range map[string]func(*identity.Token){
		"no secret":     func(t *identity.Token) { t.Secret = identity.Secret{} },
		"no address":    func(t *identity.Token) { t.Addresses = nil },
		"many":          func(t *identity.Token) { t.Addresses = make([]string, identity.MaxAddresses+1) },
		"long":          func(t *identity.Token) { t.Addresses = []string{strings.Repeat("a", identity.MaxTokenBytes) + ":1"} },
		"no invitation": func(t *identity.Token) { t.Invitation = "" },
	} {
		token := newToken()
		spoil(&token)
		if text, err := token.Text(); problem.KindOf(err) != problem.Invalid || text != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzToken: whatever is read is written the same way again, and nothing of
// the text is in an error.
func FuzzToken(f *testing.F) {
	text, _ := newToken().Text()
	f.Add(text)
	f.Add("ptj1.")
	f.Add("ptj9.x")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := identity.ParseToken(text)
		if err != nil {
			if len(text) > 20 && strings.Contains(err.Error(), text[5:]) {
				t.Error("the error holds the token")
			}
			return
		}
		again, err := token.Text()
		if err != nil {
			t.Fatal(err)
		}
		if same, err := identity.ParseToken(again); err != nil || same.Secret.Hash() != token.Secret.Hash() {
			t.Error(err)
		}
	})
}
