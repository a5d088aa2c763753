package client_test

import (
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/signaling/client"
)

// lens films one encoding of a simulcast: frames of its size, with its RID in them.
type lens struct {
	rid           string
	width, height uint16
	bytes         int // of a frame
	track         *webrtc.TrackLocalStaticRTP
	wantsKey      chan struct{}
}

// lenses are three encodings of one picture.
func lenses(t *testing.T) []*lens {
	all := []*lens{{rid: "q", width: 160, height: 90, bytes: 300}, {rid: "h", width: 320, height: 180, bytes: 600}, {rid: "f", width: 640, height: 360, bytes: 1100}}
	for _, l := range all {
		var err error
		l.track, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "cam", "aru")
		require.NoError(t, err)
		l.wantsKey = make(chan struct{}, 1)
	}
	return all
}

func (l *lens) film(m *member) {
	p := rtp.Packet{Header: rtp.Header{Version: 2, Marker: true}}
	for picture := uint16(0); m.pause(time.Second / 30); picture++ {
		keyframe := picture < 15 // some come after the keys are there: until then the server does not know how large a picture is
		select {
		case <-l.wantsKey:
			keyframe = true
		default:
		}
		p.Payload = append(vp8Frame(keyframe, picture), make([]byte, 600)...)[:l.bytes]
		if keyframe {
			binary.LittleEndian.PutUint16(p.Payload[12:], l.width)
			binary.LittleEndian.PutUint16(p.Payload[14:], l.height)
		}
		p.Payload[17] = l.rid[0]
		_ = l.track.WriteRTP(&p)
		p.SequenceNumber++
		p.Timestamp += 3000
	}
}

func encodingsOf(all []*lens) (out []client.Encoding) {
	for _, l := range all {
		out = append(out, client.Encoding{RID: l.rid, Track: l.track, OnKeyframeRequest: func() {
			select {
			case l.wantsKey <- struct{}{}:
			default:
			}
		}})
	}
	return out
}

