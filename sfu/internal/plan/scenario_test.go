package plan

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite testdata/*.txt with what the room does now")

// TestScenarios runs testdata/*.txt: blocks of commands, a line of dashes, and the effects of each. A track is written
// as its source, or source:id when a peer has several, and with a ! when muted.
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
	var out strings.Builder
	for block := range strings.SplitSeq(strings.TrimSpace(script), "\n\n") {
		commands, _, _ := strings.Cut(block, "\n----")
		out.WriteString(commands + "\n")
		said := ""
		for line := range strings.SplitSeq(commands, "\n") {
			if line == "" || line[0] == '#' {
				continue
			}
			if room == nil || strings.HasPrefix(line, "room") {
				room = New(Config{MaxPeers: option(line, "max", 0)})
				if strings.HasPrefix(line, "room") {
					continue
				}
			}
			for _, e := range room.Step(0, parse(t, line)) {
				said += show(e) + "\n"
			}
		}
		if said != "" {
			out.WriteString("----\n" + said)
		}
		out.WriteString("\n")
	}
	return strings.TrimSuffix(out.String(), "\n")
}

func parse(t *testing.T, line string) Command {
	words := strings.Fields(line)
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
	case "subscribe":
		s := Subscribe{Peer: id}
		for _, word := range rest {
			name, priority, _ := strings.Cut(word, "*")
			w := Wish{Hidden: strings.HasPrefix(name, "-")}
			peer, track, _ := strings.Cut(strings.TrimPrefix(name, "-"), "/")
			number, err := strconv.ParseUint(peer, 10, 64)
			require.NoError(t, err, line)
			p, _ := strconv.Atoi(priority)
			w.Peer, w.Track, w.Priority = PeerID(number), track, uint32(p)
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
		return fmt.Sprintf("assign %d %s %d = %s", e.Peer, kind, e.Slot, showRef(*e.Track))
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
		return "slots audio" + showRefs(e.Slots.Audio) + " video" + showRefs(e.Slots.Video)
	}
	return "?"
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
