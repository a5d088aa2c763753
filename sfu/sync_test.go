package sfu_test

import (
	"testing"
	"testing/synctest"
	"time"

	pionrtcp "github.com/pion/rtcp"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/internal/rtcp"
)

// heardRTCP returns the newest packet of a type and when it came.
func heardRTCP[P pionrtcp.Packet](c *byHand, want func(P) bool) (p P, at time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.rtcp) - 1; i >= 0; i-- {
		if v, is := c.rtcp[i].(P); is && want(v) {
			return v, c.rtcpAt[i], true
		}
	}
	return p, at, false
}

// seconds reads an NTP timestamp.
func seconds(ntp uint64) float64 { return float64(ntp>>32) + float64(ntp&0xffffffff)/(1<<32) }

// TestSoundAndPictureAreReportedOnOneClock: the publisher's clock is an hour off, its picture leaves 80 ms after it was
// captured (an encoder at work) and its sound 5 ms, over a path that jitters.
func TestSoundAndPictureAreReportedOnOneClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond, Jitter: 15 * time.Millisecond})
		defer w.close()
		anna := w.newByHand("anna", "demo")
		boris := w.newByHand("boris", "demo", "audio recvonly", "video recvonly")
		start := time.Now()
		wrong := func(at time.Time) uint64 { return rtcp.NTP(at.Add(time.Hour)) }
		// Timestamps as a browser makes them: two clocks that began anywhere.
		const soundBase, pictureBase = 4_000_000_000, 77
		soundAt := func(captured time.Duration) uint32 { return uint32(soundBase + int64(captured.Seconds()*48000)) }
		pictureAt := func(captured time.Duration) uint32 { return uint32(pictureBase + int64(captured.Seconds()*90000)) }
		done := make(chan struct{})
		go func() {
			defer close(done)
			for n := range 400 {
				captured := time.Duration(n) * 20 * time.Millisecond
				time.Sleep(time.Until(start.Add(captured + 5*time.Millisecond)))
				p := anna.voice(n)
				p.Timestamp = soundAt(captured)
				anna.send(p)
				if n%50 == 10 {
					anna.sendRTCP(&pionrtcp.SenderReport{SSRC: anna.ssrcAudio, NTPTime: wrong(time.Now()), RTPTime: soundAt(time.Since(start))})
				}
			}
		}()
		for n := range 240 {
			captured := time.Duration(n) * time.Second / 30
			time.Sleep(time.Until(start.Add(captured + 80*time.Millisecond)))
			p := anna.frame(n, n%30 == 0)
			p.Timestamp = pictureAt(captured)
			anna.send(p)
			if n%30 == 20 {
				anna.sendRTCP(&pionrtcp.SenderReport{SSRC: anna.ssrcCam, NTPTime: wrong(time.Now()), RTPTime: pictureAt(time.Since(start))})
			}
		}
		<-done
		time.Sleep(100 * time.Millisecond)

		// Take a sound and a picture captured at the same instant, find when boris is told they were.
		heard := boris.heardFrom("anna")
		var told [2]float64
		for i, want := range []struct {
			payloadType uint8
			number      uint16
			rate        float64
		}{{111, 1000 + 300, 48000}, {96, 2000 + 180, 90000}} { // both captured 6 s in
			var offset uint16
			var known bool
			for _, p := range heard {
				if p.PayloadType != want.payloadType {
					continue
				}
				if !known { // the first one heard tells how numbers are moved: nothing is lost
					known = true
					first := uint16(1000)
					if want.payloadType == 96 {
						first = 2000
					}
					offset = p.SequenceNumber - first
				}
				if p.SequenceNumber-offset != want.number {
					continue
				}
				sr, _, ok := heardRTCP(boris, func(sr *pionrtcp.SenderReport) bool { return sr.SSRC == p.SSRC })
				require.True(t, ok)
				told[i] = seconds(sr.NTPTime) + float64(int32(p.Timestamp-sr.RTPTime))/want.rate
				require.InDelta(t, seconds(rtcp.NTP(start))+6, told[i], 0.1, "on the server's clock")
			}
			require.NotZero(t, told[i])
		}
		require.InDelta(t, told[0], told[1], 0.010)
		sdes, _, ok := heardRTCP(boris, func(*pionrtcp.SourceDescription) bool { return true })
		require.True(t, ok)
		require.NotEmpty(t, sdes.Chunks[0].Items)
	})
}

