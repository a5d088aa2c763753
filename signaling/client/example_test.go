package client_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"net/netip"

	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling"
	"github.com/tolkyn/tolkyn/signaling/client"
)

// An echo bot: what it hears in its first audio slot it says again.
func Example_echo() {
	server, url := loopback()
	defer server()
	ctx := context.Background()

	bot, err := client.Dial(ctx, url, token("bot"), client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer bot.Close()
	voice, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "echo", "bot")
	if err != nil {
		log.Fatal(err)
	}
	room, err := bot.Join(ctx, client.JoinOptions{
		Name:       "Echo",
		Tracks:     []client.LocalTrack{{Source: client.Microphone, Track: voice}},
		AudioSlots: 1, VideoSlots: -1,
	})
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			p, err := room.Slots()[0].ReadRTP(ctx)
			if err != nil {
				return // io.EOF: the room has ended
			}
			if err := voice.WriteRTP(p); err != nil {
				log.Print(err)
			}
		}
	}()

	fmt.Println("the guest hears itself:", hearsItself(url))
	// Output: the guest hears itself: true
}

// Recording: every slot is read, and each packet is kept under the name of whom the slot shows.
func Example_record() {
	server, url := loopback()
	defer server()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	speaker := speak(ctx, url, "aru")
	defer speaker.Close()

	recorder, err := client.Dial(ctx, url, token("recorder"), client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer recorder.Close()
	room, err := recorder.Join(ctx, client.JoinOptions{Name: "Recorder"})
	if err != nil {
		log.Fatal(err)
	}
	recorded := make(chan string)
	for _, slot := range room.Slots() {
		go func() {
			for {
				if _, err := slot.ReadRTP(ctx); err != nil {
					return
				}
				if who, track, ok := slot.Shows(); ok {
					select {
					case recorded <- fmt.Sprint(who.Identity, "-", track.ID, ".ogg"): // a file would be written here
					case <-ctx.Done():
						return
					}
				}
			}
		}()
	}
	fmt.Println(<-recorded)
	// Output: aru-mic.ogg
}

// hearsItself joins beside the bot, speaks, and waits for its own voice.
func hearsItself(url string) bool {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	guest := speak(ctx, url, "guest")
	defer guest.Close()
	_, err := guest.room.Slots()[0].ReadRTP(ctx)
	return err == nil
}

// speaker is a client that sends sound until ctx ends.
type speaker struct {
	*client.Client

	room *client.Room
}

func speak(ctx context.Context, url, identity string) speaker {
	c, err := client.Dial(ctx, url, token(identity), client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	mic, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "mic", identity)
	if err != nil {
		log.Fatal(err)
	}
	room, err := c.Join(ctx, client.JoinOptions{
		Name: identity, Tracks: []client.LocalTrack{{Source: client.Microphone, Track: mic}},
	})
	if err != nil {
		log.Fatal(err)
	}
	m := &member{name: identity, stopping: make(chan struct{})}
	context.AfterFunc(ctx, func() { close(m.stopping) })
	go m.talk(mic)
	return speaker{c, room}
}

// loopback starts a whole server on this machine.
func loopback() (stop func(), url string) {
	socket, err := udp.Listen(netip.MustParseAddrPort("127.0.0.1:0"), udp.Config{})
	if err != nil {
		log.Fatal(err)
	}
	forwarder, err := sfu.New(sfu.Config{Socket: socket, Advertise: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := signaling.NewVerifier(key)
	if err != nil {
		log.Fatal(err)
	}
	server, err := signaling.New(signaling.Config{SFU: forwarder, Verifier: verifier})
	if err != nil {
		log.Fatal(err)
	}
	web := httptest.NewServer(server)
	return func() {
		if err := server.Close(context.Background()); err != nil {
			log.Print(err)
		}
		web.Close()
		if err := forwarder.Close(); err != nil {
			log.Print(err)
		}
	}, web.URL
}
