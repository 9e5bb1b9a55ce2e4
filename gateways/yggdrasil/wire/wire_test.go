package wire

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

// labels are few, so that names share suffixes.
var anyName = rapid.Custom(func(t *rapid.T) []byte {
	labels := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "www", "example", "org", "x-y", strings.Repeat("l", 63)}), 0, 3).Draw(t, "labels")
	name, _ := ParseName(strings.Join(append(labels, "example", "net"), "."))
	return name
})

// RFC 1035 §4.1.4: whatever is written, compressed, rolled back and cut by the
// limit, is read by another parser as what was meant.
func TestBuilderAgainstOtherParser(t *testing.T) {
	var b Builder // used again, as a worker's
	rapid.Check(t, func(t *rapid.T) {
		question := anyName.Draw(t, "question")
		limit := rapid.IntRange(MaxUDPBytes, 1232).Draw(t, "limit")
		b.BeginQuestion(make([]byte, 0, limit+SlackBytes), limit, question, TypeA, ClassIN)
		var want []string
		for range rapid.IntRange(0, 40).Draw(t, "records") {
			owner, target := anyName.Draw(t, "owner"), anyName.Draw(t, "target")
			rrtype := rapid.SampledFrom([]uint16{TypeNS, TypeCNAME, TypeMX, TypeSRV, TypeSOA, TypeA}).Draw(t, "type")
			data := map[uint16][]byte{
				TypeNS: target, TypeCNAME: target, TypeMX: append([]byte{0, 10}, target...), TypeSRV: append([]byte{0, 1, 0, 2, 0, 3}, target...),
				TypeSOA: slices.Concat(target, owner, make([]byte, 20)), TypeA: {192, 0, 2, 1},
			}[rrtype]
			mark := b.Mark()
			if !b.Record(Answer, owner, rrtype, 60, data) {
				continue
			}
			if rapid.IntRange(0, 4).Draw(t, "take back") == 0 {
				b.Rollback(mark)
				continue
			}
			plain := slices.Concat(owner, []byte{byte(rrtype >> 8), byte(rrtype), 0, 1, 0, 0, 0, 60, byte(len(data) >> 8), byte(len(data))}, data)
			rr, _, err := dns.UnpackRR(plain, 0)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, rr.String())
		}
		packet := b.Finish(Header{QR: true})
		m := new(dns.Msg)
		if err := m.Unpack(packet); err != nil {
			t.Fatalf("%x: %v", packet, err)
		}
		var got []string
		for _, rr := range m.Answer {
			got = append(got, rr.String())
		}
		if !slices.Equal(got, want) || len(packet) > limit {
			t.Fatalf("%d octets, limit %d\n%s\nwant\n%s", len(packet), limit, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// RFC 1035 §5.1: names and their text.
func TestNames(t *testing.T) {
	for text, want := range map[string]string{
		".": "\x00", "Example.ORG": "\x07example\x03org\x00", "a.b.": "\x01a\x01b\x00", `a\.b.c`: "\x03a.b\x01c\x00", `\065.x`: "\x01a\x01x\x00", `\000.`: "\x01\x00\x00",
	} {
		name, ok := ParseName(text)
		if !ok || string(name) != want {
			t.Errorf("%s: %q %v", text, name, ok)
		}
		again, ok := ParseName(string(AppendName(nil, name)))
		if !ok || !bytes.Equal(again, name) {
			t.Errorf("%s comes back as %q", text, again)
		}
	}
	for _, text := range []string{"", "..", "a..b", strings.Repeat("x", 64), strings.Repeat("a.", 128), `a\`, `\999`} {
		if name, ok := ParseName(text); ok {
			t.Errorf("%q is no name, but became %q", text, name)
		}
	}
}

// RFC 4034 §4.1.2: the bitmap of types, in more than one window.
func TestBitmap(t *testing.T) {
	types := []uint16{TypeA, TypeMX, TypeRRSIG, TypeNSEC, 1234}
	got := AppendBitmap(nil, types)
	// The example of RFC 4034 §4.3.
	want := []byte("\x00\x06\x40\x01\x00\x00\x00\x03\x04\x1b\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20")
	if !bytes.Equal(got, want) {
		t.Errorf("%x, the RFC has %x", got, want)
	}
}

// FuzzParse: no packet is read outside itself, and what is sound has a name
// that is one.
func FuzzParse(f *testing.F) {
	m := new(dns.Msg)
	m.SetQuestion("www.example.org.", dns.TypeA)
	m.SetEdns0(1232, true)
	packet, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packet)
	var q Query
	f.Fuzz(func(t *testing.T, packet []byte) {
		if fault := q.Parse(slices.Clip(packet)); fault == Sound && len(q.Question) > 0 && NameBytes(q.Name()) != len(q.Name()) {
			t.Fatalf("name %x", q.Name())
		}
		LastRecord(packet)
	})
}
