package browser

// What a page tells at a take; see page.js. Times are ms since the Unix epoch by the page's clock.

type told struct {
	At       float64            `json:"at"`
	Present  bool               `json:"present"` // in the call
	Steps    map[string]float64 `json:"steps"`   // "began", and the end of each step
	Frames   []frame            `json:"frames"`  // in order of arrival
	Shown    []shown            `json:"shown"`
	Readings []reading          `json:"readings"`
	Overflow int64              `json:"overflow"` // frames that nobody took in time
	Errors   []string           `json:"errors"`

	Signaling   string  `json:"signaling"`
	Path        string  `json:"path"` // "udp", "tcp"
	RTT         float64 `json:"rtt"`  // ms
	Reconnects  int64   `json:"reconnects"`
	SentPackets int64   `json:"sentPackets"`
	SentBytes   int64   `json:"sentBytes"`
}

// frame is an encoded frame that came: of sound a packet.
type frame struct {
	Slot          int     `json:"slot"`
	At            float64 `json:"at"`
	Size          int     `json:"size"`      // bytes
	Sequence      int     `json:"sequence"`  // of sound: RTP's; else -1
	Timestamp     uint32  `json:"timestamp"` // RTP's
	Key           bool    `json:"key"`
	Width, Height int     // of pictures; 0: not said
	Stamped       bool    `json:"stamped"` // the rest holds
	Sender        uint32  `json:"sender"`
	Frame         uint32  `json:"frame"`
	Sent          int64   `json:"sent"` // µs since the Unix epoch
}

// shown is a picture that appeared.
type shown struct {
	Slot      int     `json:"slot"`
	Timestamp uint32  `json:"timestamp"` // RTP's
	At        float64 `json:"at"`
}

// reading is getStats of one slot, sums since the slot began, and whose track the server says flows there.
type reading struct {
	Slot     int     `json:"slot"`
	Kind     string  `json:"kind"`
	At       float64 `json:"at"`
	Identity string  `json:"identity"`
	Source   string  `json:"source"`
	counters
}

// counters are named as in webrtc-stats; times are seconds.
type counters struct {
	PacketsReceived             float64 `json:"packetsReceived"`
	PacketsLost                 float64 `json:"packetsLost"`
	PacketsDiscarded            float64 `json:"packetsDiscarded"`
	RetransmittedPackets        float64 `json:"retransmittedPacketsReceived"`
	NackCount                   float64 `json:"nackCount"`
	BytesReceived               float64 `json:"bytesReceived"`
	HeaderBytesReceived         float64 `json:"headerBytesReceived"`
	Jitter                      float64 `json:"jitter"` // not a sum
	JitterBufferDelay           float64 `json:"jitterBufferDelay"`
	JitterBufferEmitted         float64 `json:"jitterBufferEmittedCount"`
	TotalSamples                float64 `json:"totalSamplesReceived"`
	ConcealedSamples            float64 `json:"concealedSamples"`
	SilentConcealedSamples      float64 `json:"silentConcealedSamples"`
	ConcealmentEvents           float64 `json:"concealmentEvents"`
	InsertedSamples             float64 `json:"insertedSamplesForDeceleration"`
	RemovedSamples              float64 `json:"removedSamplesForAcceleration"`
	FramesReceived              float64 `json:"framesReceived"`
	FramesDecoded               float64 `json:"framesDecoded"`
	FramesDropped               float64 `json:"framesDropped"`
	FreezeCount                 float64 `json:"freezeCount"`
	TotalFreezesDuration        float64 `json:"totalFreezesDuration"`
	TotalInterFrameDelay        float64 `json:"totalInterFrameDelay"`
	TotalSquaredInterFrameDelay float64 `json:"totalSquaredInterFrameDelay"`
	FrameWidth                  float64 `json:"frameWidth"`  // not a sum
	FrameHeight                 float64 `json:"frameHeight"` // not a sum
}

// fields are all sums, for arithmetic.
func (c *counters) fields() []*float64 {
	return []*float64{
		&c.PacketsReceived, &c.PacketsLost, &c.PacketsDiscarded, &c.RetransmittedPackets, &c.NackCount, &c.BytesReceived,
		&c.HeaderBytesReceived, &c.JitterBufferDelay, &c.JitterBufferEmitted, &c.TotalSamples, &c.ConcealedSamples,
		&c.SilentConcealedSamples, &c.ConcealmentEvents, &c.InsertedSamples, &c.RemovedSamples, &c.FramesReceived,
		&c.FramesDecoded, &c.FramesDropped, &c.FreezeCount, &c.TotalFreezesDuration, &c.TotalInterFrameDelay,
		&c.TotalSquaredInterFrameDelay,
	}
}

// since is what was added after an earlier reading. What is no sum is as it is now.
func (c counters) since(before counters) counters {
	for i, v := range c.fields() {
		*v -= *before.fields()[i]
	}
	return c
}

// add sums two spans up. What is no sum is the later one's.
func (c *counters) add(o counters) {
	for i, v := range c.fields() {
		*v += *o.fields()[i]
	}
	c.Jitter, c.FrameWidth, c.FrameHeight = o.Jitter, o.FrameWidth, o.FrameHeight
}

// network is what the network did, without what became of it.
func (c counters) network() counters {
	return counters{
		PacketsReceived: c.PacketsReceived, PacketsLost: c.PacketsLost, PacketsDiscarded: c.PacketsDiscarded,
		RetransmittedPackets: c.RetransmittedPackets, NackCount: c.NackCount, BytesReceived: c.BytesReceived,
		HeaderBytesReceived: c.HeaderBytesReceived, FramesReceived: c.FramesReceived, FramesDecoded: c.FramesDecoded,
		FramesDropped: c.FramesDropped, Jitter: c.Jitter, FrameWidth: c.FrameWidth, FrameHeight: c.FrameHeight,
	}
}
