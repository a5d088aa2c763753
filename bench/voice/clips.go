package voice

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"sync"

	"github.com/tolkyn/tolkyn/bench/source"
	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/clip"
)

// The clips of bench/source at 24 kbit/s without in-band FEC: what a browser sends while it is told of no loss.
//
//go:generate sh -c "for s in a b c d; do ffmpeg -v error -y -i ../source/clips/$s-32k.ogg -ac 1 -c:a libopus -application voip -vbr constrained -b:a 24k -frame_duration 20 -flags +bitexact -fflags +bitexact clips/$s-24k-plain.ogg; done"
//go:embed clips/*.ogg
var plainClips embed.FS

// word is one packet of a clip.
type word struct {
	data []byte
	fec  bool // it has a coarse coding of the time before it
}

// clips are all that mouths say, by scene. A loop of each lasts as long, so that one goes over into another at any packet.
type clips struct {
	plain, robust [source.Scenes][]word // 20 ms, 24 kbit/s, without in-band FEC and with it
	thin          [source.Scenes][]word // 60 ms, 12 kbit/s
}

// loaded reads the clips, once: it fails only in a binary that was built with damaged ones.
var loaded = sync.OnceValues(func() (*clips, error) {
	files, err := source.Files()
	if err != nil {
		return nil, fmt.Errorf("read clips: %w", err)
	}
	var c clips
	for scene := range source.Scenes {
		for _, want := range []struct {
			to   *[]word
			from fs.FS
			name string
		}{
			{&c.plain[scene], plainClips, fmt.Sprintf("clips/%c-24k-plain.ogg", 'a'+scene)},
			{&c.robust[scene], files, source.AudioName(scene, source.Robust)},
			{&c.thin[scene], files, source.AudioName(scene, source.Thin)},
		} {
			b, err := fs.ReadFile(want.from, want.name)
			if err != nil {
				return nil, fmt.Errorf("read clip: %w", err)
			}
			a, err := clip.ReadAudio(bytes.NewReader(b))
			if err != nil {
				return nil, fmt.Errorf("read clip %s: %w", want.name, err)
			}
			for _, p := range a.Packets {
				opus, ok := codec.ReadOpus(p.Data)
				if !ok {
					return nil, fmt.Errorf("read clip %s: packet at %d is no Opus", want.name, p.At)
				}
				*want.to = append(*want.to, word{p.Data, opus.FEC})
			}
		}
	}
	return &c, nil
})
