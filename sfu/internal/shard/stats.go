package shard

import (
	"time"

	"github.com/tolkyn/tolkyn/internal/srtp"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/sfu/internal/handshake"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
	"github.com/tolkyn/tolkyn/sfu/internal/voice"
)

// Stats are a shard's counters since its start, and its present size.
type Stats struct {
	PacketsIn, PacketsOut uint64 // RTP packets opened and sealed
	BytesIn, BytesOut     uint64
	NACKsSent             uint64 // sequence numbers asked of publishers
	NACKsReceived         uint64 // sequence numbers asked by subscribers
	Resent, ResendMissed  uint64
	KeyframesAsked        uint64        // PLIs to publishers
	KeyframesWanted       uint64        // PLIs and FIRs from subscribers
	LayerSwitches         uint64        // changes of encoding or layer within a slot's track
	EncodingsPaused       uint64        // that publishers were told nobody watches
	BackupsAsked          uint64        // publications in a second codec asked for
	Halts                 uint64        // times that a subscriber's video waited for room on its path
	HaltedFor             time.Duration // in all
	Pauses                uint64        // times that a slot's video ended for want of bits
	Probes                uint64        // bursts to find out whether a path carries more
	Padding               uint64        // packets of them without media
	PaddingBytes          uint64
	RepairBytes           uint64 // of packets sent again under a number of their own
	Parity                uint64 // packets of parity of pictures (RFC 8627)
	ParityBytes           uint64

	VoicePackets   [voice.Modes]uint64 // of sound to subscribers, by how they were protected against loss
	RedundantBytes uint64              // of these: copies of earlier packets within later ones
	VoicesResent   uint64              // packets of sound sent again because they were asked for
	VoicesRestored uint64              // packets of publishers' sound that came within later ones,
	VoicesRepaired uint64              // or late, most because they were asked for again

	HandedIn, HandedOut uint64 // packets of any kind that came through Links, and of media that left through them

	PathChanges uint64
	Faults      uint64        // contained panics
	Busy        time.Duration // that the loop did not sleep; see Shard.Busy
	Drops       Drops
	Gate        handshake.GateStats
	Handshake   handshake.Stats // of the peers that are here now and those that were
	Socket      udp.Stats

	PeerTime               time.Duration // that peers have been in calls, all of them together
	Links                  int           // that are peers'
	Saving                 int           // peers of now that save bytes
	Peers, Tracks, Uplinks int           // an uplink is one encoding of a track
	Mirrors                int           // tracks of other shards that are watched here
	Paths                  Paths
	HistoryBytes           int // of the uplinks' rings together
}

// Drops counts packets that went no further, by reason.
type Drops struct {
	Malformed      uint64 // headers or payloads that lie
	UnknownSource  uint64 // from an address no check has proved
	UnknownUfrag   uint64 // STUN for nobody here
	ForgedSTUN     uint64 // wrong MESSAGE-INTEGRITY
	Forged         uint64 // SRTP or SRTCP that does not authenticate
	Replayed       uint64 // SRTP or SRTCP seen before
	UnknownSSRC    uint64 // authentic, but of no published track
	TooManySSRCs   uint64
	BeforeKeys     uint64
	Duplicate      uint64 // arrived twice, by resend or by probing
	TooOld         uint64 // behind the history
	GateFull       uint64 // handshake packets past the gate's bound
	Unsealed       uint64 // an SSRC's 2^48 or SRTCP's 2^31 numbers are used up
	NACKFlood      uint64 // packets of NACKs beyond what a subscriber can need
	TrackFlood     uint64 // beyond what one track may send
	PeerFlood      uint64 // beyond what one peer may send
	PipeOverflow   uint64 // that did not fit into a pipe to another shard
	RepairOverflow uint64 // resends that found no place to wait for their path to have room
	RepairStale    uint64 // resends that waited too long for it
	FeedbackFlood  uint64 // messages on what has come, beyond what a subscriber can have to tell
	TCPStale       uint64 // media not queued behind a slow TCP connection
	LinkUnsent     uint64 // media that the carrier of a Link did not take: behind a slow stream, without a permission, above a limit in bits
	LinkOverflow   uint64 // packets of Links that found the ring full
	LinkFlood      uint64 // packets of a Link that had its share of the ring
	LinkOversize   uint64 // packets of Links larger than any of WebRTC
}

func (d *Drops) opened(v srtp.Verdict) {
	switch v {
	case srtp.Replayed:
		d.Replayed++
	case srtp.Forged:
		d.Forged++
	case srtp.TooManyStreams:
		d.TooManySSRCs++
	default:
		d.Malformed++
	}
}

func (d *Drops) uplinked(v uplink.Verdict) {
	switch v {
	case uplink.Duplicate:
		d.Duplicate++
	case uplink.TooOld:
		d.TooOld++
	case uplink.Malformed:
		d.Malformed++
	}
}

