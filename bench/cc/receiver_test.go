package cc

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

func newReceiver() *receiver {
	return &receiver{seen: make([]arrival, arrivals), next: 1, tick: arrivalTick}
}

func told(results []bwe.Result) (numbers []uint64, received []bool) {
	for _, r := range results {
		numbers, received = append(numbers, r.Number), append(received, r.Received)
	}
	return numbers, received
}

func TestReports(t *testing.T) {
	r := newReceiver()
	require.Empty(t, r.report(nil), "nothing has come")
	r.arrive(10*ms, 1, 100, false)
	r.arrive(11*ms+100*time.Microsecond, 2, 100, true)
	r.arrive(12*ms, 4, 100, false)
	results := r.report(nil)
	numbers, received := told(results)
	require.Equal(t, []uint64{1, 2, 3, 4}, numbers)
	require.Equal(t, []bool{true, true, false, true}, received)
	require.Equal(t, 11*ms, results[1].Arrival, "in steps of 250 µs")
	require.True(t, results[1].Marked)
	require.Empty(t, r.report(nil), "nothing is new")

	r.arrive(20*ms, 3, 100, false)
	r.arrive(21*ms, 3, 100, false)
	r.arrive(21*ms, 6, 100, false)
	numbers, received = told(r.report(nil))
	require.Equal(t, []uint64{3, 4, 5, 6}, numbers, "from the one that came late on")
	require.Equal(t, []bool{true, true, false, true}, received)

	r.arrive(30*ms, 9, 100, false)
	numbers, _ = told(r.report(nil))
	require.Equal(t, []uint64{7, 8, 9}, numbers)

	r.arrive(40*ms, 3*arrivals, 100, false)
	numbers, _ = told(r.report(nil))
	require.Len(t, numbers, arrivals, "a gap longer than what is remembered is cut")
	r.arrive(41*ms, 5, 100, false)
	require.Empty(t, r.report(nil), "what was forgotten does not come back")
}

// 5 % of the stream for reports of 68 bytes, between 50 and 250 ms.
func TestReportInterval(t *testing.T) {
	for kbps, want := range map[int]time.Duration{1000: 50 * ms, 218: 50 * ms, 100: 109 * ms, 20: 250 * ms} {
		r := newReceiver()
		n := uint64(0)
		for now := time.Duration(0); now < 2*second; now += 10 * ms {
			n++
			r.arrive(now, n, kbps*10/8, false)
		}
		require.InDelta(t, want.Milliseconds(), r.interval(2*second-ms).Milliseconds(), 2, kbps)
		require.Equal(t, 250*ms, r.interval(4*second), "nothing comes any more")
	}
}

func TestReceiversClockIsItsOwn(t *testing.T) {
	r := newReceiver()
	r.offset, r.drift = time.Hour, 50e-6
	require.Equal(t, time.Hour, r.local(0))
	require.Equal(t, time.Hour+1000*second+50*ms, r.local(1000*second))
}

// Whatever arrives in whatever order, reports tell each number that arrived, in order, and never one above.
func TestReportsTellAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newReceiver()
		arrived, said := map[uint64]bool{}, map[uint64]bool{}
		highest := uint64(0)
		for i := range rapid.IntRange(1, 60).Draw(t, "packets") {
			n := uint64(rapid.IntRange(1, 80).Draw(t, "number"))
			r.arrive(time.Duration(i)*ms, n, 100, false)
			arrived[n], highest = true, max(highest, n)
			if !rapid.Bool().Draw(t, "report") {
				continue
			}
			last := uint64(0)
			for _, result := range r.report(nil) {
				require.True(t, last == 0 || result.Number == last+1)
				require.Equal(t, arrived[result.Number], result.Received)
				require.LessOrEqual(t, result.Number, highest)
				last = result.Number
				said[result.Number] = said[result.Number] || result.Received
			}
		}
		for _, result := range r.report(nil) {
			said[result.Number] = said[result.Number] || result.Received
		}
		for n := range arrived {
			require.True(t, said[n], n)
		}
	})
}
