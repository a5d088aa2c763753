package shard

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestWheelFiresInOrderAndNeverEarly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w wheel
		w.init(0)
		timers := make([]timer, 20)
		now := time.Duration(0)
		want := map[*timer]time.Duration{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				tm := &timers[rapid.IntRange(0, len(timers)-1).Draw(t, "timer")]
				at := now + time.Duration(rapid.IntRange(0, 3000).Draw(t, "in"))*time.Millisecond
				w.arm(tm, at)
				if old, ok := want[tm]; !ok || at < old {
					want[tm] = at
				}
			case 1:
				tm := &timers[rapid.IntRange(0, len(timers)-1).Draw(t, "timer")]
				w.disarm(tm)
				delete(want, tm)
			case 2:
				now += time.Duration(rapid.IntRange(1, 700).Draw(t, "ms")) * time.Millisecond
				for tm := w.due(now); tm != nil; tm = w.due(now) {
					at, ok := want[tm]
					require.True(t, ok, "fired without being armed")
					require.LessOrEqual(t, at, now)
					delete(want, tm)
				}
				for _, at := range want {
					require.Greater(t, at, now-tick, "a deadline was missed")
				}
			}
			at, ok := w.next()
			require.Equal(t, len(want) > 0, ok)
			if ok {
				earliest := time.Duration(1 << 62)
				for _, a := range want {
					earliest = min(earliest, a)
				}
				require.LessOrEqual(t, at, max(earliest, now)+2*tick)
				require.Greater(t, at, now-tick)
			}
		}
	})
}
