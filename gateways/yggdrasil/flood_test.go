package yggdrasil_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pantheon/events"
	"pantheon/gateways/yggdrasil"
)

// A flood of NOTIFYs from one network is refused, at the rate of its errors, and
// takes nothing from those who ask: RFC 1996 §3.10 has them come from a primary,
// and we have none.
func TestNotifyFlood(t *testing.T) {
	l := exampleLog()
	server, err := yggdrasil.New(yggdrasil.Options{Source: l, ResponsesPerSecond: 50, Burst: 100})
	if err != nil {
		t.Fatal(err)
	}
	r, stranger, client := server.NewResponder(), netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("192.0.2.7")
	m := new(dns.Msg)
	m.SetNotify("example.org.")
	notify, question := pack(t, m), pack(t, parseQuestion(t, "web.example.org A"))
	refused, cut, now := 0, 0, time.Unix(1_700_000_000, 0)
	const flood, seconds = 20_000, 2
	for i := range flood {
		at := now.Add(time.Duration(i) * seconds * time.Second / flood)
		if answer := r.Respond(notify, stranger, false, at); answer != nil {
			switch got := unpack(t, answer); {
			case len(answer) > len(notify):
				t.Fatalf("%d octets are answered with %d", len(notify), len(answer))
			case got.Truncated:
				cut++
			case got.Rcode == dns.RcodeRefused && got.Opcode == dns.OpcodeNotify:
				refused++
			default:
				t.Fatal(got)
			}
		}
		if i%500 == 0 {
			if got := unpack(t, r.Respond(question, client, false, at)); len(got.Answer) != 2 {
				t.Fatalf("a client gets %v", got)
			}
		}
	}
	// The burst and the rate, with the rounding of their ticks.
	if most := 100 + 50*seconds + 2; refused > most || refused < most/2 || refused+cut > most+flood/2 {
		t.Errorf("%d refusals and %d cut short, of %d", refused, cut, flood)
	}
}

// A flood of changes makes few NOTIFYs: those of an interval are gathered, and
// the secondary hears of the newest serial.
func TestNotifyGathers(t *testing.T) {
	listener, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	l := exampleLog()
	l.commit(apex, events.SecondaryAdded{Zone: apex, Address: listener.LocalAddr().String(), Notify: true})
	startWith(t, l, func(o *yggdrasil.Options) { o.NotifyTimeout = time.Minute })
	began := time.Now()
	const changes = 3000
	want := uint32(l.position.Load()) + changes // a serial is the position
	go func() {
		for i := range changes {
			l.commit(apex, events.RecordsAdded{Zone: apex, Records: records(fmt.Sprintf("n%d.example.org. 60 A 10.0.0.1", i))})
		}
	}()
	count, heard, buffer := 0, uint32(0), make([]byte, 4096)
	for heard != want {
		if err := listener.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		n, from, err := listener.ReadFrom(buffer)
		if err != nil {
			t.Fatalf("after %d NOTIFYs, the last of serial %d: %v", count, heard, err)
		}
		got := unpack(t, buffer[:n])
		count, heard = count+1, got.Answer[0].(*dns.SOA).Serial
		reply := new(dns.Msg)
		reply.SetReply(got)
		if _, err := listener.WriteTo(pack(t, reply), from); err != nil {
			t.Fatal(err)
		}
	}
	if most := 2 + int(time.Since(began)/(200*time.Millisecond)); count > most {
		t.Errorf("%d NOTIFYs of %d changes in %v, want %d at most", count, changes, time.Since(began), most)
	}
}
