package codec_test

import (
	"fmt"

	"github.com/tolkyn/tolkyn/codec"
)

// A keyframe's first packet says its size, and is renumbered to continue another source's pictures.
func ExampleCodec_Inspect() {
	payload := []byte{0x90, 0xc0, 0x81, 0x02, 0x07, 0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01}
	m, ok := codec.VP8.Inspect(payload, false)
	fmt.Println(ok, m.Keyframe, m.Width, m.Height, m.PictureID, m.TL0)

	codec.RewriteVP8(payload, m, 1000, 20)
	m, _ = codec.VP8.Inspect(payload, false)
	fmt.Println(m.PictureID, m.TL0)
	// Output:
	// true true 640 360 258 7
	// 1000 20
}
