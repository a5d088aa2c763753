package plan

import (
	"slices"

	"github.com/tolkyn/tolkyn/codec"
)

// Class sums up what a device can do. The values are those of sfu.DeviceClass.
type Class uint8

// The classes. The zero value is not told.
const (
	Low Class = iota + 1
	Normal
	High
)

// Device is what a client knows of the machine it runs on; zero for what it does not know.
type Device struct {
	Class            Class
	Decoders         int // videos it can decode at once
	Cores            int
	SavingPower      bool
	Hot              bool // its operating system calls it serious or critical
	HardwareEncoders []codec.Codec
}

const (
	fewCores    = 1 // an encoder takes it all; two alone say little: virtual machines have them, and good old laptops
	manyCores   = 8 // AV1 and VP9 cost three to five times as much as VP8 to encode
	fewDecoders = 2

	lowVideos = 2
	lowHeight = 360
	encodings = 3
)

// Concluded is the class that a device tells or, when it does not, that the rest suggests: who saves power, is hot, or has
// one core, or no more than 2 decoders, is Low; who has 8 cores or more is High; and Normal is everybody else, also who says
// nothing.
func (d Device) Concluded() Class {
	switch {
	case d.Class >= Low && d.Class <= High:
		return d.Class
	case d.SavingPower, d.Hot, known(d.Cores) && d.Cores <= fewCores, known(d.Decoders) && d.Decoders <= fewDecoders:
		return Low
	case d.Cores >= manyCores:
		return High
	default:
		return Normal
	}
}

// silent says that the client told nothing.
func (d Device) silent() bool {
	return d.Class == 0 && d.Decoders == 0 && d.Cores == 0 && !d.SavingPower && !d.Hot && len(d.HardwareEncoders) == 0
}

func known(n int) bool { return n > 0 }

// Publishing says what a device should publish and receive. A client that tells nothing of it chooses its codec itself.
//
//	class   codecs, best first            encodings   videos received   lines of them
//	Low     H.264 in hardware, VP8 else   1           2                 360
//	Normal  likewise                      3           as decoders told  any
//	High    as the client prefers         3           as decoders told  any
//
// codecs nil stands for the client's own order, maxVideos and maxHeight 0 for no bound. Low and Normal have the other of
// H.264 and VP8 behind the first, and then the costly ones, for clients that offer nothing else.
func Publishing(d Device) (codecs []codec.Codec, maxEncodings, maxVideos int, maxHeight uint32) {
	codecs = []codec.Codec{codec.VP8, codec.H264, codec.VP9, codec.AV1}
	if slices.Contains(d.HardwareEncoders, codec.H264) {
		codecs[0], codecs[1] = codec.H264, codec.VP8
	}
	decoders := max(d.Decoders, 0)
	switch d.Concluded() {
	case Low:
		if !known(decoders) || decoders > lowVideos {
			decoders = lowVideos
		}
		return codecs, 1, decoders, lowHeight
	case High:
		return nil, encodings, decoders, 0
	default:
		if d.silent() {
			codecs = nil
		}
		return codecs, encodings, decoders, 0
	}
}
