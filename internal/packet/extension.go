package packet

import "encoding/binary"

// Extension profiles of RFC 8285 §4.2 and §4.3. The two-byte form leaves its low 4 bits to the application.
const (
	profileOneByte     = 0xbede
	profileTwoByte     = 0x1000
	profileTwoByteMask = 0xfff0
)

// maxBlock is the longest block: a 16-bit count of 32-bit words (RFC 3550 §5.3.1).
const maxBlock = 4 * 0xffff

// idStop ends the one-byte form: elements after it are not considered (RFC 8285 §4.2).
const idStop = 15

// Extension is one header extension element to write: ID 1..255, at most 255 bytes of data.
type Extension struct {
	ID   uint8
	Data []byte
}

// Elements walks the elements of one extension block, in either form, in the order of the packet:
//
//	for e := h.Elements(b); e.Next(); {
//		switch e.ID {
//
// Who wants several elements of a packet reads them in one walk.
type Elements struct {
	ID uint8 // of the element that Next has come to: 1..14 in the one-byte form, 1..255 in the two-byte form

	twoByte  bool
	block    []byte
	from, at int // where the element's data begins, and the next element
}

// Data is what the element holds: part of the packet.
func (e *Elements) Data() []byte { return e.block[e.from:e.at:e.at] }

// Elements begins a walk through the extension block of packet b, where h was parsed from. There is nothing to walk when
// the packet has no block, or one that is not of RFC 8285.
func (h *Header) Elements(b []byte) Elements {
	if h.ExtSize <= 0 || h.ExtOffset < fixedSize || len(b)-h.ExtOffset < h.ExtSize {
		return Elements{}
	}
	block := b[h.ExtOffset : h.ExtOffset+h.ExtSize]
	switch {
	case h.ExtProfile == profileOneByte:
		return Elements{block: block}
	case h.ExtProfile&profileTwoByteMask == profileTwoByte:
		return Elements{block: block, twoByte: true}
	default:
		return Elements{}
	}
}

// Next goes to the next element; false when there is none, or one that reaches beyond the block.
func (e *Elements) Next() bool {
	block, at := e.block, e.at
	for at < len(block) && block[at] == 0 { // padding
		at++
	}
	if at >= len(block) {
		return e.end()
	}
	head := block[at]
	at++
	size := int(head&0x0f) + 1
	if !e.twoByte { // id(4) length-1(4) data (RFC 8285 §4.2)
		if head >>= 4; head == 0 || head == idStop {
			return e.end()
		}
	} else { // id(8) length(8) data (RFC 8285 §4.3)
		if at == len(block) {
			return e.end()
		}
		size = int(block[at])
		at++
	}
	if len(block)-at < size {
		return e.end()
	}
	e.ID, e.from, e.at = head, at, at+size
	return true
}

// end ends the walk for good.
func (e *Elements) end() bool {
	e.ID, e.from, e.at = 0, len(e.block), len(e.block)
	return false
}

// Extension returns the data of the first element with this id in packet b, where h was parsed from; false when it is
// not there. Elements that reach beyond the block end the search.
func (h *Header) Extension(b []byte, id uint8) ([]byte, bool) {
	for e := h.Elements(b); e.Next(); {
		if e.ID == id {
			return e.Data(), true
		}
	}
	return nil, false
}

// Block writes an extension block element by element, for those who do not want to gather a slice of them first:
//
//	w := packet.OpenBlock(dst, size, long)
//	copy(w.Element(id, len(data)), data)
//	size = w.Close()
type Block struct {
	dst     []byte
	size    int // of the header in front
	at      int // 0: no block can be here
	twoByte bool
}

// OpenBlock begins a block behind the header of size bytes in dst, in the two-byte form (RFC 8285 §4.3) or the one-byte
// form (§4.2). Nothing can be put where dst is too short or a block is there already.
func OpenBlock(dst []byte, size int, twoByte bool) Block {
	w := Block{size: size, twoByte: twoByte}
	if size >= fixedSize && len(dst) >= size+extHeaderSize && dst[0]&extensionBit == 0 {
		w.dst = dst[:min(len(dst), size+extHeaderSize+maxBlock)]
		w.at = size + extHeaderSize
	}
	return w
}

// Element adds the head of an element and returns its size bytes of data to fill in: nil, with nothing written, when the
// form cannot say this id or size, or dst is too short.
func (w *Block) Element(id uint8, size int) []byte {
	head := 1
	if w.twoByte {
		head = 2
	}
	end := w.at + head + size
	// What Close pads must fit as well.
	if w.at == 0 || !fits(id, size, w.twoByte) || len(w.dst) < w.size+(end-w.size+3)&^3 {
		return nil
	}
	if w.twoByte {
		w.dst[w.at], w.dst[w.at+1] = id, uint8(size)
	} else {
		w.dst[w.at] = id<<4 | uint8(size-1)
	}
	data := w.dst[w.at+head : end : end]
	w.at = end
	return data
}

// Close ends the block and returns the header's new size; the size it was opened with, when no element was put.
func (w *Block) Close() int {
	start := w.size + extHeaderSize
	if w.at == 0 || w.at == start {
		return w.size
	}
	end := start + (w.at-start+3)&^3
	clear(w.dst[w.at:end])
	w.dst[0] |= extensionBit
	profile := uint16(profileOneByte)
	if w.twoByte {
		profile = profileTwoByte
	}
	binary.BigEndian.PutUint16(w.dst[w.size:], profile)
	binary.BigEndian.PutUint16(w.dst[w.size+2:], uint16((end-start)/4))
	w.at = 0
	return end
}

// fits reports whether a form can carry an element.
func fits(id uint8, size int, twoByte bool) bool {
	if twoByte {
		return id != 0 && size >= 0 && size <= 255
	}
	return id != 0 && id < idStop && size >= 1 && size <= 16
}

// PutExtensions adds an extension block to the header of size bytes in dst and returns its new size. The one-byte form
// is used when every element fits it. It returns size again, with nothing written, when there is nothing to write, an
// element has ID 0 or more than 255 bytes, dst is too short, or a block is there already.
func PutExtensions(dst []byte, size int, elements []Extension) int {
	oneByte, twoByte := 0, 0
	long := false
	for _, e := range elements {
		if !fits(e.ID, len(e.Data), true) {
			return size
		}
		long = long || !fits(e.ID, len(e.Data), false)
		oneByte += 1 + len(e.Data)
		twoByte += 2 + len(e.Data)
	}
	block := oneByte
	if long {
		block = twoByte
	}
	padded := (block + 3) &^ 3
	if padded > maxBlock || len(dst) < size+extHeaderSize+padded {
		return size
	}
	w := OpenBlock(dst, size, long)
	for _, e := range elements {
		copy(w.Element(e.ID, len(e.Data)), e.Data)
	}
	return w.Close()
}
