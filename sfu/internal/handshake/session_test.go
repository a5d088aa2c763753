package handshake

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/srtp"
)

// receive makes the client hand on what its slots receive, one packet a track.
func (h *hall) receive() <-chan string {
	heard := make(chan string, 64)
	h.client.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			heard <- track.ID() + "/" + string(p.Payload)
		}
	})
	return heard
}

func TestICERestartKeepsKeysAndSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, hallConfig{})
		defer h.close()
		heard := h.receive()
		h.transceivers(1, 1, 3, 9)
		first := h.negotiate(nil)
		keys := <-h.keys
		sealer, err := srtp.NewSealer(keys.Local)
		require.NoError(t, err)
		h.send(sealer, first.Slots[0], 1, "before")
		require.Equal(t, "audio0/before", <-heard)

		second := h.negotiate(&webrtc.OfferOptions{ICERestart: true})
		require.NotEqual(t, first.LocalUfrag, second.LocalUfrag)
		require.NotEqual(t, first.RemoteUfrag, second.RemoteUfrag)
		require.Equal(t, first.Slots, second.Slots)
		require.Equal(t, first.Published, second.Published)

		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.Equal(t, webrtc.ICEConnectionStateConnected, h.peer.pc.ICEConnectionState())
		require.Equal(t, webrtc.ICEConnectionStateConnected, h.client.ICEConnectionState())
		h.send(sealer, second.Slots[0], 2, "after")
		require.Equal(t, "audio0/after", <-heard)
		require.Empty(t, h.keys, "no second DTLS handshake")
		require.Empty(t, h.failed)
		h.mu.Lock()
		require.Len(t, h.credentials, 2)
		h.mu.Unlock()
		require.Zero(t, h.peer.Stats().Overflow)
	})
}

func TestRenegotiationAddsSlotsAndScreen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, hallConfig{})
		defer h.close()
		heard := h.receive()
		h.transceivers(1, 0, 1, 1)
		first := h.negotiate(nil)
		keys := <-h.keys
		sealer, err := srtp.NewSealer(keys.Local)
		require.NoError(t, err)

		h.transceivers(0, 1, 1, 2)
		second := h.negotiate(nil)
		require.Len(t, second.Published, 2)
		require.True(t, second.Published[1].Video)
		require.NotZero(t, second.Published[1].Encodings[0].SSRC)
		require.NotZero(t, second.Published[1].Encodings[0].RTXSSRC)
		require.Equal(t, first.Slots, second.Slots[:2], "old slots stay as they are")
		require.Len(t, second.Slots, 5)
		ssrcs := map[uint32]bool{}
		for _, s := range second.Slots {
			require.Equal(t, fmt.Sprintf("slot%d", s.Index), s.CNAME)
			require.False(t, ssrcs[s.SSRC])
			ssrcs[s.SSRC] = true
			require.Equal(t, s.Video, s.RTXSSRC != 0)
			require.Equal(t, s.Video, s.NACK)
			require.True(t, s.TransportCC)
		}
		h.send(sealer, second.Slots[4], 1, "new")
		require.Equal(t, "video2/new", <-heard)
		h.send(sealer, second.Slots[1], 1, "old")
		require.Equal(t, "video0/old", <-heard)
		require.Empty(t, h.keys)
		h.mu.Lock()
		require.Len(t, h.credentials, 1, "the same credentials are not reported again")
		h.mu.Unlock()
	})
}

// An m-line that goes inactive and comes back, one that turns round, one that stops and whose place is taken again.
func TestDirectionsChangeWithoutStoppingSenders(t *testing.T) {
	h := newHall(t, hallConfig{})
	defer h.close()
	ctx := context.Background()
	lines := func(directions ...string) string { return testOffer(directions...) }

	first, err := h.peer.Answer(ctx, lines("audio sendonly", "video recvonly", "video recvonly"), Policy{}, nil)
	require.NoError(t, err)
	require.Len(t, first.Slots, 2)
	require.Contains(t, first.SDP, "a=recvonly")

	paused, err := h.peer.Answer(ctx, lines("audio sendonly", "video inactive", "video recvonly"), Policy{}, nil)
	require.NoError(t, err)
	require.Equal(t, first.Slots[1:], paused.Slots)
	require.Contains(t, section1(paused.SDP), "a=inactive")
	require.NotContains(t, section1(paused.SDP), "a=ssrc")

	back, err := h.peer.Answer(ctx, lines("audio sendonly", "video recvonly", "video recvonly"), Policy{}, nil)
	require.NoError(t, err)
	require.Equal(t, first.Slots, back.Slots, "same SSRCs as before the pause")

	turned, err := h.peer.Answer(ctx, lines("audio sendonly", "video sendonly", "video recvonly"), Policy{}, nil)
	require.NoError(t, err)
	require.Len(t, turned.Published, 2)
	require.Equal(t, []string{"1"}, turned.Ended)
	require.Contains(t, section1(turned.SDP), "a=recvonly")
	require.NotContains(t, section1(turned.SDP), "a=msid")

	// What opens anew has new SSRCs: the shard begins its numbers anew, and a number used twice under one key breaks it.
	returned, err := h.peer.Answer(ctx, lines("audio sendonly", "video recvonly", "video recvonly"), Policy{}, nil)
	require.NoError(t, err)
	require.Empty(t, returned.Ended)
	require.Len(t, returned.Slots, 2)
	require.Equal(t, first.Slots[0].Index, returned.Slots[0].Index)
	require.NotEqual(t, first.Slots[0].SSRC, returned.Slots[0].SSRC)
	require.NotEqual(t, first.Slots[0].RTXSSRC, returned.Slots[0].RTXSSRC)
	require.Equal(t, first.Slots[1], returned.Slots[1])

	stopped, err := h.peer.Answer(ctx, strings.Replace(lines("audio sendonly", "video recvonly", "video recvonly"),
		"m=video 9", "m=video 0", 1), Policy{}, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"1"}, stopped.Ended)
	require.Len(t, stopped.Slots, 1)
	require.Equal(t, "2", stopped.Slots[0].MID)
	require.Contains(t, section1(stopped.SDP), "m=video 0 ")
	require.Equal(t, 1, strings.Count(stopped.SDP, "a=group:BUNDLE 0 2\r\n"))

	recycled, err := h.peer.Answer(ctx, strings.NewReplacer("a=mid:1\r\n", "a=mid:7\r\n", "BUNDLE 0 1 2", "BUNDLE 0 7 2").
		Replace(lines("audio sendonly", "video recvonly", "video recvonly")), Policy{}, nil)
	require.NoError(t, err)
	require.Empty(t, recycled.Ended)
	require.Len(t, recycled.Slots, 2)
	require.Equal(t, "7", recycled.Slots[0].MID)
	require.Equal(t, 0, recycled.Slots[0].Index, "the place that became free")
	require.NotEqual(t, first.Slots[0].SSRC, recycled.Slots[0].SSRC)
}

