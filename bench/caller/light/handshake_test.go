package light

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/dtls/v3/pkg/crypto/selfsign"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// Who is called away while a server keeps silent leaves: a run that ends does not wait for those who were still coming.
func TestHandshakeEndsWithItsContext(t *testing.T) {
	certificate, err := selfsign.GenerateSelfSigned()
	require.NoError(t, err)
	loopback := netip.MustParseAddrPort("127.0.0.1:0")
	silent, err := udp.Listen(loopback, udp.Config{})
	require.NoError(t, err)
	defer silent.Close()
	d := &device{steps: map[measure.Step]time.Time{}}
	d.path.socket, err = udp.Listen(loopback, udp.Config{})
	require.NoError(t, err)
	defer d.path.socket.Close()
	d.path.secure(credentials{ufrag: "ufrag", password: "a password of enough letters"}, answer{
		ufrag: "theirs", password: "another one of enough letters", server: silent.LocalAddr(),
	})
	d.tunnel = &tunnel{path: &d.path, in: make(chan []byte, 1), done: make(chan struct{})}
	checked := make(chan struct{})
	close(checked)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = d.secure(ctx, certificate, checked)
	require.ErrorContains(t, err, "DTLS")
	require.Error(t, ctx.Err())
}
