package bench_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tolkyn/tolkyn/bench"
	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/bench/server"
	"github.com/tolkyn/tolkyn/bench/server/tolkyn"
)

// The runs here are real: a server of its own, callers in their own process, seconds of a real call. They look at what was
// counted, not at how good it was, which is another figure on a busy machine. None runs beside another.

// binary is the server under test.
var binary string

// TestMain lets this very binary be the callers' process, and builds the server.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "worker" {
		err := caller.Work(context.Background(), os.Stdin, os.Stdout, func(t caller.Target) (caller.Dialer, error) { return tolkyn.New(t) })
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	dir, err := os.MkdirTemp("", "tolkyn-bench-test")
	if err == nil {
		binary = filepath.Join(dir, "tolkyn")
		err = build()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir) // a file left in a temporary folder fails no test
		os.Exit(code)
	}))
}

// build is of the tree that the tests stand in.
func build() error {
	if err := os.Chdir(".."); err != nil {
		return err
	}
	return errors.Join(server.Build(context.Background(), binary), os.Chdir("bench"))
}

// parse reads a scenario as the command line would.
func parse(t *testing.T, text string) scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse("test.yaml", []byte(text), scenario.Known{})
	require.NoError(t, err)
	return s
}

// config is a run against a server of this tree.
func config(t *testing.T, s scenario.Scenario, ground bench.Ground) bench.Config {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return bench.Config{
		Scenario: s, Command: "tolkyn bench", Version: "test", Commit: "test", Ground: ground, Worker: []string{self, "worker"},
		Start: func(ctx context.Context, place server.Place) (server.Server, error) {
			return tolkyn.Start(ctx, binary, place)
		},
	}
}

// play runs to the end and looks at what is true of every report.
func play(t *testing.T, c bench.Config) report.Report {
	t.Helper()
	r, _, err := bench.Run(t.Context(), c)
	require.NoError(t, err)
	valid(t, r)
	require.False(t, r.Partial)
	return r
}

// valid holds a report against its schema and reads it back.
func valid(t *testing.T, r report.Report) {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, report.WriteJSON(&b, r))
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(report.JSONSchema))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("report.json", schema))
	compiled, err := compiler.Compile("report.json")
	require.NoError(t, err)
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(b.Bytes()))
	require.NoError(t, err)
	require.NoError(t, compiled.Validate(document))
	back, err := report.ReadJSON(&b)
	require.NoError(t, err)
	require.Equal(t, len(r.Streams), len(back.Streams))
}

// addsUp holds what everybody received against what was sent to them: nothing is counted twice or made up. Callers leave in the
// same moment in which they are asked, so what is under way then is missing, and nothing says how much that is.
func addsUp(t *testing.T, r report.Report, s scenario.Scenario) {
	t.Helper()
	require.Len(t, r.Callers, len(scenario.Schedule(s)))
	sent := map[string]int64{} // by all of a room
	for _, c := range r.Callers {
		require.Empty(t, c.Error, c.Name())
		sent[c.Room] += c.SentPackets
	}
	streamed := map[string]int64{} // to each
	for _, st := range r.Streams {
		streamed[st.Room+"/"+st.Receiver] += st.Packets
		lost := st.Loss.Expected - st.Packets
		require.InDelta(t, st.Loss.After, float64(lost)/float64(max(1, st.Loss.Expected)), 1e-9, "%s: %+v", st.Name(), st)
	}
	for _, c := range r.Callers {
		got := streamed[c.Room+"/"+c.Identity]
		require.LessOrEqual(t, c.ReceivedPackets, sent[c.Room]-c.SentPackets, c.Name())
		require.LessOrEqual(t, got, c.ReceivedPackets, c.Name())
		// Packets that outrun the server's word of whose they are belong to no stream; most do not.
		require.GreaterOrEqual(t, 2*got, c.ReceivedPackets, c.Name())
	}
}

const loopbackCall = `
name: counted
duration: 4s
rooms:
  - name: call
    count: 2
    callers:
      - {name: person, count: 2, publish: [{media: microphone}, {media: camera, profile: 180p}]}
  - name: hall
    callers:
      - {name: speaker, kind: light, publish: [{media: microphone}, {media: camera, profile: 360p}]}
      - {name: listener, kind: light, count: 5}
pass: [missing == 0, wrong == 0, failed == 0]
`

