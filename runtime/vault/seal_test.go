package vault

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"testing"
)

// fixedSealer is that of a CA whose private key is the number 7.
func fixedSealer(t *testing.T) *sealer {
	t.Helper()
	scalar := make([]byte, 32)
	scalar[31] = 7
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSealer(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), "0123456789abcdef0123456789abcdef")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The form of what is in a bucket is fixed: machines of several versions share
// it.
func TestFormatIsFixed(t *testing.T) {
	s := fixedSealer(t)
	if got, want := s.keyOf("keys/site/0f9d7c3e-5a41-4f0b-9c57-1d2e3f405162"), goldenKey; got != want {
		t.Errorf("key %s, want %s", got, want)
	}
	value, err := hex.DecodeString(goldenValue)
	if err != nil {
		t.Fatal(err)
	}
	kind, name, content, err := s.open("akey", value)
	if err != nil || kind != kindSecret || name != "a name" || string(content) != "a secret" {
		t.Errorf("kind %d, name %q, content %q, %v", kind, name, content, err)
	}
	if _, _, _, err := s.open("anotherkey", value); err == nil {
		t.Error("a value opens under another key")
	}
	if got := hex.EncodeToString(s.seal("akey", kindSecret, "a name", []byte("a secret"))); len(got) != len(goldenValue) || got == goldenValue {
		t.Errorf("sealed again: %s", got)
	}
}

const (
	goldenKey   = "kvhyinjvnyksb7afoojhp4so44n4kz4b"
	goldenValue = "01bf3101a3eebbeb08918d3a7ef0e64961747c972a41c2788addc4bc68e4323f308d311489a08fc7d65cb8078ca3377e48cf16890b97ca690e89370926bb400d8fd6556c80f38269108f6e124d2da155c779703b5ab5b50eada62bb3dd03490310dbc34284323965c020e3c7e6da7c87e966ed25d4a10ab74ade7c9ddf110507862fd57019b825756e0f89b6b2fd5395a8fa3183a34f6b013665bbc647363de0473d88ae449fd65fa8b9e181c92c54eb1d7bf32e825e28f5ab90718567fe738474111c796c80b46e4c0a2bea082677231417d37012a993d2881e282f3dba34bad05d9edf20fbbcd135bafd661649d747819220866565936b162fabd96065f4cbba4979e40e35c78e5234c476a9693c61eafa9ae62e7d567109d2445035"
)
