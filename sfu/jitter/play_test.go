package jitter_test

import (
	"testing"
	"time"

	"github.com/pion/interceptor/pkg/jitterbuffer"
	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/sfu/jitter"
)

// heard is a packet that was played.
type heard struct {
	journey
	played time.Duration // its first sample
}

// sample of the buffer's state at one pull.
type sample struct {
	at            time.Duration
	target, delay time.Duration
	concealed     uint64 // samples of this pull
}

// playback is what came of a trace.
type playback struct {
	phase   time.Duration
	heard   []heard
	samples []sample
	stats   jitter.Stats
}

// playTrace plays journeys through a buffer with pulls every 10 ms.
func playTrace(t testing.TB, journeys []journey, config jitter.Config, phase time.Duration) playback {
	t.Helper()
	b, err := jitter.New(config)
	require.NoError(t, err)
	p := playback{phase: phase}
	next, before := 0, uint64(0)
	for now := phase; now < traceLength; now += jitter.Period {
		for ; next < len(journeys) && journeys[next].arrived <= now; next++ {
			if j := &journeys[next]; !j.lost {
				b.Insert(j.arrived, jitter.Packet{
					Sequence: uint16(65_000 + j.number), Timestamp: uint32(1<<32 - 1_000_000 + j.number*960), Samples: 960, Value: j,
				})
			}
		}
		at := now
		for _, part := range b.Pull(now).Parts {
			if j, ok := part.Packet.Value.(*journey); ok && (len(p.heard) == 0 || p.heard[len(p.heard)-1].number != j.number) {
				p.heard = append(p.heard, heard{*j, at - time.Duration(part.Offset)*time.Second/rate})
			}
			at += time.Duration(part.Samples) * time.Second / rate
		}
		s := b.Stats()
		p.samples = append(p.samples, sample{now, s.Target, s.Delay, s.Concealed - before})
		before = s.Concealed
	}
	p.stats = b.Stats()
	return p
}

// playFixed plays journeys through pion's jitter buffer as it is by default, a packet every 20 ms once it lets go of the
// first. It returns what was heard.
func playFixed(journeys []journey, phase time.Duration) []heard {
	b := jitterbuffer.New()
	var all []heard
	byNumber := map[uint16]journey{}
	begun := false
	next := 0
	for now := phase; now < traceLength; now += frame {
		for ; next < len(journeys) && journeys[next].arrived <= now; next++ {
			if j := journeys[next]; !j.lost {
				byNumber[uint16(j.number)] = j
				b.Push(&rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(j.number), Timestamp: uint32(j.number * 960)}})
			}
		}
		p, err := b.Pop()
		switch {
		case err == nil:
			begun = true
			all = append(all, heard{byNumber[p.SequenceNumber], now})
		case begun:
			b.SetPlayoutHead(b.PlayoutHead() + 1) // lost, or late
		}
	}
	return all
}
