package tcp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/bench/cc/tcp"
	"github.com/tolkyn/tolkyn/internal/netsim"
)

// flow is what a Sender and a Short have in common.
type flow interface {
	Poll(now time.Duration) (tcp.Segment, bool)
	Handle(now time.Duration, a tcp.Ack)
	Next() time.Duration
}

// path carries one flow over a link, and its acknowledgements back in delay.
type path struct {
	now      time.Duration
	sender   flow
	receiver tcp.Receiver
	link     *netsim.Link
	delay    time.Duration

	segments []arrival[tcp.Segment]
	acks     []arrival[tcp.Ack]
	drop     func(tcp.Segment) bool // before the link; nil: none
	queued   time.Duration          // longest wait at the bottleneck
}

type arrival[T any] struct {
	at    time.Duration
	value T
}

// run plays until a time; round is called after each acknowledgement.
func (p *path) run(until time.Duration, round func()) {
	for {
		for {
			s, ok := p.sender.Poll(p.now)
			if !ok {
				break
			}
			if p.drop != nil && p.drop(s) {
				continue
			}
			if fate := p.link.SendTCP(p.now, s.Size); fate.Verdict == netsim.Arrives {
				p.segments = append(p.segments, arrival[tcp.Segment]{fate.At, s})
				p.queued = max(p.queued, fate.At-p.now-p.link.Config(p.now).Delay)
			}
		}
		next := until
		for _, at := range []time.Duration{p.sender.Next(), p.receiver.Next()} {
			if at > 0 {
				next = min(next, at)
			}
		}
		if len(p.segments) > 0 {
			next = min(next, p.segments[0].at)
		}
		if len(p.acks) > 0 {
			next = min(next, p.acks[0].at)
		}
		p.now = max(p.now, next)
		if p.now >= until {
			return
		}
		if a, ok := p.receiver.Poll(p.now); ok {
			p.acks = append(p.acks, arrival[tcp.Ack]{p.now + p.delay, a})
		}
		for len(p.segments) > 0 && p.segments[0].at <= p.now {
			if a, ok := p.receiver.Handle(p.now, p.segments[0].value); ok {
				p.acks = append(p.acks, arrival[tcp.Ack]{p.now + p.delay, a})
			}
			p.segments = p.segments[1:]
		}
		for len(p.acks) > 0 && p.acks[0].at <= p.now {
			p.sender.Handle(p.now, p.acks[0].value)
			p.acks = p.acks[1:]
			if round != nil {
				round()
			}
		}
	}
}

func newPath(s flow, cfg netsim.LinkConfig) *path {
	return &path{sender: s, link: netsim.NewLink(cfg, 1), delay: cfg.Delay}
}

func TestSlowStartDoublesEachRoundTrip(t *testing.T) {
	for _, algorithm := range []tcp.Algorithm{tcp.Reno, tcp.Cubic} {
		s := tcp.New(tcp.Config{Algorithm: algorithm})
		p := newPath(s, netsim.LinkConfig{Delay: 50 * time.Millisecond})
		for i, want := range []float64{10, 20, 40, 80, 160} {
			p.run(time.Duration(i)*100*time.Millisecond+99*time.Millisecond, nil)
			require.Equal(t, want, s.Window(), "%v after %d round trips", algorithm, i)
		}
	}
}

// One segment lost of a window: it alone goes again, the window is cut by the algorithm's share and grows by its law.
func TestFastRecovery(t *testing.T) {
	for _, test := range []struct {
		algorithm tcp.Algorithm
		left      float64
	}{{tcp.Reno, 0.5}, {tcp.Cubic, 0.7}} {
		s := tcp.New(tcp.Config{Algorithm: test.algorithm})
		p := newPath(s, netsim.LinkConfig{Delay: 50 * time.Millisecond})
		dropped := 0
		p.drop = func(g tcp.Segment) bool {
			if g.Number == 100 && !g.Again {
				dropped++
				return true
			}
			return false
		}
		before := 0.0
		p.run(10*time.Second, func() {
			if s.Stats().Recoveries == 0 {
				before = s.Window()
			} else if s.Stats().Again == 1 && before > 0 {
				require.InDelta(t, before*test.left, s.Window(), before*0.02+4, "%v", test.algorithm)
				before = 0
			}
		})
		require.Equal(t, 1, dropped)
		require.Equal(t, uint64(1), s.Stats().Again, "%v", test.algorithm)
		require.Equal(t, uint64(1), s.Stats().Recoveries)
		require.Zero(t, s.Stats().Timeouts)
	}
}

// Reno adds one segment a round trip after a loss.
func TestRenoGrowsByOne(t *testing.T) {
	s := tcp.New(tcp.Config{})
	p := newPath(s, netsim.LinkConfig{Delay: 50 * time.Millisecond})
	p.drop = func(g tcp.Segment) bool { return g.Number == 40 && !g.Again }
	p.run(time.Second, nil)
	from := s.Window()
	p.run(2*time.Second, nil)
	require.InDelta(t, from+10, s.Window(), 0.5)
}

