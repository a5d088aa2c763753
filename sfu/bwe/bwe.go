package bwe

import (
	"fmt"
	"time"
)

// Bitrate is in bits a second, on the wire: RTP, what SRTP adds, UDP and IP headers included.
type Bitrate int64

// The usual units.
const (
	Kbps Bitrate = 1000
	Mbps Bitrate = 1000 * Kbps
)

// String returns the rate as "850 kbit/s" or "2.50 Mbit/s".
func (b Bitrate) String() string {
	if b < Mbps {
		return fmt.Sprintf("%.0f kbit/s", float64(b)/float64(Kbps))
	}
	return fmt.Sprintf("%.2f Mbit/s", float64(b)/float64(Mbps))
}

// Bytes returns how many bytes the rate carries in d.
func (b Bitrate) Bytes(d time.Duration) int { return int(float64(b) * d.Seconds() / 8) }

// Time returns how long the rate takes for so many bytes; 0 for no rate.
func (b Bitrate) Time(bytes int) time.Duration {
	if b <= 0 {
		return 0
	}
	return time.Duration(float64(bytes) * 8 / float64(b) * float64(time.Second))
}

// Config bounds an Estimator. The zero value means the defaults.
type Config struct {
	Start Bitrate // before anything is known; 0: 300 kbit/s
	Min   Bitrate // the target is never below; 0: 30 kbit/s
	Max   Bitrate // the target is never above; 0: 50 Mbit/s

	Priority float64 // weight beside other flows of ours in one bottleneck (RFC 8867 section 6.1), 0.25 to 4; 0: 1
}

// Packet is one packet that left.
type Packet struct {
	Number uint64 // transport-wide, of all packets of the path: one more than the packet before
	Size   int    // bytes on the wire, UDP and IP headers included
	Probe  uint32 // Probe.ID that it was sent for; 0: none
}

// Result is what a feedback message tells of one packet.
type Result struct {
	Number   uint64
	Received bool          // else it had not arrived when the message was written
	Arrival  time.Duration // by the receiver's clock, whatever its origin; unused for one that was not received, or is Untimed
	Untimed  bool          // it was received and nobody knows when, as RFC 8888 §3.1 allows: it is no loss and no delay
	Marked   bool          // it arrived with ECN-CE (RFC 3168, RFC 9331)
}

// Probe is a wish for a short burst at a higher rate: it proves what steady sending cannot.
type Probe struct {
	ID    uint32 // another with each wish; 0: no wish
	Rate  Bitrate
	Bytes int // to send in all, at least 5 packets; media first, then repair, then padding
}

// Estimate is what Poll returns.
type Estimate struct {
	Target Bitrate // for everything that is sent: audio, video, repair, padding
	Lasts  Bitrate // what Target returns to when a queue of now has drained, else the same: layers are chosen by it
	Pacing Bitrate // at which bursts may leave, at least Target
	Passes Bitrate // what may leave for long so that none of it stands in the bottleneck, at least Target; 0: that is not known
	Window int     // bytes that may be in flight, beyond which only audio leaves; 0: no bound

	InFlight int // bytes sent that feedback has not told of; Window holds against them and what leaves from now on

	Probe Probe         // wish of now; the same one until a packet with its ID was sent or it is withdrawn
	Next  time.Duration // when to Poll again if nothing happens; 0: no need

	Congested  bool          // a queue stands, or did so deep that what waits at the sender must not refill it
	Even       bool          // the bottleneck marks what has waited a few ms (L4S): packets leave one by one
	Loss       float64       // share of packets lost, 0 to 1, over the last seconds
	Inherent   float64       // of that, what does not depend on our rate
	Queue      time.Duration // that seems to stand in the bottleneck
	RTT        time.Duration // smoothed; 0 unknown
	Delivered  Bitrate       // what arrived, as last measured
	AppLimited bool          // less is sent than Target allows, so that Target is held
}
