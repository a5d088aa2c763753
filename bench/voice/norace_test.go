//go:build !race

package voice

// raced says that the race detector runs, which makes all ten times slower.
const raced = false
