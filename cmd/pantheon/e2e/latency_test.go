package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// latencySamples requests make one distribution.
const latencySamples = 120

// distribution of the time to a whole answer.
type distribution struct{ p50, p95, most time.Duration }

func (d distribution) String() string {
	return fmt.Sprintf("p50 %s, p95 %s, most %s", d.p50.Round(10*time.Microsecond), d.p95.Round(10*time.Microsecond), d.most.Round(10*time.Microsecond))
}

// latency asks for the first page, one request after the other.
func latency(t *testing.T, v *visitor) distribution {
	t.Helper()
	took := make([]time.Duration, latencySamples)
	for i := range took {
		began := time.Now()
		v.sees(t, 200, "/")
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return distribution{took[len(took)/2], took[len(took)*95/100], took[len(took)-1]}
}
