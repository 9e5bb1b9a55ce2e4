package keyring

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"pantheon/events/problem"
)

func open(t *testing.T, dir string) *Ring {
	t.Helper()
	ring, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

var apex = []byte("\x07example\x03org\x00")

// TestZoneKeyFile: a key survives a restart, and another implementation reads
// the same key from the file (RFC 6605 §6 has the format).
func TestZoneKeyFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dns")
	key, err := open(t, dir).NewZoneKey(apex, 257, nil)
	if err != nil {
		t.Fatal(err)
	}
	private, err := open(t, dir).ZoneKey(apex, key.Tag)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := publicHalf(private, 257); err != nil || again.Tag != key.Tag || string(again.Public) != string(key.Public) {
		t.Errorf("read back: tag %d, %v; want tag %d", again.Tag, err, key.Tag)
	}

	path := filepath.Join(dir, "zones", fmt.Sprintf("Kexample.org.+013+%05d.private", key.Tag))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %04o", info.Mode().Perm())
	}
	theirs := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: "example.org.", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET},
		Flags: 257, Protocol: 3, Algorithm: dns.ECDSAP256SHA256, PublicKey: base64.StdEncoding.EncodeToString(key.Public),
	}
	if theirs.KeyTag() != key.Tag {
		t.Errorf("tag %d, want %d", key.Tag, theirs.KeyTag())
	}
	if _, err := theirs.ReadPrivateKey(strings.NewReader(string(text)), path); err != nil {
		t.Errorf("miekg/dns cannot read the file: %v", err)
	}
}

func TestZoneKeyRemoved(t *testing.T) {
	ring := open(t, filepath.Join(t.TempDir(), "dns"))
	key, err := ring.NewZoneKey(apex, 257, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := ring.RemoveZoneKey(apex, key.Tag); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ring.ZoneKey(apex, key.Tag); problem.KindOf(err) != problem.NotFound {
		t.Errorf("after removal: %v", err)
	}
}

// TestZoneNameStaysInFolder: labels may hold any octet (RFC 2181 §11).
func TestZoneNameStaysInFolder(t *testing.T) {
	if got, want := fileName([]byte("\x05../x\x01\x03com\x00"), 7), `K\046\046\047x\001.com.+013+00007.private`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := fileName([]byte{0}, 7); got != "K.+013+00007.private" {
		t.Errorf("the root's key: %s", got)
	}
}

func TestTSIG(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dns")
	ring := open(t, dir)
	key, shown, err := ring.NewTSIG("Secondary1.example.com", "hmac-sha512")
	if err != nil {
		t.Fatal(err)
	}
	if key != (TSIGKey{"secondary1.example.com.", "hmac-sha512"}) {
		t.Errorf("made %+v", key)
	}
	if _, _, err := ring.NewTSIG("secondary1.example.com.", "hmac-sha256"); problem.KindOf(err) != problem.Conflict {
		t.Errorf("the same name again: %v", err)
	}
	for _, r := range []*Ring{ring, open(t, dir)} {
		algorithm, secret, known := r.TSIG("secondary1.example.com.")
		if !known || algorithm+"." != dns.HmacSHA512 || base64.StdEncoding.EncodeToString(secret) != shown || len(secret) != 64 {
			t.Errorf("%q, %d octets, %v", algorithm, len(secret), known)
		}
	}
	if err := ring.RemoveTSIG("SECONDARY1.example.com"); err != nil {
		t.Fatal(err)
	}
	if err := ring.RemoveTSIG("secondary1.example.com"); problem.KindOf(err) != problem.NotFound {
		t.Errorf("removed again: %v", err)
	}
	if left := open(t, dir).TSIGs(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestTSIGFile: the file is what BIND reads.
func TestTSIGFile(t *testing.T) {
	check, err := exec.LookPath("named-checkconf")
	if err != nil {
		t.Skip("no named-checkconf (package bind9-utils or bind9)")
	}
	dir := filepath.Join(t.TempDir(), "dns")
	if _, _, err := open(t, dir).NewTSIG("transfer", "hmac-sha256"); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(check, filepath.Join(dir, "tsig", "transfer.key")).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestRefusals(t *testing.T) {
	ring := open(t, filepath.Join(t.TempDir(), "dns"))
	for _, name := range []string{"", "..", "a/b", "a b", strings.Repeat("a", 64), ".a"} {
		if _, _, err := ring.NewTSIG(name, "hmac-sha256"); problem.KindOf(err) != problem.Invalid {
			t.Errorf("name %q: %v", name, err)
		}
	}
	if _, _, err := ring.NewTSIG("a", "hmac-md5"); problem.KindOf(err) != problem.Invalid {
		t.Errorf("hmac-md5: %v", err)
	}
	entered := t.TempDir()
	if err := os.Chmod(entered, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(entered); problem.KindOf(err) != problem.Denied {
		t.Errorf("a folder for everybody: %v", err)
	}
}

// TestUnreadableTSIG: the error names the file and nothing of what is in it.
func TestUnreadableTSIG(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dns")
	open(t, dir)
	path := filepath.Join(dir, "tsig", "x.key")
	if err := os.WriteFile(path, []byte("key x { secret c2VjcmV0 };"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "c2VjcmV0") {
		t.Errorf("error: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); problem.KindOf(err) != problem.Denied {
		t.Errorf("readable by all: %v", err)
	}
}
