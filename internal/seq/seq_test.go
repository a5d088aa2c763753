package seq

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestUnwrap(t *testing.T) {
	var u Unwrapper
	_, ok := u.Highest()
	require.False(t, ok)
	for _, step := range []struct {
		s        uint16
		want     Extended
		rollover uint32
	}{
		{65534, 1<<16 + 65534, 0},
		{65535, 1<<16 + 65535, 0},
		{0, 2 << 16, 1},
		{65533, 1<<16 + 65533, 0}, // late, across the rollover
		{32767, 2<<16 + 32767, 1},
		{65000, 2<<16 + 65000, 1},
		{3, 3<<16 + 3, 2},
	} {
		e := u.Unwrap(step.s)
		require.Equal(t, step.want, e)
		require.Equal(t, step.s, e.Uint16())
		require.Equal(t, step.rollover, e.Rollover())
		u.Accept(e)
	}
	highest, ok := u.Highest()
	require.True(t, ok)
	require.Equal(t, Extended(3<<16+3), highest)
}

func TestUnwrapAloneMovesNothing(t *testing.T) {
	var u Unwrapper
	u.Accept(u.Unwrap(10))
	u.Unwrap(30_000)
	require.Equal(t, Extended(40_000), u.Unwrap(40_000), "nearest to 10, not to 30000: before the first one")
}

// Any walk in steps of less than half the 16-bit circle is followed exactly.
func TestUnwrapFollowsAnyWalk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var u Unwrapper
		first := Extended(1<<16 + rapid.IntRange(0, 65535).Draw(t, "first"))
		u.Accept(u.Unwrap(first.Uint16()))
		highest := first
		for _, step := range rapid.SliceOf(rapid.IntRange(-32768, 32767)).Draw(t, "steps") {
			e := highest + Extended(step)
			require.Equal(t, e, u.Unwrap(e.Uint16()))
			u.Accept(e)
			highest = max(highest, e)
			got, _ := u.Highest()
			require.Equal(t, highest, got)
		}
	})
}
