package rtcp

import (
	"encoding/binary"
	"time"
)

// ntpEpoch is the seconds from 1900, where NTP counts from, to 1970.
const ntpEpoch = 2_208_988_800

// NTP returns t as NTP writes it: 32.32 fixed point seconds since 1900, wrapping in 2036.
func NTP(t time.Time) uint64 {
	seconds := uint64(t.Unix()) + ntpEpoch
	return seconds<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}

// AppendSenderReport appends an SR (RFC 3550 §6.4.1). More than 31 blocks continue in RRs, as §6.1 has it.
func AppendSenderReport(dst []byte, sr SenderReport, blocks []ReportBlock) []byte {
	now, later := blocks[:min(len(blocks), maxCount)], blocks[min(len(blocks), maxCount):]
	dst = appendHeader(dst, TypeSR, uint8(len(now)), ssrcSize+senderInfoSize+blockSize*len(now))
	dst = binary.BigEndian.AppendUint32(dst, sr.SSRC)
	dst = binary.BigEndian.AppendUint64(dst, sr.NTP)
	dst = binary.BigEndian.AppendUint32(dst, sr.RTP)
	dst = binary.BigEndian.AppendUint32(dst, sr.Packets)
	dst = binary.BigEndian.AppendUint32(dst, sr.Octets)
	dst = appendBlocks(dst, now)
	if len(later) > 0 {
		dst = AppendReceiverReport(dst, sr.SSRC, later)
	}
	return dst
}

// AppendReceiverReport appends an RR (RFC 3550 §6.4.2) of ssrc, an empty one when there are no blocks. More than 31
// blocks continue in further RRs.
func AppendReceiverReport(dst []byte, ssrc uint32, blocks []ReportBlock) []byte {
	for {
		now := blocks[:min(len(blocks), maxCount)]
		dst = appendHeader(dst, TypeRR, uint8(len(now)), ssrcSize+blockSize*len(now))
		dst = binary.BigEndian.AppendUint32(dst, ssrc)
		dst = appendBlocks(dst, now)
		if blocks = blocks[len(now):]; len(blocks) == 0 {
			return dst
		}
	}
}

func appendBlocks(dst []byte, blocks []ReportBlock) []byte {
	for _, b := range blocks {
		lost := min(max(b.TotalLost, -1<<23), 1<<23-1)
		dst = binary.BigEndian.AppendUint32(dst, b.SSRC)
		dst = binary.BigEndian.AppendUint32(dst, uint32(b.FractionLost)<<24|uint32(lost)&0xffffff)
		dst = binary.BigEndian.AppendUint32(dst, b.HighestSeq)
		dst = binary.BigEndian.AppendUint32(dst, b.Jitter)
		dst = binary.BigEndian.AppendUint32(dst, b.LastSR)
		dst = binary.BigEndian.AppendUint32(dst, b.DelaySinceLastSR)
	}
	return dst
}

// Items of SDES, RFC 3550 §6.5: the name is the only one WebRTC needs.
const (
	sdesCNAME   = 1
	maxSDESText = 255
)

// AppendSDES appends an SDES with one chunk, the canonical name of ssrc (RFC 3550 §6.5.1), cut to 255 bytes.
func AppendSDES(dst []byte, ssrc uint32, cname string) []byte {
	cname = cname[:min(len(cname), maxSDESText)]
	chunk := ssrcSize + 2 + len(cname)
	size := chunk/4*4 + 4 // at least one zero byte ends the items
	dst = appendHeader(dst, TypeSDES, 1, size)
	dst = binary.BigEndian.AppendUint32(dst, ssrc)
	dst = append(dst, sdesCNAME, uint8(len(cname)))
	dst = append(dst, cname...)
	return appendZeros(dst, size-chunk)
}

// AppendBYE appends a BYE of one source (RFC 3550 §6.6).
func AppendBYE(dst []byte, ssrc uint32) []byte {
	dst = appendHeader(dst, TypeBYE, 1, ssrcSize)
	return binary.BigEndian.AppendUint32(dst, ssrc)
}

// AppendNACK appends a generic NACK (RFC 4585 §6.2.1) that asks for seqs, ascending across the wrap. Nothing is appended
// when seqs is empty; numbers that would not fit into the largest RTCP packet are left out.
func AppendNACK(dst []byte, sender, media uint32, seqs []uint16) []byte {
	if len(seqs) == 0 {
		return dst
	}
	start := len(dst)
	dst = appendFeedback(dst, TypeRTPFB, FmtNACK, sender, media, 0)
	for i, items := 0, 0; i < len(seqs) && items < maxWords-feedbackHeader/4; items++ {
		first, mask := seqs[i], uint16(0)
		for i++; i < len(seqs); i++ {
			after := seqs[i] - first - 1
			if after >= nackMaskNumbers {
				break
			}
			mask |= 1 << after
		}
		dst = binary.BigEndian.AppendUint16(dst, first)
		dst = binary.BigEndian.AppendUint16(dst, mask)
	}
	setLength(dst[start:])
	return dst
}

// AppendPLI appends a picture loss indication (RFC 4585 §6.3.1): a keyframe of media is wanted.
func AppendPLI(dst []byte, sender, media uint32) []byte {
	return appendFeedback(dst, TypePSFB, FmtPLI, sender, media, 0)
}

// appendFeedback begins a feedback packet with size bytes of control information to follow (RFC 4585 §6.1).
func appendFeedback(dst []byte, kind, format uint8, sender, media uint32, size int) []byte {
	dst = appendHeader(dst, kind, format, feedbackHeader+size)
	dst = binary.BigEndian.AppendUint32(dst, sender)
	return binary.BigEndian.AppendUint32(dst, media)
}

// appendHeader begins a packet of size bytes after the header, a multiple of 4.
func appendHeader(dst []byte, kind, count uint8, size int) []byte {
	dst = append(dst, versionBits|count, kind)
	return binary.BigEndian.AppendUint16(dst, uint16(size/4))
}

// setLength corrects the length of the packet that fills b.
func setLength(b []byte) { binary.BigEndian.PutUint16(b[2:], uint16(len(b)/4-1)) }

func appendZeros(dst []byte, n int) []byte {
	for range n {
		dst = append(dst, 0)
	}
	return dst
}
