//go:build linux

package main

// mode is what one recording asks of a browser. The page reads it as JSON.
type mode struct {
	Name    string `json:"name"`
	Browser string `json:"-"` // chromium, firefox

	Audio  bool   `json:"audio,omitempty"`
	Codec  string `json:"codec"`            // as in SDP
	Width  int    `json:"width,omitempty"`  // of the camera
	Height int    `json:"height,omitempty"` // likewise
	Canvas bool   `json:"canvas,omitempty"` // a drawing that moves instead of the camera
	RED    bool   `json:"red,omitempty"`
	DTX    bool   `json:"dtx,omitempty"`

	// Bare offers no dependency descriptor: VP8 then tells picture ids and layers itself, which it else leaves out.
	Bare bool `json:"bare,omitempty"`

	Encodings []encoding `json:"encodings,omitempty"`
}

// encoding is an RTCRtpEncodingParameters (W3C webrtc, webrtc-svc).
type encoding struct {
	RID                   string  `json:"rid,omitempty"`
	ScaleResolutionDownBy float64 `json:"scaleResolutionDownBy,omitempty"`
	ScalabilityMode       string  `json:"scalabilityMode,omitempty"`
	MaxBitrate            int     `json:"maxBitrate,omitempty"` // bit/s
}

// modes are all recordings. Pictures are as small as the browser still makes all layers of: Chromium lowers the number of
// layers, of simulcast too, when the camera has fewer than 960×540 pixels, and leaves upper ones out below about 500 kbit/s.
func modes() []mode {
	return []mode{
		{Name: "chromium-vp8", Browser: "chromium", Codec: "VP8", Width: 320, Height: 180, Encodings: one("", 150_000)},
		{Name: "chromium-vp8-simulcast", Browser: "chromium", Codec: "VP8", Width: 960, Height: 540, Encodings: three(1.5, "L1T3")},
		{Name: "chromium-vp8-simulcast-bare", Browser: "chromium", Bare: true, Codec: "VP8", Width: 960, Height: 540, Encodings: three(1.5, "L1T3")},
		{Name: "chromium-h264-simulcast", Browser: "chromium", Codec: "H264", Width: 960, Height: 540, Encodings: three(1.5, "L1T2")},
		{Name: "chromium-h264-l1t2-bare", Browser: "chromium", Bare: true, Codec: "H264", Width: 320, Height: 180, Encodings: one("L1T2", 150_000)},
		{Name: "chromium-h264-l1t3", Browser: "chromium", Codec: "H264", Width: 320, Height: 180, Encodings: one("L1T3", 150_000)},
		{Name: "chromium-vp9-l1t3", Browser: "chromium", Codec: "VP9", Width: 320, Height: 180, Encodings: one("L1T3", 150_000)},
		{Name: "chromium-vp9-l3t3", Browser: "chromium", Codec: "VP9", Width: 960, Height: 540, Encodings: one("L3T3", 700_000)},
		{Name: "chromium-vp9-l3t3-key", Browser: "chromium", Codec: "VP9", Width: 960, Height: 540, Encodings: one("L3T3_KEY", 700_000)},
		{Name: "chromium-vp9-l3t3-key-bare", Browser: "chromium", Bare: true, Codec: "VP9", Width: 960, Height: 540, Encodings: one("L3T3_KEY", 700_000)},
		{Name: "chromium-vp9-s3t3", Browser: "chromium", Codec: "VP9", Width: 960, Height: 540, Encodings: one("S3T3", 700_000)},
		{Name: "chromium-av1-l1t3", Browser: "chromium", Codec: "AV1", Width: 320, Height: 180, Encodings: one("L1T3", 150_000)},
		{Name: "chromium-av1-l1t3-bare", Browser: "chromium", Bare: true, Codec: "AV1", Width: 320, Height: 180, Encodings: one("L1T3", 150_000)},
		{Name: "chromium-av1-l3t3", Browser: "chromium", Codec: "AV1", Width: 960, Height: 540, Encodings: one("L3T3", 700_000)},
		{Name: "chromium-av1-l3t3-key", Browser: "chromium", Codec: "AV1", Width: 960, Height: 540, Encodings: one("L3T3_KEY", 700_000)},
		{Name: "chromium-opus", Browser: "chromium", Audio: true, Codec: "opus"},
		{Name: "chromium-opus-red", Browser: "chromium", Audio: true, Codec: "opus", RED: true},
		{Name: "chromium-opus-dtx", Browser: "chromium", Audio: true, Codec: "opus", DTX: true},
		{Name: "firefox-vp8", Browser: "firefox", Codec: "VP8", Canvas: true, Width: 320, Height: 180, Encodings: one("", 150_000)},
		{Name: "firefox-vp8-simulcast", Browser: "firefox", Codec: "VP8", Canvas: true, Width: 640, Height: 360, Encodings: three(1, "")},
		{Name: "firefox-vp9", Browser: "firefox", Codec: "VP9", Canvas: true, Width: 320, Height: 180, Encodings: one("", 150_000)},
		{Name: "firefox-av1", Browser: "firefox", Codec: "AV1", Canvas: true, Width: 320, Height: 180, Encodings: one("", 150_000)},
		{Name: "firefox-opus", Browser: "firefox", Audio: true, Codec: "opus"},
	}
}

func one(scalability string, bitrate int) []encoding {
	return []encoding{{ScalabilityMode: scalability, MaxBitrate: bitrate}}
}

// three is the usual simulcast: a quarter, a half, all of the picture, which is the camera's divided by smaller.
func three(smaller float64, scalability string) []encoding {
	return []encoding{
		{RID: "q", ScaleResolutionDownBy: 4 * smaller, ScalabilityMode: scalability, MaxBitrate: 100_000},
		{RID: "h", ScaleResolutionDownBy: 2 * smaller, ScalabilityMode: scalability, MaxBitrate: 150_000},
		{RID: "f", ScaleResolutionDownBy: smaller, ScalabilityMode: scalability, MaxBitrate: 450_000},
	}
}

// top is the height of the largest picture that the mode asks for; 0: none.
func (m mode) top() int {
	top := 0
	for _, e := range m.Encodings {
		top = max(top, int(float64(m.Height)/max(1, e.ScaleResolutionDownBy)))
	}
	return top
}
