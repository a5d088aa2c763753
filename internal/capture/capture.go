package capture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pion/webrtc/v4/pkg/media/rtpdump"
)

// Capture is one recording. Packets are in order of arrival.
type Capture struct {
	Browser string `json:"browser"` // name and version
	Asked   string `json:"asked"`   // the page's mode, as JSON

	Codec          string `json:"codec"` // as in SDP: VP8, VP9, H264, AV1, opus
	Format         string `json:"format,omitempty"`
	PayloadType    uint8  `json:"payloadType"`
	RTXPayloadType uint8  `json:"rtxPayloadType,omitempty"` // 0 without
	REDPayloadType uint8  `json:"redPayloadType,omitempty"` // RFC 2198; 0 without

	// Extensions are the negotiated header extensions: the id by the short name of ExtensionURIs.
	Extensions map[string]uint8 `json:"extensions"`
	Encodings  []Encoding       `json:"encodings"` // smallest picture first

	Packets []Packet `json:"-"`
}

// Encoding is one RTP stream of the track.
type Encoding struct {
	RID     string `json:"rid,omitempty"` // empty without simulcast
	SSRC    uint32 `json:"ssrc"`
	RTXSSRC uint32 `json:"rtxSSRC,omitempty"`
}

// Packet is one RTP packet, or one RTCP sender report.
type Packet struct {
	At   time.Duration // since the recording began, whole milliseconds
	RTCP bool
	Data []byte
}

// ExtensionURIs are the header extensions that a capture names, by the short names used in Capture.Extensions.
func ExtensionURIs() map[string]string {
	return map[string]string{
		"mid":                   "urn:ietf:params:rtp-hdrext:sdes:mid",
		"rid":                   "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
		"repaired-rid":          "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
		"audio-level":           "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
		"transport-cc":          "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
		"dependency-descriptor": "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
		"layers-allocation":     "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00",
		"abs-capture-time":      "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
		"playout-delay":         "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
		"color-space":           "http://www.webrtc.org/experiments/rtp-hdrext/color-space",
		"orientation":           "urn:3gpp:video-orientation",
	}
}

// Read reads the capture with the given path, which has no ending: .json and .rtpdump are added.
func Read(path string) (*Capture, error) {
	text, err := os.ReadFile(path + ".json")
	if err != nil {
		return nil, fmt.Errorf("read capture: %w", err)
	}
	c := &Capture{}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("read capture: %s.json: %w", path, err)
	}
	dump, err := os.ReadFile(path + ".rtpdump")
	if err != nil {
		return nil, fmt.Errorf("read capture: %w", err)
	}
	if c.Packets, err = readDump(dump); err != nil {
		return nil, fmt.Errorf("read capture: %s.rtpdump: %w", path, err)
	}
	return c, nil
}

func readDump(dump []byte) ([]Packet, error) {
	r, _, err := rtpdump.NewReader(bytes.NewReader(dump))
	if err != nil {
		return nil, err
	}
	var packets []Packet
	for {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			return packets, nil
		}
		if err != nil {
			return nil, err
		}
		packets = append(packets, Packet{At: p.Offset, RTCP: p.IsRTCP, Data: p.Payload})
	}
}

// Write writes the capture's two files; path is as Read's.
func (c *Capture) Write(path string) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	var dump bytes.Buffer
	w, err := rtpdump.NewWriter(&dump, rtpdump.Header{Source: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	for _, p := range c.Packets {
		if err := w.WritePacket(rtpdump.Packet{Offset: p.At, IsRTCP: p.RTCP, Payload: p.Data}); err != nil {
			return fmt.Errorf("write capture: %w", err)
		}
	}
	if err := os.WriteFile(path+".json", append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	if err := os.WriteFile(path+".rtpdump", dump.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	return nil
}

// List returns the paths of all captures in a folder, as Read takes them, in order of their names.
func List(dir string) ([]string, error) {
	dumps, err := filepath.Glob(filepath.Join(dir, "*.rtpdump"))
	if err != nil {
		return nil, fmt.Errorf("list captures: %w", err)
	}
	for i := range dumps {
		dumps[i] = strings.TrimSuffix(dumps[i], ".rtpdump")
	}
	return dumps, nil
}
