package caller

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/tolkyn/tolkyn/signaling/client"
)

// Report is how a call goes or went. Its JSON is what 'tolkyn call --json' prints.
type Report struct {
	Server   string  `json:"server"`
	Room     string  `json:"room"`
	Identity string  `json:"identity"`
	Seconds  float64 `json:"seconds"` // since the join
	Session  Session `json:"session"`
	Sent     []Track `json:"sent"`
	Received []Track `json:"received"`
	// Unknown counts packets that nobody said the owner of.
	Unknown uint64 `json:"unknown_packets"`
}

// Session is how the connections to the server are. Round trips are 0 before the first is measured.
type Session struct {
	State      string  `json:"state"`
	Transport  string  `json:"transport"`   // of signaling: "quic", "websocket", "none" while it is lost
	Media      string  `json:"media"`       // "udp", "tcp", empty without a path
	Path       string  `json:"path"`        // the server's address for media
	Reconnects int     `json:"reconnects"`  // how often signaling or media was lost and mended
	Rebuilds   int     `json:"rebuilds"`    // of the media connection
	RTTMS      float64 `json:"rtt_ms"`      // of signaling, the newest
	PathRTTMS  float64 `json:"path_rtt_ms"` // of media, the newest check
}

// Track is one track that was sent or received. Lost, jitter and RTT of a sent one are the server's, from its newest report;
// a received one has no RTT.
type Track struct {
	Who     string `json:"who"`
	Name    string `json:"name"`
	ID      string `json:"track"`
	Kind    string `json:"kind"` // "audio", "video"
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"` // of RTP packets with their headers
	Lost    int64  `json:"lost"`  // packets that never came in time
	// LostPercent is of all packets.
	LostPercent float64 `json:"lost_percent"`
	JitterMS    float64 `json:"jitter_ms"`
	RTTMS       float64 `json:"rtt_ms"`
	Frames      uint64  `json:"frames"`         // whole frames, packets of sound
	Dropped     uint64  `json:"dropped_frames"` // begun, or not decodable for what is missing
	Width       int     `json:"width,omitempty"`
	Height      int     `json:"height,omitempty"`
	// Seconds is how much was played, or recorded.
	Seconds float64 `json:"seconds"`
	// StartSeconds is when a recording's first frame came, since the join: files of one call are in step when each begins so
	// late.
	StartSeconds float64 `json:"start_seconds"`
	// FilledSeconds is how much of a recorded sound never came and is left to the decoder to conceal.
	FilledSeconds float64 `json:"filled_seconds,omitempty"`
	File          string  `json:"file,omitempty"`
	// KeyframeRequests, Jumps, Skipped and Unanswered are of a played picture: how often a keyframe was asked for, how often
	// that made the clip jump, over how many frames, and how often it had none left.
	KeyframeRequests uint64 `json:"keyframe_requests,omitempty"`
	Jumps            uint64 `json:"jumps,omitempty"`
	Skipped          uint64 `json:"skipped_frames,omitempty"`
	Unanswered       uint64 `json:"unanswered_requests,omitempty"`
	Over             bool   `json:"-"` // it has left
}

