package shard

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMediaWaitsForTheFirstAddressToAnswer: a check may come from anywhere, and a client with a false address in it would
// have us send its whole call to a third party.
func TestMediaWaitsForTheFirstAddressToAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.close()
		anna, boris := b.member(1, 0), b.stranger(2, 1)
		b.shard.Post(Assign{ID: 2, Slot: 0, Track: 1})
		boris.deaf = true
		talk := func() {
			for range 50 {
				boris.check()
				anna.say()
				time.Sleep(20 * time.Millisecond)
				anna.listen()
				boris.listen()
			}
		}
		talk()
		require.Empty(t, boris.heard)
		boris.deaf = false
		talk()
		require.GreaterOrEqual(t, boris.heard[200], 40)
	})
}
