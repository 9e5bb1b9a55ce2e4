package web

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"
)

// A visitor of any speed gets the bytes in their order; what exceeds the
// memory lies in a file without a name.
func TestFlowKeepsOrder(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		dir := t.TempDir()
		f := newFlow(dir)
		var sent, got bytes.Buffer
		for got.Len() < sent.Len() || sent.Len() < 2_000_000 {
			if sent.Len() < 2_000_000 && random.IntN(3) > 0 {
				piece := make([]byte, 1+random.IntN(40_000))
				for i := range piece {
					piece[i] = byte(sent.Len() + i*7)
				}
				if err := f.put(piece); err != nil {
					t.Fatal(err)
				}
				sent.Write(piece)
			} else if got.Len() < sent.Len() {
				piece, more, err := f.take()
				if err != nil {
					t.Fatal(err)
				}
				got.Write(piece)
				if more != (got.Len() < sent.Len()) {
					t.Fatal("more is wrong")
				}
			}
			if len(f.memory) > spoolMemoryBytes {
				t.Fatal(len(f.memory))
			}
		}
		if !bytes.Equal(sent.Bytes(), got.Bytes()) {
			t.Fatalf("seed %d: the bytes differ", seed)
		}
		f.err = io.EOF
		if _, _, err := f.take(); err != io.EOF {
			t.Error(err)
		}
		f.close()
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Error(left)
		}
		if err := f.put([]byte("x")); !errors.Is(err, errFlowClosed) {
			t.Error(err)
		}
	}
}

func TestFlowWithoutFolder(t *testing.T) {
	f := newFlow("/nonexistent")
	if err := f.put(make([]byte, spoolMemoryBytes)); err != nil {
		t.Fatal(err)
	}
	if err := f.put([]byte("x")); err == nil {
		t.Error("where did it go?")
	}
	f.close()
}
