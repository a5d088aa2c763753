package report

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tolkyn/tolkyn/bench/measure"
)

// width of the table, in columns: what the narrowest terminal of today has.
const width = 80

// WriteText writes the quality table for a terminal of 80 columns: the verdict first, then what it rests on. Colour says
// whether to use ANSI colours; nothing is told by colour alone.
func WriteText(w io.Writer, r Report, colour bool) error {
	r = settled(r)
	t := newTable(w, colour)
	v := verdictOf(r)
	t.line("%s", t.bold("Tolkyn bench")+"  "+printable(strings.TrimSpace(r.Scenario.Name)))
	t.line("%s", t.soft(fit(printable(place(r.Server)), width-1)))
	t.line("")
	t.line("%s  %s", t.mark(v.State), t.bold(printable(v.Title)))
	for _, line := range slices.Concat(wrap(printable(v.Detail), width-4), wrap(printable(v.Gave), width-4)) {
		t.line("  %s", line)
	}
	t.line("")
	for _, c := range r.Conditions {
		t.condition(c)
	}
	if len(r.Conditions) > 0 {
		t.line("")
	}
	t.warnings(r.Warnings)
	t.capacity(r.Capacity)

	if len(r.Setup) > 0 {
		t.head("SETTING UP, ms", "p50", "p90", "p95", "p99", "max")
		for _, step := range steps {
			if d, ok := r.Setup[step]; ok && d.Count > 0 {
				t.distribution(stepNames[step], d, 1)
			}
		}
		t.line("")
	}
	t.audio(r.Audio)
	t.video(r.Video)
	t.volume(r.Callers)
	t.costs(r)
	t.links(r.Links)
	t.worst(r.Streams)
	t.callers(r.Callers)
	t.line("%s", t.soft("Again: "+printable(r.Command)))
	return t.flush()
}

// table writes lines and keeps the first error for its end.
type table struct {
	out    *bufio.Writer
	colour bool
}

func newTable(w io.Writer, colour bool) *table { return &table{bufio.NewWriter(w), colour} }

func (t *table) flush() error {
	if err := t.out.Flush(); err != nil {
		return fmt.Errorf("write text: %w", err)
	}
	return nil
}

func (t *table) line(format string, args ...any) { fmt.Fprintf(t.out, format+"\n", args...) }

func (t *table) bold(s string) string { return t.paint("1", s) }
func (t *table) soft(s string) string { return t.paint("2", s) }

