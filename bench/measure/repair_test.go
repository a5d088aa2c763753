package measure

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// playing feeds a meter 10 ms at a time; what says what each is.
func playing(seconds int, what func(i int) Played) *AudioMeter {
	m := NewAudio(AudioConfig{})
	for i := range 100 * seconds {
		at := time.Duration(i) * 10 * time.Millisecond
		if i%2 == 0 {
			m.Packet(at, uint16(i/2), 100, uint32(i*480), false)
		}
		p := what(i)
		p.Samples = 480
		m.Played(at, p)
	}
	return m
}

func TestTheWorstTenSecondsLeaveTheLongestHoleOut(t *testing.T) {
	m := playing(40, func(i int) (p Played) {
		switch {
		case i >= 1500 && i < 1700: // 2 s
			p.Concealed = 480
		case i >= 2000 && i < 3000 && i%10 < 3: // 30 % of 10 s
			p.Concealed = 480
		case i >= 3500 && i < 3600: // 1 s
			p.Concealed = 480
		}
		return p
	})
	s := m.Stream(40 * time.Second).Sound
	require.InDelta(t, 2000, s.Hole, 0.1)
	require.InDelta(t, 0.3, s.Window, 0.001)
	require.InDelta(t, (2+3+1)/40.0, s.Concealed, 1e-9)
}

func TestAShortStreamIsOneWindow(t *testing.T) {
	m := playing(4, func(i int) (p Played) {
		if i%4 == 0 {
			p.Concealed = 240
		}
		return p
	})
	s := m.Stream(4 * time.Second).Sound
	require.InDelta(t, 0.125, s.Window, 0.005, "but for one hole of 5 ms")
	require.InDelta(t, 5, s.Hole, 0.1)
}

func TestRepairIsToldByHowItCame(t *testing.T) {
	m := playing(10, func(i int) Played { return Played{Came: Repair(i % 5 % 4)} })
	s := m.Stream(10 * time.Second).Sound
	require.InDelta(t, 0.2, s.Resent, 1e-9)
	require.InDelta(t, 0.2, s.Copied, 1e-9)
	require.InDelta(t, 0.2, s.FEC, 1e-9)
	require.Zero(t, s.Concealed)
}

func TestConditionsOnRepairAndVolume(t *testing.T) {
	var all Totals
	m := playing(10, func(i int) (p Played) {
		p.Stamped = true
		if i%10 == 0 {
			p = Played{Concealed: 480}
		}
		return p
	})
	all.AddStream(m.Stream(10*time.Second), m.Histograms())
	all.AddCaller(Caller{Identity: "aru", UpPerMinute: 150_000, DownPerMinute: 2_500_000})
	for text, holds := range map[string]bool{
		"audio_concealed_10s_max <= 11%": true, "audio_concealed_10s <= 5%": false, "audio_hole_max <= 20ms": true, "hole_max < 5ms": false,
		"up_per_minute <= 150kB": true, "down_per_minute_max <= 2MB": false, "audio_fec == 0": true,
	} {
		c, err := ParseCondition(text)
		require.NoError(t, err, text)
		o := c.Evaluate(&all)
		require.True(t, o.Known, text)
		require.Equal(t, holds, o.Holds, text)
	}
	_, err := ParseCondition("up_per_minute <= 150ms")
	require.ErrorContains(t, err, "kB or MB")
}
