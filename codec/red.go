package codec

// RED (RFC 2198) puts copies of earlier packets' payloads in front of a packet's own.
//
//	│1│ PT │ timestamp offset │ length │ … │0│ PT │ oldest copy │ … │ newest copy │ the packet's own │

// MaxREDBlocks is how many blocks a RED payload may have, the packet's own included. More copies than seven would not help
// a voice: losses longer than that are heard whatever comes later.
const MaxREDBlocks = 8

// MaxREDOffset and MaxREDCopy are how old a copy may be, in ticks (341 ms at 48 kHz), and how large, in bytes: RFC 2198 §3 has
// 14 and 10 bits for them.
const (
	MaxREDOffset = 1<<14 - 1
	MaxREDCopy   = 1<<10 - 1
)

const (
	redMore       = 0x80 // F, first byte of a block's header: another header follows
	redHeaderSize = 4    // of a copy; the last header has 1 byte
)

// REDBlock is one block of a RED payload.
type REDBlock struct {
	PayloadType uint8
	Offset      uint16 // how many ticks its timestamp lies before the packet's, at most 16383; 0 for the packet's own
	Data        []byte // a part of the RED payload; of a copy it may be empty
}

// ReadRED takes a RED payload apart. The first n blocks are filled, in the order in which they stand: the last is the
// packet's own. False: it has more than MaxREDBlocks, its lengths lie, or nothing is left for the packet's own.
func ReadRED(payload []byte) (blocks [MaxREDBlocks]REDBlock, n int, ok bool) {
	var sizes [MaxREDBlocks]int
	rest := payload
	for ; ; n++ {
		if n == MaxREDBlocks || len(rest) == 0 {
			return [MaxREDBlocks]REDBlock{}, 0, false
		}
		blocks[n].PayloadType = rest[0] &^ redMore
		if rest[0]&redMore == 0 {
			rest = rest[1:]
			break
		}
		if len(rest) < redHeaderSize {
			return [MaxREDBlocks]REDBlock{}, 0, false
		}
		blocks[n].Offset = uint16(rest[1])<<6 | uint16(rest[2])>>2
		sizes[n] = int(rest[2]&3)<<8 | int(rest[3])
		rest = rest[redHeaderSize:]
	}
	for i := range n {
		if sizes[i] > len(rest) {
			return [MaxREDBlocks]REDBlock{}, 0, false
		}
		blocks[i].Data, rest = rest[:sizes[i]:sizes[i]], rest[sizes[i]:]
	}
	if len(rest) == 0 {
		return [MaxREDBlocks]REDBlock{}, 0, false
	}
	blocks[n].Data = rest
	return blocks, n + 1, true
}

// REDSize is how many bytes AppendRED takes for these blocks.
func REDSize(blocks []REDBlock) int {
	size := 1
	for i := range blocks {
		size += len(blocks[i].Data)
		if i < len(blocks)-1 {
			size += redHeaderSize
		}
	}
	return size
}

// AppendRED appends a RED payload of these blocks, the packet's own last. False, and b as it was: there are none or more than
// MaxREDBlocks, a copy has more than 1023 bytes or an offset above 16383, the last one has an offset or no bytes, or a payload
// type is above 127.
func AppendRED(b []byte, blocks []REDBlock) ([]byte, bool) {
	if len(blocks) == 0 || len(blocks) > MaxREDBlocks {
		return b, false
	}
	for i, block := range blocks {
		own := i == len(blocks)-1
		if block.PayloadType >= redMore || own && (block.Offset != 0 || len(block.Data) == 0) ||
			!own && (block.Offset > MaxREDOffset || len(block.Data) > MaxREDCopy) {
			return b, false
		}
	}
	for _, block := range blocks[:len(blocks)-1] {
		b = append(b, redMore|block.PayloadType, byte(block.Offset>>6), byte(block.Offset<<2)|byte(len(block.Data)>>8), byte(len(block.Data)))
	}
	b = append(b, blocks[len(blocks)-1].PayloadType)
	for _, block := range blocks {
		b = append(b, block.Data...)
	}
	return b, true
}
