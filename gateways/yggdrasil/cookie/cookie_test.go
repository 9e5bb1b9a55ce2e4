package cookie

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RFC 9018 appendix A: the vectors that servers of all makes are tested with.
func TestVectorsRFC9018(t *testing.T) {
	for _, c := range []struct {
		name, secret, client, cookie string
		now                          uint32
	}{
		{"A.1", "e5e973e5a6b2a43f48e7dc849e37bfcf", "198.51.100.100", "2464c4abcf10c957010000005cf79f111f8130c3eee29480", 1559731985},
		{"A.4 with the old secret", "dd3bdf9344b678b185a6f5cb60fca715", "2001:db8:220:1:59de:d0f4:8769:82b8", "22681ab97d52c298010000005cf7c57926556bd0934c72f8", 1559741817},
		{"A.4 with the new secret", "445536bcd2513298075a5d379663c962", "2001:db8:220:1:59de:d0f4:8769:82b8", "22681ab97d52c298010000005cf7c609a6bb79d16625507a", 1559741961},
	} {
		t.Run(c.name, func(t *testing.T) {
			jar := NewJar([]Secret{Secret(unhex(t, c.secret))})
			client := netip.MustParseAddr(c.client)
			want := unhex(t, c.cookie)
			got := jar.Append(nil, want[:8], client, c.now)
			if !bytes.Equal(got, want) {
				t.Errorf("cookie %x, the RFC has %x", got, want)
			}
			if state := jar.Check(got, client, c.now); state != Valid {
				t.Errorf("its own cookie has state %d", state)
			}
		})
	}
}

// RFC 7873 §5.2, RFC 9018 §4.3: age, foreign address, wrong length, old secret.
func TestCheck(t *testing.T) {
	const now = 1_700_000_000
	old, fresh := Secret{1}, Secret{2}
	client := netip.MustParseAddr("192.0.2.1")
	data := NewJar([]Secret{old}).Append(nil, []byte("12345678"), client, now)
	rolled := NewJar([]Secret{fresh, old})
	for _, c := range []struct {
		name   string
		data   []byte
		client string
		now    uint32
		want   State
	}{
		{"nothing", nil, "192.0.2.1", now, None},
		{"client only", data[:8], "192.0.2.1", now, Client},
		{"made with the secret before", data, "192.0.2.1", now, Valid},
		{"the same address in IPv6 clothes", data, "::ffff:192.0.2.1", now, Valid},
		{"an hour old", data, "192.0.2.1", now + 3600, Valid},
		{"older", data, "192.0.2.1", now + 3601, Invalid},
		{"from the near future", data, "192.0.2.1", now - 300, Valid},
		{"from the future", data, "192.0.2.1", now - 301, Invalid},
		{"another address", data, "192.0.2.2", now, Invalid},
		{"a foreign length", data[:20], "192.0.2.1", now, Invalid},
	} {
		if got := rolled.Check(c.data, netip.MustParseAddr(c.client), c.now); got != c.want {
			t.Errorf("%s: state %d, want %d", c.name, got, c.want)
		}
	}
	if NewJar([]Secret{fresh}).Check(data, client, now) != Invalid {
		t.Error("a forgotten secret is still accepted")
	}
	if Renew(data, now+1800) || !Renew(data, now+1801) {
		t.Error("a cookie must be renewed after half an hour")
	}
}

func BenchmarkCheck(b *testing.B) {
	jar, client := NewJar([]Secret{{1}}), netip.MustParseAddr("192.0.2.1")
	data := jar.Append(nil, []byte("12345678"), client, 1000)
	b.ReportAllocs()
	for b.Loop() {
		if jar.Check(data, client, 1000) != Valid {
			b.Fatal("not valid")
		}
	}
}
