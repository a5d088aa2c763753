package handshake

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
)

// Which receiving m-line is which slot, and under which SSRCs.

// slotPlace is a slot's place, and what it was opened with.
type slotPlace struct {
	place
	ssrc, rtx  uint32
	parity     uint32 // SSRC of FEC; 0 without
	fec        uint8  // its payload type
	taken      []format
	extensions [extCount]headerExtension
	mixed      bool
}

// place is a slot's kind and number.
type place struct {
	video bool
	index int
}

// stream names the slot's media stream, and is its CNAME as well.
func (p place) stream() string { return "slot" + strconv.Itoa(p.index) }

// opensAnew says whether the m-line takes other packets now than the slot was opened for.
func (p *slotPlace) opensAnew(s *section) bool {
	return s.direction == recvonly && (p.extensions != s.extensions || p.mixed != s.mixed || p.fec != s.fec || !slices.Equal(p.taken, s.taken))
}

// planSlots gives every receiving m-line its index: the one it had, else the lowest that is free. What opens anew, if it
// only was something else in between, has new SSRCs: the shard begins its numbers anew, and a number used twice under one
// key breaks it. ended are the mids of the slots that are no more.
func (p *Peer) planSlots(o *offer) (slots map[string]slotPlace, ended []string, err error) {
	slots = map[string]slotPlace{}
	taken := map[place]bool{}
	for i := range o.sections {
		s := &o.sections[i]
		had, ok := p.slots[s.mid]
		if ok && !s.refused && !s.sends() {
			slots[s.mid], taken[had.place] = had, true
		}
	}
	for mid := range p.slots {
		if _, goesOn := slots[mid]; !goesOn {
			ended = append(ended, mid)
		}
	}
	limit := map[bool]int{false: p.engine.cfg.MaxAudioSlots, true: p.engine.cfg.MaxVideoSlots}
	count := map[bool]int{}
	used := map[uint32]bool{}
	for i := range o.sections {
		s := &o.sections[i]
		slot, have := slots[s.mid]
		if !have && (s.refused || s.direction != recvonly) {
			continue
		}
		if count[s.video]++; count[s.video] > limit[s.video] {
			return nil, nil, &OfferError{
				ErrTooManySlots, s.line, fmt.Sprintf("there are more than %d for %s", limit[s.video], s.media),
				"offer fewer recvonly transceivers",
			}
		}
		switch {
		case have && !slot.opensAnew(s):
			continue
		case have:
			ended = append(ended, s.mid)
		default:
			slot.place = place{video: s.video}
			for taken[slot.place] {
				slot.index++
			}
			taken[slot.place] = true
		}
		slot.ssrc, slot.rtx = p.newSSRC(o, used), p.newSSRC(o, used)
		slot.parity, slot.fec = 0, s.fec
		if s.fec != 0 {
			slot.parity = p.newSSRC(o, used)
		}
		slot.taken, slot.extensions, slot.mixed = s.taken, s.extensions, s.mixed
		slots[s.mid] = slot
	}
	if len(p.ssrcs)+len(used) > 2*maxRecycled {
		return nil, nil, recycledTooOften()
	}
	return slots, ended, nil
}

// newSSRC draws an SSRC that this session has never used: two slots alike under one key would use every nonce twice. Nor
// is it one of the client's.
func (p *Peer) newSSRC(o *offer, used map[uint32]bool) uint32 {
	for {
		n := rand.Uint32()
		if n == 0 || p.ssrcs[n] || used[n] || slices.ContainsFunc(o.sections, func(s section) bool { return s.ssrc == n || s.repair == n }) {
			continue
		}
		used[n] = true
		return n
	}
}