func TestRunCountsWhatWasSent(t *testing.T) {
	s := parse(t, loopbackCall)
	var views []report.Snapshot
	c := config(t, s, bench.Loopback)
	c.Watch = func(view report.Snapshot) { views = append(views, view) }
	r := play(t, c)
	require.True(t, r.Passed, "%+v\n%v", r.Conditions, r.Warnings)
	addsUp(t, r, s)

	// Two rooms in which each of two hears and sees the other, and one in which five hear and see one.
	require.Equal(t, 4+5, r.Audio.Streams)
	require.Equal(t, 4+5, r.Video.Streams)
	require.Equal(t, 3, r.Scenario.Rooms)
	require.Equal(t, 10, r.Scenario.People)
	var all int64
	for _, st := range r.Streams {
		require.Positive(t, st.Packets, st.Name())
		all += st.Packets
	}
	require.Equal(t, all, r.Audio.Packets+r.Video.Packets)

	// What the server and the bench used was seen.
	require.NotEmpty(t, r.Usage)
	require.True(t, r.Server.Local)
	require.NotEmpty(t, r.Server.Version)
	last := r.Usage[len(r.Usage)-1]
	require.Equal(t, 10, last.Callers)
	require.Positive(t, last.ServerMemory)
	require.Positive(t, last.Goroutines)
	require.Positive(t, r.ServerCost.CPUSeconds)
	require.Positive(t, r.ClientCost.CPUSeconds)
	require.Equal(t, "starting", views[0].Phase)
	require.Equal(t, 10, views[len(views)-1].Callers)
	require.Empty(t, r.Links)
}

func TestRunOverVeth(t *testing.T) {
	s := parse(t, `
name: veth
duration: 3s
rooms:
  - name: call
    callers:
      - {name: full, publish: [{media: microphone}]}
      - {name: light, kind: light, publish: [{media: microphone}]}
pass: [missing == 0, wrong == 0, failed == 0]
`)
	r := play(t, config(t, s, bench.Veth))
	require.True(t, r.Passed, "%+v\n%v", r.Conditions, r.Warnings)
	addsUp(t, r, s)
	require.Contains(t, r.Server.Address, "10.77.0.1")
	require.Empty(t, r.Links)
}

// A network that forgets where the call comes from, then lets no UDP through: the call goes on over TCP, and the report says what
// the network was asked to do and did. Who waited for ICE to notice was silent for 5 s at least.
func TestRunOverANetworkThatCutsUDP(t *testing.T) {
	s := parse(t, `
name: cut
duration: 20s
rooms:
  - name: call
    callers:
      - {name: far, network: poor, publish: [{media: microphone}]}
      - {name: near, publish: [{media: microphone}]}
networks:
  poor:
    up: {delay: 30ms, loss: 10%}
    down: {delay: 40ms, loss: 10%}
    tcp_loss: 1%
    events: [{at: 3s, do: rebind}, {at: 4s, do: cut_udp}]
pass: [missing == 0, wrong == 0, failed == 0]
`)
	r := play(t, config(t, s, "")) // a network of this kind asks for the link between namespaces
	require.True(t, r.Passed, "%+v\n%v", r.Conditions, r.Warnings)
	for _, c := range r.Callers {
		if c.Identity == "near" {
			require.Equal(t, "udp", c.Path)
			continue
		}
		require.Equal(t, "tcp", c.Path)
		require.Positive(t, c.Reconnects)
		require.NotEmpty(t, c.Gaps)
		require.Less(t, slices.Max(c.Gaps), 4500.0, "ms without media")
	}
	for _, st := range r.Streams {
		require.Positive(t, st.Slices[len(st.Slices)-2].Packets, "%s in the last whole second: %+v", st.Name(), st.Slices)
	}

	require.Len(t, r.Links, 2)
	for i, want := range []report.Link{{Direction: "up", AskedMS: 30}, {Direction: "down", AskedMS: 40}} {
		link := r.Links[i]
		require.Equal(t, "poor", link.Name)
		require.Equal(t, want.Direction, link.Direction)
		require.Greater(t, link.Packets, int64(100))
		require.Equal(t, want.AskedMS, link.AskedMS)
		require.GreaterOrEqual(t, link.DelayP50, want.AskedMS)
		// What was asked lies between TCP's loss and UDP's, as there was of each; 6 standard deviations of a fair die.
		require.Greater(t, link.AskedLoss, 0.01)
		require.Less(t, link.AskedLoss, 0.1)
		require.InDelta(t, link.AskedLoss, link.Loss, 6*math.Sqrt(0.1*0.9/float64(link.Packets)))
		require.Positive(t, link.Loss)
		require.Zero(t, link.Overflow)
	}
}