// Paths sums up the ways to subscribers now.
type Paths struct {
	ByEstimate [len(estimateSteps) + 1]int // peers whose estimate is at most that step's, and those above
	Congested  int                         // peers on whose path a queue stands, or loss follows what is sent
	Paused     int                         // slots that show nothing for want of bits
}

// estimateSteps are the bounds of Paths.ByEstimate.
var estimateSteps = [...]bwe.Bitrate{100 * bwe.Kbps, 300 * bwe.Kbps, 1 * bwe.Mbps, 3 * bwe.Mbps, 10 * bwe.Mbps}

// EstimateSteps returns the bounds of Paths.ByEstimate: the last of its counts is of those above all of them.
func EstimateSteps() []bwe.Bitrate { return estimateSteps[:] }

// VoiceModes returns the names of what Stats.VoicePackets counts, from no protection to the most.
func VoiceModes() (names []string) {
	for m := range voice.Modes {
		names = append(names, voice.Mode(m).String())
	}
	return names
}

func (t *Paths) add(p *peer) {
	g := p.congestion
	if !g.known() {
		return
	}
	i := 0
	for i < len(estimateSteps) && g.estimate.Target > estimateSteps[i] {
		i++
	}
	t.ByEstimate[i]++
	if g.estimate.Congested {
		t.Congested++
	}
	t.Paused += p.pausedSlots()
}

func (p *peer) pausedSlots() (n int) {
	for _, sl := range p.slots {
		if sl.grant.paused {
			n++
		}
	}
	return n
}

// PathStats is what is known of the way to one subscriber.
type PathStats struct {
	Estimate, Delivered, Sent bwe.Bitrate   // that it carries; that arrived, as last measured; that leaves now
	RTT, Queue                time.Duration // the queue is what stands in the bottleneck
	Loss                      float64       // share of packets, 0 to 1, over the last seconds
	Congested                 bool
	Paused                    int // video slots that show nothing for want of bits
}

// Path asks the loop for what is known of the way to a peer; ok is false when nothing is, or the shard is closed.
func (s *Shard) Path(id PeerID) (st PathStats, ok bool) {
	answer := make(chan PathStats, 1)
	if !s.Post(Query{func(s *Shard) {
		defer close(answer)
		if p := s.peers[id]; p != nil && p.congestion.known() {
			answer <- p.path(s.now())
		}
	}}) {
		return PathStats{}, false
	}
	select {
	case st, ok = <-answer:
		return st, ok
	case <-s.done:
		return PathStats{}, false
	}
}

func (p *peer) path(now time.Duration) PathStats {
	g := p.congestion
	e := &g.estimate
	st := PathStats{
		Estimate: e.Target, Delivered: e.Delivered, RTT: e.RTT, Queue: e.Queue, Loss: e.Loss, Congested: e.Congested,
		Paused: p.pausedSlots(),
	}
	for c := range g.sums {
		st.Sent += g.sums[c].now(now)
	}
	return st
}

// Stats asks the loop for its counters; ok is false once the shard is closed. It waits for the loop's turn, so an answer
// also proves that the loop is alive.
func (s *Shard) Stats() (st Stats, ok bool) {
	answer := make(chan Stats, 1)
	if !s.Post(Query{func(s *Shard) {
		st := s.stats
		st.Busy = s.Busy()
		st.Peers, st.Socket, st.Gate = len(s.peers), s.sock.Stats(), s.gate.Stats()
		for _, p := range s.peers {
			st.Handshake.Add(p.handshakeStats())
			st.Paths.add(p)
			st.PeerTime += p.inCall(s.now())
			if p.saves {
				st.Saving++
			}
			st.Tracks += len(p.tracks)
			st.Uplinks += len(p.uplinks)
			for _, u := range p.uplinks {
				if u.up != nil {
					st.HistoryBytes += u.up.Stats().HistoryBytes
				}
			}
		}
		for _, p := range s.far {
			st.Mirrors += len(p.tracks)
			for _, u := range p.uplinks {
				st.HistoryBytes += u.up.Stats().HistoryBytes
			}
		}
		st.Links = len(s.links)
		st.Drops.LinkOverflow, st.Drops.LinkFlood = s.ring.overflowed.Load(), s.ring.flooded.Load()
		st.Drops.LinkOversize = s.ring.oversized.Load()
		if s.tcp != nil {
			st.Drops.TCPStale += s.tcp.stale.Load()
		}
		answer <- st
	}}) {
		return Stats{}, false
	}
	select {
	case st = <-answer:
		return st, true
	case <-s.done:
		return Stats{}, false
	}
}

// inCall is for how long the peer has had a path that media may take.
func (p *peer) inCall(now time.Duration) time.Duration {
	if !p.connected {
		return 0
	}
	return now - p.keyed
}

func (p *peer) handshakeStats() handshake.Stats {
	if p.hs == nil {
		return handshake.Stats{}
	}
	return p.hs.Stats()
}
