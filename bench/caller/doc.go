// Package caller is the synthetic clients.
//
//	scenario.Caller ──► full     signaling, pion, playout, repair   ──┐
//	                ├─► light    pion/ice, pion/dtls, udp batches     ├──► measure.Stream, measure.Caller
//	                └─► browser  headless Chromium, the web SDK     ──┘
//
// A full caller behaves as a person's device does and is measured by what it would have played. Light callers are for load:
// they read headers in clear and open one packet in N. Browsers are the ground truth. Full callers reach any server through a
// Dialer.
package caller
