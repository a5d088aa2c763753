//go:build linux

package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pion/rtp"

	"github.com/tolkyn/tolkyn/internal/capture"
)

const tableHead = `# What browsers sent

Recordings of real streams on loopback, for the tests of codecs, uplinks and downlinks. Each is a pair of files: see package
internal/capture. They are made anew, this page too, by

    go run ./bench/capture -out codec/testdata/captures

which needs Debian's chromium and firefox-esr. Chromium shows its fake camera (30 pictures a second), Firefox a canvas (25); a
recording is 3 s long, begins with a keyframe in every encoding, and holds two more that were asked for by PLI. Nothing is
missing from it but what went over the RTX SSRC. Chromium begins at 2 Mbit/s by x-google-start-bitrate in the answer, without
which it does not get to the upper layers of so small pictures.

Offered and answered are all header extensions of internal/capture that the browser has; those named *bare* leave out the
dependency descriptor. The table says what was found in the packets by pion's depacketizers and the descriptor's templates.

What stands out: Chromium's VP8 tells neither picture ids nor layers where the descriptor is negotiated. In *av1-l3t3* the encoder
has dropped the base layer of some pictures for want of bits, and lets the next layer refer to frames that its descriptor had
called discardable, from before a place to switch. MID and RID are not in the packets: receiver reports had come by then.

| recording | encoding | kB | packets | frames | keyframes | spatial layers | temporal layers | packets with extensions |
|---|---|--:|--:|--:|--:|--:|--:|---|
`

// writeTable writes README.md about all captures in a folder.
func writeTable(dir string) error {
	paths, err := capture.List(dir)
	if err != nil {
		return err
	}
	var table strings.Builder
	table.WriteString(tableHead)
	browsers := map[string]bool{}
	for _, path := range paths {
		c, err := capture.Read(path)
		if err != nil {
			return err
		}
		browsers[c.Browser] = true
		for _, e := range c.Encodings {
			row, err := describe(c, e)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			fmt.Fprintf(&table, "| %s | %s |\n", filepath.Base(path), row)
		}
	}
	fmt.Fprintf(&table, "\nBrowsers: %s.\n", strings.Join(slices.Sorted(maps.Keys(browsers)), ", "))
	return os.WriteFile(filepath.Join(dir, "README.md"), []byte(table.String()), 0o644)
}

// describe says of an encoding what stands behind its recording's name.
func describe(c *capture.Capture, e capture.Encoding) (string, error) {
	frames, err := c.Frames(e.SSRC)
	if err != nil {
		return "", err
	}
	keyframes, spatial, temporal := 0, map[int]bool{}, map[int]bool{}
	told := true
	for _, f := range frames {
		if f.Keyframe {
			keyframes++
		}
		told = told && f.Layered
		spatial[f.Spatial], temporal[f.Temporal] = true, true
	}
	layers := fmt.Sprintf("%d | %d", len(spatial), len(temporal))
	if !told {
		layers = "not told | not told"
	}
	packets, octets, extensions := 0, 0, map[string]int{}
	for _, p := range c.Packets {
		var h rtp.Header
		if _, err := h.Unmarshal(p.Data); p.RTCP || err != nil || h.SSRC != e.SSRC {
			continue
		}
		packets++
		octets += len(p.Data)
		for name, id := range c.Extensions {
			if h.GetExtension(id) != nil {
				extensions[name]++
			}
		}
	}
	var seen []string
	for _, name := range slices.Sorted(maps.Keys(extensions)) {
		seen = append(seen, fmt.Sprintf("%s %d", name, extensions[name]))
	}
	name := c.Codec
	if e.RID != "" {
		name += " " + e.RID
	}
	if c.Format != "" {
		name += " (" + c.Format + ")"
	}
	if c.Codec == "opus" {
		return fmt.Sprintf("%s | %d | %d | %d | | | | %s", name, (octets+500)/1000, packets, len(frames), strings.Join(seen, ", ")), nil
	}
	return fmt.Sprintf("%s | %d | %d | %d | %d | %s | %s",
		name, (octets+500)/1000, packets, len(frames), keyframes, layers, strings.Join(seen, ", ")), nil
}
