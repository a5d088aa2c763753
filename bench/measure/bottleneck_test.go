package measure

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFindBottleneck(t *testing.T) {
	calm := Load{ServerCores: 0.5, ServerHas: 1, ClientCores: 0.5, ClientHas: 2, ClientLag: time.Millisecond}
	for _, c := range []struct {
		name  string
		bad   func(*Load)
		often int // of 10 seconds
		want  Bottleneck
	}{
		{"calm", func(*Load) {}, 10, ""},
		{"server full", func(l *Load) { l.ServerCores = 0.95 }, 2, Server},
		{"a hiccup", func(l *Load) { l.ServerCores = 0.95 }, 1, ""},
		{"bench full", func(l *Load) { l.ClientCores = 1.9; l.ServerCores = 1 }, 2, Client},
		{"bench held by a cgroup", func(l *Load) { l.ClientHas, l.ClientCores = 0.2, 0.2 }, 10, Client},
		{"bench stopped by its quota", func(l *Load) { l.ClientThrottled, l.ServerCores = 0.6, 1 }, 2, Client},
		{"bench stopped now and then", func(l *Load) { l.ClientThrottled = 0.4 }, 10, ""},
		{"one drop of the bench", func(l *Load) { l.ClientDrops = 1; l.ServerCores = 1 }, 1, Client},
		{"late timers, CPU left", func(l *Load) { l.ClientLag = 6 * time.Millisecond }, 3, Client},
		{"late timers because the server is full", func(l *Load) { l.ClientLag, l.ServerCores = time.Second, 1 }, 3, Server},
		{"late emulator", func(l *Load) { l.EmulatorLate = 6 * time.Millisecond }, 3, Client},
		{"overflow of the emulator", func(l *Load) { l.EmulatorOverflow = 1 }, 1, Client},
		{"a full link", func(l *Load) { l.LinkFull = true }, 3, Network},
		{"a server out of sight", func(l *Load) { l.ServerCores, l.ServerHas = 5, 0 }, 10, ""},
	} {
		seconds := make([]Load, 10)
		for i := range seconds {
			seconds[i] = calm
			if i < c.often {
				c.bad(&seconds[i])
			}
		}
		got, why := FindBottleneck(seconds)
		require.Equal(t, c.want, got, c.name)
		require.Equal(t, got == "", why == "", c.name)
	}
	got, _ := FindBottleneck(nil)
	require.Empty(t, got)
}