// section1 returns the second m-line of an SDP.
func section1(sdp string) string { return "m=" + strings.Split(sdp, "\r\nm=")[2] }

func TestClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, hallConfig{})
		h.transceivers(1, 0, 1, 1)
		h.negotiate(nil)
		<-h.keys
		synctest.Wait() // a client that has not got our Finished yet leaves without a word: the shard notices its silence
		require.NoError(t, h.client.Close())
		require.ErrorIs(t, <-h.failed, ErrRemoteClosed)
		_, err := h.peer.Answer(context.Background(), testOffer("audio sendonly"), Policy{}, nil)
		require.ErrorIs(t, err, ErrClosed)
		h.close()
		require.Empty(t, h.failed, "reported once")
	})
}

func TestForeignCertificateGetsNoKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, hallConfig{})
		defer h.close()
		h.transceivers(1, 0, 1, 1)
		offer, err := h.client.CreateOffer(nil)
		require.NoError(t, err)
		gathered := webrtc.GatheringCompletePromise(h.client)
		require.NoError(t, h.client.SetLocalDescription(offer))
		<-gathered
		lines := strings.Split(h.client.LocalDescription().SDP, "\r\n")
		for i, l := range lines {
			if strings.HasPrefix(l, "a=fingerprint:") {
				lines[i] = "a=fingerprint:" + testFingerprint
			}
		}
		answer, err := h.peer.Answer(context.Background(), strings.Join(lines, "\r\n"), Policy{}, nil)
		require.NoError(t, err)
		require.NoError(t, h.client.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer.SDP}))
		require.ErrorIs(t, <-h.failed, ErrDTLS)
		require.Empty(t, h.keys)
	})
}

func TestCloseWithoutAnswerAndInMidHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, hallConfig{})
		h.close()
		_, err := h.peer.Answer(context.Background(), testOffer("audio sendonly"), Policy{}, nil)
		require.ErrorIs(t, err, ErrClosed)
		require.NoError(t, h.peer.Close(), "idempotent")

		h = newHall(t, hallConfig{})
		h.transceivers(1, 1, 3, 9)
		h.negotiate(nil)
		h.close()
		require.Empty(t, h.failed, "our own Close is no failure")
		before := h.peer.Stats().Unrouted
		h.peer.Deliver([]byte{0}, clientAddr)
		require.Equal(t, before+1, h.peer.Stats().Unrouted)
	})
}

func TestAnswerNamesEveryAddress(t *testing.T) {
	h := newHall(t, hallConfig{config: Config{
		HostAddrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7882"), netip.MustParseAddrPort("[2001:db8::1]:7882")},
		TCPAddrs:  []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7882")},
	}})
	defer h.close()
	answer, err := h.peer.Answer(context.Background(), testOffer("audio sendonly", "video recvonly"), Policy{}, nil)
	require.NoError(t, err)
	require.Contains(t, answer.SDP, "a=candidate:1 1 udp 2130706431 192.0.2.1 7882 typ host\r\n"+
		"a=candidate:2 1 udp 2130706175 2001:db8::1 7882 typ host\r\n"+
		"a=candidate:3 1 udp 2130705919 127.0.0.1 7882 typ host\r\n"+
		"a=candidate:4 1 tcp 1526725887 192.0.2.1 7882 typ host tcptype passive\r\n"+
		"a=end-of-candidates\r\nm=video")
	require.Equal(t, 4, strings.Count(answer.SDP, "a=candidate:"))
	require.NotContains(t, answer.SDP, "a=ice-lite")
	require.Contains(t, answer.SDP, "a=setup:passive")
}

// TestTurningSlotsIsBounded: each time that an m-line becomes a slot costs a sender.
func TestTurningSlotsIsBounded(t *testing.T) {
	h := newHall(t, hallConfig{})
	defer h.close()
	lines := make([]string, 49)
	turn := func(direction string) error {
		for i := range lines {
			lines[i] = "video " + direction
		}
		_, err := h.peer.Answer(context.Background(), testOffer(lines...), Policy{}, nil)
		return err
	}
	for range maxRecycled / len(lines) {
		require.NoError(t, turn("recvonly"))
		require.NoError(t, turn("sendonly"))
	}
	require.ErrorIs(t, turn("recvonly"), ErrTooManyMLines)
	require.NoError(t, turn("sendonly"))
	require.Empty(t, h.failed)
}
