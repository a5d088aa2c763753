package cc

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Events come by time, and those of one time in the order in which they were said.
func TestAgenda(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a agenda
		now, said, heard := time.Duration(0), 0, 0
		last := event{at: -1}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if len(a.events) > 0 && rapid.Bool().Draw(t, "next") {
				ev := a.next()
				require.True(t, ev.at > last.at || ev.at == last.at && ev.order > last.order)
				now, last = ev.at, ev
				heard++
				continue
			}
			said++
			a.add(now+time.Duration(rapid.IntRange(0, 5).Draw(t, "in"))*ms, captures, 0, int32(said))
		}
		for len(a.events) > 0 {
			ev := a.next()
			require.True(t, ev.at > last.at || ev.at == last.at && ev.order > last.order)
			last = ev
			heard++
		}
		require.Equal(t, said, heard)
	})
}

func TestPool(t *testing.T) {
	var p pool[string]
	a, b := p.put("a"), p.put("b")
	require.NotEqual(t, a, b)
	p.drop(a)
	require.Equal(t, a, p.put("c"), "what was dropped is used again")
	require.Equal(t, "c", *p.at(a))
	require.Equal(t, "b", *p.at(b))
}
