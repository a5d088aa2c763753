//go:build linux

// Command capture records what real browsers send, in every codec and mode that they support: the streams that the tests of
// codecs, uplinks and downlinks play again.
//
//	┌ browser ───────────────┐               ┌ this process ────────────────────────────────┐
//	│ page: camera ─► encoder │──offer──────► │ pion, all codecs and header extensions        │
//	│                         │◄──answer──────│                                               │
//	│                         │──SRTP───────► │ recorder ─► warm up ─► PLI ─► 3 s ─► trim ─►  │──► NAME.json, NAME.rtpdump
//	│ getStats ───────────────│──stats──────► │   what came of the wish: layers, sizes        │──► README.md
//	└────────────────────────┘               └───────────────────────────────────────────────┘
//
// One browser process and one connection a mode, one after another. A capture begins with a keyframe in every encoding and
// holds two more. Retransmissions and padding of the RTX stream, by which browsers probe for bandwidth, are left out.
package main
