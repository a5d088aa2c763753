package report_test

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/report"
)

// hostile is a name that tries every format at once.
const hostile = "</script><script>alert(1)</script>\" onload='x' \\ \n\x1b[2J\u202eevil\u2066 {{.}} =1+1"

func hostileReport() report.Report {
	r := fake(5, 1, 3, 4)
	r.Scenario.Name, r.Scenario.About, r.Scenario.YAML, r.Command = hostile, hostile, hostile, hostile
	r.Server.Kind, r.Server.Version, r.Server.Address, r.Bottleneck = hostile, hostile, hostile, hostile
	r.Warnings = []string{hostile}
	r.Machine.CPU = hostile
	r.Conditions = append(r.Conditions, report.Condition{Text: hostile, Unit: hostile, Worst: hostile})
	r.Links[0].Name = hostile
	for i := range r.Streams {
		r.Streams[i].Receiver, r.Streams[i].Sender, r.Streams[i].Track, r.Streams[i].Codec = hostile, hostile, hostile, hostile
	}
	r.Callers[0].Identity, r.Callers[0].Error, r.Callers[0].Kind = hostile, hostile, hostile
	r.Recordings = append(r.Recordings,
		report.Recording{Title: "../../" + hostile, MIME: "audio/ogg", Data: []byte("OggS")},
		report.Recording{Title: "page", MIME: "text/html", Data: []byte("<script>alert(1)</script>")})
	return r
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run: go test ./bench/report -update")
	require.Equal(t, string(want), string(got))
}

func TestTextIsAsItWas(t *testing.T) {
	partial := fake(3, 2, 2, 10)
	partial.Partial, partial.Bottleneck, partial.Server.Local = true, "client", false
	partial.Audio.Missing = 2
	partial.Streams[0].Packets = 0
	partial.Callers[1].Error = "join: refused: token is for another room"
	for name, r := range map[string]report.Report{
		"group": fake(1, 1, 6, 60), "capacity": withCapacity(fake(2, 10, 4, 30)), "partial": partial, "empty": {},
	} {
		var b bytes.Buffer
		require.NoError(t, report.WriteText(&b, r, false))
		golden(t, name+".txt", b.Bytes())
	}
	var b bytes.Buffer
	require.NoError(t, planted().WriteText(&b, false))
	golden(t, "comparison.txt", b.Bytes())
}

func TestTextFitsTheTerminal(t *testing.T) {
	for name, r := range map[string]report.Report{"group": fake(1, 1, 6, 60), "capacity": withCapacity(fake(2, 10, 4, 30)), "hostile": hostileReport()} {
		r.Command = "tolkyn bench" // is as long as it is: a terminal may break it, but nobody may cut it
		var plain, coloured bytes.Buffer
		require.NoError(t, report.WriteText(&plain, r, false))
		require.NoError(t, report.WriteText(&coloured, r, true))
		for line := range strings.SplitSeq(plain.String(), "\n") {
			if name != "hostile" || !strings.Contains(line, "CAPACITY") {
				require.LessOrEqual(t, utf8.RuneCountInString(line), 90, line)
			}
		}
		for _, c := range plain.String() {
			require.False(t, c < ' ' && c != '\n' || c == '\u202e' || c == '\u2066', "%q in %s", c, name)
		}
		// Colour adds nothing but colour.
		bare := coloured.String()
		for _, code := range []string{"0", "1", "2", "31", "32", "33", "1;31", "1;32", "1;33"} {
			bare = strings.ReplaceAll(bare, "\x1b["+code+"m", "")
		}
		require.Equal(t, plain.String(), bare)
	}
}

func TestCSVHasARowForEachStream(t *testing.T) {
	r := hostileReport()
	r.Streams[1].Receiver = "=cmd()"
	var b bytes.Buffer
	require.NoError(t, report.WriteCSV(&b, r))
	rows, err := csv.NewReader(&b).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 1+len(r.Streams))
	at := func(row int, name string) string {
		for i, head := range rows[0] {
			if head == name {
				return rows[row][i]
			}
		}
		t.Fatalf("no column %s", name)
		return ""
	}
	require.Equal(t, hostile, at(1, "receiver"))
	require.Equal(t, "'=cmd()", at(2, "receiver"), "a spreadsheet would run it")
	require.Equal(t, "audio", at(1, "kind"))
	require.Empty(t, at(1, "fps"), "sound has no frame rate")
	require.NotEmpty(t, at(1, "mos"))
	require.Empty(t, at(2, "mos"))
	require.NotEmpty(t, at(2, "fps"))
}

func TestTimelineCSVJoinsMediaAndUsage(t *testing.T) {
	r := report.Report{
		Timeline: []measure.Slice{{At: 0, Packets: 7}, {At: 1, Packets: 8}, {At: 3, Packets: 9}},
		Usage:    []report.Usage{{At: 1.02, ServerCPU: 0.5}, {At: 2.01, ServerCPU: 0.25}},
	}
	var b bytes.Buffer
	require.NoError(t, report.WriteTimelineCSV(&b, r))
	rows, err := csv.NewReader(&b).ReadAll()
	require.NoError(t, err)
	var got [][3]string
	for _, row := range rows {
		got = append(got, [3]string{row[0], row[1], row[10]})
	}
	require.Equal(t, [][3]string{
		{"at_s", "packets", "server_cores"}, {"0", "7", ""}, {"1", "8", "0.5"}, {"2.01", "", "0.25"}, {"3", "9", ""},
	}, got)
}