// What is shown small arrives small, what is shown large arrives large, and what nobody watches is not sent; over links that
// lose packets, so that what is sent again has to find its encoding too.
func TestSimulcastFollowsWhatIsShown(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		// What is shown decides alone: where the publisher's own estimate has kept a picture small for two seconds, the server wants
		// the encoding below for half a minute more (shard: TestTheEncodingBeforeStaysWanted).
		a := w.dialWith("aru", "ws://server.example", client.Options{Unpaced: true})
		w.net.SetPath(w.host, a.host, netsim.LinkConfig{Delay: 20 * time.Millisecond, Loss: 0.1})
		all := lenses(t)
		var mu sync.Mutex
		wanted := map[string]bool{}
		var err error
		a.room, err = a.client.Join(t.Context(), client.JoinOptions{Name: "aru", AudioSlots: -1, VideoSlots: -1, Tracks: []client.LocalTrack{{
			Source: client.Camera, Encodings: encodingsOf(all),
			OnLayersWanted: func(list []client.EncodingWanted) {
				mu.Lock()
				defer mu.Unlock()
				for _, e := range list {
					wanted[e.RID] = e.Wanted
				}
			},
		}}})
		require.NoError(t, err)
		w.eventually(5*time.Second, "aru is connected", func() bool { return a.room.State() == client.Connected })
		for _, l := range all {
			a.wg.Go(func() { l.film(a) })
		}
		b := w.dial("bek")
		b.room, err = b.client.Join(t.Context(), client.JoinOptions{Name: "bek", AudioSlots: -1, VideoSlots: 1})
		require.NoError(t, err)
		slot := b.room.Slots()[0]
		got := map[byte]map[uint16]bool{} // sequence numbers, by the RID's letter
		begun := false
		var highest, floor uint16 // older ones are sent again, to probe the link
		b.wg.Go(func() {
			for {
				p, err := slot.ReadPacket(context.Background())
				if err != nil {
					return
				}
				mu.Lock()
				if !begun {
					begun, highest, floor = true, p.SequenceNumber, p.SequenceNumber-1
				}
				if int16(p.SequenceNumber-highest) > 0 {
					highest = p.SequenceNumber
				}
				if len(p.Payload) > 17 && int16(p.SequenceNumber-floor) > 0 {
					if got[p.Payload[17]] == nil {
						got[p.Payload[17]] = map[uint16]bool{}
					}
					got[p.Payload[17]][p.SequenceNumber] = true
				}
				mu.Unlock()
			}
		})
		show := func(width, height uint32, paused bool) {
			t.Helper()
			require.NoError(t, b.room.Subscribe(t.Context(), client.Subscription{
				Wishes: []client.Wish{{ParticipantID: a.room.ID(), TrackID: "cam", Width: width, Height: height}}, VideoPaused: paused,
			}))
		}
		flows := func(rid string) int {
			mu.Lock()
			defer mu.Unlock()
			return len(got[rid[0]])
		}
		forget := func() {
			mu.Lock()
			defer mu.Unlock()
			clear(got)
			floor = highest
		}
		onlyWanted := func(rid string) func() bool {
			return func() bool {
				mu.Lock()
				defer mu.Unlock()
				for _, l := range all {
					if wanted[l.rid] != (l.rid == rid) {
						return false
					}
				}
				return true
			}
		}
		for _, step := range []struct {
			width, height uint32
			rid           string
		}{{160, 90, "q"}, {640, 360, "f"}, {320, 180, "h"}} {
			show(step.width, step.height, false)
			w.eventually(20*time.Second, "only "+step.rid+" is wanted", onlyWanted(step.rid))
			w.eventually(5*time.Second, step.rid+" flows", func() bool { return flows(step.rid) > 0 })
			time.Sleep(2 * time.Second)
			forget()
			before := a.room.Stats().Published
			time.Sleep(4 * time.Second)
			for i, l := range all {
				sent := a.room.Stats().Published[i].Packets - before[i].Packets
				require.Equal(t, l.rid, before[i].RID)
				if l.rid == step.rid {
					require.InDelta(t, 120, float64(sent), 2)
					require.InDelta(t, 120, flows(l.rid), 5, "what was lost on the way has come again")
				} else {
					require.Zero(t, sent)
					require.Zero(t, flows(l.rid))
				}
			}
			layer := slot.Layer()
			require.Equal(t, int(step.width), layer.Width)
			require.Equal(t, int(step.height), layer.Height)
			require.Equal(t, webrtc.MimeTypeVP8, slot.Codec())
		}
		show(320, 180, true)
		w.eventually(20*time.Second, "nothing is wanted", onlyWanted("nothing"))
		_, _, ok := slot.Shows()
		require.False(t, ok)
		require.Equal(t, client.LimitedByPause, slot.Layer().Limit)
		require.Zero(t, slot.Layer().Height)

		show(320, 180, false)
		w.eventually(2*time.Second, "the picture is back, and what the slot says of it", func() bool {
			return slot.Layer().Height == 180 && slot.Layer().Limit == client.LimitedByWish
		})
		_, _, ok = slot.Shows()
		require.True(t, ok)
		// Who sends it leaves while video is paused: then there is nothing to tell of the slot.
		show(320, 180, true)
		w.eventually(2*time.Second, "it is paused", func() bool { return slot.Layer().Limit == client.LimitedByPause })
		a.room.Leave()
		w.eventually(2*time.Second, "aru is gone", func() bool { return len(b.room.Participants()) == 0 })
		show(320, 180, false)
		time.Sleep(time.Second)
		require.Zero(t, slot.Layer().Height)
	})
}

