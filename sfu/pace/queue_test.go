package pace

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// pop takes all that may leave now.
func pop(q *Queue[int], now time.Duration) (values []int) {
	for {
		it, _, ok := q.Pop(now)
		if !ok {
			return values
		}
		values = append(values, it.Value)
	}
}

func TestQueueOrder(t *testing.T) {
	q := NewQueue[int]()
	require.Zero(t, q.Next(0))
	for i, it := range []Item[int]{
		{Class: Video, Priority: 2},
		{Class: Video, Priority: 1},
		{Class: Padding},
		{Class: Video, Priority: 2},
		{Class: Repair, Priority: 9},
		{Class: Audio, Priority: 3},
		{Class: Video, Priority: 1},
		{Class: Audio, Priority: 3},
	} {
		it.Value, it.Size = i, 100
		q.Push(0, it)
	}
	require.Equal(t, Stats{Waiting: 8, WaitingBytes: 800}, q.Stats())
	require.Equal(t, time.Duration(1), q.Next(0), "at once, and something waits")
	require.Equal(t, []int{5, 7, 4, 1, 6, 0, 3}, pop(q, 0), "padding is of probes")
	require.Equal(t, 1, q.Stats().Waiting)
	require.Equal(t, uint64(4), q.Stats().Sent[Video])
	require.Equal(t, uint64(400), q.Stats().SentBytes[Video])
}

// TestQueueHoldsNothingForGood: a packet of video a second leaves beside audio that takes more than there is, and where the window
// is full; and no more.
func TestQueueHoldsNothingForGood(t *testing.T) {
	for _, window := range []int{0, 1000} {
		q := NewQueue[int]()
		q.Blind = true
		e := estimate(80 * bwe.Kbps) // 10 bytes a ms
		e.Window, e.InFlight = window, window
		e.Congested = true // or what waits would make it faster
		q.SetEstimate(0, e)
		var left []time.Duration
		for now := 0 * ms; now < 5*time.Second; now += 10 * ms {
			q.Push(now, Item[int]{Class: Audio, Size: 200})
			if now >= time.Second {
				q.Push(now, Item[int]{Class: Video, Size: 1000, Value: 1})
			}
			if slices.Contains(pop(q, now), 1) {
				left = append(left, now)
			}
		}
		require.Equal(t, []time.Duration{2 * time.Second, 3 * time.Second, 4 * time.Second}, left)
	}
}

func TestQueueLeavesAtItsRate(t *testing.T) {
	q := NewQueue[int]()
	q.SetEstimate(0, estimate(800*bwe.Kbps)) // 100 bytes a ms
	for i := range 10 {
		q.Push(0, Item[int]{Class: Video, Size: 1000, Value: i})
	}
	require.Equal(t, 100*ms, q.Delay())
	require.Equal(t, []int{0}, pop(q, 0))
	require.Equal(t, 90*ms, q.Delay())
	q.Push(0, Item[int]{Class: Audio, Size: 100, Value: 10})
	require.Equal(t, []int{10}, pop(q, 0))
	next := q.Next(0)
	require.Less(t, next, 6*ms+10*time.Microsecond, "debt 1100, burst 500, and 1.5 times the rate while 90 ms wait")
	require.Empty(t, pop(q, next-ms))
	require.Equal(t, []int{1}, pop(q, next))
}

func TestQueueRepairWithoutBudgetDoesNotHoldVideoUp(t *testing.T) {
	q := NewQueue[int]()
	q.SetEstimate(0, estimate(900*bwe.Mbps))
	for i := range 20 {
		q.Push(0, Item[int]{Class: Repair, Size: 1000, Value: i})
	}
	q.Push(0, Item[int]{Class: Video, Size: 1000, Value: 100})
	got := pop(q, 0)
	require.Len(t, got, 18)
	require.Equal(t, 100, got[17])
}

func TestQueueIsBoundedInTime(t *testing.T) {
	q := NewQueue[int]()
	var dropped []int
	q.Dropped = func(_ time.Duration, it Item[int]) { dropped = append(dropped, it.Value) }
	q.SetEstimate(0, estimate(80*bwe.Kbps))
	pop(q, 0)
	q.Push(0, Item[int]{Class: Video, Size: 1000, Value: 1})
	q.Push(0, Item[int]{Class: Video, Size: 1000, Value: 2, Stale: 50 * ms})
	q.Push(0, Item[int]{Class: Video, Size: 1000, Value: 3, Stale: 30 * time.Second})
	require.Equal(t, []int{1}, pop(q, 0))
	require.Empty(t, pop(q, 49*ms))
	require.Equal(t, []int{3}, pop(q, 100*ms))
	require.Equal(t, []int{2}, dropped)
	q.Push(100*ms, Item[int]{Class: Video, Size: 1000, Value: 4, Stale: 30 * time.Second})
	require.Zero(t, q.Next(1100*ms), "a second at most")
	require.Equal(t, []int{2, 4}, dropped)
	require.Equal(t, uint64(2), q.Stats().Stale[Video])
	require.Zero(t, q.Stats().WaitingBytes)
}

