package voice

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu"
)

// ours is the media plane as 'tolkyn bench voice' plays it.
type ours struct{ sfu *sfu.SFU }

func startOurs(socket udp.Socket, addr netip.Addr) (Server, error) {
	s, err := sfu.New(sfu.Config{Sockets: []udp.Socket{socket}, Advertise: []netip.Addr{addr}})
	return ours{s}, err
}

func (o ours) Join(ctx context.Context, j Join) (string, error) {
	request := sfu.JoinRequest{
		Room: "voice", Identity: j.Name, Name: j.Name, Publish: true, Subscribe: true, Offer: j.Offer, Events: func(sfu.Event) {},
	}
	if j.Microphone != "" {
		request.Tracks = []sfu.Track{{ID: "mic", Kind: sfu.Audio, Source: sfu.Microphone, MID: j.Microphone}}
	}
	if j.Saver {
		request.Profile = sfu.SaverProfile
	}
	_, joined, err := o.sfu.Join(ctx, request)
	return joined.Answer, err
}

func (o ours) Close() error { return o.sfu.Close() }

func quiet(int, int) {}

func wayOf(t *testing.T, name string) Way {
	for _, w := range Ways() {
		if w.Name == name {
			return w
		}
	}
	t.Fatalf("no way %s", name)
	return Way{}
}

// What the meters show of forwarding that repairs nothing is what follows from the loss: the share itself; of RED-2, losses of
// three in a row; of in-band FEC, losses of two and those behind packets that have none of it.
func TestMetersAgreeWithTheory(t *testing.T) {
	coded := coverage(t)
	for _, p := range []float64{0.1, 0.3} {
		for _, test := range []struct {
			way           string
			want          float64
			bytes, copies float64
			delay         float64 // ms at least
		}{
			{"plain", p, 1, 0, 0},
			{"red-2", p * p * p, 2.03, 2, 40},
			{"fec", p - p*(1-p)*coded, 1, 0, 20},
		} {
			c := one("theory", "", clean(), lossy(p), browser, chromium)
			rows, err := Play(t.Context(), startOurs, []Case{c}, []Way{wayOf(t, test.way)}, 2, quiet)
			require.NoError(t, err)
			m := rows[0].Mean
			require.InDelta(t, test.want, m[Concealed], 0.012, "%s at %v", test.way, p)
			require.InDelta(t, test.bytes, m[DownBytes], 0.03, test.way)
			require.InDelta(t, test.copies, m[Copies], 0.01, test.way)
			require.Greater(t, m[DelayMean], test.delay, test.way)
			require.Less(t, m[DelayMean], test.delay+20, test.way)
			require.Zero(t, rows[0].Worst[Wrong])
		}
	}
}

// coverage is the share of packets whose next one has their coarse coding.
func coverage(t *testing.T) float64 {
	all, err := loaded()
	require.NoError(t, err)
	with, of := 0, 0
	for _, scene := range all.robust {
		for _, w := range scene {
			if of++; w.fec {
				with++
			}
		}
	}
	require.Greater(t, with, of/2)
	return float64(with) / float64(of)
}

// No clip that stands for a voice without in-band FEC has any, and all loops are as long, so that a mouth may change from one to
// the other at any packet.
func TestClips(t *testing.T) {
	all, err := loaded()
	require.NoError(t, err)
	for scene := range all.plain {
		require.Len(t, all.plain[scene], len(all.robust[scene]))
		require.Len(t, all.plain[scene], 3*len(all.thin[scene]))
		size := [2]int{}
		for i := range all.plain[scene] {
			require.False(t, all.plain[scene][i].fec)
			size[0] += len(all.plain[scene][i].data)
			size[1] += len(all.robust[scene][i].data)
		}
		require.InEpsilon(t, size[0], size[1], 0.05, "in-band FEC takes of what there is")
	}
}

// broken does not let anybody in.
type broken struct{}

func (broken) Join(context.Context, Join) (string, error) { return "", errors.New("full") }
func (broken) Close() error                               { return nil }

func TestAServerThatFails(t *testing.T) {
	c := one("clean", "", clean(), clean(), browser, chromium)
	_, err := Play(t.Context(), func(udp.Socket, netip.Addr) (Server, error) { return broken{}, nil }, []Case{c}, Ways()[:1], 1, quiet)
	require.ErrorContains(t, err, "clean, tolkyn, seed 1: join client-0: full")
	_, err = Play(t.Context(), func(udp.Socket, netip.Addr) (Server, error) { return nil, errors.New("no port") }, []Case{c}, Ways()[:1], 1, quiet)
	require.ErrorContains(t, err, "no port")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rows, err := Play(ctx, startOurs, []Case{c}, Ways()[:1], 2, quiet)
	require.NoError(t, err)
	require.Zero(t, rows[0].Seeds, "nothing was begun")
}
