package capture_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/capture"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	want := &capture.Capture{
		Browser: "Netscape 4", Asked: "{}", Codec: "VP8", PayloadType: 96, RTXPayloadType: 97,
		Extensions: map[string]uint8{"rid": 10}, Encodings: []capture.Encoding{{RID: "q", SSRC: 1, RTXSSRC: 2}, {RID: "f", SSRC: 3}},
		Packets: []capture.Packet{
			{At: 0, Data: []byte{0x80, 96, 0, 1}},
			{At: 3 * time.Millisecond, RTCP: true, Data: []byte{0x80, 200, 0, 6}},
			{At: 70 * time.Second, Data: []byte{0x80, 96, 0, 2}},
		},
	}
	path := filepath.Join(t.TempDir(), "some")
	require.NoError(t, want.Write(path))
	got, err := capture.Read(path)
	require.NoError(t, err)
	require.Equal(t, want, got)
	list, err := capture.List(filepath.Dir(path))
	require.NoError(t, err)
	require.Equal(t, []string{path}, list)
}

func TestACutCaptureIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "some")
	_, err := capture.Read(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	c := &capture.Capture{Packets: []capture.Packet{{Data: make([]byte, 100)}}}
	require.NoError(t, c.Write(path))
	require.NoError(t, os.Truncate(path+".rtpdump", 120))
	_, err = capture.Read(path)
	require.ErrorContains(t, err, "some.rtpdump")
	require.NoError(t, os.WriteFile(path+".json", []byte("{"), 0o600))
	_, err = capture.Read(path)
	require.ErrorContains(t, err, "some.json")
}
