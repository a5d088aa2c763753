package replay

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4/pkg/media/h264writer"
	"github.com/pion/webrtc/v4/pkg/media/ivfwriter"
)

// decoders are ffmpeg's names. libvpx and libdav1d show the highest layer of a picture, as browsers do; ffmpeg's own decoder
// of VP9 would show each.
var decoders = map[string]string{"VP8": "libvpx", "VP9": "libvpx-vp9", "H264": "h264", "AV1": "libdav1d"}

// decode puts pictures together, decodes them and returns the MD5 of each: as many as there are pictures, or fewer and an
// error: those before the one that was not shown.
func decode(codec string, pictures [][]*rtp.Packet) ([]string, error) {
	var stream bytes.Buffer
	writer, err := newWriter(codec, &stream)
	if err != nil {
		return nil, err
	}
	for i, picture := range pictures {
		for _, p := range picture {
			// In even steps: sources that stand one after another have timestamps of their own.
			moved := *p
			moved.Timestamp = uint32(i) * 3000
			if err := writer.WriteRTP(&moved); err != nil {
				return nil, fmt.Errorf("depacketize %d: %w", p.SequenceNumber, err)
			}
		}
	}
	format := "ivf"
	if codec == "H264" {
		format = "h264"
	}
	cmd := exec.Command("ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "warning", "-xerror", "-err_detect", "explode",
		"-threads", "1", "-f", format, "-c:v", decoders[codec], "-i", "pipe:0",
		"-fps_mode", "passthrough", "-autoscale", "0", "-pix_fmt", "yuv420p", "-f", "framemd5", "pipe:1")
	var out, complaints bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &stream, &out, &complaints
	failed := cmd.Run()
	var sums []string
	for line := range strings.Lines(out.String()) {
		if f := strings.Split(line, ","); len(f) == 6 && !strings.HasPrefix(line, "#") {
			sums = append(sums, strings.TrimSpace(f[5]))
		}
	}
	if failed != nil {
		return sums, fmt.Errorf("decode by ffmpeg (apt-get install -y ffmpeg): %w\n%s", failed, complaints.String())
	}
	if len(sums) != len(pictures) {
		return sums, fmt.Errorf("%d of %d pictures were shown\n%s", len(sums), len(pictures), complaints.String())
	}
	return sums, nil
}

func newWriter(codec string, to *bytes.Buffer) (interface{ WriteRTP(*rtp.Packet) error }, error) {
	if codec == "H264" {
		return h264writer.NewWith(to), nil
	}
	return ivfwriter.NewWith(to, ivfwriter.WithCodec("video/"+codec), ivfwriter.WithFrameRate(1, 90000), ivfwriter.WithDirectPTS())
}
