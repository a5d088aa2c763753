package bench

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// tried is the way of a search whose loads hold up to a capacity.
func tried(from, to, capacity int) (loads []int, b bracket) {
	b = bracket{to: to}
	for load, more := from, true; more; {
		loads = append(loads, load)
		load, more = b.next(load, load <= capacity)
	}
	return loads, b
}

func TestBracketDoublesThenGoesByHalves(t *testing.T) {
	for name, c := range map[string]struct {
		from, to, capacity int
		loads              []int
		held, failed       int
	}{
		"up, then between":             {10, 0, 57, []int{10, 20, 40, 80, 60, 50, 55, 57, 58}, 57, 58},
		"down, then between":           {64, 0, 20, []int{64, 32, 16, 24, 20, 22, 21}, 20, 21},
		"at once the largest":          {8, 0, 8, []int{8, 16, 12, 10, 9}, 8, 9},
		"nothing held":                 {8, 0, 0, []int{8, 4, 2, 1}, 0, 1},
		"nothing held, of one":         {1, 0, 0, []int{1}, 0, 1},
		"one, and not two":             {1, 0, 1, []int{1, 2}, 1, 2},
		"a bound that holds":           {10, 35, 100, []int{10, 20, 35}, 35, 0},
		"a bound that does not":        {10, 35, 30, []int{10, 20, 35, 27, 31, 29, 30}, 30, 31},
		"a bound that is the first":    {10, 10, 100, []int{10}, 10, 0},
		"a bound, and the first fails": {10, 10, 5, []int{10, 5, 7, 6}, 5, 6},
		"near is near enough":          {100, 0, 198, []int{100, 200, 150, 175, 187, 193}, 193, 200},
	} {
		t.Run(name, func(t *testing.T) {
			loads, b := tried(c.from, c.to, c.capacity)
			require.Equal(t, c.loads, loads)
			require.Equal(t, c.held, b.held, "held")
			require.Equal(t, c.failed, b.failed, "failed")
		})
	}
}

func TestBracketEndsBesideTheCapacity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.IntRange(1, 20_000).Draw(t, "from")
		to := rapid.OneOf(rapid.Just(0), rapid.IntRange(from, 20_000)).Draw(t, "to")
		capacity := rapid.IntRange(0, 20_000).Draw(t, "capacity")
		loads, b := tried(from, to, capacity)
		require.LessOrEqual(t, len(loads), 32, "each step halves what is left, or doubles")
		seen := map[int]bool{}
		for _, load := range loads {
			require.False(t, seen[load], "%d is tried twice", load)
			seen[load] = true
			require.Positive(t, load)
			if to > 0 {
				require.LessOrEqual(t, load, to)
			}
		}
		switch {
		case to > 0 && capacity >= to:
			require.Equal(t, bracket{to: to, held: to}, b)
		case capacity == 0:
			require.Equal(t, bracket{to: to, failed: 1}, b)
		default:
			require.LessOrEqual(t, b.held, capacity)
			require.Greater(t, b.failed, capacity)
			require.True(t, b.failed-b.held == 1 || float64(b.failed) <= near*float64(b.held), "%+v", b)
		}
	})
}

// Machines differ from run to run: whatever the answers are, the search ends and its two ends do not cross.
func TestBracketEndsWhateverHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := bracket{}
		load, more := rapid.IntRange(1, 20_000).Draw(t, "from"), true
		for tries := 0; more && tries < 16; tries++ {
			load, more = b.next(load, rapid.Bool().Draw(t, "held"))
			require.True(t, b.failed == 0 || b.held < b.failed, "%+v", b)
		}
	})
}
