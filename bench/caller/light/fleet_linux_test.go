package light_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tolkyn/tolkyn/bench/caller/light"
	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/bench/server"
)

var binary string

// TestMain builds the server once. It is reached by its address alone.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "light")
		if err == nil {
			defer os.RemoveAll(dir)
			binary = filepath.Join(dir, "tolkyn")
			err = build(binary)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

func build(path string) error {
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	defer os.Chdir(here)
	if err := os.Chdir("../../.."); err != nil {
		return err
	}
	return server.Build(context.Background(), path)
}

func start(t *testing.T) string {
	t.Helper()
	s, err := server.Start(binary, (*exec.Cmd).Start,
		"--listen", "127.0.0.1:0", "--quic", "127.0.0.1:0", "--media", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	return "http://" + s.Listening["http.listen"]
}

var joinAtOnce = []scenario.Event{{Do: scenario.Join}}

// webinar is one publisher of sound and picture and people who take both.
func webinar(people int) []scenario.Caller {
	all := []scenario.Caller{{
		Number: 1, Room: "webinar", Identity: "speaker", Events: joinAtOnce,
		Publish: []scenario.Track{{Media: scenario.Microphone}, {Media: scenario.Camera, Bitrate: 3_000_000}},
	}}
	for i := range people {
		all = append(all, scenario.Caller{
			Number: 2 + i, Room: "webinar", Identity: fmt.Sprint("listener-", i), Events: joinAtOnce, AudioSlots: 1, VideoSlots: 1,
		})
	}
	return all
}

// running is a fleet at work.
type running struct {
	*light.Fleet
	cancel context.CancelFunc
	over   chan struct{}
}

// run places the callers, and returns once all have come.
func run(t *testing.T, cfg light.Config) *running {
	t.Helper()
	f, err := light.New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{f, cancel, make(chan struct{})}
	go func() {
		defer close(r.over)
		f.Run(ctx)
	}()
	t.Cleanup(func() { r.end(t) })
	coming, late := context.WithTimeout(ctx, 20*time.Second)
	defer late()
	require.NoError(t, f.Settle(coming))
	return r
}

// end sends everybody home.
func (r *running) end(t *testing.T) light.Result {
	t.Helper()
	r.cancel()
	<-r.over
	require.NoError(t, r.Close())
	return r.Result()
}

// eventually looks until the fleet is as wanted: how long that takes is the machine's business.
func eventually(t *testing.T, f *running, wanted func(light.Snapshot) bool) light.Snapshot {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		s := f.Snapshot()
		if wanted(s) {
			return s
		}
		require.False(t, time.Now().After(deadline), "%+v", s)
	}
}

// What one sends all others get, each packet once, genuine and stamped, and the server takes every answer for a browser's.
func TestEveryPacketArrives(t *testing.T) {
	for name, own := range map[string]bool{"one socket": false, "own sockets": true} {
		t.Run(name, func(t *testing.T) { everyPacketArrives(t, own) })
	}
}

func everyPacketArrives(t *testing.T, own bool) {
	const people = 5
	url := start(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	f := run(t, light.Config{Server: url, Callers: webinar(people), OpenOneIn: 1, OwnSockets: own})
	require.Equal(t, people+1, f.Snapshot().Present)
	eventually(t, f, func(s light.Snapshot) bool { return s.ReceivedPackets >= 800 })
	r := f.end(t)
	require.Zero(t, r.Forged)
	require.Zero(t, r.Lost)
	require.Zero(t, r.Overflow)
	require.Zero(t, r.Strange)
	require.Len(t, r.Callers, people+1)
	require.Len(t, r.Streams, 2*people)
	require.GreaterOrEqual(t, r.Opened, r.ReceivedPackets)
	for _, c := range r.Callers {
		require.Empty(t, c.Error)
		require.Contains(t, c.Steps, measure.DTLS)
		require.Positive(t, c.RTT)
		if c.Identity != "speaker" {
			require.Contains(t, c.Steps, measure.Total)
		}
	}
	for _, s := range r.Streams {
		require.Equal(t, "speaker", s.Sender)
		require.Contains(t, []string{"microphone", "camera"}, s.Track)
		require.Positive(t, s.Packets)
		require.Zero(t, s.Loss.After)
		require.Zero(t, s.Wrong)
		require.Positive(t, s.Delay.Count, "stamps were read")
		require.Positive(t, s.Delay.P50)
	}
}

// layered is a webinar of one who sends three encodings and no sound, and people who look as views say, two seconds each.
func layered(people int, views ...scenario.Size) []scenario.Caller {
	all := webinar(people)
	all[0].Publish = []scenario.Track{{Media: scenario.Camera, Profile: scenario.P720, Layers: 3, Bitrate: 1_200_000}}
	for i := range all[1:] {
		for at := range 60 {
			all[1+i].Events = append(slices.Clip(all[1+i].Events), scenario.Event{
				At: time.Duration(2*at) * time.Second, Do: scenario.Look, Size: views[at%len(views)],
			})
		}
	}
	return all
}

// A simulcast arrives in the size in which it is shown, whole and of the right one.
func TestLayersFollowTheView(t *testing.T) {
	url := start(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	f := run(t, light.Config{Server: url, Callers: layered(2, "320x180", "1280x720"), OpenOneIn: 1})
	eventually(t, f, func(light.Snapshot) bool {
		streams := f.Result().Streams
		return len(streams) == 2 && streams[0].Switches >= 2 && streams[1].Switches >= 2 // up and down again
	})
	r := f.end(t)
	require.Zero(t, r.Lost+r.Forged+r.Strange)
	require.Len(t, r.Streams, 2)
	for _, s := range r.Streams {
		require.Zero(t, s.Wrong)
		require.Zero(t, s.Loss.After)
	}
	require.Positive(t, r.SignalBytes)
}

// What nobody watches is not sent: of three encodings the one that is looked at, which is a seventh of the packets.
func TestUnwatchedLayersRest(t *testing.T) {
	url := start(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	f := run(t, light.Config{Server: url, Callers: layered(1, "320x180"), OpenOneIn: 1})
	last := f.Snapshot()
	eventually(t, f, func(s light.Snapshot) bool {
		sent, received := s.SentPackets-last.SentPackets, s.ReceivedPackets-last.ReceivedPackets
		if received < 20 {
			return false
		}
		last = s
		return sent < 2*received
	})
	require.Zero(t, f.end(t).Lost)
}

// One packet in N is enough to count all of them.
func TestOpensOneInN(t *testing.T) {
	const one = 8
	url := start(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	f := run(t, light.Config{Server: url, Callers: webinar(2), OpenOneIn: one})
	// All is opened at first, until the numbers of each stream are known: on a machine that others use that takes its time.
	// Samples are of all datagrams, and all of the server's reports are opened.
	last := f.Snapshot()
	eventually(t, f, func(s light.Snapshot) bool {
		received, opened := s.ReceivedPackets-last.ReceivedPackets, s.Opened-last.Opened
		if received < 800 {
			return false
		}
		last = s
		return opened >= received/one-40 && opened <= received/one+40
	})
	r := f.end(t)
	require.Equal(t, one, r.OpenOneIn)
	require.Zero(t, r.Lost+r.Forged+r.Strange)
}

// Callers leave and come again, with a goodbye and without, and the call goes on.
func TestChurn(t *testing.T) {
	url := start(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	callers := webinar(3)
	at := func(ms int, do scenario.Action) scenario.Event {
		return scenario.Event{At: time.Duration(ms) * time.Millisecond, Do: do}
	}
	callers[1].Events = []scenario.Event{at(0, scenario.Join), at(600, scenario.Leave), at(900, scenario.Rejoin)}
	callers[2].Events = []scenario.Event{at(0, scenario.Join), at(900, scenario.Drop)}
	callers[0].Events = []scenario.Event{at(0, scenario.Join), at(1100, scenario.Mute), at(1200, scenario.Unmute)}
	f := run(t, light.Config{Server: url, Callers: callers, OpenOneIn: 1, Duration: 2 * time.Second})
	<-f.over
	require.Zero(t, f.Snapshot().Present, "the run is over")
	r := f.end(t)
	require.Zero(t, r.Forged+r.Overflow)
	returns := map[string]int64{}
	for _, c := range r.Callers {
		require.Empty(t, c.Error, c.Identity)
		returns[c.Identity] = c.Reconnects
	}
	require.Equal(t, map[string]int64{"speaker": 0, "listener-0": 0, "listener-1": 1, "listener-2": 0}, returns)
}

func TestErrorsSayWhat(t *testing.T) {
	_, err := light.New(light.Config{})
	require.ErrorContains(t, err, "Server")
	_, err = light.New(light.Config{Server: "http://127.0.0.1:1", OpenOneIn: light.MaxOpenOneIn + 1})
	require.ErrorContains(t, err, "OpenOneIn")

	f, err := light.New(light.Config{Server: "http://127.0.0.1:1", Callers: webinar(1), Duration: time.Second})
	require.NoError(t, err)
	defer f.Close()
	f.Run(t.Context())
	require.ErrorContains(t, f.Settle(t.Context()), "connection refused")
	s := f.Snapshot()
	require.Zero(t, s.Present)
	require.Equal(t, 2, s.Failing)
	for _, c := range f.Result().Callers {
		require.Contains(t, c.Error, "connection refused")
	}
}
