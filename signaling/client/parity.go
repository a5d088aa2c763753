package client

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/sfu/fec"
)

// payloadFEC is the payload type under which parity of pictures is offered (FlexFEC, RFC 8627).
const payloadFEC = 49

// repairWindow is how long after a packet its parity is of use, µs (RFC 8627 §5.1).
const repairWindow = 200_000

// parity is the interceptor that brings back pictures' packets by their parity, and lets nobody ask for what has come: pion asks every
// 100 ms, whatever the round trip, and for what came by RTX or parity too. pion neither offers FlexFEC for what is received alone
// nor reads it: offers have it added, and its streams are read by receivers of their own. It sees packets before all other
// interceptors, as they were before sealing.
//
//	media ───────────► Media ──────────────────────► slot
//	RTX ─────────────► Came ───────────────────────► slot
//	                     │ Next: what came back ───► slot
//	parity ─ 10 ms ──► Repair    NACKs: each number once a round trip, until it has come
type parity struct {
	interceptor.NoOp

	// Fixed.
	began  time.Time
	offers bool
	rtt    func() time.Duration // of the path; 0: not known. Before the first stream

	// Guarded by mu.
	mu      sync.Mutex
	repairs map[uint32]uint32 // parity's SSRC → the SSRC it protects, as the answers say
	streams map[uint32]*protected
	readers []*webrtc.RTPReceiver // of parity
	closed  bool
}

// protected is one stream of pictures. mu orders what its readers bring: of the stream, and of its parity if it has any.
type protected struct {
	ssrc uint32 // fixed

	mu      sync.Mutex
	decoder *fec.Decoder                      // made with the first packet
	asked   [256]wanted                       // by number
	begun   bool                              // parity has come: before, packets are not kept, only their numbers
	give    func(at time.Time, p *rtp.Packet) // to the slot; nil before there is one
}

// wanted is when a packet was last asked for.
type wanted struct {
	number uint16
	at     time.Time
}

func newParity(offers bool) *parity {
	return &parity{began: time.Now(), offers: offers, rtt: func() time.Duration { return 0 }, repairs: map[uint32]uint32{}, streams: map[uint32]*protected{}}
}

// offer adds FlexFEC to the m-lines of an offer that receive pictures alone.
func (y *parity) offer(sdp string) string {
	if !y.offers {
		return sdp
	}
	sections := strings.Split(sdp, "\r\nm=")
	for i, s := range sections {
		if !strings.HasPrefix(s, "video ") || !strings.Contains(s, "\r\na=recvonly") || strings.Contains(s, " flexfec/") {
			continue
		}
		line, rest, _ := strings.Cut(s, "\r\n")
		parameters := fmt.Sprintf("a=rtpmap:%d flexfec/90000\r\na=fmtp:%d repair-window=%d", payloadFEC, payloadFEC, repairWindow)
		end := ""
		if i == len(sections)-1 {
			rest, end = strings.TrimSuffix(rest, "\r\n"), "\r\n"
		}
		sections[i] = fmt.Sprintf("%s %d\r\n%s\r\n%s%s", line, payloadFEC, rest, parameters, end)
	}
	return strings.Join(sections, "\r\nm=")
}

// answered takes from an answer which streams have parity (RFC 5956 §4.3).
func (y *parity) answered(sdp string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for line := range strings.SplitSeq(sdp, "\r\n") {
		group, ok := strings.CutPrefix(line, "a=ssrc-group:FEC-FR ")
		if !ok {
			continue
		}
		media, repair, _ := strings.Cut(group, " ")
		m, err := strconv.ParseUint(media, 10, 32)
		r, wrong := strconv.ParseUint(repair, 10, 32)
		if err != nil || wrong != nil || y.streams[uint32(m)] != nil {
			continue
		}
		y.repairs[uint32(r)] = uint32(m)
		y.streams[uint32(m)] = &protected{ssrc: uint32(m)}
	}
}

// of returns the stream that an SSRC's packets are of, and whether they are its parity; nil: it has none.
func (y *parity) of(ssrc uint32) (s *protected, isRepair bool) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if media, ok := y.repairs[ssrc]; ok {
		return y.streams[media], true
	}
	return y.streams[ssrc], false
}

// repairOf is the SSRC of a stream's parity.
func (y *parity) repairOf(ssrc uint32) (repair uint32, ok bool) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for repair, media := range y.repairs {
		if media == ssrc {
			return repair, true
		}
	}
	return 0, false
}

// NewInterceptor implements interceptor.Factory: each PeerConnection has one of its own.
func (y *parity) NewInterceptor(string) (interceptor.Interceptor, error) { return y, nil }

// BindRemoteStream implements interceptor.Interceptor.
func (y *parity) BindRemoteStream(info *interceptor.StreamInfo, reader interceptor.RTPReader) interceptor.RTPReader {
	s, isRepair := y.of(info.SSRC)
	if isRepair || s == nil && !takesNACK(info) {
		return reader
	}
	if s == nil {
		s = &protected{ssrc: info.SSRC}
		y.mu.Lock()
		y.streams[info.SSRC] = s
		y.mu.Unlock()
	}
	return interceptor.RTPReaderFunc(func(b []byte, attributes interceptor.Attributes) (int, interceptor.Attributes, error) {
		for {
			n, attributes, err := reader.Read(b, attributes)
			if err != nil {
				return n, attributes, err
			}
			if now := time.Now(); s.take(now, now.Sub(y.began), b[:n]) {
				return n, attributes, nil
			}
		}
	})
}

