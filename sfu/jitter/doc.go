// Package jitter plays the packets of one audio stream out in order and on time: it hides the path's jitter behind the
// shortest delay that does, and changes that delay as the path changes. It is a pure core, useful alone.
//
//	Insert(now, packet) ──► delays: how late do packets come? ──► target: long enough for nearly all of them
//	        │                                                        │
//	        ▼                                                        ▼
//	      queue, by timestamp ─────────────────────────────► Pull(now), every 10 ms of playout:
//	      ... ▒▒▒▒ ▒▒▒▒ ░░░░ ▒▒▒▒ ...                         Play, Accelerate, Expand  which packet, which part
//	          ▲         ▲                                     Conceal                   it is not there
//	       position    lost, late, or silence                 Silence                   there is nothing to play
//
// The idea is NetEQ's: a forgetting histogram of how much later than the fastest packets the others come, a quantile of
// it as target, time stretched a little to get there. There are no samples inside: what comes out are decisions and
// durations, and whoever decodes follows them. A gap in the timestamps without a gap in the sequence numbers is silence
// (RFC 3551 §4.1), everything else that is not there is concealed, and each sample of playout is counted exactly once.
//
// README.md tells the algorithm, where it departs from NetEQ's, and what it reaches on traces.
package jitter
