package main

import (
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const day = 24 * time.Hour

// simulated is a rotation without keys: what step decides, done to periods.
type simulated struct{ kept []period }

func (s *simulated) at(now time.Time) []period {
	stay, more := step(now, s.kept)
	var kept []period
	for _, i := range stay {
		kept = append(kept, s.kept[i])
	}
	if more {
		kept = append(kept, period{made: now, ends: now.Add(shortLife - slowClocks)})
	}
	s.kept = kept
	return kept
}

// TestRotationOverMonths: looked at every five minutes for half a year, no certificate is shown that was not told for a day
// before, and none near its end.
func TestRotationOverMonths(t *testing.T) {
	var s simulated
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	told := map[period]time.Time{}
	shown := map[period]bool{}
	for now := start; now.Before(start.Add(180 * day)); now = now.Add(5 * time.Minute) {
		kept := s.at(now)
		for _, p := range kept {
			if _, before := told[p]; !before {
				told[p] = now
			}
		}
		require.LessOrEqual(t, len(kept), 2)
		require.Greater(t, kept[0].ends.Sub(now), day)
		if !shown[kept[0]] && len(shown) > 0 {
			require.GreaterOrEqual(t, now.Sub(told[kept[0]]), toldFor)
		}
		shown[kept[0]] = true
	}
	require.Len(t, shown, 36, "a new one every five days")
}

// TestRotationWithSleepAndJumps: whatever the clock does, what is shown holds now.
func TestRotationWithSleepAndJumps(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var s simulated
		now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
		for range 500 {
			switch random.IntN(20) {
			case 0:
				now = now.Add(time.Duration(random.Int64N(int64(20 * day)))) // asleep
			case 1:
				now = now.Add(-time.Duration(random.Int64N(int64(20 * day)))) // set back
			default:
				now = now.Add(time.Duration(random.Int64N(int64(6 * time.Hour))))
			}
			kept := s.at(now)
			require.NotEmpty(t, kept)
			require.LessOrEqual(t, len(kept), 2)
			require.True(t, now.Before(kept[0].ends))
			require.False(t, now.Before(kept[0].made.Add(-slowClocks)))
		}
	}
}

func TestStep(t *testing.T) {
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	from := func(made time.Duration) period {
		return period{start.Add(made), start.Add(made + shortLife - slowClocks)}
	}
	for _, test := range []struct {
		name string
		now  time.Duration
		kept []period
		stay []int
		make bool
	}{
		{"the first start", 0, nil, nil, true},
		{"young", 4 * day, []period{from(0)}, []int{0}, false},
		{"the next is made", 5 * day, []period{from(0)}, []int{0}, true},
		{"told", 7 * day, []period{from(0), from(5 * day)}, []int{0, 1}, false},
		{"the next is shown", 8 * day, []period{from(0), from(5 * day)}, []int{1}, false},
		{"asleep from day 4 to 9: the next is made late, and told first", 9 * day, []period{from(0)}, []int{0}, true},
		{"told late", 9*day + 12*time.Hour, []period{from(0), from(9 * day)}, []int{0, 1}, false},
		{"told late, but the current one ends", 10*day - 90*time.Minute, []period{from(0), from(9 * day)}, []int{1}, false},
		{"asleep until the current one has ended", 12 * day, []period{from(0), from(5 * day)}, []int{1}, true},
		{"asleep until both have ended", 30 * day, []period{from(0), from(5 * day)}, nil, true},
		{"the clock was a year ahead", 0, []period{from(365 * day)}, nil, true},
		{"the clock is set back a little", 0, []period{from(30 * time.Minute)}, []int{0}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			stay, more := step(start.Add(test.now), test.kept)
			require.Equal(t, test.stay, stay)
			require.Equal(t, test.make, more)
		})
	}
}

// TestRotationIsKept: a restart shows the same certificate and tells the same hashes, before and after the change.
func TestRotationIsKept(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	r, err := openRotation(quietState(dir), nil, log, now)
	require.NoError(t, err)
	first := r.hashesAt(now)
	require.Len(t, first, 1)
	leaf := r.at(now)[0].Leaf
	require.LessOrEqual(t, leaf.NotAfter.Sub(leaf.NotBefore), 14*day, "browsers refuse more")
	require.NoError(t, leaf.VerifyHostname("localhost"))
	require.NoError(t, leaf.VerifyHostname("127.0.0.1"))
	info, err := os.Stat(filepath.Join(dir, rotationFile))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	now = now.Add(6 * day)
	both := r.hashesAt(now)
	require.Len(t, both, 2)
	require.Equal(t, first[0], both[0])
	again, err := openRotation(quietState(dir), nil, log, now)
	require.NoError(t, err)
	require.Equal(t, both, again.hashesAt(now))
	now = now.Add(2 * day)
	require.Equal(t, both[1:], again.hashesAt(now))
	again, err = openRotation(quietState(dir), nil, log, now)
	require.NoError(t, err)
	require.Equal(t, both[1:], again.hashesAt(now))
}

// TestRotationTakesNoLongCertificate: browsers would refuse the one of https in its place.
func TestRotationTakesNoLongCertificate(t *testing.T) {
	dir := t.TempDir()
	long, err := makeCertificate(nil, time.Now(), certificateLife)
	require.NoError(t, err)
	text, err := joinPairs(long)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, rotationFile), text, 0o600))
	r, err := openRotation(quietState(dir), nil, slog.New(slog.DiscardHandler), time.Now())
	require.NoError(t, err)
	require.NotEqual(t, long.Certificate, r.Certificate().Certificate)
}
