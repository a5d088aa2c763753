package wire

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// The bytes that docs/protocol.md shows to people who write clients are what this package writes. In the section "Bytes", a line
// that begins with "client" or "server" holds a frame in JSON, "stream" stands for all frames since the stream before, and the
// lines below each, in hex, are its bytes.
func TestTheBytesInTheManual(t *testing.T) {
	page, err := os.ReadFile("../../docs/protocol.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(page), "\n## Bytes\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	_, block, found := strings.Cut(section, "\n```\n")
	require.True(t, found)
	block, _, found = strings.Cut(block, "\n```")
	require.True(t, found)

	var title string
	var want, shown, stream []byte
	seen := map[string]int{}
	compare := func() {
		require.Equal(t, hex.EncodeToString(want), hex.EncodeToString(shown), title)
		shown = nil
	}
	for line := range strings.Lines(block) {
		kind, text, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		if kind == "" {
			part, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
			require.NoError(t, err, line)
			shown = append(shown, part...)
			continue
		}
		compare()
		title = line
		seen[kind]++
		text = strings.TrimSpace(text)
		var frame proto.Message
		switch kind {
		case "client":
			frame, err = JSON.DecodeClient([]byte(text))
			require.NoError(t, err, line)
			want, err = Binary.EncodeClient(frame.(*ClientFrame))
		case "server":
			frame, err = JSON.DecodeServer([]byte(text))
			require.NoError(t, err, line)
			want, err = Binary.EncodeServer(frame.(*ServerFrame))
		case "stream":
			want, stream = stream, nil
		default:
			t.Fatal("what is ", line)
		}
		require.NoError(t, err, line)
		if kind != "stream" {
			stream = AppendFrame(stream, want)
		}
	}
	compare()
	require.Equal(t, map[string]int{"client": 5, "server": 4, "stream": 1}, seen)
}
