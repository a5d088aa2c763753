package sfu_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu"
)

// guest is in a room by its signaling alone: no packet comes from it.
type guest struct {
	peer   *sfu.Peer
	joined sfu.Joined

	// Guarded by mu.
	mu     sync.Mutex
	events []sfu.Event
}

func (w *world) newGuest(name string, device sfu.Device, offered ...string) *guest {
	w.t.Helper()
	g := &guest{}
	c := &byHand{w: w, ufrag: "abcd", pwd: "0123456789abcdef012345", ssrcAudio: 1, ssrcCam: 2}
	var err error
	g.peer, g.joined, err = w.sfu.Join(w.t.Context(), sfu.JoinRequest{
		Room: "hall", Identity: name, Name: name, Publish: true, Subscribe: true,
		Offer: c.offer(fmt.Sprintf("%064d", 0), offered), Tracks: tracksOf(offered), Device: device,
		Events: func(e sfu.Event) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.events = append(g.events, e)
		},
	})
	require.NoError(w.t, err)
	return g
}

// news returns what events came since the last call.
func (g *guest) news() []sfu.Event {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	events := g.events
	g.events = nil
	return events
}

func TestLargeRoomIsToldInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{})
		defer w.close()
		speaker := w.newGuest("speaker", sfu.Device{}, "audio sendonly")
		var guests []*guest
		for n := range 69 {
			guests = append(guests, w.newGuest(fmt.Sprintf("g%d", n), sfu.Device{}, "audio recvonly"))
		}
		last := guests[68]
		require.Equal(t, 70, last.joined.Size)
		require.Len(t, last.joined.Peers, 64)
		require.Equal(t, speaker.peer.ID(), last.joined.Peers[0].ID, "who is in its slots is the first")
		require.Equal(t, []sfu.SlotInfo{{MID: "0", PeerID: speaker.peer.ID(), TrackID: "mic"}}, last.joined.Slots)
		state, err := last.peer.State(t.Context())
		require.NoError(t, err)
		last.joined.Answer = ""
		require.Equal(t, last.joined, state)

		// The room's own clock tells the size.
		speaker.news()
		start := time.Now()
		w.newGuest("late", sfu.Device{}, "audio recvonly")
		time.Sleep(1100 * time.Millisecond)
		require.Equal(t, []sfu.Event{sfu.RosterChanged{Size: 71}}, speaker.news())
		require.Less(t, time.Since(start), 2*time.Second)

		seen := map[string]bool{}
		after, more := "", true
		for more {
			page, err := last.peer.Roster(t.Context(), after, 30)
			require.NoError(t, err)
			require.Equal(t, 71, page.Size)
			for _, p := range page.Peers {
				require.False(t, seen[p.ID])
				seen[p.ID] = true
				after = p.ID
			}
			more = page.More
		}
		require.Len(t, seen, 70)
		_, err = last.peer.Roster(t.Context(), "?", 30)
		require.ErrorIs(t, err, sfu.ErrNotFound)

		// Who is not known is not spoken of: guests[67] is on a page that the last one saw, and the first one did not.
		last.news()
		guests[0].news()
		require.NoError(t, guests[67].peer.Leave(t.Context()))
		time.Sleep(1100 * time.Millisecond)
		require.Equal(t, []sfu.Event{sfu.PeerLeft{PeerID: guests[67].peer.ID()}, sfu.RosterChanged{Size: 70}}, last.news())
		require.Equal(t, []sfu.Event{sfu.RosterChanged{Size: 70}}, guests[0].news())
	})
}

func TestWishesAndDevicesBoundVideos(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{})
		defer w.close()
		for n := range 4 {
			w.newGuest(fmt.Sprintf("p%d", n), sfu.Device{}, "audio sendonly", "video sendonly")
		}
		videos := func(slots []sfu.SlotInfo) (n int) {
			for _, s := range slots {
				if s.PeerID != "" {
					n++
				}
			}
			return n
		}
		slots := []string{"video recvonly", "video recvonly", "video recvonly", "video recvonly"}
		require.Equal(t, 2, videos(w.newGuest("telephone", sfu.Device{Class: sfu.LowDevice}, slots...).joined.Slots))
		viewer := w.newGuest("viewer", sfu.Device{Class: sfu.HighDevice}, slots...)
		require.Equal(t, 4, videos(viewer.joined.Slots))
		for _, c := range []struct {
			want sfu.Subscription
			see  int
		}{{sfu.Subscription{LastN: 1}, 1}, {sfu.Subscription{VideoPaused: true}, 0}, {sfu.Subscription{}, 4}} {
			require.NoError(t, viewer.peer.Subscribe(t.Context(), c.want))
			see := -1
			for _, e := range viewer.news() {
				switch e := e.(type) {
				case sfu.SlotsChanged:
					see = videos(e.Slots)
				case sfu.LayersChanged:
					require.True(t, c.want.VideoPaused)
					require.Len(t, e.Slots, 4)
					require.Equal(t, sfu.SlotLayer{MID: "0", Limit: sfu.PausedLimit}, e.Slots[0])
				}
			}
			require.Equal(t, c.see, see)
		}
	})
}

// TestWhoSpeaksIsTold: the levels in packets reach everybody as SpeakersChanged, and a mute ends it.
func TestWhoSpeaksIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
		defer w.close()
		anna := w.newByHand("anna", "hall")
		boris := w.newByHand("boris", "hall")
		listener := w.newGuest("listener", sfu.Device{}, "audio recvonly")
		n := 0
		talk := func(length time.Duration) (told []sfu.SpeakersChanged) {
			for until := n + int(length/(20*time.Millisecond)); n < until; n++ {
				for c, level := range map[*byHand]uint8{anna: 30, boris: 110} {
					if n%12 >= 9 {
						level = min(level+25, 127) // between syllables
					}
					p := c.voice(n)
					require.NoError(t, p.SetExtension(handLevel, []byte{0x80 | level}))
					c.send(p)
				}
				time.Sleep(20 * time.Millisecond)
			}
			for _, e := range listener.news() {
				if e, ok := e.(sfu.SpeakersChanged); ok {
					told = append(told, e)
				}
			}
			return told
		}
		told := talk(time.Second)
		require.Len(t, told, 1)
		require.Len(t, told[0].Speakers, 1)
		require.Equal(t, anna.peer.ID(), told[0].Speakers[0].PeerID)
		require.InDelta(t, 90, float64(told[0].Speakers[0].Level), 12)
		require.Empty(t, talk(2*time.Second), "and not again")
		require.NoError(t, anna.peer.Mute(t.Context(), "mic", true))
		require.Equal(t, []sfu.SpeakersChanged{{Speakers: []sfu.Speaker{}}}, talk(time.Second))
	})
}
