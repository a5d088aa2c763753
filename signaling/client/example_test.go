package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/pion/webrtc/v4/pkg/media/ivfreader"
	"github.com/pion/webrtc/v4/pkg/media/oggwriter"

	"github.com/tolkyn/tolkyn/signaling/client"
)

// An echo bot: what it hears in its first audio slot it says again.
func Example_echo() {
	server := loopback()
	defer server.stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	bot := make(chan error)
	go func() { bot <- echo(ctx, server.url, token("bot")) }()

	guest := speak(ctx, server.url, "guest")
	defer guest.Close()
	_, err := guest.room.Slots()[0].ReadRTP(ctx)
	fmt.Println("the guest hears itself:", err == nil)
	cancel()
	fmt.Println(<-bot)
	// Output:
	// the guest hears itself: true
	// context canceled
}

// A file is published frame by frame, as fast as it is to be shown.
func Example_publishFile() {
	server := loopback()
	defer server.stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	clip, remove := someClip() // a VP8 file of half a second
	defer remove()
	f, err := os.Open(clip)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	frames, header, err := ivfreader.NewWith(f)
	if err != nil {
		log.Fatal(err)
	}
	film, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "film", "player")
	if err != nil {
		log.Fatal(err)
	}
	player, err := client.Dial(ctx, server.url, token("player"), client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer player.Close()
	room, err := player.Join(ctx, client.JoinOptions{
		Name: "Player", AudioSlots: -1, VideoSlots: -1,
		Tracks: []client.LocalTrack{{Source: client.Camera, Track: film}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for e := range room.Events() {
		if s, ok := e.(client.StateChanged); ok && s.State == client.Connected {
			break // what is written before goes nowhere
		}
	}
	each := time.Second * time.Duration(header.TimebaseNumerator) / time.Duration(header.TimebaseDenominator)
	beat := time.NewTicker(each)
	defer beat.Stop()
	written := 0
	for ; ; written++ {
		frame, _, err := frames.ParseNextFrame()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		if err := film.WriteSample(media.Sample{Data: frame, Duration: each}); err != nil {
			log.Fatal(err)
		}
		<-beat.C
	}
	fmt.Println(written, "frames")
	// Output: 15 frames
}

// Recording: a slot is read, and its packets are kept under the name of whom it shows.
func Example_record() {
	server := loopback()
	defer server.stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	speaker := speak(ctx, server.url, "aru")
	defer speaker.Close()
	dir, err := os.MkdirTemp("", "record")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	recorder, err := client.Dial(ctx, server.url, token("recorder"), client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer recorder.Close()
	room, err := recorder.Join(ctx, client.JoinOptions{Name: "Recorder", AudioSlots: 1, VideoSlots: -1})
	if err != nil {
		log.Fatal(err)
	}
	slot := room.Slots()[0]
	var file *oggwriter.OggWriter
	var name string
	for range 25 { // half a second
		packet, err := slot.ReadRTP(ctx)
		if err != nil {
			log.Fatal(err)
		}
		who, track, ok := slot.Shows()
		if !ok {
			continue // somebody who has just left
		}
		if file == nil {
			name = fmt.Sprintf("%s-%s.ogg", who.Identity, track.ID)
			if file, err = oggwriter.New(filepath.Join(dir, name), 48000, 2); err != nil {
				log.Fatal(err)
			}
		}
		if err := file.WriteRTP(packet); err != nil {
			log.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		log.Fatal(err)
	}
	written, err := os.Stat(filepath.Join(dir, name))
	fmt.Println(name, err == nil && written.Size() > 1000)
	// Output: aru-mic.ogg true
}
