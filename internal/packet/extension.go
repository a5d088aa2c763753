package packet

import "encoding/binary"

// Extension profiles of RFC 8285 §4.2 and §4.3. The two-byte form leaves its low 4 bits to the application.
const (
	profileOneByte     = 0xbede
	profileTwoByte     = 0x1000
	profileTwoByteMask = 0xfff0
)

// idStop ends the one-byte form: elements after it are not considered (RFC 8285 §4.2).
const idStop = 15

// Extension is one header extension element to write: ID 1..255, at most 255 bytes of data.
type Extension struct {
	ID   uint8
	Data []byte
}

// Extension returns the data of the first element with this id in packet b, where h was parsed from; false when it is
// not there. Elements that reach beyond the block end the search.
func (h *Header) Extension(b []byte, id uint8) ([]byte, bool) {
	if id == 0 || h.ExtSize <= 0 || h.ExtOffset < fixedSize || len(b)-h.ExtOffset < h.ExtSize {
		return nil, false
	}
	block := b[h.ExtOffset : h.ExtOffset+h.ExtSize]
	switch {
	case h.ExtProfile == profileOneByte:
		return findOneByte(block, id)
	case h.ExtProfile&profileTwoByteMask == profileTwoByte:
		return findTwoByte(block, id)
	default:
		return nil, false
	}
}

// findOneByte walks elements of the form id(4) length-1(4) data (RFC 8285 §4.2).
func findOneByte(block []byte, id uint8) ([]byte, bool) {
	for len(block) > 0 {
		if block[0] == 0 {
			block = block[1:]
			continue
		}
		found, size := block[0]>>4, int(block[0]&0x0f)+1
		if found == 0 || found == idStop || len(block) < 1+size {
			return nil, false
		}
		if found == id {
			return block[1 : 1+size : 1+size], true
		}
		block = block[1+size:]
	}
	return nil, false
}

// findTwoByte walks elements of the form id(8) length(8) data (RFC 8285 §4.3).
func findTwoByte(block []byte, id uint8) ([]byte, bool) {
	for len(block) > 0 {
		if block[0] == 0 {
			block = block[1:]
			continue
		}
		if len(block) < 2 {
			return nil, false
		}
		size := int(block[1])
		if len(block) < 2+size {
			return nil, false
		}
		if block[0] == id {
			return block[2 : 2+size : 2+size], true
		}
		block = block[2+size:]
	}
	return nil, false
}

// PutExtensions adds an extension block to the header of size bytes in dst and returns its new size. The one-byte form
// is used when every element fits it. It returns size again, with nothing written, when there is nothing to write, an
// element has ID 0 or more than 255 bytes, dst is too short, or a block is there already.
func PutExtensions(dst []byte, size int, elements []Extension) int {
	oneByte, twoByte := 0, 0
	fitsOneByte := true
	for _, e := range elements {
		if e.ID == 0 || len(e.Data) > 255 {
			return size
		}
		fitsOneByte = fitsOneByte && e.ID < idStop && len(e.Data) >= 1 && len(e.Data) <= 16
		oneByte += 1 + len(e.Data)
		twoByte += 2 + len(e.Data)
	}
	block := twoByte
	if fitsOneByte {
		block = oneByte
	}
	padded := (block + 3) &^ 3
	end := size + extHeaderSize + padded
	if block == 0 || padded > 4*0xffff || size < fixedSize || len(dst) < end || dst[0]&extensionBit != 0 {
		return size
	}
	dst[0] |= extensionBit
	at := size + extHeaderSize
	binary.BigEndian.PutUint16(dst[size+2:], uint16(padded/4))
	if fitsOneByte {
		binary.BigEndian.PutUint16(dst[size:], profileOneByte)
		for _, e := range elements {
			dst[at] = e.ID<<4 | uint8(len(e.Data)-1)
			at += 1 + copy(dst[at+1:], e.Data)
		}
	} else {
		binary.BigEndian.PutUint16(dst[size:], profileTwoByte)
		for _, e := range elements {
			dst[at], dst[at+1] = e.ID, uint8(len(e.Data))
			at += 2 + copy(dst[at+2:], e.Data)
		}
	}
	clear(dst[at:end])
	return end
}
