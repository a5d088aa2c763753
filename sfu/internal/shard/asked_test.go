package shard

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/internal/handshake"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// TestNumberedSoundIsNotAskedForAgain: its publisher would send it with another transport-wide number, or another time, under the
// nonce of before.
func TestNumberedSoundIsNotAskedForAgain(t *testing.T) {
	const transportID, sentID = 3, 2
	for _, test := range []struct {
		name  string
		extra []packet.Extension
		asked bool
	}{
		{"bare", nil, true},
		{"numbered", []packet.Extension{{ID: transportID, Data: []byte{0, 1}}}, false},
		{"timed", []packet.Extension{{ID: sentID, Data: []byte{0, 1, 2}}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				defer b.close()
				m := b.member(1, 0)
				require.True(t, b.shard.Post(Publish{
					ID: 1, Track: 2, MID: "1", Ext: handshake.ExtensionIDs{TransportSeq: transportID, AbsSendTime: sentID},
					Encodings: []Encoding{{Config: uplink.Config{SSRC: 77, PayloadType: 111, Codec: codec.Opus, NACK: true}}},
				}))
				for number := seq.Extended(1 << 16); number < 1<<16+50; number++ {
					if number%5 != 3 {
						m.emit(packet.Header{SSRC: 77, PayloadType: 111, Timestamp: uint32(960 * number)}, number, []byte{0x78, 1, 2}, test.extra...)
					}
					time.Sleep(20 * time.Millisecond)
					m.listen()
				}
				st, ok := b.shard.Stats()
				require.True(t, ok)
				require.Equal(t, test.asked, st.NACKsSent > 0)
			})
		})
	}
}
