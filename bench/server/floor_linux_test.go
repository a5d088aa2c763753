package server

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFloor(t *testing.T) {
	ns, err := Floor(t.Context())
	require.NoError(t, err)
	require.Greater(t, ns, 50.0, "AES-GCM of a kilobyte alone takes as long")
	t.Logf("%.0f ns a packet", ns)
}
