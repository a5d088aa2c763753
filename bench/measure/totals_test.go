package measure_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/report"
)

// A report's Total is made of a Summary by conversion: the same fields in the same order.
var _ = report.Total(measure.Summary{})

// call is three sounds and two pictures in one room. Sound 2 loses every tenth packet, nothing of sound 3 came, picture 2
// takes 200 ms and stands still for a second.
func call() *measure.Totals {
	t := new(measure.Totals)
	for i, who := range []string{"aru", "bek", "dana"} {
		m := measure.NewAudio(measure.AudioConfig{
			Of: measure.Of{Room: "r", Receiver: "kai", Sender: who, Track: "microphone", Codec: "opus"},
		})
		for n := range 500 {
			if i == 2 || i == 1 && n%10 == 5 {
				continue
			}
			now := time.Duration(n) * 20 * time.Millisecond
			m.Packet(now, uint16(n), 100, uint32(n)*960, false)
			m.Stamped(now, now-30*time.Millisecond, 0)
		}
		t.AddStream(m.Stream(10*time.Second), m.Histograms())
	}
	for i, who := range []string{"aru", "bek"} {
		m := measure.NewVideo(measure.VideoConfig{
			Of:  measure.Of{Room: "r", Receiver: "kai", Sender: who, Track: "camera", Codec: "VP8"},
			FPS: 25, Width: 1280, Height: 720,
		})
		for n := range 250 {
			now := time.Duration(n) * 40 * time.Millisecond
			if i == 1 && n > 100 && n < 126 {
				continue
			}
			m.Packet(now, uint16(n), 1000, uint32(n)*3600, false)
			m.Frame(now, measure.Frame{
				Stamped: true, Sent: now - time.Duration(50+150*i)*time.Millisecond, Width: 1280, Height: 720, Bytes: 5000,
				Decodable: true,
			})
		}
		t.AddStream(m.Stream(10*time.Second), m.Histograms())
	}
	t.AddCaller(measure.Caller{
		Room: "r", Identity: "kai", RTT: 20, Reconnects: 1, Gaps: []float64{300, 1200},
		Steps: map[measure.Step]float64{measure.Connect: 40, measure.FirstFrame: 100, measure.Total: 400},
	})
	t.AddCaller(measure.Caller{Room: "r", Identity: "mal", Error: "refused", Steps: map[measure.Step]float64{measure.Connect: 60}})
	return t
}

func TestSummary(t *testing.T) {
	run := call()
	a := run.Summary(measure.Audio)
	require.Equal(t, []int{3, 1}, []int{a.Streams, a.Missing})
	require.Equal(t, int64(950), a.Packets)
	require.Equal(t, int64(950), a.Delay.Count)
	require.Equal(t, 30.0, a.Delay.P99)
	require.InDelta(t, (0+0.1+1)/3, a.After.Mean, 0.001)
	require.Equal(t, 1.0, a.After.Max, "nothing came: all was lost")
	require.Equal(t, 1.0, a.MOSWorst)
	require.Equal(t, int64(3), a.MOS.Count)
	require.Zero(t, a.FPS.Count)

	v := run.Summary(measure.Video)
	require.Equal(t, int64(1), v.Freezes)
	require.InDelta(t, 0.104, v.Frozen.Max, 0.0001)
	require.Equal(t, 200.0, v.Delay.Max)
	require.InDelta(t, 50, v.Delay.P50, 0.05)
	require.Equal(t, v.ScoreP5, run.Streams[4].Picture.Score)
	require.Less(t, v.ScoreP5, v.Score.Max)
	require.Equal(t, float64(v.Bytes)/19.96*60, v.PerMinute*20/19.96, "20 s of stream")
}

// Who counts packets and looks at no frames says nothing of how many there were.
func TestTimelineOfPicturesThatNobodyLookedAt(t *testing.T) {
	seen := measure.Stream{Kind: measure.Video, Packets: 60, Picture: &measure.Picture{}, Slices: []measure.Slice{{Packets: 60, FPS: 30}}}
	counted := measure.Stream{Kind: measure.Video, Packets: 60, Slices: []measure.Slice{{Packets: 60}}}
	var run measure.Totals
	for _, s := range []measure.Stream{counted, seen, counted} {
		run.AddStream(s, measure.Histograms{})
	}
	require.Equal(t, []measure.Slice{{Packets: 180, FPS: 30}}, run.Timeline())
}

func TestSetupAndTimeline(t *testing.T) {
	run := call()
	require.Equal(t, 50.0, run.Setup()[measure.Connect].Mean)
	require.Equal(t, int64(1), run.Setup()[measure.Total].Count)
	line := run.Timeline()
	require.Len(t, line, 10)
	require.Equal(t, 3.0, line[3].At)
	require.Equal(t, int64(50+45+25+25), line[3].Packets)
	require.InDelta(t, (50+45)*800+2*25*8000, line[3].Bitrate, 1e-6)
	require.InDelta(t, 5.0/150, line[3].LossShare, 1e-9)
	require.Equal(t, 25.0, line[3].FPS)
	require.Equal(t, 200.0, line[3].DelayMax)
	require.InDelta(t, (95*30+25*50+25*200)/145.0, line[3].DelayP50, 1e-9)
	require.InDelta(t, 0.5, line[4].Frozen, 1e-9)
}

