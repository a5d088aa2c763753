package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/tolkyn/tolkyn/bench/measure"
)

// steps in the order in which a call is set up.
var steps = []measure.Step{
	measure.Connect, measure.Auth, measure.Join, measure.ICE, measure.DTLS, measure.FirstPacket, measure.FirstFrame,
	measure.Total,
}

var stepNames = map[measure.Step]string{
	measure.Connect: "connect", measure.Auth: "token accepted", measure.Join: "join answered", measure.ICE: "ICE",
	measure.DTLS: "DTLS", measure.FirstPacket: "first packet", measure.FirstFrame: "first frame", measure.Total: "total",
}

// verdict is a run in words, the same in all formats.
type verdict struct {
	State   string // "passed", "failed", "partial", "measured"
	Title   string
	Detail  string // who was there, and what was met
	Gave    string // what gave way first
	Trouble bool   // the figures are not what they seem: the bench itself gave way
}

func verdictOf(r Report) verdict {
	met := 0
	for _, c := range r.Conditions {
		if c.Passed {
			met++
		}
	}
	v := verdict{State: "measured", Title: "Measured"}
	switch {
	case r.Capacity != nil && r.Capacity.Largest > 0:
		v.State, v.Title = "passed", fmt.Sprintf("It carried %s %s", count(int64(r.Capacity.Largest)), r.Capacity.Unit)
	case r.Capacity != nil:
		v.State, v.Title = "failed", "It held no load that was tried"
	case r.Partial:
		v.State, v.Title = "partial", "Ended early"
	case !r.Passed:
		v.State, v.Title = "failed", "Quality did not hold"
	case len(r.Conditions) > 0:
		v.State, v.Title = "passed", "Quality held"
	}
	if r.Capacity == nil && r.Audio.Streams+r.Video.Streams == 0 {
		v.Title = "Nothing was measured"
	}
	if r.Partial && r.Capacity != nil {
		v.State, v.Title = "partial", v.Title+" before it was ended early"
	}

	v.Detail = fmt.Sprintf("%s in %s for %s", plural(r.Scenario.People, "person", "people"), plural(r.Scenario.Rooms, "room", "rooms"),
		duration(r.Seconds))
	if r.Capacity == nil && len(r.Conditions) > 0 {
		v.Detail += fmt.Sprintf("; %d of %s met", met, plural(len(r.Conditions), "condition", "conditions"))
	}
	if failed := failedCallers(r); failed > 0 {
		v.Detail += fmt.Sprintf("; %s did not get through", plural(failed, "caller", "callers"))
	}
	if missing := r.Audio.Missing + r.Video.Missing; missing > 0 {
		v.Detail += fmt.Sprintf("; nothing came of %s", plural(missing, "stream", "streams"))
	}
	v.Detail += "."
	switch r.Bottleneck {
	case "":
		if r.Audio.Streams+r.Video.Streams == 0 {
			break // nothing to give way to
		}
		v.Gave = "Nothing gave way: server, bench and network had room."
	case "server":
		v.Gave = "The server gave way first."
	case "client":
		v.Gave, v.Trouble = "The bench itself gave way first, so these figures understate the server: "+
			"give it more cores or another machine.", true
	case "network":
		v.Gave = "The network gave way first; the server had room."
	default:
		v.Gave = "What gave way first: " + r.Bottleneck + "."
	}
	return v
}

func failedCallers(r Report) int {
	failed := 0
	for _, c := range r.Callers {
		if c.Error != "" {
			failed++
		}
	}
	return failed
}

// place says which server it was.
func place(s Server) string {
	name := strings.TrimSpace(s.Kind + " " + s.Version)
	if s.Address != "" {
		name += " at " + s.Address
	}
	if s.Local {
		name += ", started by the bench"
	}
	return name
}

// hears names a stream from its receiver's side.
func hears(s measure.Stream) string {
	verb := " hears "
	if s.Kind == measure.Video {
		verb = " sees "
	}
	return s.Receiver + verb + s.Sender
}

// badness orders streams: the greater, the worse for the person who got it.
func badness(s measure.Stream) float64 {
	bad := 0.0
	switch {
	case s.Packets == 0:
		bad = 10
	case s.Sound != nil:
		bad = 4.5 - s.Sound.MOS
	case s.Picture != nil:
		bad = 5 - s.Picture.Score
	}
	if s.Wrong > 0 {
		bad += 20 // somebody else's voice is worse than none
	}
	return bad
}

// worst returns the streams, worst first; equals stay in order.
func worst(streams []measure.Stream) []measure.Stream {
	sorted := slices.Clone(streams)
	slices.SortStableFunc(sorted, func(a, b measure.Stream) int {
		switch x, y := badness(a), badness(b); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	return sorted
}

// printable makes a stranger's text safe for a terminal: no control characters (they move the cursor, they change
// colours), nothing that turns the direction of writing (it hides what stands beside it).
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == '\u2028', r == '\u2029', r == unicode.ReplacementChar:
			return '·'
		}
		return r
	}, strings.ToValidUTF8(s, "·"))
}

// fit shortens s to at most width runes and says that it did.
func fit(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	if width < 1 {
		return ""
	}
	return string(r[:width-1]) + "…"
}

// wrap breaks text at spaces into lines of at most width runes; a longer word gets a line of its own.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		switch {
		case line == "":
			line = word
		case len([]rune(line))+1+len([]rune(word)) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// figure writes a number with three digits that count.
func figure(f float64) string {
	switch a := math.Abs(f); {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return "–"
	case a == 0:
		return "0"
	case a >= 99.95:
		return count(int64(math.Round(f)))
	case a >= 9.995:
		return strconv.FormatFloat(f, 'f', 1, 64)
	case a >= 0.005:
		return strconv.FormatFloat(f, 'f', 2, 64)
	case f < 0:
		return "-<0.01"
	}
	return "<0.01"
}

func percent(share float64) string { return figure(share*100) + " %" }

// count groups the digits of a number by three.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(int64(n)) + " " + many
}

func bitrate(bps float64) string { return scaled(bps, 1000, "bit/s", "kbit/s", "Mbit/s", "Gbit/s") }

func memory(bytes float64) string { return scaled(bytes, 1024, "B", "KiB", "MiB", "GiB", "TiB") }

func nanoseconds(ns float64) string { return scaled(ns, 1000, "ns", "µs", "ms", "s") }

func scaled(v, step float64, units ...string) string {
	i := 0
	for i+1 < len(units) && math.Abs(v) >= step {
		v /= step
		i++
	}
	return figure(v) + " " + units[i]
}

// duration writes seconds as people say them.
func duration(seconds float64) string {
	switch {
	case seconds >= 3600:
		return fmt.Sprintf("%d h %d min", int(seconds)/3600, int(seconds)%3600/60)
	case seconds >= 120:
		return fmt.Sprintf("%d min %d s", int(seconds)/60, int(seconds)%60)
	}
	if seconds == math.Trunc(seconds) {
		return count(int64(seconds)) + " s"
	}
	return figure(seconds) + " s"
}

// measured writes a condition's value with its unit.
func measured(c Condition) string {
	if c.Unit == "" {
		return figure(c.Value)
	}
	return figure(c.Value) + " " + c.Unit
}
