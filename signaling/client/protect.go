package client

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/tolkyn/tolkyn/codec"
)

const (
	// protectMost is what a voice may take with its copies, bits a second with all headers: 24 kbit/s carry it, reports, and what is asked for again.
	// A voice of 6 kbit/s in packets of 120 ms has room for two copies of most packets, one of 12 kbit/s in packets of 60 ms for none.
	protectMost = 20_000
	// protectCopies is of how many earlier packets a packet brings copies: of 30 % random loss they leave 3.
	protectCopies = 2
	// protectSoon is how many packets have one copy at most: joining has left a queue, which has to drain.
	protectSoon = 24
	// protectHeaders is what a packet takes beside its payload and copies: IPv4, UDP, RTP, RED, and the tag of AES-GCM; each copy takes
	// protectHead.
	protectHeaders = 20 + 8 + 12 + 1 + 16
	protectHead    = 4
	// calmReports with less than calmLoss (of 256) lost end it, reports of who saves being 5 s apart; one with more begins it again.
	calmReports, calmLoss = 3, 6
)

// protect is the interceptor by which a voice of who saves leaves with copies of earlier packets (RED, RFC 2198), where they cost
// little: on a path of 24 kbit/s on which a third is lost, there is no room for what would be asked for again, nor time. It begins
// with them, as it is the first words that nobody knows how they came, and stops when the server's reports tell of no loss.
type protect struct {
	interceptor.NoOp

	overTCP  func() bool // TCP carries the call: it sends again what is lost. Fixed before the first stream
	answered atomic.Bool // the server takes RED

	// Guarded by mu.
	mu   sync.Mutex
	calm map[uint32]int // reports without loss in a row, by stream
}

// voiceOut is one stream of sound that is sent.
type voiceOut struct {
	sent int
	rate float64 // bytes of payload a second, smoothed
	rest float64 // of a copy, that the packets so far have left room for
	last [protectCopies]sentVoice
}

type sentVoice struct {
	timestamp uint32
	payload   []byte
}

func newProtect() *protect { return &protect{calm: map[uint32]int{}} }

// takesRED says whether a server takes RED of the sound that is sent to it.
func takesRED(answer string) bool {
	_, lines, _ := strings.Cut(answer, "\r\nm=")
	for section := range strings.SplitSeq(lines, "\r\nm=") {
		if strings.HasPrefix(section, "audio ") && strings.Contains(section, "\r\na=recvonly") &&
			strings.Contains(section, fmt.Sprintf("\r\na=rtpmap:%d red/48000", payloadRED)) {
			return true
		}
	}
	return false
}

// NewInterceptor implements interceptor.Factory: each PeerConnection has one of its own.
func (p *protect) NewInterceptor(string) (interceptor.Interceptor, error) { return p, nil }

// BindRTCPReader implements interceptor.Interceptor.
func (p *protect) BindRTCPReader(reader interceptor.RTCPReader) interceptor.RTCPReader {
	return interceptor.RTCPReaderFunc(func(b []byte, attributes interceptor.Attributes) (int, interceptor.Attributes, error) {
		n, attributes, err := reader.Read(b, attributes)
		if err != nil {
			return n, attributes, err
		}
		if attributes == nil {
			attributes = interceptor.Attributes{}
		}
		packets, err := attributes.GetRTCPPackets(b[:n])
		if err != nil {
			return n, attributes, nil //nolint:nilerr // whoever reads it next says what is wrong
		}
		for _, packet := range packets {
			if report, ok := packet.(*rtcp.ReceiverReport); ok {
				p.hear(report.Reports)
			}
		}
		return n, attributes, nil
	})
}

func (p *protect) hear(reports []rtcp.ReceptionReport) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range reports {
		if calm, ok := p.calm[r.SSRC]; !ok {
			continue
		} else if r.FractionLost < calmLoss {
			p.calm[r.SSRC] = calm + 1
		} else {
			p.calm[r.SSRC] = 0
		}
	}
}

// BindLocalStream implements interceptor.Interceptor.
func (p *protect) BindLocalStream(info *interceptor.StreamInfo, writer interceptor.RTPWriter) interceptor.RTPWriter {
	if !isVoice(info) {
		return writer
	}
	v := &voiceOut{}
	p.mu.Lock()
	p.calm[info.SSRC] = 0
	p.mu.Unlock()
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, attributes interceptor.Attributes) (int, error) {
		if h.PayloadType != payloadOpus {
			return writer.Write(h, payload, attributes)
		}
		p.mu.Lock()
		wanted := p.calm[info.SSRC] < calmReports
		b, ok := v.take(h, payload, wanted && p.answered.Load() && !p.overTCP())
		p.mu.Unlock()
		if !ok {
			return writer.Write(h, payload, attributes)
		}
		red := *h // the caller's stays as it is
		red.PayloadType = payloadRED
		return writer.Write(&red, b, attributes)
	})
}

// UnbindLocalStream implements interceptor.Interceptor.
func (p *protect) UnbindLocalStream(info *interceptor.StreamInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.calm, info.SSRC)
}

// take notes a packet and returns it as RED, behind copies; false: it is to leave as it is.
func (v *voiceOut) take(h *rtp.Header, payload []byte, wanted bool) ([]byte, bool) {
	sound, ok := codec.ReadOpus(payload)
	long := time.Duration(sound.Samples) * time.Second / 48000
	if !ok || long == 0 {
		return nil, false
	}
	if rate := float64(len(payload)) / long.Seconds(); v.rate == 0 {
		v.rate = rate
	} else {
		v.rate += (rate - v.rate) / 8
	}
	var blocks []codec.REDBlock
	if wanted {
		for back := v.room(long); back > 0; back-- {
			c := &v.last[back-1]
			if offset := h.Timestamp - c.timestamp; len(c.payload) > 0 && len(c.payload) <= codec.MaxREDCopy && offset > 0 && offset <= codec.MaxREDOffset {
				blocks = append(blocks, codec.REDBlock{PayloadType: payloadOpus, Offset: uint16(offset), Data: c.payload})
			}
		}
	}
	var b []byte
	if ok = len(blocks) > 0; ok {
		b, ok = codec.AppendRED(nil, append(blocks, codec.REDBlock{PayloadType: payloadOpus, Data: payload}))
	}
	v.sent++
	copy(v.last[1:], v.last[:])
	v.last[0] = sentVoice{h.Timestamp, append([]byte(nil), payload...)}
	return b, ok
}

// room is how many copies the next packet, so long, has room for; where 1.7 fit, seven of ten have two.
func (v *voiceOut) room(long time.Duration) int {
	copies := (protectMost/8-(protectHeaders/long.Seconds()+v.rate))/(v.rate+protectHead/long.Seconds()) + v.rest
	most := protectCopies
	if v.sent < protectSoon {
		most = 1
	}
	n := max(int(copies), 0)
	v.rest = min(max(copies-float64(n), 0), 1)
	return min(n, most)
}
