// Package measure turns what a caller received into numbers that people can compare. It is pure: no clock, no socket.
//
//	packets ──► AudioMeter, VideoMeter ──► loss before and after repair, jitter
//	frames  ──►     │            │     ──► delay, freezes, frame rate ──► Look ──► score 1 … 5
//	played  ──►     └─ LipSync ──┘     ──► concealment ───────────────► Voice ──► MOS 1 … 4.5
//	                      │
//	                      ▼
//	          Stream + Histograms ──► Totals ──► Summary, Setup, Timeline
//	            (one a receiver        │  ▲
//	             and track)            │  └── JSON ── Totals of a worker process
//	                                   ▼
//	          "loss_p99>0.5% or mos_p5<4.0" ──► Condition.Evaluate ──► Outcome: value, worst stream
//
//	seconds of CPU, drops, lag ──► FindBottleneck ──► client, server, network or nothing
//
// Times are time.Duration on the run's clock, those of senders too. Every meter belongs to one goroutine.
//
// What the numbers can tell, and what not:
//   - Loss counts sequence numbers: expected is the newest less the oldest, plus one. What is missing at the very end is not
//     seen. Sound that is sent again under its own number looks reordered, not repaired.
//   - Delay is exact where both ends read one clock. Elsewhere it is off by the difference; negative values are counted.
//   - MOS is the E-model's, with Ie and Bpl of Opus from practice: for ratios and conditions, not for headlines.
//   - Score is fitted to SSIM of two scenes: it compares runs of one clip, not clips.
package measure
