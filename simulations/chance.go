package simulations

import (
	"math"
	"math/rand/v2"
	"time"
)

// chance is one subsystem's share of the seed.
type chance struct{ *rand.Rand }

// newChance splits the seed: the same seed and name give the same chance,
// whatever other subsystems draw.
func newChance(seed uint64, name string) chance {
	return chance{rand.New(rand.NewPCG(seed, hashText(0xcbf29ce484222325, name)))}
}

// yes is true with a probability.
func (c chance) yes(probability float64) bool {
	return probability > 0 && c.Float64() < probability
}

// between draws evenly.
func (c chance) between(least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return least + time.Duration(c.Int64N(int64(most-least)))
}

// exp draws a waiting time with a mean.
func (c chance) exp(mean time.Duration) time.Duration {
	return time.Duration(c.ExpFloat64() * float64(mean))
}

// spread draws so that each order of magnitude is as likely.
func (c chance) spread(least, most float64) float64 {
	return math.Exp(math.Log(least) + c.Float64()*(math.Log(most)-math.Log(least)))
}

func (c chance) spreadTime(least, most time.Duration) time.Duration {
	return time.Duration(c.spread(float64(least), float64(most)))
}

// mixed is one step of a 64-bit hash.
func mixed(h, x uint64) uint64 {
	h ^= x
	h *= 0x9e3779b97f4a7c15
	return h ^ h>>29
}

// hashText goes on with a hash over a text, eight bytes at a time.
func hashText(h uint64, text string) uint64 {
	for len(text) >= 8 {
		h = mixed(h, uint64(text[0])|uint64(text[1])<<8|uint64(text[2])<<16|uint64(text[3])<<24|
			uint64(text[4])<<32|uint64(text[5])<<40|uint64(text[6])<<48|uint64(text[7])<<56)
		text = text[8:]
	}
	tail := uint64(len(text)) << 56
	for i := range len(text) {
		tail |= uint64(text[i]) << (8 * i)
	}
	return mixed(h, tail)
}