func (t *table) paint(code, s string) string {
	if !t.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (t *table) mark(state string) string {
	switch state {
	case "passed":
		return t.paint("1;32", "✓ PASSED")
	case "failed":
		return t.paint("1;31", "✗ FAILED")
	case "partial":
		return t.paint("1;33", "… ENDED EARLY")
	}
	return t.bold("• MEASURED")
}

// head writes a section's name and those of its columns, nine wide each.
func (t *table) head(name string, columns ...string) {
	right := ""
	for _, c := range columns {
		right += fmt.Sprintf("%9s", c)
	}
	space := max(2, width-1-len([]rune(name))-len([]rune(right)))
	t.line("%s%s%s", t.bold(name), strings.Repeat(" ", space), t.soft(right))
}

func (t *table) row(name string, columns ...string) {
	right := ""
	for _, c := range columns {
		right += fmt.Sprintf("%9s", c)
	}
	room := width - 3 - len([]rune(right))
	name = fit(name, room)
	t.line("  %s%s%s", name, strings.Repeat(" ", room-len([]rune(name))), right)
}

func (t *table) distribution(name string, d measure.Distribution, scale float64) {
	if d.Count == 0 {
		t.row(name, "–", "–", "–", "–", "–")
		return
	}
	t.row(name, figure(d.P50*scale), figure(d.P90*scale), figure(d.P95*scale), figure(d.P99*scale), figure(d.Max*scale))
}

func (t *table) condition(c Condition) {
	sign := t.paint("32", "✓")
	if !c.Passed {
		sign = t.paint("31", "✗")
	}
	text, value := fit(printable(c.Text), 34), fit(printable(measured(c)), 12)
	line := fmt.Sprintf("  %s %-34s %12s", sign, text, value)
	if c.Worst != "" {
		line += "  " + t.soft(fit(printable(c.Worst), width-54))
	}
	t.line("%s", line)
}

func (t *table) warnings(all []string) {
	for _, warning := range all {
		for i, line := range wrap(printable(warning), width-5) {
			if i == 0 {
				t.line("  %s %s", t.paint("33", "!"), line)
			} else {
				t.line("    %s", line)
			}
		}
	}
	if len(all) > 0 {
		t.line("")
	}
}

func (t *table) capacity(c *Capacity) {
	if c == nil {
		return
	}
	t.line("%s  until %s", t.bold("CAPACITY"), printable(c.Until))
	held := "no load held"
	if c.Largest > 0 {
		held = count(int64(c.Largest)) + " " + printable(c.Unit) + " held"
	}
	if c.Failed > 0 {
		held += "; " + count(int64(c.Failed)) + " did not"
	} else {
		held += "; no load failed"
	}
	t.line("  %s", held)
	t.head("  load", "held", "server", "bench", "out/s", "CPU/pkt", "gave way")
	for _, try := range c.Tries {
		sign := "✓"
		if !try.Held {
			sign = "✗"
		}
		gave := try.Bottleneck
		if gave == "" {
			gave = "–"
		}
		t.row(count(int64(try.Load)), sign, figure(try.ServerCPU), figure(try.ClientCPU), count(int64(try.PacketsOut)),
			nanoseconds(try.PerPacket), fit(printable(gave), 8))
	}
	t.line("")
}

func (t *table) streams(name string, x Total) bool {
	if x.Streams == 0 && x.Missing == 0 {
		return false
	}
	name += "  " + plural(x.Streams, "stream", "streams")
	if x.Missing > 0 {
		name += ", " + count(int64(x.Missing)) + " missing"
	}
	t.head(name, "p50", "p90", "p95", "p99", "max")
	return true
}

func (t *table) audio(x Total) {
	if !t.streams("AUDIO", x) {
		return
	}
	t.distribution("network delay, ms", x.Delay, 1)
	t.distribution("sent to played, ms", x.Played, 1)
	t.distribution("loss before repair, %", x.Before, 100)
	t.distribution("loss after repair, %", x.After, 100)
	t.distribution("concealed, %", x.Concealed, 100)
	t.distribution("the same in the worst 10 s, %", x.Window, 100)
	t.distribution("longest hole, ms", x.Hole, 1)
	if x.LipSync.Count > 0 {
		t.distribution("sound behind picture, ms", x.LipSync, 1)
	}
	if x.Resent+x.Copied+x.FEC > 0 {
		t.line("  repaired: %s %% sent again, %s %% by copies (RED), %s %% by in-band FEC", figure(x.Resent*100), figure(x.Copied*100), figure(x.FEC*100))
	}
	if x.MOS.Count > 0 {
		t.line("  MOS %s, and %s or better for 95 %% of streams", t.bold(figure(x.MOS.P50)), t.bold(figure(x.MOSWorst)))
	}
	t.line("")
}

func (t *table) video(x Total) {
	if !t.streams("VIDEO", x) {
		return
	}
	t.distribution("network delay, ms", x.Delay, 1)
	t.distribution("sent to shown, ms", x.Played, 1)
	t.distribution("loss before repair, %", x.Before, 100)
	t.distribution("loss after repair, %", x.After, 100)
	t.distribution("time frozen, %", x.Frozen, 100)
	if x.FPS.Count > 0 {
		t.line("  %s pictures a second (median), %s", t.bold(figure(x.FPS.P50)), plural(int(x.Freezes), "freeze", "freezes"))
	}
	if x.Switches > 0 {
		t.line("  %s", plural(int(x.Switches), "switch of layers", "switches of layers"))
	}
	if x.Score.Count > 0 {
		t.line("  Score %s, and %s or better for 95 %% of streams", t.bold(figure(x.Score.P50)), t.bold(figure(x.ScoreP5)))
	}
	t.line("")
}

func (t *table) costs(r Report) {
	t.head("COST", "CPU", "CPU/pkt", "CPU/out", "memory", "drops")
	cost := func(name string, c Cost) {
		resident := "–"
		if c.MemoryPerCaller > 0 {
			resident = memory(c.MemoryPerCaller)
		}
		t.row(name, figure(c.CPUSeconds)+" s", nanoseconds(c.PerInAndOutNS), nanoseconds(c.PerReceivedNS), resident, count(c.Drops))
	}
	if r.Server.Local {
		cost("server", r.ServerCost)
	} else {
		t.row("server (elsewhere: not measured)", "–", "–", "–", "–", "–")
	}
	cost("bench", r.ClientCost)
	var about []string
	if r.Machine.Cores > 0 {
		about = append(about, plural(r.Machine.Cores, "core", "cores"))
	}
	if r.Machine.GSO {
		about = append(about, "GSO")
	} else {
		about = append(about, "no GSO")
	}
	if r.Machine.FloorNS > 0 {
		about = append(about, "floor "+nanoseconds(r.Machine.FloorNS)+" a packet")
		if r.Server.Local && r.ServerCost.PerReceivedNS > 0 {
			about = append(about, "server at "+figure(r.ServerCost.PerReceivedNS/r.Machine.FloorNS)+" × floor")
		}
	}
	t.line("  %s", t.soft("memory is for a caller; "+strings.Join(about, ", ")))
	t.line("")
}

// volume is what a minute of the call takes of a caller's data volume.
func (t *table) volume(callers []measure.Caller) {
	up, down := perMinute(callers)
	if up.Count == 0 && down.Count == 0 {
		return
	}
	t.head("DATA a call-minute, kB", "p50", "p90", "p95", "p99", "max")
	t.distribution("up", up, 1e-3)
	t.distribution("down", down, 1e-3)
	t.line("")
}

// perMinute sums up what is known of callers' data volume, in bytes.
func perMinute(callers []measure.Caller) (up, down measure.Distribution) {
	var ups, downs []float64
	for _, c := range callers {
		if c.UpPerMinute > 0 {
			ups = append(ups, c.UpPerMinute)
		}
		if c.DownPerMinute > 0 {
			downs = append(downs, c.DownPerMinute)
		}
	}
	return measure.Summarize(ups), measure.Summarize(downs)
}

func (t *table) links(links []Link) {
	if len(links) == 0 {
		return
	}
	// A thousand callers have a thousand links: those that erred most tell enough here, the other formats have all.
	const most = 6
	t.head("NETWORK, asked and did", "loss %", "did", "delay ms", "p50", "p99", "full")
	for _, l := range links[:min(most, len(links))] {
		t.row(printable(l.Name)+" "+printable(l.Direction), figure(l.AskedLoss*100), figure(l.Loss*100), figure(l.AskedMS),
			figure(l.DelayP50), figure(l.DelayP99), count(l.Overflow))
	}
	if len(links) > most {
		t.line("  %s", t.soft(fmt.Sprintf("and %s", plural(len(links)-most, "link more", "links more"))))
	}
	t.line("")
}

func (t *table) worst(streams []measure.Stream) {
	const most = 5
	all := worst(streams)
	if len(all) == 0 {
		return
	}
	t.head("WORST STREAMS", "p95 ms", "loss %", "bad %", "score")
	rooms := false
	for _, s := range all {
		rooms = rooms || s.Room != all[0].Room
	}
	for _, s := range all[:min(most, len(all))] {
		name := printable(hears(s)) + ", " + printable(s.Track)
		if rooms {
			name = printable(s.Room) + ": " + name
		}
		if s.Packets == 0 {
			t.row(name, "–", "100", "–", "nothing")
			continue
		}
		bad, score := 0.0, 0.0
		switch {
		case s.Sound != nil:
			bad, score = s.Sound.Concealed, s.Sound.MOS
		case s.Picture != nil && s.Seconds > 0:
			bad, score = s.Picture.FrozenSeconds/s.Seconds, s.Picture.Score
		}
		t.row(name, figure(s.Delay.P95), figure(s.Loss.After*100), figure(bad*100), figure(score))
	}
	t.line("")
}

func (t *table) callers(callers []measure.Caller) {
	const most = 5
	shown, failed := 0, 0
	for _, c := range callers {
		if c.Error == "" {
			continue
		}
		if failed == 0 {
			t.line("%s", t.bold("CALLERS THAT DID NOT GET THROUGH"))
		}
		failed++
		if shown < most {
			shown++
			t.line("  %s %s", t.paint("31", "✗"), fit(printable(c.Identity+": "+c.Error), width-5))
		}
	}
	if failed > shown {
		t.line("  %s", t.soft(fmt.Sprintf("and %s more", count(int64(failed-shown)))))
	}
	if failed > 0 {
		t.line("")
	}
}
