//go:build linux

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// steady is a course of 20 s in two phases: 25 pictures a second but for one standstill of a second at 12 s, a packet of 1,000
// bytes each 10 ms, each of which waits 20 ms in the first phase and 40 in the second, where one in ten is dropped.
func steady() *course {
	c := &course{phases: []phase{{0, 1_000_000}, {10 * time.Second, 500_000}}, length: 20 * time.Second}
	for i := range 2000 {
		p := passage{at: time.Duration(i) * 10 * time.Millisecond, queue: 20 * time.Millisecond, size: 1000}
		if i >= 1000 {
			p.queue, p.dropped = 40*time.Millisecond, i%10 == 0
		}
		if p.dropped {
			p.queue = 0
		}
		c.passages = append(c.passages, p)
	}
	frames := 0.0
	for at := time.Duration(0); at <= 20*time.Second; at += 500 * time.Millisecond {
		if at <= 12*time.Second || at > 13*time.Second {
			frames += 12.5
		}
		l := look{at: at}
		l.receiver.Video.FramesDecoded = frames
		l.receiver.Video.TotalInterFrameDelay = at.Seconds()
		if at > 12*time.Second && at <= 13*time.Second {
			l.receiver.Video.TotalInterFrameDelay = 12
		}
		l.receiver.Video.FrameHeight = 360
		if at > 13*time.Second {
			l.receiver.Video.FreezeCount, l.receiver.Video.TotalFreezesDuration = 1, 1
		}
		l.receiver.Audio.TotalSamples = 48000 * at.Seconds()
		l.sender.Sent.Encodings = []encoding{{FramesEncoded: 20 * at.Seconds()}, {FramesEncoded: 30 * at.Seconds(), LimitedCPU: at.Seconds() / 4}}
		c.looks = append(c.looks, l)
	}
	for i := range 100 {
		c.delays = append(c.delays, delay{time.Duration(i) * 100 * time.Millisecond, time.Duration(i+1) * time.Millisecond})
	}
	return c
}

func TestParts(t *testing.T) {
	parts := steady().parts()
	require.Len(t, parts, 3)
	first, second, all := parts[0], parts[1], parts[2]

	require.InDelta(t, 800, first.sent, 0.01, "100 packets of 8,000 bits")
	require.InDelta(t, 800, first.received, 2, "but for what is in the queue at the end")
	require.Zero(t, first.lost)
	require.Equal(t, 20.0, first.queueMean)
	require.InDelta(t, 720, second.received, 2)
	require.InDelta(t, 0.1, second.lost, 1e-9)
	require.Equal(t, 40.0, second.queue95, "what was dropped has not waited")
	require.InDelta(t, 0.05, all.lost, 1e-9)

	require.InDelta(t, 25, first.fps, 0.01)
	require.InDelta(t, 25, first.fpsMin, 0.01)
	require.InDelta(t, 12.5, second.fpsMin, 0.01, "half of a window stood still")
	require.Equal(t, second.fpsMin, all.fpsMin)
	require.Zero(t, first.freezes)
	require.Equal(t, 1.0, second.freezes)
	require.Equal(t, 1.0, all.frozen)
	require.Equal(t, 360.0, all.height)
	require.InDelta(t, 30, all.sentFPS, 0.01)
	require.InDelta(t, 0.25, all.limitedCPU, 1e-9)
	require.Equal(t, 51.0, first.delay50)
	require.Equal(t, 96.0, first.delay95)
}

// 15 pictures a second are 15 in each window, wherever readings fall between them, and one that is missing shows.
func TestPicturesAtTheEdgesOfAWindow(t *testing.T) {
	course := func(missing int) *course {
		c := &course{length: 20 * time.Second}
		for at := time.Duration(0); at <= 20*time.Second; at += 230 * time.Millisecond {
			l := look{at: at}
			for i := 0; float64(i)/15 <= at.Seconds(); i++ {
				if i != missing {
					l.receiver.Video.FramesDecoded++
					l.receiver.Video.TotalInterFrameDelay = float64(i) / 15
				}
			}
			c.looks = append(c.looks, l)
		}
		return c
	}
	require.InDelta(t, 15, course(1000).worst(0, 20*time.Second), 1e-9)
	least := course(150).worst(0, 20*time.Second)
	require.Less(t, least, 14.7)
	require.Greater(t, least, 14.0)
}

// What is before the fifth second says nothing of the goal, and a call without pictures has none.
func TestWorstWindow(t *testing.T) {
	c := steady()
	for i := range c.looks {
		if c.looks[i].at < 4500*time.Millisecond {
			c.looks[i].receiver.Video.FramesDecoded = 0
		}
	}
	require.InDelta(t, 25, c.worst(0, 10*time.Second), 0.01)
	for i := range c.looks {
		c.looks[i].receiver.Video.FramesDecoded = 0
	}
	require.Zero(t, c.worst(0, 10*time.Second))
	require.Zero(t, (&course{}).between(0, time.Second).fpsMin)
}
