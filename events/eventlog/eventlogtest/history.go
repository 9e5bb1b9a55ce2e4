package eventlogtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"pantheon/events"
	"pantheon/events/eventlog"
)

// operation is one call on one stream: an append of text after a revision, or
// a read of the whole stream.
type operation struct {
	read  bool
	after int
	text  string
}

type outcome struct {
	conflict bool
	texts    []string
}

// streamModel is a stream as it should be: a list that an append extends if,
// and only if, it is as long as the writer thinks.
var streamModel = porcupine.Model{
	Init: func() any { return []string(nil) },
	Step: func(state, input, output any) (bool, any) {
		list, in, out := state.([]string), input.(operation), output.(outcome)
		switch {
		case in.read:
			return slices.Equal(list, out.texts), list
		case out.conflict:
			return len(list) != in.after, list
		default:
			return len(list) == in.after, append(slices.Clip(list), in.text)
		}
	},
	Equal: func(a, b any) bool { return slices.Equal(a.([]string), b.([]string)) },
	DescribeOperation: func(input, output any) string {
		return fmt.Sprintf("%+v → %+v", input, output)
	},
}

// testLinearizable lets clients append to and read one stream at once, each
// deciding on what it last saw, and checks the whole history.
func testLinearizable(t *testing.T, log eventlog.Log) {
	const clients, calls = 8, 25
	var (
		mu      sync.Mutex
		history []porcupine.Operation
		all     sync.WaitGroup
		began   = time.Now()
	)
	record := func(client int, call time.Duration, in operation, out outcome) {
		mu.Lock()
		defer mu.Unlock()
		history = append(history, porcupine.Operation{
			ClientId: client, Input: in, Call: int64(call), Output: out, Return: int64(time.Since(began)),
		})
	}
	for c := range clients {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(c)))
			var tip events.Tip
			for i := range calls {
				call := time.Since(began)
				if random.IntN(3) > 0 {
					text := fmt.Sprintf("%d.%d", c, i)
					in := operation{after: int(tip.Revision), text: text}
					next, err := log.Append(t.Context(), tip, Commit(Stream(1), text))
					if err != nil && !errors.Is(err, eventlog.ErrConflict) {
						t.Error(err)
						return
					}
					record(c, call, in, outcome{conflict: err != nil})
					if err == nil {
						tip = next
					}
					continue
				}
				var out outcome
				for envelope, err := range log.Stream(t.Context(), Stream(1), 0) {
					if err != nil {
						t.Error(err)
						return
					}
					out.texts = append(out.texts, Text(envelope))
					tip = envelope.Tip()
				}
				record(c, call, operation{read: true}, out)
			}
		})
	}
	all.Wait()
	result := porcupine.CheckOperationsTimeout(streamModel, history, waitFor)
	if result != porcupine.Ok {
		t.Fatalf("a history of %d calls is not linearizable: %v", len(history), result)
	}
}