// capped is a control group that leaves its processes a share of one core.
func capped(t *testing.T, share float64) (dir string) {
	t.Helper()
	const period = 100_000 // µs, the kernel's default
	dir = "/sys/fs/cgroup/cpu/tolkyn-bench-test-" + strconv.Itoa(os.Getpid())
	require.NoError(t, os.Mkdir(dir, 0o755), "this test needs root and cgroup v1")
	t.Cleanup(func() { require.NoError(t, os.Remove(dir)) })
	write(t, dir, "cpu.cfs_period_us", period)
	write(t, dir, "cpu.cfs_quota_us", int(share*period))
	return dir
}

func write(t *testing.T, dir, name string, value int) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(strconv.Itoa(value)), 0o644))
}

// Six that see each other need several times the fifth of a core that they are given.
func TestRunSaysThatTheBenchGaveWay(t *testing.T) {
	s := parse(t, `
name: too-much
duration: 4s
rooms:
  - name: call
    callers:
      - {name: person, count: 6, publish: [{media: microphone}, {media: camera, profile: 720p}]}
pass: [wrong == 0]
`)
	c := config(t, s, bench.Loopback)
	dir := capped(t, 0.2)
	var allowed float64
	c.StartWorker = func(cmd *exec.Cmd, place func(*exec.Cmd) error) error {
		if err := place(cmd); err != nil {
			return err
		}
		write(t, dir, "cgroup.procs", cmd.Process.Pid)
		allowed = server.Quota(cmd.Process.Pid, 2)
		return nil
	}
	r := play(t, c)
	require.Equal(t, 0.2, allowed)
	require.Equal(t, string(measure.Client), r.Bottleneck, "%v\n%+v", r.Warnings, r.Usage)
	require.True(t, strings.HasPrefix(r.Warnings[0], "The bench"), "%v", r.Warnings)
}

func TestRunNeedsAServer(t *testing.T) {
	c := config(t, parse(t, loopbackCall), bench.Loopback)
	c.Start = nil
	_, _, err := bench.Run(t.Context(), c)
	require.ErrorContains(t, err, "a server is needed: its address, or how to start one")
}

const growing = `
name: growing
duration: 2s
grows: people
rooms:
  - name: hall
    callers:
      - {name: speaker, kind: light, publish: [{media: microphone}]}
      - {name: listener, kind: light}
`

func TestCapacityThatIsEndedEarlySaysSo(t *testing.T) {
	s := parse(t, growing)
	s.Duration = time.Hour
	c := config(t, s, bench.Loopback)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.Watch = func(view report.Snapshot) {
		if view.Callers == 2 {
			cancel()
		}
	}
	r, _, err := bench.Capacity(ctx, c, bench.Search{Until: "missing > 0"})
	require.NoError(t, err)
	valid(t, r)
	require.True(t, r.Partial)
	require.False(t, r.Passed)
	require.Len(t, r.Callers, 2)
	require.Empty(t, r.Capacity.Tries)
	require.Contains(t, r.Warnings, "The search was ended within its first try: there is no capacity to tell.")
	require.NoError(t, report.WriteText(io.Discard, r, false))
}

func TestCapacityTriesLoadsUpToItsBound(t *testing.T) {
	s := parse(t, growing)
	c := config(t, s, bench.Loopback)
	r, _, err := bench.Capacity(t.Context(), c, bench.Search{Until: "missing > 0", To: 2})
	require.NoError(t, err)
	valid(t, r)
	require.True(t, r.Passed)
	require.Equal(t, "subscribers", r.Capacity.Unit)
	require.Equal(t, 2, r.Capacity.Largest)
	require.Zero(t, r.Capacity.Failed)
	require.Len(t, r.Capacity.Tries, 2)
	for i, try := range r.Capacity.Tries {
		require.Equal(t, i+1, try.Load)
		require.True(t, try.Held)
		require.Positive(t, try.PacketsOut)
	}
	require.Len(t, r.Callers, 3, "the report is of the largest load that held")
	require.Contains(t, r.Warnings, "No load that was tried was too much: the capacity is at least 2 subscribers.")

	for text, search := range map[string]bench.Search{
		"--until": {Until: "dealy > 3ms"},
		"--from":  {Until: "missing > 0", From: -1},
		"--to":    {Until: "missing > 0", From: 5, To: 2},
		"--tries": {Until: "missing > 0", Tries: -1},
	} {
		_, _, err := bench.Capacity(t.Context(), c, search)
		require.ErrorContains(t, err, text)
	}
}