// Both fill any link, and its queue: 2 Mbit/s with 300 and 1000 ms, as RFC 8867 5.6 has it.
func TestFillsLinkAndQueue(t *testing.T) {
	for _, algorithm := range []tcp.Algorithm{tcp.Reno, tcp.Cubic} {
		for _, queue := range []time.Duration{300 * time.Millisecond, time.Second} {
			s := tcp.New(tcp.Config{Algorithm: algorithm})
			p := newPath(s, netsim.LinkConfig{Delay: 50 * time.Millisecond, Rate: 2_000_000, QueueTime: queue})
			p.run(120*time.Second, nil)
			share := float64(p.receiver.Received()*1500*8) / 120 / 2e6
			require.Greater(t, share, 0.98, "%v, %v", algorithm, queue)
			require.Greater(t, p.queued, queue*9/10)
			require.LessOrEqual(t, s.Stats().Timeouts, uint64(1), "%v, %v: %+v", algorithm, queue, s.Stats())
		}
	}
}

func TestTimeoutDoubles(t *testing.T) {
	s := tcp.New(tcp.Config{})
	var sent []time.Duration
	p := newPath(s, netsim.LinkConfig{Delay: 50 * time.Millisecond})
	p.drop = func(g tcp.Segment) bool {
		if g.Number == 0 {
			sent = append(sent, p.now)
		}
		return true
	}
	p.run(8*time.Second, nil)
	require.Equal(t, []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second}, sent)
	require.Equal(t, 1.0, s.Window())
}

func TestAcknowledgements(t *testing.T) {
	var r tcp.Receiver
	handle := func(now time.Duration, n int64) *tcp.Ack {
		if a, ok := r.Handle(now, tcp.Segment{Number: n}); ok {
			return &a
		}
		return nil
	}
	require.Nil(t, handle(0, 0), "a lone one waits")
	require.Equal(t, &tcp.Ack{Next: 2}, handle(0, 1), "each second one")
	require.Nil(t, handle(time.Second, 2))
	require.Equal(t, time.Second+40*time.Millisecond, r.Next())
	_, early := r.Poll(time.Second + 39*time.Millisecond)
	require.False(t, early)
	late, ok := r.Poll(r.Next())
	require.True(t, ok)
	require.Equal(t, tcp.Ack{Next: 3}, late)
	require.Zero(t, r.Next())

	require.Equal(t, &tcp.Ack{Next: 3, Blocks: [3]tcp.Block{{4, 5}}}, handle(0, 4), "a gap is told at once")
	require.Equal(t, &tcp.Ack{Next: 3, Blocks: [3]tcp.Block{{6, 7}, {4, 5}}}, handle(0, 6), "the latest first")
	require.Equal(t, &tcp.Ack{Next: 3, Blocks: [3]tcp.Block{{4, 7}}}, handle(0, 5))
	require.Equal(t, &tcp.Ack{Next: 7}, handle(0, 3), "so is what fills it")
	require.Equal(t, &tcp.Ack{Next: 7}, handle(0, 3), "and a copy")
}

// Whatever is lost, everything comes, and what is in flight never passes the window.
func TestEverythingArrives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(1, 400).Draw(t, "segments")
		s := tcp.New(tcp.Config{
			Algorithm: rapid.SampledFrom([]tcp.Algorithm{tcp.Reno, tcp.Cubic}).Draw(t, "algorithm"), Segments: total,
		})
		p := newPath(s, netsim.LinkConfig{
			Delay:     time.Duration(rapid.IntRange(0, 200).Draw(t, "ms")) * time.Millisecond,
			Rate:      rapid.Int64Range(100_000, 10_000_000).Draw(t, "rate"),
			QueueTime: time.Duration(rapid.IntRange(5, 1000).Draw(t, "queue ms")) * time.Millisecond,
			Loss:      rapid.Float64Range(0, 0.3).Draw(t, "loss"),
			Reorder:   rapid.Float64Range(0, 0.2).Draw(t, "reorder"),
		})
		p.link = netsim.NewLink(p.link.Config(0), rapid.Uint64().Draw(t, "seed"))
		p.run(2*time.Hour, nil)
		if p.receiver.Received() != total || !s.Done() {
			t.Fatalf("%d of %d came, done %v, %+v", p.receiver.Received(), total, s.Done(), s.Stats())
		}
	})
}

// Equal seed, equal packets.
func TestRepeats(t *testing.T) {
	play := func() (int64, tcp.Stats) {
		s := tcp.New(tcp.Config{Algorithm: tcp.Cubic})
		p := newPath(s, netsim.LinkConfig{Delay: 30 * time.Millisecond, Rate: 3_000_000, Loss: 0.01})
		p.run(30*time.Second, nil)
		return p.receiver.Received(), s.Stats()
	}
	received, stats := play()
	again, statsAgain := play()
	require.Equal(t, received, again)
	require.Equal(t, stats, statsAgain)
}

func TestShortFlows(t *testing.T) {
	files, pauses, bytes := 0, 0.0, 0.0
	for seed := range uint64(10) {
		s := tcp.NewShort(0, tcp.Cubic, seed < 2, seed)
		_, begun := s.Poll(0)
		require.Equal(t, seed < 2, begun, "RFC 8867 5.7: two of ten begin with a file")
		s = tcp.NewShort(0, tcp.Cubic, seed < 2, seed)
		p := newPath(s, netsim.LinkConfig{Delay: 50 * time.Millisecond, Rate: 2_000_000, QueueTime: 300 * time.Millisecond})
		p.run(3000*time.Second, nil)
		files += s.Files()
		bytes += float64(p.receiver.Received()) * 1460
		pauses += 3000
	}
	require.InDelta(t, 40_000+730, bytes/float64(files), 500, "files of 40 KB on average, the last segment half full")
	perFile := pauses / float64(files)
	require.InDelta(t, 10.45, perFile, 0.4, "10 s of pause and about half a second for the file")
}
