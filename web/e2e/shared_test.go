package e2e

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// shared is what the first test that needs it starts, all use, and TestMain ends.
type shared[T any] struct {
	mu      sync.Mutex
	started bool // guarded by mu
	ready   bool // guarded by mu
	what    T    // guarded by mu
}

// get starts it for the first test.
func (s *shared[T]) get(t testing.TB, start func(testing.TB) T) T {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		s.started = true
		s.what = start(lasting{t})
		s.ready = true
	}
	require.True(t, s.ready, "it did not start: the test that tried says why")
	return s.what
}

// lasting stands in for a test to what outlasts it.
type lasting struct{ testing.TB }

var atEnd struct {
	mu  sync.Mutex
	all []func() // guarded by mu
}

// Cleanup has TestMain run f after all tests, the last one first.
func (lasting) Cleanup(f func()) {
	atEnd.mu.Lock()
	defer atEnd.mu.Unlock()
	atEnd.all = append(atEnd.all, f)
}

// Logf says at the end what no test is there to say.
func (lasting) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// TempDir is there until all tests have ended.
func (l lasting) TempDir() string {
	l.Helper()
	dir, err := os.MkdirTemp("", "e2e")
	require.NoError(l, err)
	l.Cleanup(func() { _ = os.RemoveAll(dir) }) // in the system's temporary directory anyway
	return dir
}

// endShared is called by TestMain.
func endShared() {
	for _, f := range slices.Backward(atEnd.all) {
		f()
	}
}
