package client_test

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/signaling/client"
)

// README.md shows the function below, to the byte. Example_echo runs it.

// --- README ---

// echo joins the token's room and says again what it hears.
func echo(ctx context.Context, url string, token client.TokenSource) error {
	c, err := client.Dial(ctx, url, token, client.Options{}) // QUIC or WebSocket, whichever is there first
	if err != nil {
		return err
	}
	defer c.Close()
	voice, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "echo", "bot")
	if err != nil {
		return err
	}
	room, err := c.Join(ctx, client.JoinOptions{
		Name: "Echo", AudioSlots: 1, VideoSlots: -1,
		Tracks: []client.LocalTrack{{Source: client.Microphone, Track: voice}},
	})
	if err != nil {
		return err
	}
	for {
		packet, err := room.Slots()[0].ReadRTP(ctx)
		if err != nil {
			return err // io.EOF: the room has ended
		}
		if err := voice.WriteRTP(packet); err != nil {
			return err
		}
	}
}

// --- README ---

func TestTheReadmeShowsWhatRuns(t *testing.T) {
	source, err := os.ReadFile("readme_test.go")
	require.NoError(t, err)
	parts := strings.Split(string(source), "// --- README ---\n")
	require.GreaterOrEqual(t, len(parts), 3)
	sample := strings.Trim(parts[1], "\n") + "\n"
	require.LessOrEqual(t, strings.Count(sample, "\n"), 30)

	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	var shown []string
	for _, block := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1) {
		shown = append(shown, block[1])
	}
	require.Contains(t, shown, sample)
}
