package report

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"strconv"
	"strings"
	"time"

	"github.com/tolkyn/tolkyn/bench/measure"
)

// Event is one decision of one caller, for people who look for the reason of a figure.
type Event struct {
	At     float64 `json:"at"`     // seconds on the run's clock
	Caller string  `json:"caller"` // identity
	Name   string  `json:"event"`  // "offer", "nack", "keyframe-request", "resume"
	Detail any     `json:"detail,omitempty"`
}

// WriteBundle writes a zip for debugging:
//
//	report.json            what WriteJSON writes, without recordings
//	events.jsonl           an Event a line, as given
//	webrtc-internals.json  what chrome://webrtc-internals saves, of every caller: readers of such dumps open it
//	recordings/            the recordings as files
//
// It takes events as they are, so give it those of the calls in question: a large run has millions.
func WriteBundle(w io.Writer, r Report, events []Event) error {
	r = settled(r)
	out := zip.NewWriter(w)
	file := func(name string, write func(io.Writer) error) error {
		f, err := out.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: r.Started})
		if err != nil {
			return fmt.Errorf("write bundle: %s: %w", name, err)
		}
		if err := write(f); err != nil {
			return fmt.Errorf("write bundle: %s: %w", name, err)
		}
		return nil
	}
	plain := r
	plain.Recordings = nil
	if err := file("report.json", func(w io.Writer) error { return WriteJSON(w, plain) }); err != nil {
		return err
	}
	err := file("events.jsonl", func(w io.Writer) error {
		lines := json.NewEncoder(w)
		for i, e := range events {
			if err := lines.Encode(e); err != nil {
				return fmt.Errorf("event %d (%q): %w", i, e.Name, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = file("webrtc-internals.json", func(w io.Writer) error { return json.NewEncoder(w).Encode(internalsOf(r, events)) })
	if err != nil {
		return err
	}
	for i, recording := range r.Recordings {
		name := fmt.Sprintf("recordings/%02d %s%s", i+1, fileName(recording.Title), extension(recording.MIME))
		err := file(name, func(w io.Writer) error {
			_, err := w.Write(recording.Data)
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

// fileName keeps of a title what every file system takes; a title is made of strangers' identities.
func fileName(title string) string {
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|.`, r) {
			return '_'
		}
		return r
	}, printable(title))
	return fit(name, 60)
}

func extension(mimeType string) string {
	switch kind, _, _ := mime.ParseMediaType(mimeType); kind {
	case "audio/ogg":
		return ".ogg"
	case "video/webm", "audio/webm":
		return ".webm"
	case "audio/wav", "audio/x-wav":
		return ".wav"
	}
	return ".bin"
}

// internals is the file that chrome://webrtc-internals saves, as far as its readers look: PeerConnections by id, each with
// a log of what happened and one series of values for each statistic, named <id of the object>-<name>.
type internals struct {
	GetUserMedia    []any                      `json:"getUserMedia"`
	PeerConnections map[string]*peerConnection `json:"PeerConnections"`
	UserAgent       string                     `json:"UserAgent"`
}

type peerConnection struct {
	PID              int               `json:"pid"`
	RID              int               `json:"rid"`
	URL              string            `json:"url"`
	RTCConfiguration string            `json:"rtcConfiguration"`
	Constraints      string            `json:"constraints"`
	UpdateLog        []update          `json:"updateLog"`
	Stats            map[string]series `json:"stats"`
}

type update struct {
	Time  string `json:"time"`
	Type  string `json:"type"`
	Value string `json:"value"`
}

type series struct {
	StartTime string `json:"startTime"`
	EndTime   string `json:"endTime"`
	StatsType string `json:"statsType"`
	Values    string `json:"values"` // a JSON array, in a string: so does Chromium
}

func internalsOf(r Report, events []Event) internals {
	out := internals{GetUserMedia: []any{}, PeerConnections: map[string]*peerConnection{}, UserAgent: "tolkyn bench " + r.Version}
	peers := map[[2]string]*peerConnection{}
	byIdentity := map[string][]*peerConnection{}
	for i, c := range r.Callers {
		p := &peerConnection{
			PID: 1, RID: i + 1, URL: c.Room + ", " + c.Identity, RTCConfiguration: "{}", UpdateLog: []update{},
			Stats: map[string]series{},
		}
		out.PeerConnections["1-"+strconv.Itoa(i+1)] = p
		peers[[2]string{c.Room, c.Identity}] = p
		byIdentity[c.Identity] = append(byIdentity[c.Identity], p)
	}
	stamp := func(at float64) string {
		return r.Started.Add(time.Duration(at * float64(time.Second))).UTC().Format("2006-01-02T15:04:05.000Z")
	}
	for _, e := range events {
		value, err := json.Marshal(e.Detail)
		if err != nil || e.Detail == nil {
			value = nil // events.jsonl, written before, has refused what is no JSON
		}
		for _, p := range byIdentity[e.Caller] {
			p.UpdateLog = append(p.UpdateLog, update{stamp(e.At), e.Name, string(value)})
		}
	}
	number := map[*peerConnection]int{}
	for _, s := range r.Streams {
		p := peers[[2]string{s.Room, s.Receiver}]
		if p == nil || len(s.Slices) == 0 {
			continue
		}
		number[p]++
		first, last := s.Slices[0].At, s.Slices[len(s.Slices)-1].At
		id := "IT" + strconv.Itoa(number[p]) + string(s.Kind)
		add := func(name string, get func(measure.Slice) any) {
			values := make([]any, len(s.Slices))
			for i, slice := range s.Slices {
				values[i] = get(slice)
			}
			b, err := json.Marshal(values)
			if err != nil {
				return // settled left finite numbers only
			}
			p.Stats[id+"-"+name] = series{stamp(first), stamp(last), "inbound-rtp", string(b)}
		}
		var packets, lost, octets float64
		add("timestamp", func(x measure.Slice) any { return float64(r.Started.UnixMilli()) + x.At*1000 })
		add("kind", func(measure.Slice) any { return string(s.Kind) })
		add("trackIdentifier", func(measure.Slice) any { return s.Sender + "/" + s.Track })
		add("packetsReceived", func(x measure.Slice) any { packets += float64(x.Packets); return packets })
		add("packetsLost", func(x measure.Slice) any {
			if x.LossShare < 1 {
				lost += float64(x.Packets) * x.LossShare / (1 - x.LossShare)
			}
			return int64(lost + 0.5)
		})
		add("bytesReceived", func(x measure.Slice) any { octets += x.Bitrate / 8; return int64(octets) })
		add("[bytesReceived_in_bits/s]", func(x measure.Slice) any { return x.Bitrate })
		add("[delay_p95_in_ms]", func(x measure.Slice) any { return x.DelayP95 })
		if s.Kind == measure.Video {
			add("framesPerSecond", func(x measure.Slice) any { return x.FPS })
			add("[frozen_share]", func(x measure.Slice) any { return x.Frozen })
		} else {
			add("[concealed_share]", func(x measure.Slice) any { return x.Concealed })
		}
	}
	return out
}
