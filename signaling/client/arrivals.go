package client

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
)

// How often feedback goes: it takes a twentieth of what comes in, between 50 and 250 ms, as libwebrtc has it. Seldomer, and the
// server's estimate of our downlink is late; oftener, and it costs a thin link more than it tells.
const (
	feedbackShare    = 0.05
	feedbackBits     = 68 * 8 // of one message on the wire
	shortestInterval = 50 * time.Millisecond
	longestInterval  = 250 * time.Millisecond
)

// arrivals is the interceptor that tells the server when its packets came (draft-holmer-rmcat-transport-wide-cc-extensions-01):
// its estimate of our downlink lives on that.
type arrivals struct {
	interceptor.NoOp

	began time.Time // fixed

	// Guarded by mu.
	mu       sync.Mutex
	recorder *twcc.Recorder
	writer   interceptor.RTCPWriter
	timer    *time.Timer
	armed    bool
	closed   bool
	bytes    int       // since the last message
	sent     time.Time // it
	rate     float64   // bits a second
}

func newArrivals() *arrivals {
	return &arrivals{began: time.Now(), recorder: twcc.NewRecorder(rand.Uint32())}
}

// NewInterceptor implements interceptor.Factory: each PeerConnection has arrivals of its own.
func (a *arrivals) NewInterceptor(string) (interceptor.Interceptor, error) { return a, nil }

// BindRTCPWriter implements interceptor.Interceptor.
func (a *arrivals) BindRTCPWriter(writer interceptor.RTCPWriter) interceptor.RTCPWriter {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.writer = writer
	return writer
}

// BindRemoteStream implements interceptor.Interceptor.
func (a *arrivals) BindRemoteStream(info *interceptor.StreamInfo, reader interceptor.RTPReader) interceptor.RTPReader {
	id := uint8(0)
	for _, e := range info.RTPHeaderExtensions {
		if e.URI == sdp.TransportCCURI {
			id = uint8(e.ID)
		}
	}
	if id == 0 {
		return reader
	}
	return interceptor.RTPReaderFunc(func(b []byte, attributes interceptor.Attributes) (int, interceptor.Attributes, error) {
		n, attributes, err := reader.Read(b, attributes)
		if err != nil {
			return n, attributes, err
		}
		if attributes == nil {
			attributes = interceptor.Attributes{}
		}
		header, err := attributes.GetRTPHeader(b[:n])
		if err != nil {
			return 0, nil, err
		}
		var number rtp.TransportCCExtension
		if number.Unmarshal(header.GetExtension(id)) == nil { // else it has none
			a.note(info.SSRC, number.TransportSequence, n)
		}
		return n, attributes, nil
	})
}

func (a *arrivals) note(ssrc uint32, number uint16, size int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || a.writer == nil {
		return
	}
	now := time.Now()
	a.recorder.Record(ssrc, number, now.Sub(a.began).Microseconds())
	a.bytes += size
	if a.armed {
		return
	}
	a.armed = true
	wait := max(a.interval()-now.Sub(a.sent), 0)
	if a.timer == nil {
		a.timer = time.AfterFunc(wait, a.send)
	} else {
		a.timer.Reset(wait)
	}
}

// interval is the time between two messages.
func (a *arrivals) interval() time.Duration {
	if a.rate == 0 {
		return shortestInterval
	}
	seconds := feedbackBits / (feedbackShare * a.rate)
	return min(max(time.Duration(seconds*float64(time.Second)), shortestInterval), longestInterval)
}

// send is the timer's. Without arrivals there is nothing to tell, and no timer.
func (a *arrivals) send() {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return
	}
	now := time.Now()
	d := min(max(now.Sub(a.sent), shortestInterval), time.Second)
	a.rate += (float64(a.bytes)*8/d.Seconds() - a.rate) * min(d.Seconds()/0.5, 1) // over half a second
	a.armed, a.bytes, a.sent = false, 0, now
	packets, writer := a.recorder.BuildFeedbackPacket(), a.writer
	a.mu.Unlock()
	if len(packets) > 0 {
		_, _ = writer.Write(packets, nil) // a connection that ends needs no feedback
	}
}

// Close implements interceptor.Interceptor.
func (a *arrivals) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.timer != nil {
		a.timer.Stop()
	}
	return nil
}
