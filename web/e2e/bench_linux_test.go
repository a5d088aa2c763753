package e2e

import (
	"bytes"
	"context"
	be "encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/bench/scenario"
	under "github.com/tolkyn/tolkyn/bench/server"
	"github.com/tolkyn/tolkyn/bench/server/tolkyn"
	"github.com/tolkyn/tolkyn/internal/netsim"
)

// TestBenchAndChromiumAgree: what a modelled link did to every packet, what a full caller of the bench says of it, and what
// Chromium says of it are one. A full caller sends a voice and a picture from beside the server; both receivers are behind the
// link.
func TestBenchAndChromiumAgree(t *testing.T) {
	const (
		loss     = 0.05
		duration = 19 * time.Second
		ends     = 17 * time.Second // of what is sent: what is still under way then arrives before the end
	)
	findProgram(t, "chromium", "chromium", "chromium-browser", "google-chrome")
	link := netsim.LinkConfig{Delay: 100 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: loss, LossTCP: -1}
	var truth flows
	network, err := netem.Open(netem.Config{Seed: 4, Links: []netem.Path{{Up: link, Down: link}}, Log: truth.add})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, network.Close()) })
	program := buildServer(t)
	s, err := tolkyn.Start(t.Context(), program, under.Place{
		Host: netem.ServerAddr, Dir: t.TempDir(),
		Start: func(c *exec.Cmd) error { return network.Start(netem.Server, c) },
		Dial: func(ctx context.Context, n, address string) (net.Conn, error) {
			return network.Dial(ctx, netem.Server, n, address)
		},
	})
	require.NoError(t, err)
	t.Cleanup(s.Stop)

	published := []scenario.Track{{Media: scenario.Microphone}, {Media: scenario.Camera, Profile: scenario.P360}}
	sender := scenario.Caller{
		Number: 1, Room: "r", Identity: "sender", Kind: scenario.Full, Publish: published,
		Events: []scenario.Event{{Do: scenario.Join}, {At: ends, Do: scenario.Leave}},
	}
	receivers := []scenario.Caller{
		{Number: 2, Room: "r", Identity: "full", Kind: scenario.Full, AudioSlots: 1, VideoSlots: 1, Events: []scenario.Event{{Do: scenario.Join}}},
		{
			Number: 3, Room: "r", Identity: "browser", Kind: scenario.Browser, AudioSlots: 1, VideoSlots: 1,
			Events: []scenario.Event{{At: 1500 * time.Millisecond, Do: scenario.Join}},
		},
	}
	job := caller.Job{Target: s.Target(), Epoch: time.Now().Add(3 * time.Second), Duration: duration, Debug: true}
	near, far := job, job
	near.Callers, near.Others, near.Target.Address = []scenario.Caller{sender}, receivers, netem.ServerAddr
	far.Callers, far.Others, far.Modelled, far.Target.Address = receivers, near.Callers, true, netem.ClientAddr(0)
	var results [2]*caller.Result
	var errs [2]error
	var working sync.WaitGroup
	for side, job := range [...]caller.Job{netem.Client: far, netem.Server: near} {
		working.Go(func() {
			results[side], errs[side] = work(t, program, job, func(c *exec.Cmd) error { return network.Start(netem.Side(side), c) })
		})
	}
	working.Wait()
	require.NoError(t, errs[netem.Client])
	require.NoError(t, errs[netem.Server])

	totals := results[netem.Client].Totals
	for _, c := range slices.Concat(totals.Callers, results[netem.Server].Totals.Callers) {
		t.Logf("%s: steps %v, sent %d, received %d", c.Identity, c.Steps, c.SentPackets, c.ReceivedPackets)
		require.Empty(t, c.Error, c.Identity)
	}
	t.Logf("accounts of the link: %+v", network.Accounts()[0][netem.Down])
	streams := map[string]measure.Stream{}
	for _, s := range totals.Streams {
		streams[s.Receiver+" "+string(s.Kind)] = s
	}
	ports := truth.ports()
	require.Len(t, ports, 2, "two receivers: the full caller came first")
	for _, kind := range []measure.Kind{measure.Audio, measure.Video} {
		var delays [2]float64
		for i, who := range []string{"full", "browser"} {
			told, ok := streams[who+" "+string(kind)]
			require.True(t, ok, "%s %s in %v", who, kind, streams)
			did := truth.of(ports[i], kind)
			t.Logf("%s %s: the link lost %.3f %% of %d packets, %.1f ms at the median; told: %.3f %% of %d (repaired %d, after repair %.3f %%), "+
				"delay p50 %.1f, p95 %.1f, max %.1f ms of %d", who, kind, did.loss()*100, did.sent, did.median(),
				told.Loss.Before*100, told.Loss.Expected, told.Loss.Repaired, told.Loss.After*100, told.Delay.P50, told.Delay.P95, told.Delay.Max, told.Delay.Count)
			lost := did.loss()
			if who == "browser" && kind == measure.Audio {
				lost = did.missing() // getStats takes what is sent again under its own number for what had not been lost
			}
			require.InDelta(t, lost, told.Loss.Before, 0.002, "%s: share of %s lost", who, kind)
			require.Greater(t, told.Delay.P50, did.median()-1, "%s: faster than the link", who)
			delays[i] = told.Delay.P50
			require.Zero(t, told.Wrong)
		}
		within := map[measure.Kind]float64{measure.Audio: 10, measure.Video: 33}[kind]
		require.InDelta(t, delays[0], delays[1], within, "ms of %s: delay at the median, the full caller's and Chromium's", kind)
	}
}