// TestPublishersGetTransportFeedbackAndReports: browsers' congestion control climbs on feedback every 50 ms, of a thin stream
// every 250; and they compute their round trip from the reports.
func TestPublishersGetTransportFeedbackAndReports(t *testing.T) {
	for name, c := range map[string]struct {
		more  int // bytes of payload
		every time.Duration
	}{
		"as much as video": {1000, 50 * time.Millisecond},
		"a voice":          {0, 250 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) { transportFeedback(t, c.more, c.every) })
	}
}

func transportFeedback(t *testing.T, more int, every time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 40 * time.Millisecond})
		defer w.close()
		anna := w.newByHand("anna", "demo")
		sent := map[uint16]time.Time{}
		const n = 500
		lost := map[int]bool{50: true, 51: true, 120: true}
		for i := range n {
			p := anna.voice(i)
			p.Payload = append(p.Payload, make([]byte, more)...)
			require.NoError(t, p.SetExtension(handTransport, []byte{byte((65400 + i) >> 8), byte(65400 + i)}))
			sent[uint16(65400+i)] = time.Now()
			if !lost[i] {
				anna.send(p)
			}
			if i%50 == 0 {
				anna.sendRTCP(&pionrtcp.SenderReport{SSRC: anna.ssrcAudio, NTPTime: rtcp.NTP(time.Now()), RTPTime: p.Timestamp})
			}
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(400 * time.Millisecond)
		anna.mu.Lock()
		defer anna.mu.Unlock()
		var last time.Time
		arrived := map[uint16]bool{}
		feedback, reports := 0, 0
		var count uint8
		for i, packet := range anna.rtcp {
			switch packet := packet.(type) {
			case *pionrtcp.TransportLayerCC:
				if feedback > 0 {
					if feedback > 1 { // the first goes before any rate is known
						require.InDelta(t, every.Milliseconds(), anna.rtcpAt[i].Sub(last).Milliseconds(), 15)
					}
					require.Equal(t, count+1, packet.FbPktCount)
				}
				last, count = anna.rtcpAt[i], packet.FbPktCount
				feedback++
				s := packet.BaseSequenceNumber
				for _, chunk := range packet.PacketChunks {
					switch chunk := chunk.(type) {
					case *pionrtcp.RunLengthChunk:
						for range chunk.RunLength {
							if chunk.PacketStatusSymbol != pionrtcp.TypeTCCPacketNotReceived {
								arrived[s] = true
							}
							s++
						}
					case *pionrtcp.StatusVectorChunk:
						for _, symbol := range chunk.SymbolList {
							if symbol != pionrtcp.TypeTCCPacketNotReceived {
								arrived[s] = true
							}
							s++
						}
					}
				}
			case *pionrtcp.ReceiverReport:
				for _, block := range packet.Reports {
					if block.SSRC != anna.ssrcAudio || block.LastSenderReport == 0 {
						continue
					}
					reports++
					now := uint32(rtcp.NTP(anna.rtcpAt[i]) >> 16)
					rtt := time.Duration(now-block.LastSenderReport-block.Delay) * time.Second / 65536
					require.InDelta(t, 80, rtt.Milliseconds(), 6)
				}
			}
		}
		require.InDelta(t, 5*time.Second/every, feedback, 5, "5 s of it")
		require.GreaterOrEqual(t, reports, 4)
		for i := range n {
			require.Equal(t, !lost[i], arrived[uint16(65400+i)], "packet %d", i)
		}
	})
}
