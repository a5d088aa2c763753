package report

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"

	"github.com/tolkyn/tolkyn/bench/measure"
)

// column is one of a CSV file of T.
type column[T any] struct {
	name string
	cell func(T) string
}

// WriteCSV writes one line for each stream under a line of names (RFC 4180). Units stand in the names; shares are 0 to
// 1; a cell is empty where its stream has no such figure: the frame rate of sound, say.
func WriteCSV(w io.Writer, r Report) error {
	return writeCSV(w, streamColumns(), settled(r).Streams)
}

// WriteTimelineCSV writes one line for each second of the run: media of all streams, then what server and bench used in
// that second. Seconds that only one of the two knows have empty cells for the other.
func WriteTimelineCSV(w io.Writer, r Report) error {
	return writeCSV(w, secondColumns(), secondsOf(settled(r)))
}

func writeCSV[T any](w io.Writer, columns []column[T], rows []T) error {
	out := csv.NewWriter(w)
	line := make([]string, len(columns))
	for i, c := range columns {
		line[i] = c.name
	}
	_ = out.Write(line) // errors stay in out until Flush
	for _, row := range rows {
		for i, c := range columns {
			line[i] = c.cell(row)
		}
		_ = out.Write(line)
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

func streamColumns() []column[measure.Stream] {
	text := func(name string, get func(measure.Stream) string) column[measure.Stream] {
		return column[measure.Stream]{name, func(s measure.Stream) string { return cell(get(s)) }}
	}
	number := func(name string, get func(measure.Stream) float64) column[measure.Stream] {
		return column[measure.Stream]{name, func(s measure.Stream) string { return decimal(get(s)) }}
	}
	sound := func(name string, get func(measure.Sound) float64) column[measure.Stream] {
		return column[measure.Stream]{name, func(s measure.Stream) string {
			if s.Sound == nil {
				return ""
			}
			return decimal(get(*s.Sound))
		}}
	}
	picture := func(name string, get func(measure.Picture) float64) column[measure.Stream] {
		return column[measure.Stream]{name, func(s measure.Stream) string {
			if s.Picture == nil {
				return ""
			}
			return decimal(get(*s.Picture))
		}}
	}
	columns := []column[measure.Stream]{
		text("room", func(s measure.Stream) string { return s.Room }),
		text("receiver", func(s measure.Stream) string { return s.Receiver }),
		text("sender", func(s measure.Stream) string { return s.Sender }),
		text("track", func(s measure.Stream) string { return s.Track }),
		text("kind", func(s measure.Stream) string { return string(s.Kind) }),
		text("codec", func(s measure.Stream) string { return s.Codec }),
		number("seconds", func(s measure.Stream) float64 { return s.Seconds }),
		number("packets", func(s measure.Stream) float64 { return float64(s.Packets) }),
		number("bytes", func(s measure.Stream) float64 { return float64(s.Bytes) }),
		number("bitrate_bps", func(s measure.Stream) float64 { return s.Bitrate }),
		number("expected", func(s measure.Stream) float64 { return float64(s.Loss.Expected) }),
		number("loss_before", func(s measure.Stream) float64 { return s.Loss.Before }),
		number("loss_after", func(s measure.Stream) float64 { return s.Loss.After }),
		number("repaired", func(s measure.Stream) float64 { return float64(s.Loss.Repaired) }),
		number("duplicates", func(s measure.Stream) float64 { return float64(s.Loss.Duplicates) }),
		number("reordered", func(s measure.Stream) float64 { return float64(s.Loss.Reordered) }),
		number("dropped", func(s measure.Stream) float64 { return float64(s.Loss.Dropped) }),
		number("jitter_ms", func(s measure.Stream) float64 { return s.Jitter }),
		number("wrong", func(s measure.Stream) float64 { return float64(s.Wrong) }),
	}
	for _, d := range []struct {
		name string
		get  func(measure.Stream) measure.Distribution
	}{
		{"delay", func(s measure.Stream) measure.Distribution { return s.Delay }},
		{"buffered", func(s measure.Stream) measure.Distribution { return s.Buffered }},
		{"played", func(s measure.Stream) measure.Distribution { return s.Played }},
	} {
		columns = append(columns,
			number(d.name+"_p50_ms", func(s measure.Stream) float64 { return d.get(s).P50 }),
			number(d.name+"_p95_ms", func(s measure.Stream) float64 { return d.get(s).P95 }),
			number(d.name+"_p99_ms", func(s measure.Stream) float64 { return d.get(s).P99 }),
			number(d.name+"_max_ms", func(s measure.Stream) float64 { return d.get(s).Max }))
	}
	return append(columns,
		sound("concealed", func(s measure.Sound) float64 { return s.Concealed }),
		sound("concealed_10s", func(s measure.Sound) float64 { return s.Window }),
		sound("hole_ms", func(s measure.Sound) float64 { return s.Hole }),
		sound("resent", func(s measure.Sound) float64 { return s.Resent }),
		sound("copied", func(s measure.Sound) float64 { return s.Copied }),
		sound("fec", func(s measure.Sound) float64 { return s.FEC }),
		sound("concealment_events", func(s measure.Sound) float64 { return float64(s.Events) }),
		sound("late", func(s measure.Sound) float64 { return s.Late }),
		sound("accelerated", func(s measure.Sound) float64 { return s.Accelerated }),
		sound("expanded", func(s measure.Sound) float64 { return s.Expanded }),
		sound("r_factor", func(s measure.Sound) float64 { return s.R }),
		sound("mos", func(s measure.Sound) float64 { return s.MOS }),
		sound("lip_sync_p50_ms", func(s measure.Sound) float64 { return s.LipSync.P50 }),
		sound("lip_sync_p95_ms", func(s measure.Sound) float64 { return s.LipSync.P95 }),
		picture("frames", func(p measure.Picture) float64 { return float64(p.Frames) }),
		picture("undecodable", func(p measure.Picture) float64 { return float64(p.Undecodable) }),
		picture("fps", func(p measure.Picture) float64 { return p.FPS }),
		picture("freezes", func(p measure.Picture) float64 { return float64(p.Freezes) }),
		picture("frozen_s", func(p measure.Picture) float64 { return p.FrozenSeconds }),
		picture("width", func(p measure.Picture) float64 { return float64(p.Width) }),
		picture("height", func(p measure.Picture) float64 { return float64(p.Height) }),
		picture("layer_switches", func(p measure.Picture) float64 { return float64(p.LayerSwitches) }),
		picture("keyframe_wait_p95_ms", func(p measure.Picture) float64 { return p.KeyframeWait.P95 }),
		picture("score", func(p measure.Picture) float64 { return p.Score }),
	)
}

// second is one of the run's clock, as far as it was measured.
type second struct {
	at    float64
	slice *measure.Slice
	usage *Usage
}

// secondsOf lays the two timelines beside each other, by time.
func secondsOf(r Report) []second {
	var all []second
	i, j := 0, 0
	for i < len(r.Timeline) || j < len(r.Usage) {
		// Both clocks count whole seconds, but the second of usage is read when it is over and a little late.
		switch {
		case j == len(r.Usage) || i < len(r.Timeline) && cmp.Less(r.Timeline[i].At, r.Usage[j].At-0.5):
			all = append(all, second{r.Timeline[i].At, &r.Timeline[i], nil})
			i++
		case i == len(r.Timeline) || cmp.Less(r.Usage[j].At, r.Timeline[i].At-0.5):
			all = append(all, second{r.Usage[j].At, nil, &r.Usage[j]})
			j++
		default:
			all = append(all, second{r.Timeline[i].At, &r.Timeline[i], &r.Usage[j]})
			i++
			j++
		}
	}
	return all
}

func secondColumns() []column[second] {
	media := func(name string, get func(measure.Slice) float64) column[second] {
		return column[second]{name, func(s second) string {
			if s.slice == nil {
				return ""
			}
			return decimal(get(*s.slice))
		}}
	}
	usage := func(name string, get func(Usage) float64) column[second] {
		return column[second]{name, func(s second) string {
			if s.usage == nil {
				return ""
			}
			return decimal(get(*s.usage))
		}}
	}
	return []column[second]{
		{"at_s", func(s second) string { return decimal(s.at) }},
		media("packets", func(s measure.Slice) float64 { return float64(s.Packets) }),
		media("bitrate_bps", func(s measure.Slice) float64 { return s.Bitrate }),
		media("loss_after", func(s measure.Slice) float64 { return s.LossShare }),
		media("delay_p50_ms", func(s measure.Slice) float64 { return s.DelayP50 }),
		media("delay_p95_ms", func(s measure.Slice) float64 { return s.DelayP95 }),
		media("delay_max_ms", func(s measure.Slice) float64 { return s.DelayMax }),
		media("concealed", func(s measure.Slice) float64 { return s.Concealed }),
		media("fps", func(s measure.Slice) float64 { return s.FPS }),
		media("frozen", func(s measure.Slice) float64 { return s.Frozen }),
		usage("server_cores", func(u Usage) float64 { return u.ServerCPU }),
		usage("client_cores", func(u Usage) float64 { return u.ClientCPU }),
		usage("kernel_cores", func(u Usage) float64 { return u.KernelCPU }),
		usage("server_memory_bytes", func(u Usage) float64 { return float64(u.ServerMemory) }),
		usage("server_goroutines", func(u Usage) float64 { return float64(u.Goroutines) }),
		usage("client_drops", func(u Usage) float64 { return float64(u.Drops) }),
		usage("callers", func(u Usage) float64 { return float64(u.Callers) }),
		usage("sent_pps", func(u Usage) float64 { return u.Sent }),
		usage("received_pps", func(u Usage) float64 { return u.Received }),
	}
}

// cell is a name from outside as a spreadsheet takes it: one that begins like a formula would be run by it.
func cell(s string) string {
	if s != "" {
		switch s[0] {
		case '=', '+', '-', '@', '\t', '\r':
			return "'" + s
		}
	}
	return s
}

// decimal writes a number as short as it can be read back.
func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
