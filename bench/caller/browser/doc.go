// Package browser is callers that are headless Chromium with the web SDK: the ground truth that other callers are held against.
//
//	scenario.Caller ─► seat ─► page of the server's origin ── web SDK ──► call
//	                     │       canvas with a code, a voice ─► worker: stamps ─►      frames out
//	                     │       decoder, playout  ◄─────────── worker: stamps, times ◄ frames in
//	                     ▼ once a second
//	       frames, pictures shown, getStats ─► receiver (no clock) ─► measure.AudioMeter, VideoMeter ─► Result
//
// One browser process, one page a caller. A script between network and decoder (RTCRtpScriptTransform) reads the stamp of each
// encoded frame that Chromium has all of, and when its last packet came, and passes it on as it was; what is sent gets a stamp the
// same way. So delays are those of frames received, and do not depend on how Chromium draws.
//
// What each figure comes from:
//
//	delay, wrong            stamps; receiveTime, when a frame's last packet came (of sound: the packet)
//	loss of sound, jitter   sequence numbers of the packets, before the playout buffer
//	loss of pictures        getStats: packetsLost is before repair, retransmittedPacketsReceived what repair gave back
//	concealment, freezes,   getStats: Chromium's own count of what it played and showed
//	  frames, frame rate
//	buffered, played        pictures: requestVideoFrameCallback, each frame; sound: the mean buffer delay of each second
//	connect, auth, join,    events of sockets, the SDK and the RTCPeerConnection
//	  ICE, DTLS
//
// The page's clock and ours are of one machine and yet differ: Chromium reads the wall clock once and counts on from there. The
// difference is taken from the quickest of many round trips to the worker; half of that round trip is the most that it can be
// off (Result.ClockError).
package browser
