package rtcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestClock(t *testing.T) {
	const wrap = 64 * time.Second
	var c Clock
	for _, step := range []struct{ now, t, want time.Duration }{
		{1000 * time.Second, 60 * time.Second, 60 * time.Second},
		{1003 * time.Second, 63 * time.Second, 63 * time.Second},
		{1005 * time.Second, 1 * time.Second, 65 * time.Second},
		{1004 * time.Second, 62 * time.Second, 62 * time.Second}, // an older message comes late
		{1640 * time.Second, 60 * time.Second, 700 * time.Second},
		{1650 * time.Second, 20 * time.Second, 724 * time.Second}, // its clock ran ahead, by 14 s
		{1651 * time.Second, 59 * time.Second, 699 * time.Second}, // or this is a lie: nearer behind than ahead
	} {
		require.Equal(t, step.want, c.Unwrap(step.now, step.t, wrap), "at %v", step.now)
	}
	// A liar who steps half a wrap ahead with each message gets nowhere.
	for i := range 1000 {
		got := c.Unwrap(1700*time.Second, time.Duration(i)*31*time.Second%wrap, wrap)
		require.InDelta(t, 760, got.Seconds(), 32)
	}
}
