package plan

import (
	"flag"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite testdata/*.txt with what the room does now")

// TestScenarios runs testdata/*.txt: blocks of commands, a line of dashes, and the effects of each. A track is written
// as its source, or source:id when a peer has several, and with a ! when muted. "at 1500" sets the clock to 1.5 s, after the
// Ticks that the room wants until then; "crowd 10 30 mic" lets 21 peers in.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			got := play(t, string(text))
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
				return
			}
			require.Equal(t, string(text), got)
		})
	}
}

// play returns the script with the effects rewritten.
func play(t *testing.T, script string) string {
	var room *Room
	var now time.Duration
	var out strings.Builder
	for block := range strings.SplitSeq(strings.TrimSpace(script), "\n\n") {
		script, _, _ := strings.Cut(block, "\n----")
		out.WriteString(script + "\n")
		said := ""
		for line := range strings.SplitSeq(script, "\n") {
			if line == "" || line[0] == '#' {
				continue
			}
			if room == nil || strings.HasPrefix(line, "room") {
				room, now = New(Config{MaxPeers: option(line, "max", 0)}), 0
				if strings.HasPrefix(line, "room") {
					continue
				}
			}
			for _, c := range commands(t, room, &now, line) {
				for _, e := range room.Step(now, c()) {
					said += show(e) + "\n"
				}
			}
		}
		if said != "" {
			out.WriteString("----\n" + said)
		}
		out.WriteString("\n")
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// commands is what a line says to do, one after the other.
func commands(t *testing.T, room *Room, now *time.Duration, line string) iter.Seq2[int, func() Command] {
	return func(yield func(int, func() Command) bool) {
		words := strings.Fields(line)
		switch words[0] {
		case "at":
			ms, err := strconv.Atoi(words[1])
			require.NoError(t, err, line)
			until := time.Duration(ms) * time.Millisecond
			require.Greater(t, until, *now, line)
			for next := room.Next(); next != 0 && next <= until; next = room.Next() {
				*now = max(next, *now)
				yield(0, func() Command { return Tick{} })
			}
			*now = until
		case "crowd":
			first, err := strconv.Atoi(words[1])
			require.NoError(t, err, line)
			last, err := strconv.Atoi(words[2])
			require.NoError(t, err, line)
			for n := first; n <= last; n++ {
				yield(0, func() Command { return parse(t, fmt.Sprintf("join %d p%d %s", n, n, strings.Join(words[3:], " "))) })
			}
		default:
			yield(0, func() Command { return parse(t, line) })
		}
	}
}

func parse(t *testing.T, line string) Command {
	words := strings.Fields(line)
	if words[0] == "speak" {
		var s Speak
		for i, word := range words[1:] {
			n, err := strconv.ParseUint(word, 10, 64)
			require.NoError(t, err, line)
			s.Speakers = append(s.Speakers, Speaker{Peer: PeerID(n), Level: uint8(100 - i)})
		}
		return s
	}
	require.GreaterOrEqual(t, len(words), 2, line)
	n, err := strconv.ParseUint(words[1], 10, 64)
	require.NoError(t, err, line)
	id, rest := PeerID(n), words[2:]
	switch words[0] {
	case "join":
		j := Join{
			Peer: id, Identity: rest[0], Name: rest[0],
			CanPublish: !strings.Contains(line, "no-publish"), CanSubscribe: !strings.Contains(line, "no-subscribe"),
			AudioSlots: option(line, "audio", 3), VideoSlots: option(line, "video", 9),
			MaxVideos: option(line, "videos", 0), MaxHeight: uint32(option(line, "height", 0)),
		}
		if j.Identity == "-" {
			j.Identity = ""
		}
		j.Tracks = tracks(rest[1:])
		return j
	case "leave":
		return Leave{Peer: id}
	case "publish":
		return Publish{Peer: id, Tracks: tracks(rest)}
	case "unpublish":
		return Unpublish{Peer: id, IDs: rest}
	case "mute", "unmute":
		return Mute{Peer: id, ID: rest[0], Muted: words[0] == "mute"}
	case "resize":
		r := Resize{Peer: id, Audio: slices.Repeat([]bool{true}, option(line, "audio", 0)), Video: slices.Repeat([]bool{true}, option(line, "video", 0))}
		for kind, open := range map[string][]bool{"no-audio": r.Audio, "no-video": r.Video} {
			if n := option(line, kind, -1); n >= 0 {
				open[n] = false
			}
		}
		return r
	case "page":
		return Page{Peer: id, After: PeerID(option(line, "after", 0)), Limit: option(line, "limit", 0)}
	case "subscribe":
		s := Subscribe{Peer: id, VideoPaused: strings.Contains(line, " paused"), LastN: option(line, "last", 0)}
		for _, word := range rest {
			if word == "paused" || strings.Contains(word, "=") {
				continue
			}
			word, size, _ := strings.Cut(word, "@")
			name, priority, _ := strings.Cut(word, "*")
			w := Wish{Hidden: strings.HasPrefix(name, "-")}
			peer, track, _ := strings.Cut(strings.TrimPrefix(name, "-"), "/")
			number, err := strconv.ParseUint(peer, 10, 64)
			require.NoError(t, err, line)
			p, _ := strconv.Atoi(priority)
			w.Peer, w.Track, w.Priority = PeerID(number), track, uint32(p)
			if size != "" {
				_, err = fmt.Sscanf(size, "%dx%d", &w.Width, &w.Height)
				require.NoError(t, err, line)
			}
			s.Wishes = append(s.Wishes, w)
		}
		return s
	}
	require.Fail(t, "unknown command", line)
	return nil
}

func option(line, name string, otherwise int) int {
	for word := range strings.FieldsSeq(line) {
		if value, ok := strings.CutPrefix(word, name+"="); ok {
			n, _ := strconv.Atoi(value)
			return n
		}
	}
	return otherwise
}

func tracks(words []string) []Track {
	sources := map[string]Track{
		"mic": {Kind: Audio, Source: Microphone}, "cam": {Kind: Video, Source: Camera},
		"screen": {Kind: Video, Source: Screen}, "sound": {Kind: Audio, Source: ScreenAudio},
	}
	var list []Track
	for _, word := range words {
		word, muted := strings.CutSuffix(word, "!")
		name, id, named := strings.Cut(word, ":")
		t, ok := sources[name]
		if !ok {
			continue
		}
		t.Muted, t.ID = muted, name
		if named {
			t.ID = id
		}
		list = append(list, t)
	}
	return list
}

func show(e Effect) string {
	switch e := e.(type) {
	case Evict:
		return fmt.Sprintf("evict %d", e.Peer)
	case Reject:
		if e.ID != "" {
			return fmt.Sprintf("reject %d/%s: %v", e.Peer, e.ID, e.Reason)
		}
		return fmt.Sprintf("reject %d: %v", e.Peer, e.Reason)
	case Assign:
		kind := map[bool]string{false: "audio", true: "video"}[e.Video]
		if e.Track == nil {
			return fmt.Sprintf("assign %d %s %d empty", e.Peer, kind, e.Slot)
		}
		return fmt.Sprintf("assign %d %s %d = %s%s", e.Peer, kind, e.Slot, showRef(*e.Track), showView(e.View))
	case Tell:
		return fmt.Sprintf("tell %d: %s", e.Peer, showEvent(e.Event))
	}
	return "?"
}

func showEvent(e Event) string {
	switch e := e.(type) {
	case PeerJoined:
		words := []string{"joined", fmt.Sprint(e.Peer.Peer), e.Peer.Name}
		for _, t := range e.Peer.Tracks {
			words = append(words, showTrack(t))
		}
		return strings.Join(words, " ")
	case PeerLeft:
		return fmt.Sprintf("left %d", e.Peer)
	case TrackPublished:
		return fmt.Sprintf("published %d/%s", e.Peer, showTrack(e.Track))
	case TrackUnpublished:
		return fmt.Sprintf("unpublished %d/%s", e.Peer, showTrack(e.Track))
	case TrackMuted:
		return fmt.Sprintf("muted %d/%s", e.Peer, showTrack(e.Track))
	case SlotsChanged:
		line := "slots audio" + showRefs(e.Slots.Audio) + " video" + showRefs(e.Slots.Video)
		for _, p := range e.Peers {
			line += ", " + showEvent(PeerJoined{p})
		}
		return line
	case RosterChanged:
		return fmt.Sprintf("roster %d", e.Size)
	case SpeakersChanged:
		line := "speakers"
		for _, s := range e.Speakers {
			line += fmt.Sprintf(" %d:%d", s.Peer, s.Level)
		}
		return line
	}
	return "?"
}

func showView(v View) string {
	line := ""
	if v.Width > 0 || v.Height > 0 {
		line = fmt.Sprintf(" %dx%d", v.Width, v.Height)
	}
	if v.Detail {
		line += " detail"
	}
	if v.Limited {
		line += " limited"
	}
	if v.Priority > 0 {
		line += fmt.Sprintf(" priority %d", v.Priority)
	}
	if v.Speaks {
		line += " speaks"
	}
	return line
}

func showTrack(t Track) string {
	return t.ID + map[bool]string{true: "!"}[t.Muted]
}

func showRef(r TrackRef) string {
	if r == (TrackRef{}) {
		return "-"
	}
	return fmt.Sprintf("%d/%s", r.Peer, r.ID)
}

func showRefs(refs []TrackRef) string {
	line := ""
	for _, r := range refs {
		line += " " + showRef(r)
	}
	return line
}