// TestBrowserCallers: two browsers and a full caller in one room, played by one worker: each hears and sees the others, and what a
// browser sends says who it is and when it was sent.
func TestBrowserCallers(t *testing.T) {
	findProgram(t, "chromium", "chromium", "chromium-browser", "google-chrome")
	s := startServer(t)
	job := caller.Job{
		Target: caller.Target{Kind: "tolkyn", URL: s.url}, Epoch: time.Now().Add(3 * time.Second), Duration: 10 * time.Second,
	}
	for i, kind := range []scenario.Kind{scenario.Full, scenario.Browser, scenario.Browser} {
		job.Callers = append(job.Callers, scenario.Caller{
			Number: i + 1, Room: "r", Identity: fmt.Sprint("caller-", i+1), Kind: kind, AudioSlots: 2, VideoSlots: 2,
			Publish: []scenario.Track{{Media: scenario.Microphone}, {Media: scenario.Camera, Profile: scenario.P180}},
			Events: []scenario.Event{
				{Do: scenario.Join}, {At: 5 * time.Second, Do: scenario.Mute}, {At: 6 * time.Second, Do: scenario.Unmute},
			},
		})
	}
	result, err := work(t, buildServer(t), job, (*exec.Cmd).Start)
	require.NoError(t, err)
	require.Len(t, result.Totals.Callers, 3)
	for _, c := range result.Totals.Callers {
		t.Logf("%+v", c)
		require.Empty(t, c.Error, c.Identity)
		require.Positive(t, c.SentPackets, c.Identity)
		for _, step := range []measure.Step{measure.Connect, measure.Auth, measure.Join, measure.ICE, measure.DTLS, measure.FirstFrame, measure.Total} {
			require.Contains(t, c.Steps, step, c.Identity)
		}
	}
	require.Len(t, result.Totals.Streams, 3*2*2)
	for _, st := range result.Totals.Streams {
		name := fmt.Sprintf("%s of %s at %s", st.Track, st.Sender, st.Receiver)
		t.Logf("%s: %d packets, delay %+v, wrong %d", name, st.Packets, st.Delay, st.Wrong)
		require.Greater(t, st.Packets, int64(50), name)
		require.Greater(t, st.Delay.Count, int64(50), name)
		require.Greater(t, st.Delay.P50, -5.0, "%s: two clocks of one machine", name)
		require.Less(t, st.Delay.P50, 1000.0, "%s: a second is no delay on loopback: the time was read wrongly", name)
		require.Zero(t, st.Wrong, name)
		require.NotNil(t, map[measure.Kind]any{measure.Audio: st.Sound, measure.Video: st.Picture}[st.Kind], name)
		if st.Picture != nil {
			require.Greater(t, st.Picture.Frames, int64(50), name)
			require.Equal(t, []int{320, 180}, []int{st.Picture.Width, st.Picture.Height}, name)
		}
	}
}

