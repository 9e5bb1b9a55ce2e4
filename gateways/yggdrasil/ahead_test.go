package yggdrasil_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pantheon/gateways/yggdrasil"
)

// A batch whose queries are read ahead is answered octet by octet as its queries
// are one by one: damaged ones among it, however zones change between batches,
// signed or not, whether answers are remembered or made.
func TestLookAhead(t *testing.T) {
	for _, signed := range []bool{false, true} {
		l, options := newLog(), yggdrasil.Options{ResponsesPerSecond: -1}
		options.Source, options.Signer = l, withKeys(t, l)
		if !signed {
			options.Signer = nil
		}
		server, err := yggdrasil.New(options)
		if err != nil {
			t.Fatal(err)
		}
		making := server.NewForgetfulResponder()
		inBatches := []*yggdrasil.Responder{server.NewResponder(), server.NewForgetfulResponder()}
		random, now := rand.New(rand.NewPCG(3, 4)), time.Unix(1_700_000_000, 0)
		client := netip.MustParseAddr("127.0.0.1")
		for step := range 300 {
			if step%10 == 9 {
				change(l, random)
			}
			now = now.Add(time.Duration(random.IntN(200)) * time.Millisecond)
			packets := make([][]byte, 1+random.IntN(64))
			for i := range packets {
				packets[i] = pack(t, randomQuestion(random))
				if random.IntN(8) == 0 {
					packets[i] = damaged(packets[i], random)
				}
			}
			for _, r := range inBatches {
				r.RespondAll(packets, client, now, func(i int, answer []byte) {
					if want := making.Respond(packets[i], client, false, now); !bytes.Equal(answer, want) {
						t.Fatalf("signed %v, step %d: % x\nin a batch:\n% x\nby itself:\n% x", signed, step, packets[i], answer, want)
					}
				})
			}
		}
	}
}

// damaged changes, cuts or lengthens a packet.
func damaged(packet []byte, random *rand.Rand) []byte {
	packet = slices.Clone(packet)
	switch random.IntN(3) {
	case 0:
		packet[random.IntN(len(packet))] ^= byte(1 + random.IntN(255))
	case 1:
		packet = packet[:random.IntN(len(packet))]
	default:
		packet = append(packet, byte(random.IntN(256)))
	}
	return packet
}
