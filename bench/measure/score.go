package measure

import "math"

// The picture's sharpness, fitted: 1 + 4 ÷ (1 + (half ÷ b)^steep), where b is bits per pixel and frame, weighed by
// (pixels ÷ 1280·720)^small, since a small picture has more of its detail in each pixel.
//
// Fitted by least squares to 42 encodings of 90 frames: scenes testsrc2 and mandelbrot; 320×180, 640×360, 1280×720; 0.005
// to 0.32 bits per pixel and frame:
//
//	ffmpeg -f lavfi -i testsrc2=size=1280x720:rate=30:duration=3 -pix_fmt yuv420p -c:v libvpx -deadline realtime \
//	  -cpu-used 6 -lag-in-frames 0 -auto-alt-ref 0 -g 90 -b:v RATE -maxrate RATE -bufsize RATE/2 -qmax 63 x.ivf
//	ffmpeg -i x.ivf -f lavfi -i testsrc2=size=1280x720:rate=30:duration=3 -lavfi "[0][1]ssim" -f null -
//
// and the same with mandelbrot=size=…:rate=30:start_scale=2:end_scale=0.4:end_pts=150:inner=mincol,trim=duration=3,gblur=sigma=1.
// SSIM became opinion by straight lines through 0.5 → 1.5, 0.88 → 2.5, 0.95 → 3.5, 0.99 → 4.5, 1 → 5, the middles of the
// bands of Zinner et al., QoMEX 2010. The fit is off by 0.32 on average (RMS), by 0.6 at most.
//
// Held against scenes A and C of bench/source (scene.Draw, 90 frames, coded at 0.01 to 0.16 bits per pixel and frame as above) it is
// off by 0.32 (RMS) at 320×180 and 640×360. At 1280×720 their SSIM stops at 0.942 however many bits there are: probably
// the drawing's grain, which no codec keeps, so nothing was fitted to that. (Scratch work: no command here makes these two figures.)
const (
	sharpHalf  = 0.012
	sharpSteep = 0.85
	sharpSmall = 0.5
	sharpAt    = 1280 * 720
)

const (
	// enlarged: a picture of fewer pixels than the sender's, enlarged. SSIM of the same scenes scaled down and up again is
	// 0.975, 0.941, 0.897 at 1/4, 1/16 and 1/64 of the pixels: factors 0.78, 0.59, 0.43; this power gives 0.77, 0.59, 0.45.
	enlarged = 0.19
	// Of motion, a choice: half the frame rate is worth 0.71 of the way from 1.
	motionPower = 0.5
	// Of standing still, a choice: frozen for a tenth of the time leaves 0.81, and one freeze a minute costs a twentieth.
	frozenPower = 2
	perFreeze   = 0.05
)

// efficiency is how many bits of VP8 one bit of the codec is worth: practice, not fitted here.
func efficiency(codec string) float64 {
	switch codec {
	case "VP9", "H265":
		return 1.4
	case "AV1":
		return 1.8
	default:
		return 1
	}
}

// Look is what a viewer saw of a stream.
type Look struct {
	Codec        string  // "VP8" where unknown
	BitsPerPixel float64 // of a frame
	Pixels       float64 // of a frame, on average
	WantPixels   float64 // of the best layer sent; 0: not compared
	FPS          float64 // while it moved: freezes are counted by themselves
	WantFPS      float64 // sent; 0: not compared, and Undecodable stands in
	// Undecodable is the share of frames that came and could not be shown, 0 to 1.
	Undecodable float64
	// Frozen is the share of the time that the picture stood still, 0 to 1.
	Frozen           float64
	FreezesPerMinute float64
}

// Score is 1 (bad) to 5 (perfect). It never rises with loss or freezes and never falls with rate, frame rate or size. It
// compares runs of one scene; it does not see how hard a scene is to code, nor what error concealment looks like.
//
//	score = 1 + (sharp − 1) · motion · still · size
func (l Look) Score() float64 {
	if l.BitsPerPixel <= 0 || l.Pixels <= 0 {
		return 1
	}
	b := l.BitsPerPixel * efficiency(l.Codec) * math.Pow(min(1, l.Pixels/sharpAt), sharpSmall)
	sharp := 4 / (1 + math.Pow(sharpHalf/b, sharpSteep))

	motion := 1 - unit(l.Undecodable)
	if l.WantFPS > 0 {
		motion = min(motion, unit(l.FPS/l.WantFPS))
	}
	still := math.Pow(1-unit(l.Frozen), frozenPower) / (1 + perFreeze*max(0, l.FreezesPerMinute))
	size := 1.0
	if l.WantPixels > 0 {
		size = math.Pow(unit(l.Pixels/l.WantPixels), enlarged)
	}
	return 1 + sharp*math.Pow(motion, motionPower)*still*size
}

func unit(v float64) float64 { return min(1, max(0, v)) }
