//go:build linux

package main

import (
	"bytes"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/tolkyn/tolkyn/internal/capture"
)

// recorder sees every packet of a connection after SRTP, before pion makes anything of it.
type recorder struct {
	interceptor.NoOp

	// Guarded by mu.
	mu            sync.Mutex
	rid, repaired uint8             // ids of the header extensions; 0: none
	packets       []arrival         // those of RTX too
	rids          map[uint32]string // RID by SSRC
	repairs       map[uint32]string // RID that an RTX stream repairs
}

// arrival is a packet with its time.
type arrival struct {
	at time.Time
	capture.Packet
}

// name tells where packets say which encoding they are of. It comes before the first packet.
func (r *recorder) name(rid, repaired uint8) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rid, r.repaired = rid, repaired
}

// NewInterceptor implements interceptor.Factory: one recorder is one connection.
func (r *recorder) NewInterceptor(string) (interceptor.Interceptor, error) { return r, nil }

// BindRemoteStream implements interceptor.Interceptor.
func (r *recorder) BindRemoteStream(_ *interceptor.StreamInfo, reader interceptor.RTPReader) interceptor.RTPReader {
	return interceptor.RTPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		n, a, err := reader.Read(b, a)
		if err == nil {
			r.takeRTP(b[:n])
		}
		return n, a, err
	})
}

func (r *recorder) takeRTP(b []byte) {
	var h rtp.Header
	if _, err := h.Unmarshal(b); err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if id := h.GetExtension(r.rid); r.rid != 0 && len(id) > 0 {
		r.rids[h.SSRC] = string(id)
	}
	if id := h.GetExtension(r.repaired); r.repaired != 0 && len(id) > 0 {
		r.repairs[h.SSRC] = string(id)
	}
	r.packets = append(r.packets, arrival{time.Now(), capture.Packet{Data: bytes.Clone(b)}})
}

// BindRTCPReader implements interceptor.Interceptor.
func (r *recorder) BindRTCPReader(reader interceptor.RTCPReader) interceptor.RTCPReader {
	return interceptor.RTCPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		n, a, err := reader.Read(b, a)
		if err == nil {
			r.takeRTCP(b[:n])
		}
		return n, a, err
	})
}

// takeRTCP keeps sender reports, each once: pion hands a compound packet to every stream that it speaks of.
func (r *recorder) takeRTCP(b []byte) {
	all, err := rtcp.Unmarshal(b)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range all {
		report, ok := p.(*rtcp.SenderReport)
		if !ok {
			continue
		}
		// Alone: what else stood in the compound is about us.
		report.Reports, report.ProfileExtensions = nil, nil
		text, err := report.Marshal()
		if err != nil {
			continue
		}
		had := slices.ContainsFunc(r.packets, func(a arrival) bool { return a.RTCP && bytes.Equal(a.Data, text) })
		if !had {
			r.packets = append(r.packets, arrival{time.Now(), capture.Packet{RTCP: true, Data: text}})
		}
	}
}

// since returns what came at or after a time.
func (r *recorder) since(from time.Time) []arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.packets), func(a arrival) bool { return a.at.Before(from) })
}

// names returns the RIDs of the streams, and of those that repair them.
func (r *recorder) names() (rids, repairs map[uint32]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.rids), maps.Clone(r.repairs)
}