// UnbindRemoteStream implements interceptor.Interceptor.
func (y *parity) UnbindRemoteStream(info *interceptor.StreamInfo) {
	y.mu.Lock()
	defer y.mu.Unlock()
	delete(y.streams, info.SSRC)
	maps.DeleteFunc(y.repairs, func(_, media uint32) bool { return media == info.SSRC })
}

// BindRTCPWriter implements interceptor.Interceptor.
func (y *parity) BindRTCPWriter(writer interceptor.RTCPWriter) interceptor.RTCPWriter {
	return interceptor.RTCPWriterFunc(func(packets []rtcp.Packet, attributes interceptor.Attributes) (int, error) {
		packets = slices.DeleteFunc(slices.Clone(packets), func(p rtcp.Packet) bool {
			nack, ok := p.(*rtcp.TransportLayerNack)
			return ok && y.lessens(time.Now(), nack)
		})
		if len(packets) == 0 {
			return 0, nil
		}
		return writer.Write(packets, attributes)
	})
}

// lessens takes out of a NACK what has come, and what was asked for less than a round trip ago; true when nothing is left.
func (y *parity) lessens(now time.Time, nack *rtcp.TransportLayerNack) bool {
	s, isRepair := y.of(nack.MediaSSRC)
	if s == nil {
		return false
	}
	if isRepair {
		return true // parity is not sent twice
	}
	rtt := y.rtt()
	if rtt <= 0 {
		rtt = unknownRTT
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.decoder == nil {
		return false
	}
	var missing []uint16
	for _, pair := range nack.Nacks {
		for _, number := range pair.PacketList() {
			a := &s.asked[number%256]
			if s.decoder.Has(number) || a.number == number && now.Sub(a.at) < rtt+rtt/8 {
				continue
			}
			*a = wanted{number, now}
			missing = append(missing, number)
		}
	}
	nack.Nacks = rtcp.NackPairsFromSequenceNumbers(missing)
	return len(missing) == 0
}

// attach says where goes what comes back.
func (s *protected) attach(give func(at time.Time, p *rtp.Packet)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.give = give
}

// take takes a packet, and gives the slot what comes back by it. False: it has come back before, and goes no further.
func (s *protected) take(now time.Time, at time.Duration, b []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.decoder == nil {
		s.decoder = fec.NewDecoder(s.ssrc)
	}
	if !s.begun && len(b) >= 4 {
		return s.decoder.Came(binary.BigEndian.Uint16(b[2:]))
	}
	if !s.decoder.Media(at, b) {
		return false
	}
	s.mend(now, at)
	return true
}

// repair takes parity, and gives the slot what comes back by it.
func (s *protected) repair(now time.Time, at time.Duration, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.decoder == nil {
		return // nothing that it could mend has come
	}
	s.begun = true
	s.decoder.Repair(at, b)
	s.mend(now, at)
}

// mend gives the slot what has come back. s.mu is held.
func (s *protected) mend(now time.Time, at time.Duration) {
	for lost, ok := s.decoder.Next(at); ok; lost, ok = s.decoder.Next(at) {
		var p rtp.Packet
		if s.give != nil && p.Unmarshal(slices.Clone(lost)) == nil {
			s.give(now, &p)
		}
	}
}

// came notes a packet that came by RTX; false: it had come back before.
func (s *protected) came(number uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.decoder == nil || s.decoder.Came(number)
}

// readParity reads the parity of a slot's stream until its connection ends. Each packet waits a little: those that it protects come on
// another stream, and may not have been read, or been overtaken only.
func (m *media) readParity(ssrc uint32, stream *protected, transport *webrtc.DTLSTransport) {
	receiver, err := m.api.NewRTPReceiver(webrtc.RTPCodecTypeVideo, transport)
	if err != nil {
		return
	}
	encoding := webrtc.RTPDecodingParameters{RTPCodingParameters: webrtc.RTPCodingParameters{SSRC: webrtc.SSRC(ssrc)}}
	if receiver.Receive(webrtc.RTPReceiveParameters{Encodings: []webrtc.RTPDecodingParameters{encoding}}) != nil {
		return // the connection has ended
	}
	if !m.parity.reads(receiver) {
		_ = receiver.Stop() // what cannot be stopped has ended
		return
	}
	b := make([]byte, fec.MaxPacket+100)
	for {
		n, _, err := receiver.Track().Read(b)
		if err != nil && !errors.Is(err, webrtc.ErrCodecNotFound) { // pion knows no such codec, and need not
			return
		}
		packet := slices.Clone(b[:n])
		time.AfterFunc(reorderGrace, func() {
			now := time.Now()
			stream.repair(now, now.Sub(m.parity.began), packet)
		})
	}
}

// reads notes a receiver, which close stops; false: it is too late.
func (y *parity) reads(receiver *webrtc.RTPReceiver) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.closed {
		return false
	}
	y.readers = append(y.readers, receiver)
	return true
}

// close stops the receivers, which pion does with its own alone.
func (y *parity) close() {
	y.mu.Lock()
	readers := y.readers
	y.readers, y.closed = nil, true
	y.mu.Unlock()
	for _, r := range readers {
		_ = r.Stop() // what cannot be stopped has ended
	}
}