// work has the program's worker play a job.
func work(t *testing.T, program string, job caller.Job, start func(*exec.Cmd) error) (*caller.Result, error) {
	line, err := json.Marshal(job)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, "bench", "worker")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := start(cmd); err != nil {
		return nil, err
	}
	_, err = in.Write(append(line, '\n'))
	if ended := cmd.Wait(); err != nil || ended != nil {
		return nil, fmt.Errorf("%w, %w: %s", err, ended, &log)
	}
	for messages := json.NewDecoder(&out); ; {
		var m caller.Message
		if err := messages.Decode(&m); err != nil {
			return nil, fmt.Errorf("no result: %w: %s", err, &log)
		}
		if m.Event != nil && m.Event.Name == "clock" {
			t.Logf("Chromium's clock and ours: %v", m.Event.Detail)
		}
		if m.Error != "" {
			return nil, fmt.Errorf("worker: %s", m.Error)
		}
		if m.Result != nil {
			return m.Result, nil
		}
	}
}

// flows are what the link did to every stream of RTP from the server.
type flows struct {
	mu    sync.Mutex
	all   map[flow]*fates
	order []uint16 // ports of receivers, as they came
}

type flow struct {
	port uint16
	ssrc uint32
}

// fates are those of one stream's packets, at their first sending.
type fates struct {
	seen             map[uint16]bool // by sequence number: whether it has arrived
	sent, lost, size int
	mended           int // of the lost ones, those that arrived when they were sent again
	delays           []time.Duration
}

func (f *fates) loss() float64 { return float64(f.lost) / float64(f.sent) }

func (f *fates) missing() float64 { return float64(f.lost-f.mended) / float64(f.sent) }

// median delay in ms.
func (f *fates) median() float64 {
	slices.Sort(f.delays)
	return float64(f.delays[len(f.delays)/2]) / float64(time.Millisecond)
}

// add reads one packet: IPv4, UDP, RTP.
func (f *flows) add(p netem.Passage) {
	b := p.Packet
	if p.Direction != netem.Down || len(b) < 20+8+12 || b[0] != 0x45 || b[9] != 17 {
		return
	}
	if b[28]>>6 != 2 || b[29] >= 192 && b[29] < 224 {
		return // RTCP, DTLS, STUN, QUIC (RFC 7983)
	}
	if addr, _ := netip.AddrFromSlice(b[12:16]); addr != netem.ServerAddr {
		return
	}
	key := flow{be.BigEndian.Uint16(b[22:]), be.BigEndian.Uint32(b[36:])}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = map[flow]*fates{}
	}
	if !slices.Contains(f.order, key.port) {
		f.order = append(f.order, key.port)
	}
	it := f.all[key]
	if it == nil {
		it = &fates{seen: map[uint16]bool{}}
		f.all[key] = it
	}
	sequence := be.BigEndian.Uint16(b[30:])
	arrives := p.Fate.Verdict == netsim.Arrives
	if arrived, again := it.seen[sequence]; again {
		if arrives && !arrived {
			it.seen[sequence] = true
			it.mended++
		}
		return
	}
	it.seen[sequence] = arrives
	it.sent++
	it.size += p.Size
	if !arrives {
		it.lost++
		return
	}
	it.delays = append(it.delays, p.Fate.At-p.Sent)
}

// ports of the receivers, as they came.
func (f *flows) ports() []uint16 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.order)
}

// of is a receiver's only sound or picture: the longest stream of small, or of large, packets; shorter ones are what is sent again.
func (f *flows) of(port uint16, kind measure.Kind) *fates {
	const large = 500 // bytes on average: sound with two copies has 300
	f.mu.Lock()
	defer f.mu.Unlock()
	longest := &fates{}
	for key, it := range f.all {
		if key.port == port && (it.size > large*it.sent) == (kind == measure.Video) && it.sent > longest.sent {
			longest = it
		}
	}
	return longest
}
