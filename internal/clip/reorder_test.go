package clip

import (
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func packet(number uint16) *rtp.Packet {
	return &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: number, SSRC: 1}}
}

// arrival is when a packet of the property's stream comes; late ones as a resend does.
type arrival struct {
	number int
	at     time.Duration
}

// TestWhatComesInTimeComesOutInOrder: packets are lost, doubled and delayed by up to a second; each that came in time comes
// out once, in order, and the others are counted.
func TestWhatComesInTimeComesOutInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.IntRange(0, 65535).Draw(t, "first")
		n := rapid.IntRange(1, 300).Draw(t, "packets")
		var arrivals []arrival
		came := map[int]bool{}
		for i := range n {
			at := time.Second + time.Duration(i)*10*time.Millisecond
			switch rapid.SampledFrom([]string{"", "", "", "lost", "late", "twice"}).Draw(t, "fate") {
			case "lost":
				if i > 0 { // nobody knows of one before the first
					continue
				}
			case "late":
				if i > 0 {
					at += time.Duration(rapid.IntRange(0, 1000).Draw(t, "by")) * time.Millisecond
				}
			case "twice":
				arrivals = append(arrivals, arrival{i, at + 20*time.Millisecond})
			}
			came[i] = true
			arrivals = append(arrivals, arrival{i, at})
		}
		var r Reorder
		var got []int
		lost := 0
		take := func(now time.Duration) {
			for {
				a, ok := r.Pop(now)
				if !ok {
					return
				}
				require.Equal(t, len(got) == 0, a.Fresh)
				got = append(got, int(a.Packet.SequenceNumber-uint16(first)))
				lost += a.Lost
			}
		}
		for now := time.Duration(0); now < 10*time.Second; now += 5 * time.Millisecond {
			for _, a := range arrivals {
				if a.at >= now && a.at < now+5*time.Millisecond {
					r.Push(now, packet(uint16(first+a.number)))
				}
			}
			take(now)
		}
		require.Empty(t, r.held)
		last := -1
		for _, number := range got {
			require.Greater(t, number, last)
			require.True(t, came[number])
			last = number
		}
		require.Len(t, got, len(came), "a second is in time")
		require.Equal(t, last+1-len(came), lost)
		require.EqualValues(t, lost, r.Lost)
		require.EqualValues(t, len(arrivals), r.Received)
		require.EqualValues(t, len(arrivals)-len(came), r.Stale)
	})
}

func pop(r *Reorder, now time.Duration) (numbers []uint16) {
	for {
		a, ok := r.Pop(now)
		if !ok {
			return numbers
		}
		numbers = append(numbers, a.Packet.SequenceNumber)
	}
}

func TestAGapIsGivenUp(t *testing.T) {
	var r Reorder
	_, waits := r.Deadline()
	require.False(t, waits)
	r.Push(0, packet(11))
	r.Push(0, packet(10)) // overtaken at the start
	require.Empty(t, pop(&r, startHold-1))
	require.Equal(t, []uint16{10, 11}, pop(&r, startHold))
	r.Push(time.Second, packet(14))
	r.Push(time.Second+Hold/2, packet(16))
	at, waits := r.Deadline()
	require.True(t, waits)
	require.Equal(t, time.Second+Hold, at)
	require.Empty(t, pop(&r, at-1))
	require.Equal(t, []uint16{14}, pop(&r, at))
	require.Equal(t, []uint16{16}, pop(&r, at+Hold/2), "the second gap has its own time")
	r.Push(at+Hold, packet(12))
	require.EqualValues(t, 1, r.Stale)
	require.EqualValues(t, 3, r.Lost)
	r.Push(at+Hold, packet(20))
	r.Drain()
	require.Equal(t, []uint16{20}, pop(&r, at+Hold))
}

func TestWhatWaitsIsBounded(t *testing.T) {
	var r Reorder
	r.Push(0, packet(0))
	require.Len(t, pop(&r, startHold), 1)
	for i := range maxHeld + 1 {
		r.Push(startHold, packet(uint16(i+2)))
		require.LessOrEqual(t, len(r.held), maxHeld)
	}
	require.Len(t, pop(&r, startHold), maxHeld+1)
	require.EqualValues(t, 1, r.Overflow)
	require.EqualValues(t, 1, r.Lost)
}

func TestAStreamBeginsAnew(t *testing.T) {
	var r Reorder
	r.Push(0, packet(100))
	r.Push(0, packet(102))
	other := packet(7)
	other.SSRC = 2
	r.Push(0, other)
	r.Push(startHold, packet(50000))
	require.Equal(t, []uint16{100, 102, 7, 50000}, pop(&r, 2*startHold))
	require.EqualValues(t, 2, r.Restarts)
	require.EqualValues(t, 1, r.Lost)
}

func TestTimelines(t *testing.T) {
	line := Timeline{Rate: 90000}
	const s = time.Second
	require.EqualValues(t, 0, line.Place(10*s, 4294967295))
	require.EqualValues(t, 3000, line.Place(10*s+time.Millisecond, 2999), "timestamps decide, and wrap round")
	line.Break()
	require.EqualValues(t, 5*90000, line.Place(15*s, 77), "a slot that was away for five seconds")
	require.EqualValues(t, 5*90000+45000, line.Place(16*s, 77+45000))
	require.EqualValues(t, 7*90000, line.Place(17*s, 77+45000+100*90000), "a leap is not believed")
	for i := range uint32(100) { // nor many small ones
		require.LessOrEqual(t, line.Place(18*s, 77+45000+(100+i)*90000), int64((8+5)*90000))
	}
}
