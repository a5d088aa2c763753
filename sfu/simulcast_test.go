package sfu_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu"
)

// lens is one encoding of a simulcast. Its mark, which all its packets carry, is its RID's letter.
type lens struct {
	camera
	rid   string
	lines int
	track *webrtc.TrackLocalStaticRTP
	reel  atomic.Pointer[[]int] // bytes of its pictures, over and over, each thirtieth a keyframe; nil: packets of 700 bytes, no keyframe unasked
}

// simulcast adds a screen's worth of encodings to a client that has not joined yet: a track in 180, 360 and 720 lines, named
// q, h and f, that does as LayersWanted says.
func (c *client) simulcast() (lenses []*lens) {
	t := c.w.t
	var sender *webrtc.RTPSender
	for i, rid := range []string{"q", "h", "f"} {
		track, err := webrtc.NewTrackLocalStaticRTP(
			webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "sim", c.name, webrtc.WithRTPStreamID(rid))
		require.NoError(t, err)
		l := &lens{rid: rid, lines: 180 << i, track: track}
		l.keyframe.Store(true)
		if sender == nil {
			tr, err := c.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
			require.NoError(t, err)
			sender = tr.Sender()
		} else {
			require.NoError(t, sender.AddEncoding(track))
		}
		lenses = append(lenses, l)
	}
	for _, l := range lenses {
		c.wg.Go(func() { c.watchLens(sender, l) })
		c.wg.Go(func() { c.shoot(sender, l) })
	}
	return lenses
}

// watchLens reads what is asked of one encoding.
func (c *client) watchLens(sender *webrtc.RTPSender, l *lens) {
	for {
		packets, _, err := sender.ReadSimulcastRTCP(l.rid)
		if err != nil {
			return
		}
		for _, p := range packets {
			if isPLI(p) {
				l.keyframe.Store(true)
			}
		}
	}
}

// shoot sends 30 pictures a second of an encoding. MID and RID are on the first packets only, as browsers do.
func (c *client) shoot(sender *webrtc.RTPSender, l *lens) {
	p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: uint16(rand.Uint32()), Timestamp: rand.Uint32()}}
	picture, tl0, named, place := uint16(rand.Uint32()), uint8(rand.Uint32()), 0, 0
	for c.pause(time.Second / 30) {
		p.Timestamp += 3000
		if l.paused.Load() || !c.isConnected() {
			continue
		}
		key := l.keyframe.Swap(false)
		packets, size := l.lines/90, 700
		if reel := l.reel.Load(); reel != nil {
			if key {
				place = (place + 29) / 30 * 30
			}
			bytes := (*reel)[place%len(*reel)]
			key = place%30 == 0
			place++
			packets = (bytes + 1099) / 1100
			size = bytes / packets
		}
		for i := range packets {
			p.Payload = vp8Packet(key, i == 0, picture, tl0, size)
			if i == 0 && key {
				binary.LittleEndian.PutUint16(p.Payload[12:], uint16(l.lines*16/9))
				binary.LittleEndian.PutUint16(p.Payload[14:], uint16(l.lines))
			} else {
				p.Payload[15] = l.rid[0]
			}
			p.Marker = i == packets-1
			p.Extension, p.Extensions = false, nil
			if named < 8 {
				named++
				for _, x := range sender.GetParameters().HeaderExtensions {
					switch x.URI {
					case sdp.SDESMidURI:
						p.SetExtension(uint8(x.ID), []byte(c.midOf(sender)))
					case sdp.SDESRTPStreamIDURI:
						p.SetExtension(uint8(x.ID), []byte(l.rid))
					}
				}
			}
			l.track.WriteRTP(&p)
			p.SequenceNumber++
		}
		picture++
		tl0++
	}
}

func (c *client) midOf(sender *webrtc.RTPSender) string {
	for _, tr := range c.pc.GetTransceivers() {
		if tr.Sender() == sender {
			return tr.Mid()
		}
	}
	return ""
}

