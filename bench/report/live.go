package report

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// Snapshot is what a running bench knows of itself at one moment.
type Snapshot struct {
	At, Length  float64 // seconds: on the run's clock, and how long it will be; Length 0: unknown
	Phase       string  // "starting the server", "joining", "in the call", "holding 200 people"
	Callers     int     // in the call now
	People      int     // who should be
	Failed      int     // did not get through
	Sent        float64 // packets a second, by callers
	Received    float64 // packets a second, by callers
	Bitrate     float64 // received, bits a second
	Loss        float64 // share, of the last second
	DelayP95    float64 // ms, of the last second
	Concealed   float64 // share of sound, of the last second
	FPS         float64 // mean over video streams
	ServerCPU   float64 // cores; less than 0: not known
	ClientCPU   float64 // cores
	Worst       string  // the worst stream, and why: "bek hears aru: 12 % concealed"
	ClientDrops int64   // datagrams that the bench itself was too slow to take
}

// LiveConfig says where a Live writes.
type LiveConfig struct {
	// TTY: the writer is a terminal, so that lines can be drawn over. Otherwise each line stands for ever.
	TTY bool
	// Colour: use ANSI colours.
	Colour bool
	// Width of the terminal in columns; 0: 80.
	Width int
	// Every is how often plain lines are written, in seconds of the run's clock; 0: 5.
	Every float64
}

// Live is the view of a run while it runs. It takes snapshots and measures nothing; it has no goroutine and no clock, so it
// shows as often as it is told. Errors of the writer are not reported: the run is worth more than its picture.
//
//	in the call  ████████████░░░░░░░░  32 of 60 s
//	 6 of 6 callers   ↑ 1,240/s  ↓ 6,200/s   8.12 Mbit/s
//	 delay p95 12.1 ms   loss 0 %   concealed 0 %   30.0 pictures/s
//	 CPU: server 0.21, bench 0.33 cores
//	 worst: bek hears aru: 1.2 % concealed
//
// Safe from any goroutine.
type Live struct {
	// Fixed after New.
	out    io.Writer
	config LiveConfig

	mu sync.Mutex
	// Guarded by mu.
	drawn  int     // lines on the terminal that the next view covers
	next   float64 // when a plain line is due
	phase  string  // of the last plain line
	closed bool
}

// NewLive makes a view that writes to w.
func NewLive(w io.Writer, c LiveConfig) *Live {
	if c.Width <= 0 {
		c.Width = width
	}
	if c.Every <= 0 {
		c.Every = 5
	}
	return &Live{out: w, config: c}
}

// Show draws s: over the last view on a terminal, else as a line of its own when one is due.
func (l *Live) Show(s Snapshot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if !l.config.TTY {
		// A new phase is news; so is its first figure. A clock that starts anew (the next run) is a new phase too.
		if s.Phase == l.phase && s.At < l.next && s.At >= l.next-l.config.Every {
			return
		}
		l.phase, l.next = s.Phase, s.At+l.config.Every
		fmt.Fprintln(l.out, plainLine(s))
		return
	}
	lines := l.view(s)
	l.replace(lines)
	l.drawn = len(lines)
}

// Print writes a line that stays, above the view: a warning, a caller that failed.
func (l *Live) Print(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.config.TTY && !l.closed {
		l.replace(nil)
		l.drawn = 0
	}
	fmt.Fprintln(l.out, printable(line))
}

// Close takes the view off the terminal; lines that were printed stay, later snapshots are not shown. Idempotent.
func (l *Live) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.config.TTY && !l.closed {
		l.replace(nil)
	}
	l.closed = true
}

// replace draws lines over those drawn last, in one write, so that nothing flickers.
func (l *Live) replace(lines []string) {
	var b strings.Builder
	if l.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r", l.drawn)
	}
	for _, line := range lines {
		b.WriteString(line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	_, _ = io.WriteString(l.out, b.String())
}

func (l *Live) view(s Snapshot) []string {
	t := table{colour: l.config.Colour}
	room := l.config.Width - 1
	phase := fit(printable(s.Phase), 24)
	clock := duration(s.At)
	lines := make([]string, 0, 5)
	if s.Length > 0 {
		clock = fmt.Sprintf("%.0f of %s", s.At, duration(s.Length))
		if bar := min(30, room-len([]rune(phase))-len([]rune(clock))-4); bar >= 5 {
			full := int(float64(bar) * min(1, max(0, s.At/s.Length)))
			phase = t.bold(phase) + "  " + t.paint("36", strings.Repeat("█", full)) + t.soft(strings.Repeat("░", bar-full))
		}
	}
	lines = append(lines, phase+"  "+clock)
	add := func(plain string) { lines = append(lines, " "+fit(plain, room-1)) }
	who := fmt.Sprintf("%s of %s callers", count(int64(s.Callers)), count(int64(s.People)))
	if s.Failed > 0 {
		who += fmt.Sprintf(" (%s failed)", count(int64(s.Failed)))
	}
	add(fmt.Sprintf("%s   ↑ %s/s  ↓ %s/s   %s", who, count(int64(s.Sent)), count(int64(s.Received)), bitrate(s.Bitrate)))
	add(fmt.Sprintf("delay p95 %s ms   loss %s   concealed %s   %s pictures/s",
		figure(s.DelayP95), percent(s.Loss), percent(s.Concealed), figure(s.FPS)))
	add(processors(s))
	if s.Worst != "" {
		add("worst: " + printable(s.Worst))
	}
	return lines
}

func plainLine(s Snapshot) string {
	at := duration(s.At)
	if s.Length > 0 {
		at = fmt.Sprintf("%.0f of %s", s.At, duration(s.Length))
	}
	line := fmt.Sprintf("%s  %s: %s of %s callers, %s/s out, %s/s in, delay p95 %s ms, loss %s, %s", at, printable(s.Phase),
		count(int64(s.Callers)), count(int64(s.People)), count(int64(s.Sent)), count(int64(s.Received)), figure(s.DelayP95),
		percent(s.Loss), processors(s))
	if s.Failed > 0 {
		line += fmt.Sprintf(", %s failed", count(int64(s.Failed)))
	}
	if s.Worst != "" {
		line += "; worst: " + printable(s.Worst)
	}
	return line
}

func processors(s Snapshot) string {
	text := fmt.Sprintf("CPU: bench %s cores", figure(s.ClientCPU))
	if s.ServerCPU >= 0 {
		text = fmt.Sprintf("CPU: server %s, bench %s cores", figure(s.ServerCPU), figure(s.ClientCPU))
	}
	if s.ClientDrops > 0 {
		text += fmt.Sprintf(", bench dropped %s", count(s.ClientDrops))
	}
	return text
}
