package fec_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/sfu/fec"
)

// TestShareStaysWithinRepair: parity and the resends of what it does not bring back, drawn by chance, take no more than repair may
// cost, and a bit more parity would.
func TestShareStaysWithinRepair(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, loss := range []float64{0.01, 0.02, 0.05, 0.08, 0.1, 0.12} {
		repair := loss/(1-loss) + 0.05
		share := fec.Share(loss, repair)
		require.Positive(t, share, "loss %v", loss)
		cost := func(size int) float64 {
			const groups = 20000
			spent := 0
			for range groups {
				gone := 0
				for range size {
					if random.Float64() < loss {
						gone++
					}
				}
				spent++
				if gone == 1 && random.Float64() >= loss {
					continue // it came back by parity
				}
				for ; gone > 0; gone-- {
					for spent++; random.Float64() < loss; spent++ { // until a resend comes
					}
				}
			}
			return float64(spent) / float64(groups*size)
		}
		size := int(math.Round(1 / share))
		require.LessOrEqual(t, cost(size), repair+0.005, "loss %v, groups of %d", loss, size)
		require.Greater(t, cost(max(size*2/3, 1)), repair, "loss %v", loss)
	}
}

func TestShareWhereParityIsNotWorthIt(t *testing.T) {
	for what, share := range map[string]float64{
		"clean":       fec.Share(0, 0.05),
		"heavy loss":  fec.Share(0.2, 0.25+0.05),
		"no budget":   fec.Share(0.05, 0.05),
		"all is lost": fec.Share(1, 9.05),
		"not a share": fec.Share(-0.1, 0.05),
	} {
		require.Zero(t, share, what)
	}
}
