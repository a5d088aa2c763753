package peer

import (
	"sync"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
)

// requests is the interceptor that notes what pion's NACK generator asks for: sound has no RTX, so that what is sent again looks like
// what was late.
type requests struct {
	interceptor.NoOp

	// Guarded by mu.
	mu    sync.Mutex
	asked map[uint32]*[1 << 16 / 64]uint64 // by SSRC, a bit for each number
}

// NewInterceptor implements interceptor.Factory: each PeerConnection has one of its own.
func (r *requests) NewInterceptor(string) (interceptor.Interceptor, error) { return r, nil }

// BindRTCPWriter implements interceptor.Interceptor.
func (r *requests) BindRTCPWriter(writer interceptor.RTCPWriter) interceptor.RTCPWriter {
	return interceptor.RTCPWriterFunc(func(packets []rtcp.Packet, a interceptor.Attributes) (int, error) {
		for _, p := range packets {
			if nack, ok := p.(*rtcp.TransportLayerNack); ok {
				r.note(nack)
			}
		}
		return writer.Write(packets, a)
	})
}

func (r *requests) note(nack *rtcp.TransportLayerNack) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked == nil {
		r.asked = map[uint32]*[1 << 16 / 64]uint64{}
	}
	bits := r.asked[nack.MediaSSRC]
	if bits == nil {
		bits = new([1 << 16 / 64]uint64)
		r.asked[nack.MediaSSRC] = bits
	}
	for _, pair := range nack.Nacks {
		for _, n := range pair.PacketList() {
			bits[n/64] |= 1 << (n % 64)
		}
	}
}

// had says whether a packet was asked for, and forgets it: its number comes again after a wrap.
func (r *requests) had(ssrc uint32, number uint16) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	bits := r.asked[ssrc]
	if bits == nil || bits[number/64]>>(number%64)&1 == 0 {
		return false
	}
	bits[number/64] &^= 1 << (number % 64)
	return true
}
