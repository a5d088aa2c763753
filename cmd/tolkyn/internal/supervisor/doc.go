// Package supervisor runs this program as its own child and starts it again after a crash.
//
//	          ┌──────────── Run ────────────┐                     ┌───────── Join ─────────┐
//	signals ─►│ pass on                     │── SIGINT, TERM, … ─►│ the server             │── stdout, stderr
//	          │ history: how long to wait   │── its counts (env) ►│ Restarts, for metrics  │   (inherited, untouched)
//	          │ ending: panic, signal, exit │◄─ "ready", panic ── │ Ready, crash output    │
//	          └─────────────────────────────┘── lifeline (stdin) ►│ ends when this ends    │
//	                                                              └────────────────────────┘
//
// A child that ends as it was told to, or before it was ever ready, ends the supervisor with the same exit code: nothing is
// mended by trying a bad configuration again. Whatever ends one that has been ready is a crash. Once there was a ready
// child, Run does not give up: it waits longer from crash to crash, and logs each.
package supervisor
