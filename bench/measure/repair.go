package measure

import "time"

// Repair says how a packet came.
type Repair uint8

// The ways.
const (
	FirstTry Repair = iota
	Resent          // by retransmission (RFC 4588), a second time once it was asked for (NACK), or, of pictures, by parity (RFC 8627)
	Copied          // as a copy in a later packet (RED, RFC 2198)
	Coarse          // of sound: as the copy of lower quality in the packet behind it (in-band FEC of Opus, RFC 6716 §2.1.7)

	repairs = int(Coarse) + 1
)

// window is how long the sound is looked at together: a tenth of it is what a listener loses the thread by.
const soundWindow = 10 // seconds

// hole is a stretch of concealment.
type hole struct{ from, to time.Duration }

func (h hole) long() time.Duration { return h.to - h.from }

// worstWindow is the largest share of concealed samples in any soundWindow whole seconds in a row, each stream's longest hole left
// out: there is one figure for that and one for everything else. Of a shorter stream it is the share of all of it.
func (s *slicer) worstWindow(longest hole, rate float64) float64 {
	type sums struct{ played, concealed float64 }
	seconds := make([]sums, len(s.all))
	for i, v := range s.all {
		begin := time.Duration(s.first+int64(i)) * time.Second
		cut := max(0, min(longest.to, begin+time.Second)-max(longest.from, begin)).Seconds() * rate
		seconds[i] = sums{max(0, float64(v.played)-cut), max(0, float64(v.concealed)-cut)}
	}
	worst, now := 0.0, sums{}
	for i, v := range seconds {
		now.played += v.played
		now.concealed += v.concealed
		if i >= soundWindow {
			now.played -= seconds[i-soundWindow].played
			now.concealed -= seconds[i-soundWindow].concealed
		}
		if now.played > 0 && (i >= soundWindow-1 || i == len(seconds)-1) {
			worst = max(worst, now.concealed/now.played)
		}
	}
	return worst
}