func TestPrometheusTextIsReadByPrometheus(t *testing.T) {
	for _, r := range []report.Report{fake(1, 1, 6, 10), withCapacity(fake(2, 1, 2, 3)), hostileReport(), {}} {
		var b bytes.Buffer
		require.NoError(t, report.WritePrometheus(&b, r))
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(&b)
		require.NoError(t, err)
		for name, f := range families {
			require.True(t, strings.HasPrefix(name, "tolkyn_bench_"), name)
			for _, m := range f.Metric {
				labels := map[string]string{}
				for _, l := range m.Label {
					labels[l.GetName()] = l.GetValue()
				}
				require.Equal(t, r.Scenario.Name, labels["scenario"])
			}
		}
		if r.Audio.Streams == 0 {
			continue
		}
		delay := families["tolkyn_bench_delay_seconds"]
		require.Len(t, delay.Metric, 2)
		require.InDelta(t, r.Audio.Delay.P50/1000, delay.Metric[0].Summary.Quantile[0].GetValue(), 1e-12)
		require.EqualValues(t, r.Audio.Delay.Count, delay.Metric[0].Summary.GetSampleCount())
	}
}

func TestBundleHoldsWhatADebuggerNeeds(t *testing.T) {
	r := hostileReport()
	events := []report.Event{
		{At: 0.5, Caller: r.Callers[1].Identity, Name: "offer", Detail: map[string]int{"slots": 3}},
		{At: 1.25, Caller: hostile, Name: "nack"},
	}
	r.Streams[0].Receiver = r.Callers[1].Identity
	r.Streams[0].Slices = []measure.Slice{{At: 0, Packets: 90, LossShare: 0.1}, {At: 1, Packets: 95, LossShare: 0.05}}
	var b bytes.Buffer
	require.NoError(t, report.WriteBundle(&b, r, events))
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	require.NoError(t, err)
	files := map[string][]byte{}
	for _, f := range z.File {
		require.True(t, filepath.IsLocal(f.Name), f.Name)
		require.LessOrEqual(t, strings.Count(f.Name, "/"), 1, f.Name)
		in, err := f.Open()
		require.NoError(t, err)
		files[f.Name], err = io.ReadAll(in)
		require.NoError(t, err)
	}
	back, err := report.ReadJSON(bytes.NewReader(files["report.json"]))
	require.NoError(t, err)
	require.Empty(t, back.Recordings)
	require.Equal(t, r.Audio, back.Audio)
	require.Equal(t, 2, strings.Count(string(files["events.jsonl"]), "\n"))

	var dump struct {
		PeerConnections map[string]struct {
			UpdateLog []struct{ Time, Type, Value string }
			Stats     map[string]struct{ StatsType, Values string }
		}
		UserAgent string
	}
	require.NoError(t, json.Unmarshal(files["webrtc-internals.json"], &dump))
	require.Len(t, dump.PeerConnections, len(r.Callers))
	peer := dump.PeerConnections["1-2"]
	require.Equal(t, "offer", peer.UpdateLog[0].Type)
	require.Equal(t, "2026-11-30T09:41:00.500Z", peer.UpdateLog[0].Time)
	require.Equal(t, `{"slots":3}`, peer.UpdateLog[0].Value)
	require.Equal(t, "[90,185]", peer.Stats["IT1audio-packetsReceived"].Values)
	require.Equal(t, "[10,15]", peer.Stats["IT1audio-packetsLost"].Values)
	require.Equal(t, "inbound-rtp", peer.Stats["IT1audio-packetsLost"].StatsType)
	require.Contains(t, dump.UserAgent, "tolkyn bench")

	err = report.WriteBundle(io.Discard, r, []report.Event{{Name: "odd", Detail: make(chan int)}})
	require.ErrorContains(t, err, `events.jsonl: event 0 ("odd")`)
}

func TestLive(t *testing.T) {
	s := report.Snapshot{
		At: 0, Length: 60, Phase: "in the call", Callers: 6, People: 6, Sent: 1240, Received: 6200, Bitrate: 8.12e6, DelayP95: 12.1,
		FPS: 30, ServerCPU: 0.21, ClientCPU: 0.33, Worst: "bek hears " + hostile,
	}
	var plain bytes.Buffer
	l := report.NewLive(&plain, report.LiveConfig{})
	for at := range 12 {
		s.At = float64(at)
		l.Show(s)
	}
	s.Phase = "leaving"
	l.Show(s)
	l.Print("a caller failed: " + hostile)
	l.Close()
	l.Show(s)
	lines := strings.Split(strings.TrimSuffix(plain.String(), "\n"), "\n")
	require.Len(t, lines, 5, plain.String()) // 0, 5, 10 s, the new phase, the line printed
	require.True(t, strings.HasPrefix(lines[1], "5 of 60 s  in the call: 6 of 6 callers, 1,240/s out, 6,200/s in, delay p95 12.1 ms, loss 0 %"), lines[1])
	require.NotContains(t, plain.String(), "\x1b")

	var tty bytes.Buffer
	l = report.NewLive(&tty, report.LiveConfig{TTY: true, Width: 60})
	s.At, s.Phase, s.ServerCPU = 30, "in the call", -1
	l.Show(s)
	first := tty.String()
	require.Contains(t, first, "in the call  "+strings.Repeat("█", 15)+strings.Repeat("░", 15)+"  30 of 60 s")
	require.Contains(t, first, "bench 0.33 cores")
	require.NotContains(t, first, "\x1b[2J", "a name may not clear the screen")
	for line := range strings.SplitSeq(strings.NewReplacer("\x1b[K", "", "\x1b[J", "").Replace(first), "\n") {
		require.Less(t, utf8.RuneCountInString(line), 60, line)
	}
	l.Show(s)
	require.True(t, strings.HasPrefix(tty.String()[len(first):], "\x1b[5A\r"), "the second view covers the first")
	l.Close()
	require.True(t, strings.HasSuffix(tty.String(), "\x1b[5A\r\x1b[J"))
	l.Close()
}
