//go:build !race

package caller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/scenario"
)

// two is a call of aru and bek, who does what more says.
func two(more ...scenario.Event) Job {
	track := []scenario.Track{{Media: scenario.Microphone, Profile: scenario.Voice}}
	one := func(number int, name string, events ...scenario.Event) scenario.Caller {
		return scenario.Caller{
			Number: number, Room: "room", Identity: name, Kind: scenario.Full, Publish: track, AudioSlots: 1, Events: events,
		}
	}
	return Job{
		Duration: 12 * time.Second,
		Callers:  []scenario.Caller{one(1, "aru", scenario.Event{Do: scenario.Join}), one(2, "bek", more...)},
	}
}

// Who left with a closed microphone comes again with an open one: the schedule says so, and those who listen wait for it.
func TestWhoComesAgainIsHeard(t *testing.T) {
	job := two(
		scenario.Event{Do: scenario.Join}, scenario.Event{At: 3 * time.Second, Do: scenario.Mute},
		scenario.Event{At: 5 * time.Second, Do: scenario.Leave}, scenario.Event{At: 7 * time.Second, Do: scenario.Rejoin},
	)
	perform(t, job, &broken{}, func(t *testing.T, r *Result) {
		each(r, measure.Audio, func(s measure.Stream) {
			if s.Sender == "bek" {
				require.InDelta(t, 8*50, s.Packets, 2)
				require.InDelta(t, 8, s.Seconds, 0.1)
				require.Less(t, s.Sound.Concealed, 0.005, "this server does not mend the timestamps of who comes again")
			}
		})
	})
}

// Who finds nobody in the call does not wait for media: that is no part of coming in.
func TestWhoComesFirstWaitsForNobody(t *testing.T) {
	job := two(scenario.Event{At: 4 * time.Second, Do: scenario.Join})
	perform(t, job, &broken{}, func(t *testing.T, r *Result) {
		for _, c := range r.Totals.Callers {
			_, came := c.Steps[measure.FirstPacket]
			_, whole := c.Steps[measure.Total]
			require.Equal(t, []bool{c.Identity == "bek", c.Identity == "bek"}, []bool{came, whole}, c.Identity)
		}
	})
}