// vp9Frame makes a frame of one packet (RFC 9628 §4.2): flexible mode off, one layer.
func vp9Frame(keyframe bool, picture uint16) []byte {
	b := make([]byte, 400)
	b[0], b[1], b[2] = 0x8c|0x40, 0x80|byte(picture>>8)&0x7f, byte(picture) // I, P, B, E; 15 bits of picture id
	if keyframe {
		b[0] = 0x8c | 0x02                                // V instead of P
		copy(b[3:], []byte{0x10, 0x02, 0x80, 0x01, 0x68}) // one spatial layer, its size
	}
	return b
}

// One slot shows a VP8 camera, then a VP9 screen, then the camera again: only the payload type tells.
func TestTheCodecOfASlotChanges(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.dial("aru").join()
		screen, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP9}, "screen", "aru")
		require.NoError(t, err)
		wantsKey := make(chan struct{}, 1)
		require.NoError(t, a.room.Publish(t.Context(), client.LocalTrack{Source: client.Screen, Track: screen, OnKeyframeRequest: func() {
			select {
			case wantsKey <- struct{}{}:
			default:
			}
		}}))
		a.wg.Go(func() {
			p := rtp.Packet{Header: rtp.Header{Version: 2, Marker: true}}
			for picture := uint16(0); a.pause(time.Second / 15); picture++ {
				keyframe := picture == 0
				select {
				case <-wantsKey:
					keyframe = true
				default:
				}
				p.Payload = vp9Frame(keyframe, picture)
				_ = screen.WriteRTP(&p)
				p.SequenceNumber++
				p.Timestamp += 6000
			}
		})
		b := w.dial("bek")
		b.room, err = b.client.Join(t.Context(), client.JoinOptions{Name: "bek", AudioSlots: -1, VideoSlots: 1})
		require.NoError(t, err)
		slot := b.room.Slots()[0]
		for _, step := range []struct{ shown, hidden, codec string }{
			{"cam", "screen", webrtc.MimeTypeVP8}, {"screen", "cam", webrtc.MimeTypeVP9}, {"cam", "screen", webrtc.MimeTypeVP8},
		} {
			require.NoError(t, b.room.Subscribe(t.Context(), client.Subscription{Wishes: []client.Wish{
				{ParticipantID: a.room.ID(), TrackID: step.shown}, {ParticipantID: a.room.ID(), TrackID: step.hidden, Hidden: true},
			}}))
			deadline := time.Now().Add(5 * time.Second)
			for same := 0; same < 30; { // in a row
				require.Less(t, time.Since(deadline), time.Duration(0), step.codec)
				p, err := slot.ReadPacket(t.Context())
				require.NoError(t, err)
				require.Contains(t, []string{webrtc.MimeTypeVP8, webrtc.MimeTypeVP9}, p.Codec)
				if p.Codec != step.codec {
					same = -1
				}
				same++
			}
			require.Equal(t, step.codec, slot.Codec())
			_, track, ok := slot.Shows()
			require.True(t, ok)
			require.Equal(t, step.shown, track.ID)
		}
	})
}

// Who has stopped what nobody watched hears, when the room is rebuilt, that all is wanted again: the server that knows the track
// anew says only what it does not want.
func TestARebuiltRoomWantsAllUntilItSaysOtherwise(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.dial("aru")
		var mu sync.Mutex
		var told []bool // whether the smallest was wanted, each time that it was told
		count := func() int {
			mu.Lock()
			defer mu.Unlock()
			return len(told)
		}
		var err error
		a.room, err = a.client.Join(t.Context(), client.JoinOptions{AudioSlots: -1, VideoSlots: -1, Tracks: []client.LocalTrack{{
			Source: client.Camera, Encodings: encodingsOf(lenses(t)),
			OnLayersWanted: func(list []client.EncodingWanted) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, list[0].Wanted)
			},
		}}})
		require.NoError(t, err)
		w.eventually(5*time.Second, "nobody watches", func() bool { return count() == 1 })
		w.stopServer()
		w.startServer()
		w.eventually(20*time.Second, "aru is back, and nobody watches", func() bool { return count() >= 3 })
		require.Equal(t, []bool{false, true, false}, told)
	})
}
