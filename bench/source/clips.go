package source

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/tolkyn/tolkyn/internal/clip"
)

// The clips, made by the drawing in scene and the programs that make/main.go names: espeak-ng and ffmpeg, both Debian's.
//
//go:generate go run ./make clips
//go:embed clips/*.ivf clips/*.ogg clips/*.mouth clips/SHA256SUMS
var files embed.FS

// What all clips have in common.
const (
	Scenes       = 4               // A to D
	Loop         = 6 * time.Second // how long each clip plays before it begins again
	FrameRate    = 30              // pictures a second
	LoopFrames   = 180             // pictures in a clip
	KeyframeGap  = 30              // pictures from one keyframe to the next
	sceneLetters = "abcd"          // in names of files
	videoClock   = 90000           // ticks a second of RTP (RFC 7741 §4.1)
	audioClock   = 48000           // (RFC 7587 §4.1)
)

// Layer is the size of a picture.
type Layer int

// The layers, by what their encoder was told to make of them.
const (
	Low  Layer = iota // 320×180, 120 kbit/s
	Mid               // 640×360, 400 kbit/s
	High              // 1280×720, 1.2 Mbit/s; every scene shows A
)

// Layers is how many there are.
const Layers = 3

// Size is the picture's, in pixels.
func (l Layer) Size() (w, h int) { return 320 << l, 180 << l }

// String names the layer as its clips are named.
func (l Layer) String() string { return fmt.Sprintf("%dp", 180<<l) }

// Bitrate is what its encoder was told to make, in bits a second.
func (l Layer) Bitrate() int { return [Layers]int{120_000, 400_000, 1_200_000}[l] }

// Profile is how sound is encoded.
type Profile int

// The profiles.
const (
	Voice  Profile = iota // 32 kbit/s in packets of 20 ms
	Thin                  // 12 kbit/s in packets of 60 ms: what a bad network still carries
	Robust                // 24 kbit/s in packets of 20 ms, each with a coarse copy of the one before (LBRR, RFC 6716 §2.1.7)
	Lean                  // 6 kbit/s in packets of 120 ms, whose headers take half as much: where the network carries no more
)

// Profiles is how many there are.
const Profiles = 4

// String names the profile as its clips are named.
func (p Profile) String() string { return [Profiles]string{"32k", "12k", "24k", "6k"}[p] }

// Bitrate is what its encoder was told to make, in bits a second.
func (p Profile) Bitrate() int { return [Profiles]int{32_000, 12_000, 24_000, 6_000}[p] }

// PacketTime is how long a packet plays.
func (p Profile) PacketTime() time.Duration {
	return [Profiles]time.Duration{Voice: 20, Thin: 60, Robust: 20, Lean: 120}[p] * time.Millisecond
}

// ExpectedLoss is what its encoder was told of the network, in percent: from 1 on it makes in-band FEC, as far as the bitrate
// allows. libopus gives the copies as much as they are likely to be needed.
func (p Profile) ExpectedLoss() int { return [Profiles]int{Robust: 20}[p] }

// stampEvery is how many packets share a stamp: 22 bytes in each packet would be a sixth of what a bad network carries.
func (p Profile) stampEvery() uint32 { return [Profiles]uint32{1, 4, 4, 8}[p] }

// Clips are all that is embedded, read once. Safe from any goroutine, as are the Clips of many Players.
type Clips struct {
	videos [Scenes][Layers]*clip.Video
	audios [Scenes][Profiles]*clip.Audio
}

// Load reads the clips. It fails only in a binary that was built with damaged ones.
func Load() (*Clips, error) {
	c := &Clips{}
	for scene := range Scenes {
		for layer := range Layer(Layers) {
			if layer == High && scene > 0 {
				c.videos[scene][High] = c.videos[0][High]
				continue
			}
			v, err := readVideo(VideoName(scene, layer))
			if err != nil {
				return nil, err
			}
			c.videos[scene][layer] = v
		}
		for profile := range Profile(Profiles) {
			a, err := readAudio(AudioName(scene, profile))
			if err != nil {
				return nil, err
			}
			c.audios[scene][profile] = a
		}
	}
	return c, nil
}

// VideoName is the name of a clip in Files.
func VideoName(scene int, l Layer) string { return fmt.Sprintf("%c-%s.ivf", sceneLetters[scene], l) }

// AudioName is the name of a clip in Files.
func AudioName(scene int, p Profile) string { return fmt.Sprintf("%c-%s.ogg", sceneLetters[scene], p) }

// MouthName is the name, in Files, of a list of how far a scene's mouth is open: LoopFrames bytes, 0 to 255, as scene.Draw
// takes them.
func MouthName(scene int) string { return fmt.Sprintf("%c.mouth", sceneLetters[scene]) }

// Files are the clips as they are on disk, and SHA256SUMS of them.
func Files() (fs.FS, error) { return fs.Sub(files, "clips") }

func readVideo(name string) (*clip.Video, error) {
	f, err := files.Open("clips/" + name)
	if err != nil {
		return nil, fmt.Errorf("read clip: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read clip %s: %w", name, err)
	}
	from, ok := f.(io.ReaderAt) // never closed: it is memory of the binary
	if !ok {
		return nil, fmt.Errorf("read clip %s: %w", name, errors.ErrUnsupported)
	}
	v, err := clip.ReadVideo(from, info.Size())
	if err != nil {
		return nil, fmt.Errorf("read clip %s: %w", name, err)
	}
	return v, nil
}

func readAudio(name string) (*clip.Audio, error) {
	f, err := files.Open("clips/" + name)
	if err != nil {
		return nil, fmt.Errorf("read clip: %w", err)
	}
	a, err := clip.ReadAudio(f)
	if err != nil {
		return nil, fmt.Errorf("read clip %s: %w", name, err)
	}
	return a, nil
}
