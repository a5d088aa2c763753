//go:build linux

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSilence(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(ms ...int) []answered {
		var all []answered
		for _, m := range ms {
			all = append(all, answered{Answered: start.Add(time.Duration(m) * time.Millisecond)})
		}
		return all
	}
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		answers     []answered
		began, able time.Duration
		cuts        bool
		want        time.Duration
		fails       string
	}{
		"nothing felt":                      {answers: at(0, 25, 50, 75, 100), began: 30 * ms, able: 30 * ms, want: 0},
		"a gap, less the interval":          {answers: at(0, 25, 150, 160), began: 30 * ms, able: 30 * ms, want: 100 * ms},
		"a gap before the change is not it": {answers: at(0, 200, 225, 250), began: 210 * ms, able: 210 * ms, want: 0},
		"answers come out of order":         {answers: at(150, 25, 0, 160), began: 30 * ms, able: 30 * ms, want: 100 * ms},
		"after a cut, from when it can be":  {answers: at(0, 25, 2300, 2310), began: 30 * ms, able: 2030 * ms, cuts: true, want: 270 * ms},
		"an answer under way at the cut":    {answers: at(0, 25, 60, 2300), began: 30 * ms, able: 2030 * ms, cuts: true, want: 270 * ms},
		"an answer under way at the kill":   {answers: at(0, 25, 60, 900), began: 30 * ms, able: 30 * ms, cuts: true, want: 840 * ms},
		"never again":                       {answers: at(0, 25), began: 30 * ms, able: 30 * ms, fails: "after the change"},
		"never before":                      {answers: at(100), began: 30 * ms, able: 30 * ms, fails: "before the change"},
		"no answer at all":                  {fails: "after the change"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := silence(test.answers, start.Add(test.began), start.Add(test.able), test.cuts)
			if test.fails != "" {
				require.ErrorContains(t, err, test.fails)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestUsual(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var all []answered
	require.Zero(t, usual(all))
	for _, ms := range []int{103, 900, 101, 102, 104} {
		all = append(all, answered{Asked: start, Answered: start.Add(time.Duration(ms) * time.Millisecond)})
	}
	require.Equal(t, 103*time.Millisecond, usual(all))
}
