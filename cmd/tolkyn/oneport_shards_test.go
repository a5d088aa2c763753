package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/caller"
	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling/client"
)

// TestShardsBehindOnePort: in a room that is spread over two shards, clients of both that come by UDP and by TCP of the one number hear
// each other.
func TestShardsBehindOnePort(t *testing.T) {
	dir := t.TempDir()
	n, roots := openShards(t, dir, 2)
	clip, ways := song(t, dir, 2), transportsOf(t, n.url())
	type call struct {
		who, media string
		report     caller.Report
		err        error
	}
	var calls []*call
	var running sync.WaitGroup
	ctx, end := context.WithCancel(t.Context())
	defer running.Wait()
	defer end()
	enter := func(who, media string) {
		c := &call{who: who, media: media}
		calls = append(calls, c)
		token := devTokenOf(t, n.url(), who)
		running.Go(func() {
			c.report, c.err = caller.Run(ctx, caller.Config{
				Server: n.url(), Token: client.Token(token), Play: []string{clip}, Loop: true, Record: filepath.Join(dir, who), For: time.Minute,
				Client: client.Options{
					RootCAs: roots, Transports: ways, Relays: func(string) bool { return false },
					Settings: func(s *webrtc.SettingEngine) {
						s.LoggerFactory = &logging.DefaultLoggerFactory{Writer: io.Discard}
						kind := webrtc.NetworkTypeUDP4
						if media == "tcp" {
							kind = webrtc.NetworkTypeTCP4
						}
						s.SetNetworkTypes([]webrtc.NetworkType{kind})
					},
				},
			})
		})
	}
	shards := func() []sfu.ShardStats {
		st, ok := n.media.sfu.Stats()
		require.True(t, ok)
		return st.Shards
	}
	enter("aru", "udp")
	enter("bek", "tcp")
	require.Eventually(t, func() bool { st := shards(); return st[0].Peers+st[1].Peers == 2 }, 20*time.Second, 20*time.Millisecond)
	home := 0
	if shards()[1].Peers > 0 {
		home = 1
	}
	require.Equal(t, 2, shards()[home].Peers, "a small room is on one shard")
	fill(t, n.media.sfu, 48)
	enter("cem", "udp")
	enter("dia", "tcp")
	require.Eventually(t, func() bool { return shards()[1-home].Peers == 2 }, 20*time.Second, 20*time.Millisecond, "a large one is not")
	require.Eventually(t, func() bool { return shards()[home].Mirrors > 0 && shards()[1-home].Mirrors > 0 }, 20*time.Second, 20*time.Millisecond)
	time.Sleep(3 * time.Second) // of the call
	end()
	running.Wait()
	for _, c := range calls {
		require.NoError(t, c.err, c.who)
		require.Equal(t, c.media, c.report.Session.Media, c.who)
		require.Equal(t, n.one.at.String(), c.report.Session.Path, c.who)
		heard := map[string]float64{}
		for _, track := range c.report.Received {
			heard[track.Who] = track.Seconds
		}
		for _, other := range calls {
			if other != c {
				require.Greater(t, heard[other.who], 2.0, "seconds of %s that %s heard", other.who, c.who)
			}
		}
	}
	for i, s := range shards() {
		require.Zero(t, s.Faults, "shard %d", i)
	}
}

// openShards is a server behind one port with so many shards, and what vouches for it.
func openShards(t *testing.T, dir string, shards int) (*node, *x509.CertPool) {
	t.Helper()
	c := config.Default()
	c.HTTP.Listen, c.Admin.Listen, c.StateDir = "127.0.0.1:0", "", dir
	c.HTTP.CertificateFile, c.HTTP.KeyFile = certificateFiles(t)
	c.OnePort.Listen, c.Media.Shards = "127.0.0.1:0", shards
	n, err := openNode(c, config.Origins{"one_port.listen": "the test"}, local, nil, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	n.start(t.Context(), nil)
	t.Cleanup(func() { require.NoError(t, n.stop(context.WithoutCancel(t.Context()))) })
	text, err := os.ReadFile(c.HTTP.CertificateFile)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(text))
	return n, roots
}

func devTokenOf(t *testing.T, page, identity string) string {
	t.Helper()
	_, body := get(t, page+"/v1/dev-token?room=daily&identity="+identity)
	var pass struct{ Token string }
	require.NoError(t, json.Unmarshal([]byte(body), &pass))
	return pass.Token
}

// fill has so many peers join room daily who never come: a room of more than 50 is spread.
func fill(t *testing.T, unit *sfu.SFU, peers int) {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	require.NoError(t, err)
	defer func() { require.NoError(t, pc.Close()) }()
	_, err = pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
	require.NoError(t, err)
	offer, err := pc.CreateOffer(nil)
	require.NoError(t, err)
	for i := range peers {
		_, _, err := unit.Join(t.Context(), sfu.JoinRequest{
			Tenant: "dev", Room: "daily", Identity: fmt.Sprintf("filler-%d", i), Subscribe: true, Offer: offer.SDP, Events: func(sfu.Event) {},
		})
		require.NoError(t, err)
	}
}
