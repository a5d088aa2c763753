package client

import (
	"net"
	"strconv"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// Stats is how a Room's media goes.
type Stats struct {
	// Path is the way that media takes now; the zero value while there is none.
	Path PathStats
	// UDP is what media's UDP packets have taken of the data volume since Dial, in bytes, IP and UDP headers included, each way:
	// media, reports, checks. What goes over TCP, signaling and media, is Options.Dial's to count. 0 where Options.Settings gives pion
	// sockets or a mux of its own.
	UDP UDPStats
	// Uplink is what is estimated of our uplink, on the wire; the zero value before the first packet.
	Uplink bwe.Estimate
	// Published has what goes out, in the order in which the tracks were published, of a simulcast each encoding.
	Published []PublishedStats
}

// PathStats describes the pair of addresses that ICE chose.
type PathStats struct {
	Protocol      string        // "udp" or "tcp"
	Local, Remote string        // host:port
	RTT           time.Duration // the newest of a connectivity check; 0 before the first
}

// UDPStats are bytes.
type UDPStats struct{ Sent, Received uint64 }

// PublishedStats is what went out of one track, over all connections of the Room, and what the server reports of it.
type PublishedStats struct {
	ID      string
	RID     string // of an encoding of a simulcast
	Packets uint64 // without those that were sent again
	Bytes   uint64 // of RTP packets, header included
	// Target and Paused are what our uplink leaves of a video, as LocalTrack.OnTargetBitrate tells.
	Target int
	Paused bool
	// Reports counts the server's reports. Those below are of the newest, and 0 before the first.
	Reports uint64
	// Lost is how many packets the server has missed on the connection in use; negative when it got some of them twice
	// (RFC 3550 §6.4.1).
	Lost int64
	// Fraction is the share of packets missed between the last two reports, 0 to 1.
	Fraction float64
	Jitter   time.Duration
	// RTT is from our report to the server's answer to it; 0 before the first.
	RTT time.Duration
}

// Stats returns the present figures.
func (r *Room) Stats() Stats {
	r.mu.Lock()
	m, published := r.media, r.published
	var out Stats
	for _, p := range published {
		for _, g := range p.gates {
			one := g.published(p.local.ID)
			one.Target, one.Paused = int(g.share.target), g.share.paused
			out.Published = append(out.Published, one)
		}
	}
	volume := &r.client.volume
	r.mu.Unlock()
	out.UDP = UDPStats{Sent: volume.sent.Load(), Received: volume.received.Load()}
	if m != nil {
		out.Path = m.detour.path(pathOf(m.pc))
		if m.bwe != nil {
			out.Uplink = m.bwe.Estimate()
		}
	}
	return out
}

func (g *gate) published(id string) PublishedStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.stats
	s.ID, s.RID = id, g.rid
	return s
}

func pathOf(pc *webrtc.PeerConnection) PathStats {
	transport := pc.SCTP().Transport().ICETransport()
	pair, err := transport.GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return PathStats{}
	}
	path := PathStats{
		Protocol: pair.Remote.Protocol.String(),
		Local:    hostPort(pair.Local), Remote: hostPort(pair.Remote),
	}
	if stats, ok := transport.GetSelectedCandidatePairStats(); ok {
		path.RTT = time.Duration(stats.CurrentRoundTripTime * float64(time.Second))
	}
	return path
}

func hostPort(c *webrtc.ICECandidate) string {
	return net.JoinHostPort(c.Address, strconv.Itoa(int(c.Port)))
}

// noteReport takes what the server says of a track; false: nothing. ssrc is the one it is sent with now.
func (g *gate) noteReport(now time.Time, ssrc uint32, packet rtcp.Packet) (named bool) {
	var reports []rtcp.ReceptionReport
	switch p := packet.(type) {
	case *rtcp.ReceiverReport:
		reports = p.Reports
	case *rtcp.SenderReport:
		reports = p.Reports
	}
	for _, report := range reports {
		if report.SSRC != ssrc {
			continue
		}
		named = true
		g.mu.Lock()
		s := &g.stats
		s.Reports++
		s.Lost = int64(int32(report.TotalLost<<8) >> 8) // 24 bits, signed
		s.Fraction = float64(report.FractionLost) / 256
		s.Jitter = time.Duration(float64(report.Jitter) / float64(g.clockRate()) * float64(time.Second))
		if rtt, ok := roundTrip(now, report); ok {
			s.RTT = rtt
		}
		g.mu.Unlock()
	}
	return named
}

func (g *gate) clockRate() uint32 {
	if g.Kind() == webrtc.RTPCodecTypeVideo {
		return 90000
	}
	return 48000
}

// roundTrip is the time from our sender report to the report that answers it (RFC 3550 §6.4.1); false when it answers none
// or the clock was set meanwhile.
func roundTrip(now time.Time, report rtcp.ReceptionReport) (time.Duration, bool) {
	if report.LastSenderReport == 0 {
		return 0, false
	}
	const since1900 = 2208988800 // s, of 1970
	seconds := uint64(now.Unix() + since1900)
	middle := uint32(seconds<<16) | uint32(uint64(now.Nanosecond())<<16/uint64(time.Second)) // of the NTP timestamp
	units := int32(middle - report.LastSenderReport - report.Delay)
	if units < 0 {
		// Both times are rounded: up to two units early is at once.
		return 0, units >= -2
	}
	return time.Duration(units) * time.Second >> 16, units < 60<<16
}
