// Package replay plays what real browsers sent through uplinks and downlinks, and lets a decoder judge what comes out.
//
//	codec/testdata/captures                                  uplink.Uplink      downlink.Downlink          pion, ffmpeg
//	┌──────────────┐  loss, order   ┌───────────────────┐        ┌─────────┐  loss, order   ┌───────────────────────┐
//	│ publisher 1  │═══════════════►│ one per encoding  │───────►│ a slot  │═══════════════►│ jitter buffer, pictures│
//	│ publisher 2  │◄─ NACK ── RTX ►│                   │        │         │◄─ NACK ── RTX ►│ depacketized, decoded  │
//	└──────┬───────┘                └───────────────────┘        └────▲────┘                └───────────┬───────────┘
//	       │                                       Assign, SetLayer ──┘ at random                       │ MD5 of each
//	       └──────► every encoding, cut to every spatial layer, decoded alone ──────── the same? ◄──────┘ picture
//
// The captures are read by package internal/capture and the streams that come out by pion's depacketizers, so that nobody
// judges himself. There are tests only; they need ffmpeg.
package replay