// obey turns lenses off and on as the newest LayersWanted says.
func (c *client) obey(lenses []*lens) (wanted string) {
	e, ok := lastEvent[sfu.LayersWanted](c)
	if !ok || e.TrackID != "sim" {
		return "qhf"
	}
	for i, l := range lenses {
		if e.Encodings[i].Wanted {
			wanted += l.rid
		}
		if off := !e.Encodings[i].Wanted; l.paused.Swap(off) && !off {
			l.keyframe.Store(true)
		}
	}
	return wanted
}

// TestAViewerGetsTheEncodingThatFillsHisView: three encodings of a real client, a viewer whose wishes change, and a publisher
// who sends what is watched.
func TestAViewerGetsTheEncodingThatFillsHisView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
		defer w.close()
		anna := w.newClient("anna")
		lenses := anna.simulcast()
		anna.tracks = []sfu.Track{{ID: "sim", Kind: sfu.Video, Source: sfu.Screen, MID: "14"}} // a screen comes before cameras
		anna.join("demo")
		viewer := w.newClientAt("viewer", w.net.Host(viewerAddr), 1, 1)
		w.net.SetPath(w.host, viewer.host, w.link)
		w.eventually(5*time.Second, "anna is connected", anna.isConnected)
		live := func(d time.Duration) (wanted string) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				wanted = anna.obey(lenses)
			}
			return wanted
		}
		require.Empty(t, live(time.Second), "nobody watches")

		viewer.join("demo")
		require.Equal(t, "f", live(3*time.Second))
		mid := viewer.slotOf(anna.peer.ID(), true)
		shows := func() byte {
			viewer.mu.Lock()
			defer viewer.mu.Unlock()
			r := viewer.heard[mid]
			return r.packets[len(r.packets)-1].Payload[15]
		}
		require.Equal(t, byte('f'), shows())
		look := func(lines uint32) {
			require.NoError(t, viewer.peer.Subscribe(context.Background(), sfu.Subscription{Wishes: []sfu.Wish{
				{PeerID: anna.peer.ID(), Width: lines * 16 / 9, Height: lines},
			}}))
		}
		for _, step := range []struct {
			lines  uint32
			within time.Duration
			shows  byte
		}{
			{180, 1500 * time.Millisecond, 'q'}, // a second of patience
			{720, 300 * time.Millisecond, 'f'},  // at once: the word to anna, her keyframe back
			{360, 1500 * time.Millisecond, 'h'},
			{180, 1500 * time.Millisecond, 'q'},
			{360, 300 * time.Millisecond, 'h'},
		} {
			look(step.lines)
			live(step.within)
			require.Equal(t, step.shows, shows(), "%+v", step)
			require.Equal(t, string(rune(step.shows)), live(time.Second), "she sends nothing else")
		}
		layers, ok := lastEvent[sfu.LayersChanged](viewer)
		require.True(t, ok)
		require.Len(t, layers.Slots, 1)
		layer := layers.Slots[0]
		require.Equal(t, mid, layer.MID)
		require.Equal(t, 360, layer.Height)
		require.Equal(t, 1, layer.Encoding)
		require.Equal(t, sfu.WishLimit, layer.Limit)
		require.Positive(t, layer.Bitrate)

		viewer.mu.Lock()
		defer viewer.mu.Unlock()
		r := viewer.heard[mid]
		require.True(t, isKeyframe(r.packets[0].Payload))
		for i := 1; i < len(r.packets); i++ {
			a, b := &r.packets[i-1], &r.packets[i]
			require.Equal(t, a.SequenceNumber+1, b.SequenceNumber, "packet %d", i)
			require.GreaterOrEqual(t, int32(b.Timestamp-a.Timestamp), int32(0))
			require.Less(t, r.at[i].Sub(r.at[i-1]), 250*time.Millisecond)
		}
		require.Zero(t, w.shard().Drops.UnknownSSRC)
	})
}