func TestQueueIsBoundedInBytes(t *testing.T) {
	q := NewQueue[int]()
	var dropped []int
	q.Dropped = func(_ time.Duration, it Item[int]) { dropped = append(dropped, it.Value) }
	const size = mostQueued / 4
	push := func(v int, c Class, priority uint8) {
		q.Push(0, Item[int]{Class: c, Priority: priority, Size: size, Value: v})
	}
	push(0, Video, 1)
	push(1, Video, 2)
	push(2, Video, 2)
	push(3, Video, 1)
	require.Empty(t, dropped)
	push(4, Repair, 0)
	require.Equal(t, []int{2}, dropped, "the last in line of the lowest class")
	push(5, Audio, 0)
	require.Equal(t, []int{2, 1}, dropped)
	push(6, Video, 3)
	require.Equal(t, []int{2, 1, 6}, dropped, "itself")
	require.Equal(t, uint64(3), q.Stats().Overflow[Video])
	require.Equal(t, []int{5, 4, 0, 3}, pop(q, 0))
}

// Whatever is pushed: nothing is overtaken within its class and priority, nothing is lost without being counted, audio leaves
// at once, video does not starve, and Next does not miss anything.
func TestQueueProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := NewQueue[int]()
		e := estimate(bwe.Bitrate(rapid.IntRange(30, 5000).Draw(t, "kbps")) * bwe.Kbps)
		e.Loss = float64(rapid.IntRange(0, 80).Draw(t, "loss")) / 100
		q.SetEstimate(0, e)
		type info struct {
			Item[int]
			came time.Duration
		}
		var all []info
		gone := 0
		q.Dropped = func(time.Duration, Item[int]) { gone++ }
		last := map[[2]int]int{}
		now := time.Duration(0)
		leave := func() {
			for {
				it, _, ok := q.Pop(now)
				if !ok {
					break
				}
				gone++
				i := all[it.Value]
				lane := [2]int{int(it.Class), int(it.Priority)}
				require.GreaterOrEqual(t, it.Value, last[lane], "in order")
				last[lane] = it.Value
				require.LessOrEqual(t, now-i.came, longestWait)
				if it.Class == Audio {
					require.Equal(t, i.came, now)
				}
			}
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			for range rapid.IntRange(0, 8).Draw(t, "items") {
				it := Item[int]{
					Class: Class(rapid.IntRange(0, int(Video)).Draw(t, "class")), Priority: uint8(rapid.IntRange(0, 2).Draw(t, "priority")),
					Size: rapid.IntRange(60, packet).Draw(t, "size"), Value: len(all),
				}
				if it.Class == Audio {
					it.Size = 60
				}
				all = append(all, info{it, now})
				q.Push(now, it)
			}
			leave()
			until := now + time.Duration(rapid.IntRange(0, 100).Draw(t, "ms"))*ms
			for {
				next := q.Next(now)
				if next == 0 || next > until {
					break
				}
				require.Greater(t, next, now, "all that may leave now has left")
				now = next
				leave()
			}
			now = until
		}
		require.Equal(t, len(all), gone+q.Stats().Waiting)
		// Nothing more comes: all of it leaves or turns stale within a second.
		now += longestWait
		leave()
		require.Equal(t, len(all), gone)
		require.Zero(t, q.Stats().WaitingBytes)
	})
}

// Repair that never ends takes its share and no more.
func TestVideoDoesNotStarve(t *testing.T) {
	for _, loss := range []float64{0, 0.1, 0.3} {
		q := NewQueue[int]()
		e := estimate(bwe.Mbps)
		e.Loss = loss
		q.SetEstimate(0, e)
		for now := time.Duration(0); now < 20*time.Second; now += 5 * ms {
			for _, c := range []Class{Repair, Video} {
				for q.bytes < 50000 || len(q.waiting[c]) == 0 {
					q.Push(now, Item[int]{Class: c, Size: 1000})
				}
			}
			pop(q, now)
		}
		s := q.Stats()
		share := float64(s.SentBytes[Repair]-repairFloor) / float64(s.SentBytes[Video])
		require.InDelta(t, RepairShare(loss), share, 0.02, "loss %v", loss)
	}
}

func TestHeap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h heap[int]
		var want []uint64
		for range rapid.IntRange(0, 100).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				if len(want) > 0 {
					require.Equal(t, want[0], h.pop().order)
					want = want[1:]
				}
			case 1:
				if len(want) > 0 {
					require.Equal(t, want[len(want)-1], h.removeLast().order)
					want = want[:len(want)-1]
				}
			default:
				order := rapid.Uint64().Draw(t, "order")
				h.push(entry[int]{order: order})
				at, _ := slices.BinarySearch(want, order)
				want = slices.Insert(want, at, order)
			}
			require.Len(t, h, len(want))
		}
	})
}

func TestQueueDoesNotAllocate(t *testing.T) {
	q := NewQueue[int]()
	q.SetEstimate(0, estimate(10*bwe.Mbps))
	now := time.Duration(0)
	step := func() {
		now += ms
		q.Push(now, Item[int]{Class: Video, Size: 1000})
		q.Pop(now)
		q.Next(now)
	}
	for range 1000 {
		step()
	}
	require.Zero(t, testing.AllocsPerRun(1000, step))
}
