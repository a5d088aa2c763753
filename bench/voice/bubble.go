package voice

import (
	"testing"
	"testing/synctest"
)

// bubble calls f where time goes on as soon as all goroutines wait for it. Only package testing makes such bubbles: its T is that
// of no test, and f does nothing with it. What goes wrong in there ends the program, as in a test: a goroutine that never ends.
func bubble(f func()) { synctest.Test(new(testing.T), func(*testing.T) { f() }) }