// TestALargePictureComesInARoundTrip: nobody watched it, so it was not sent. Who comes and wants it has it as soon as its
// publisher has heard and a keyframe has come: two links of 20 ms, and what the publisher takes to look and to film.
func TestALargePictureComesInARoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
		defer w.close()
		anna := w.newClient("anna")
		lenses := anna.simulcast()
		anna.tracks = []sfu.Track{{ID: "sim", Kind: sfu.Video, Source: sfu.Screen, MID: "14"}}
		anna.join("demo")
		w.eventually(5*time.Second, "anna is connected", anna.isConnected)
		live := func(until func() bool) (took time.Duration, wanted string) {
			start := time.Now()
			for ; !until() && time.Since(start) < 10*time.Second; time.Sleep(time.Millisecond) {
				if time.Since(start)%(10*time.Millisecond) == 0 {
					wanted = anna.obey(lenses)
				}
			}
			return time.Since(start), wanted
		}
		after := func(d time.Duration) func() bool {
			end := time.Now().Add(d)
			return func() bool { return !time.Now().Before(end) }
		}
		look := func(c *client, s sfu.Subscription) { require.NoError(t, c.peer.Subscribe(context.Background(), s)) }
		lines := func(n uint32) sfu.Subscription {
			return sfu.Subscription{Wishes: []sfu.Wish{{PeerID: anna.peer.ID(), Width: n * 16 / 9, Height: n}}}
		}
		last := func(c *client) byte {
			mid := c.slotOf(anna.peer.ID(), true)
			c.mu.Lock()
			defer c.mu.Unlock()
			if r := c.heard[mid]; r != nil && len(r.packets) > 0 {
				return r.packets[len(r.packets)-1].Payload[15]
			}
			return 0
		}
		thumb := w.newClientAt("thumb", w.net.Host(viewerAddr), 1, 1).join("demo")
		look(thumb, lines(180))
		full := w.newClientAt("full", w.net.Host(netip.MustParseAddr("10.0.4.1")), 1, 1).join("demo")
		for _, c := range []*client{thumb, full} {
			w.net.SetPath(w.host, c.host, w.link)
		}
		look(full, sfu.Subscription{VideoPaused: true})
		w.eventually(5*time.Second, "full is connected", full.isConnected)
		_, wanted := live(after(5 * time.Second))
		require.Equal(t, "q", wanted)
		for i := range 10 {
			look(full, lines(720))
			took, _ := live(func() bool { return last(full) == 'f' })
			if i == 0 { // nothing is known of the path yet: less is shown first, and a probe
				require.LessOrEqual(t, took, 400*time.Millisecond)
			} else {
				require.LessOrEqual(t, took, (2*20+10+34+6)*time.Millisecond, "time %d", i)
			}
			require.GreaterOrEqual(t, took, 40*time.Millisecond)
			live(after(time.Second))
			look(full, lines(180))
			_, wanted = live(after(3 * time.Second))
			require.Equal(t, "q", wanted)
			require.Equal(t, byte('q'), last(full))
		}
	})
}

// TestABackupIsNobodysTrack: the room does not hear of it, and it stands in for a video track that there is.
func TestABackupIsNobodysTrack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
		defer w.close()
		join := func(name, primary string) (*client, error) {
			c := w.newClient(name)
			c.simulcast()
			c.tracks = []sfu.Track{{ID: "spare", Kind: sfu.Video, Source: sfu.Camera, MID: "14", BackupOf: primary}}
			return c, c.tryJoin("demo")
		}
		for _, primary := range []string{"mic", "nothing", "spare"} {
			_, err := join("x"+primary, primary)
			require.ErrorIs(t, err, sfu.ErrBadOffer, primary)
		}
		anna, err := join("anna", "cam")
		require.NoError(t, err)
		anna.talk()
		viewer := w.newClient("viewer").join("demo")
		viewer.hears(5*time.Second, anna)
		require.Len(t, viewer.joined.Peers, 1)
		require.Len(t, viewer.joined.Peers[0].Tracks, 2)
		require.NoError(t, anna.peer.Unpublish(context.Background(), []string{"spare"}))
		time.Sleep(time.Second)
		_, told := lastEvent[sfu.TrackUnpublished](viewer)
		require.False(t, told)
		require.ErrorIs(t, anna.peer.Unpublish(context.Background(), []string{"spare"}), sfu.ErrNotFound)
	})
}
