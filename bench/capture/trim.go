//go:build linux

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/pion/rtp"

	"github.com/tolkyn/tolkyn/internal/capture"
)

// trim makes a capture of what came: every encoding from its first keyframe on, without retransmissions, and checks that
// nothing is missing.
func (s *session) trim(packets []arrival, version string) (*capture.Capture, error) {
	asked, err := json.Marshal(s.mode)
	if err != nil {
		return nil, err
	}
	c := &capture.Capture{
		Browser: version, Asked: string(asked), Codec: s.answer.codec, Format: s.answer.format, PayloadType: s.answer.payload,
		RTXPayloadType: s.answer.rtx, REDPayloadType: s.answer.red, Extensions: s.answer.extensions,
	}
	begun := map[uint32]uint16{} // the last number of each encoding that has begun
	for _, a := range packets {
		if a.RTCP {
			c.Packets = append(c.Packets, capture.Packet{At: a.at.Sub(packets[0].at), RTCP: true, Data: a.Data})
			continue
		}
		var p rtp.Packet
		if err := p.Unmarshal(a.Data); err != nil {
			return nil, fmt.Errorf("a packet cannot be read: %w", err)
		}
		if p.PayloadType == c.RTXPayloadType && c.RTXPayloadType != 0 {
			continue
		}
		last, known := begun[p.SSRC]
		switch {
		case !known && !capture.Keyframe(c.Codec, p.Payload):
			continue
		case known && p.SequenceNumber != last+1:
			return nil, fmt.Errorf("packets are missing or out of order: %d after %d of SSRC %d", p.SequenceNumber, last, p.SSRC)
		}
		begun[p.SSRC] = p.SequenceNumber
		c.Packets = append(c.Packets, capture.Packet{At: a.at.Sub(packets[0].at), Data: a.Data})
	}
	if len(begun) < max(1, len(s.mode.Encodings)) {
		return nil, errors.New("not every encoding had a keyframe")
	}
	// Time begins with the first packet kept, and ends in all encodings alike.
	first := c.Packets[0].At
	for i := range c.Packets {
		c.Packets[i].At -= first
	}
	c.Packets = slices.DeleteFunc(c.Packets, func(p capture.Packet) bool { return p.At > length })
	rids, repairs := s.recorder.names()
	for ssrc := range begun {
		e := capture.Encoding{RID: rids[ssrc], SSRC: ssrc, RTXSSRC: s.offer.repairs[ssrc]}
		for rtx, rid := range repairs {
			if rid == e.RID && e.RID != "" {
				e.RTXSSRC = rtx
			}
		}
		c.Encodings = append(c.Encodings, e)
	}
	place := func(e capture.Encoding) int {
		return slices.IndexFunc(s.mode.Encodings, func(asked encoding) bool { return asked.RID == e.RID })
	}
	slices.SortFunc(c.Encodings, func(a, b capture.Encoding) int { return cmp.Compare(place(a), place(b)) })
	return c, nil
}
