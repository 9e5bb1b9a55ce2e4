package tsig

import (
	"encoding/base64"
	"testing"

	"github.com/miekg/dns"

	"pantheon/gateways/yggdrasil/wire"
)

var secret = []byte("a secret of some length")

// RFC 8945 §4.3, §5: every algorithm, requests and answers, against another
// implementation.
func TestAgainstOtherImplementation(t *testing.T) {
	const now = 1_700_000_000
	encoded := base64.StdEncoding.EncodeToString(secret)
	for _, algorithm := range []string{"hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"} {
		t.Run(algorithm, func(t *testing.T) {
			key := Key{Algorithm: algorithm, Secret: secret}
			m := new(dns.Msg)
			m.SetQuestion("example.org.", dns.TypeSOA)
			m.SetTsig("Key.Example.", algorithm+".", 300, now)
			packet, mac, err := dns.TsigGenerate(m, encoded, "", false)
			if err != nil {
				t.Fatal(err)
			}
			at := wire.LastRecord(packet)
			record, ok := Parse(packet[at:])
			if !ok {
				t.Fatalf("not parsed: %x", packet[at:])
			}
			session, rcode := Verify(packet[:at], record, key, true, now+10)
			if rcode != wire.NoError {
				t.Fatalf("a good request gets %v", rcode)
			}
			packet[20]++ // a letter of the question
			if _, rcode := Verify(packet[:at], record, key, true, now); rcode != wire.NotAuth {
				t.Errorf("a changed request gets %v", rcode)
			}
			if _, rcode := Verify(packet[:at], record, Key{Algorithm: "hmac-sha256", Secret: secret}, algorithm == "hmac-sha256", now); algorithm != "hmac-sha256" && rcode != wire.NotAuth {
				t.Errorf("another algorithm gets %v", rcode)
			}
			answers(t, session, mac, encoded)
		})
	}
}

// answers signs three messages of one exchange.
func answers(t *testing.T, session *Session, mac, encoded string) {
	t.Helper()
	for i := range 3 {
		answer := new(dns.Msg)
		answer.SetQuestion("example.org.", dns.TypeSOA)
		answer.Response = true
		plain, err := answer.Pack()
		if err != nil {
			t.Fatal(err)
		}
		signed := session.Sign(plain, 1_700_000_000)
		parsed := new(dns.Msg)
		if err := parsed.Unpack(signed); err != nil {
			t.Fatal(err)
		}
		// The time has passed, so only the signature is looked at.
		if err := dns.TsigVerify(signed, encoded, mac, i > 0); err != dns.ErrTime {
			t.Errorf("answer %d: %v", i, err)
		}
		mac = parsed.IsTsig().MAC
	}
}

// A request of ours is accepted by the other side, and its answer by us.
func TestRequest(t *testing.T) {
	name, _ := wire.ParseName("key.example.")
	session, ok := Request(name, Key{Algorithm: "hmac-sha256", Secret: secret})
	if !ok {
		t.Fatal("hmac-sha256 is not supported")
	}
	m := new(dns.Msg)
	m.SetNotify("example.org.")
	plain, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	const now = 1_700_000_000
	packet := session.Sign(plain, now)
	at := wire.LastRecord(packet)
	record, _ := Parse(packet[at:])
	other, rcode := Verify(packet[:at], record, Key{Algorithm: "hmac-sha256", Secret: secret}, true, now)
	if rcode != wire.NoError {
		t.Fatalf("our request gets %v", rcode)
	}
	m.Response = true
	reply, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	reply = other.Sign(reply, now)
	at = wire.LastRecord(reply)
	record, _ = Parse(reply[at:])
	if !session.Accept(reply[:at], record, now) || session.Accept(reply[:at], record, now+1000) {
		t.Error("a good answer must be accepted, and an old one not")
	}
	reply[2] ^= 4
	if session.Accept(reply[:at], record, now) {
		t.Error("a changed answer is accepted")
	}
}