// Two processes' parts make the same whole.
func TestTotalsTravel(t *testing.T) {
	whole, left, right := call(), new(measure.Totals), new(measure.Totals)
	b, err := json.Marshal(whole)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, left))
	require.Empty(t, cmp.Diff(whole.Summary(measure.Video), left.Summary(measure.Video)))
	require.Empty(t, cmp.Diff(whole.Timeline(), left.Timeline()))
	require.NoError(t, json.Unmarshal(b, right))
	left.Merge(right)
	one, both := whole.Summary(measure.Audio), left.Summary(measure.Audio)
	require.Equal(t, 2*one.Streams, both.Streams)
	require.Equal(t, 2*one.Delay.Count, both.Delay.Count)
	require.Equal(t, one.Delay.P99, both.Delay.P99)
	require.Len(t, left.Callers, 4)
}

// Of a caller that got nowhere a report has no steps, which its schema tells from null.
func TestACallerThatReachedNothing(t *testing.T) {
	var there measure.Totals
	there.AddCaller(measure.Caller{Error: "refused"})
	b, err := json.Marshal(&there)
	require.NoError(t, err)
	require.Contains(t, string(b), `"steps_ms":{}`)
	var here measure.Totals
	require.NoError(t, json.Unmarshal(b, &here))
	require.NotNil(t, here.Callers[0].Steps)
}

func TestEvaluate(t *testing.T) {
	run := call()
	for _, c := range []struct {
		text  string
		holds bool
		value float64
		worst string
	}{
		{"missing == 0", false, 1, "kai hears dana (r)"},
		{"missing>0", true, 1, "kai hears dana (r)"},
		{"loss_max>=100%", true, 100, "kai hears dana (r)"},
		{"audio_loss_p50 < 0.5", true, 0.1, "kai hears dana (r)"},
		{"video_loss<50%", true, 5.02, "kai sees bek (r)"},
		{"delay_max<=0.2s", true, 0.2, "kai sees bek (r)"},
		{"audio_delay_p99<=30ms", true, 30, ""},
		{"audio_delay_min==30ms", true, 30, ""},
		{"mos_p5<4.0", true, 1, "kai hears dana (r)"},
		{"mos_max>4.3", true, 4.38, "kai hears dana (r)"},
		{"freezes==1", true, 1, "kai sees bek (r)"},
		{"freezes_p50<1", true, 0, "kai sees bek (r)"},
		{"frozen_max<0.2", true, 0.104, "kai sees bek (r)"},
		{"fps_min>25", false, 6.93, "kai sees bek (r)"},
		{"score_p5>1", true, 0, "kai sees bek (r)"},
		{"video_bitrate_max>=199kbit/s", true, 200, "kai sees bek (r)"},
		{"bitrate_max<1Mbit/s", true, 0.2, "kai hears dana (r)"},
		{"join_p50==400ms", true, 400, "mal (r)"},
		{"join_max<30s", false, 60, "mal (r)"},
		{"connect<50ms", false, 50, "mal (r)"},
		{"first_frame_max<10s", false, 60, "mal (r)"},
		{"reconnects==1", true, 1, "kai (r)"},
		{"gap_p95<1s", false, 1.2, "kai (r)"},
		{"failed==0", false, 1, "mal (r)"},
		{"rtt_max<30ms", true, 20, "kai (r)"},
		{"wrong==0 and drops==0 and forged==0", true, 0, ""},
	} {
		parsed, err := measure.ParseCondition(c.text)
		require.NoError(t, err, c.text)
		out := parsed.Evaluate(run)
		require.Equal(t, c.holds, out.Holds, "%s: %+v", c.text, out)
		require.True(t, out.Known, c.text)
		if c.value != 0 {
			require.InEpsilon(t, c.value, out.Value, 0.01, c.text)
		}
		require.Equal(t, c.worst, out.Worst, c.text)
		require.Equal(t, c.text, out.Text)
	}
}

func TestEvaluateJoined(t *testing.T) {
	run := call()
	for _, c := range []struct {
		text    string
		holds   bool
		decided string
	}{
		{"loss_p99>0.5% or delay_p99>50ms or mos_p5<4.0", true, "loss_p99>0.5%"},
		{"wrong>0 or delay_p99>50ms", true, "delay_p99>50ms"},
		{"wrong>0 or drops>0", false, "wrong>0"},
		{"wrong==0 and missing==0 and failed==0", false, "missing==0"},
		{"wrong==0 and drops==0", true, "wrong==0"},
		{"wrong>0 and missing>0 or failed>0", true, "failed>0"},
		{"wrong>0 and (missing>0 or failed>0)", false, "wrong>0"},
		{"(((failed > 0)))", true, "failed > 0"},
		{"FAILED", false, ""},
	} {
		parsed, err := measure.ParseCondition(c.text)
		if c.decided == "" {
			require.Error(t, err)
			continue
		}
		require.NoError(t, err, c.text)
		out := parsed.Evaluate(run)
		require.Equal(t, c.holds, out.Holds, c.text)
		require.Equal(t, c.decided, out.Decided, c.text)
	}
	parsed, err := measure.ParseCondition("loss<1% or mos>4")
	require.NoError(t, err)
	require.Len(t, parsed.Evaluate(run).Parts, 2)
}

// What was not measured passes no condition and ends no run.
func TestEvaluateNothing(t *testing.T) {
	for _, text := range []string{"mos_p5<4", "mos_p5>=4", "delay_p99<1s", "delay_p99>0ms", "join<1s", "wrong==0"} {
		c, err := measure.ParseCondition(text)
		require.NoError(t, err)
		out := c.Evaluate(new(measure.Totals))
		require.False(t, out.Holds, text)
		require.False(t, out.Known, text)
	}
	require.False(t, measure.Condition{}.Evaluate(call()).Holds)
}