func kindName(k client.Kind) string { return strings.ToLower(k.String()) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// report asks everybody.
func (c *call) report() Report {
	media := c.room.Stats()
	c.mu.Lock()
	r := Report{
		Server: c.config.Server, Room: c.welcome.GetRoom(), Identity: c.welcome.GetIdentity(),
		Seconds: time.Since(c.began).Seconds(),
		Session: Session{
			State: c.room.State().String(), Transport: c.session.Transport().String(), Media: media.Path.Protocol, Path: media.Path.Remote,
			Reconnects: c.reconnects, Rebuilds: c.rebuilds,
			RTTMS: milliseconds(c.session.RTT()), PathRTTMS: milliseconds(media.Path.RTT),
		},
		Sent: []Track{},
	}
	c.mu.Unlock()
	for _, p := range c.players {
		for _, s := range media.Published {
			if s.ID == p.id {
				r.Sent = append(r.Sent, p.report(r.Identity, s))
			}
		}
	}
	r.Received = c.receiver.report()
	r.Unknown = c.receiver.unknown()
	return r
}

func (p *player) report(who string, s client.PublishedStats) Track {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := Track{
		Who: who, ID: p.id, Kind: "audio", File: p.path, Packets: s.Packets, Bytes: s.Bytes, Lost: s.Lost,
		JitterMS: milliseconds(s.Jitter), RTTMS: milliseconds(s.RTT),
		Frames: p.frames, Seconds: p.duration(p.through).Seconds(),
		KeyframeRequests: p.requests, Jumps: p.reel.Jumps, Skipped: p.reel.Skipped, Unanswered: p.reel.Unanswered,
	}
	if s.Packets > 0 {
		t.LostPercent = 100 * float64(s.Lost) / float64(s.Packets)
	}
	if p.video != nil {
		t.Kind, t.Width, t.Height = "video", p.video.Width, p.video.Height
	}
	return t
}

// What rows of the live table begin with.
const (
	sent     = "> "
	received = "< "
)

// maxRows of the live table: a terminal has few lines more.
const maxRows = 20

// Table is the live table: what happened between two reports, the first of which may be the zero Report.
func Table(before, now Report) []string {
	span := now.Seconds - before.Seconds
	if span <= 0 {
		span = 1
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	write := func(cells ...string) { fmt.Fprintln(w, strings.Join(cells, "\t")) } // a Builder does not fail
	write("WHO", "TRACK", "KIND", "KBIT/S", "PKT/S", "LOST %", "RTT MS", "JITTER MS", "FRAMES/S", "SIZE")
	rows, more := 0, 0
	row := func(mark string, old map[string]Track, t Track) {
		if t.Over {
			return
		}
		if rows++; rows > maxRows {
			more++
			return
		}
		was := old[t.Who+"\n"+t.ID]
		packets, lost := delta(t.Packets, was.Packets), float64(max(t.Lost-was.Lost, 0)) // on a new connection it begins anew
		share, all := 0.0, packets
		if mark == received {
			all += lost // those sent are all of them
		}
		if all > 0 {
			share = 100 * lost / all
		}
		rtt, size := "-", "-"
		if t.RTTMS > 0 {
			rtt = fmt.Sprintf("%.1f", t.RTTMS)
		}
		if t.Width > 0 {
			size = fmt.Sprintf("%dx%d", t.Width, t.Height)
		}
		write(mark+printable(t.Who, 20), printable(t.ID, 16), t.Kind,
			fmt.Sprintf("%.0f", delta(t.Bytes, was.Bytes)*8/1000/span), fmt.Sprintf("%.0f", packets/span),
			fmt.Sprintf("%.1f", share), rtt, fmt.Sprintf("%.1f", t.JitterMS),
			fmt.Sprintf("%.1f", delta(t.Frames, was.Frames)/span), size)
	}
	for _, t := range now.Sent {
		row(sent, byName(before.Sent), t)
	}
	for _, t := range now.Received {
		row(received, byName(before.Received), t)
	}
	_ = w.Flush() // a Builder does not fail
	lines := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	s := now.Session
	lines = append([]string{fmt.Sprintf("%s as %s, %.0f s: %s, %s, media %s, signaling RTT %.1f ms, media RTT %.1f ms, %d reconnects",
		printable(now.Room, 40), printable(now.Identity, 40), now.Seconds, s.State, s.Transport, orNone(s.Media), s.RTTMS, s.PathRTTMS, s.Reconnects)}, lines...)
	if more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return lines
}

// delta is how much a counter rose; a track that came back under its old name counts from 0.
func delta(now, was uint64) float64 {
	if now < was {
		return float64(now)
	}
	return float64(now - was)
}

// byName finds tracks; of several stays of one person the newest.
func byName(list []Track) map[string]Track {
	out := map[string]Track{}
	for _, t := range list {
		out[t.Who+"\n"+t.ID] = t
	}
	return out
}

func orNone(s string) string {
	if s == "" {
		return "none yet"
	}
	return s
}

// printable keeps what others wrote from moving the cursor, or a column.
func printable(s string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > limit {
			return b.String() + "…"
		}
		if !unicode.IsGraphic(r) {
			r = '?'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Summary writes what a call came to, for people.
func (r Report) Summary(out io.Writer) error {
	s := r.Session
	_, err := fmt.Fprintf(out, "%s as %s at %s, %.1f s: %s, media %s, %d reconnects, %d rebuilds, signaling RTT %.1f ms, media RTT %.1f ms\n",
		printable(r.Room, 128), printable(r.Identity, 128), r.Server, r.Seconds, s.Transport, orNone(s.Media), s.Reconnects, s.Rebuilds, s.RTTMS, s.PathRTTMS)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(what string, t Track) {
		_, e := fmt.Fprintf(w, "%s\t%s\t%s\t%d packets\t%d bytes\t%d lost (%.2f %%)\tjitter %.1f ms\t%d frames\t%.1f s\t%s\n",
			what, printable(t.Who, 40), printable(t.ID, 40), t.Packets, t.Bytes, t.Lost, t.LostPercent, t.JitterMS, t.Frames, t.Seconds, t.File)
		err = errors.Join(err, e)
	}
	for _, t := range r.Sent {
		line("sent", t)
	}
	for _, t := range r.Received {
		line("received", t)
	}
	err = errors.Join(err, w.Flush())
	for _, t := range r.Sent {
		if t.KeyframeRequests > 0 {
			_, e := fmt.Fprintf(out, "%s: %d keyframes asked for, %d jumps over %d frames, %d times none was left\n",
				t.ID, t.KeyframeRequests, t.Jumps, t.Skipped, t.Unanswered)
			err = errors.Join(err, e)
		}
	}
	if r.Unknown > 0 {
		_, e := fmt.Fprintf(out, "%d packets came of nobody known\n", r.Unknown)
		err = errors.Join(err, e)
	}
	return err
}
