//go:build linux

// Command congestion plays calls through a bottleneck that changes, in real time: real sockets, real browsers, real servers.
//
//	namespace "client"             this process                  namespace "server"
//	┌────────────────────┐   ┌────────────────────────┐   ┌─────────────────────────────────┐
//	│ Chromium, far      │◄─►│ netem.Network: 1, 2.5, │◄─►│ tolkyn or LiveKit               │
//	│   publishes,       │   │ 0.6, 1 Mbit/s; queue   │   │ Chromium, near                  │
//	│   or receives      │   │ of 300 ms: its account │   │   receives, or publishes        │
//	└─────────┬──────────┘   └───────────┬────────────┘   └───────────────┬─────────────────┘
//	          └ getStats, stamps ────────┼────────────── getStats, stamps ┘
//	                                     ▼
//	            course ─► figures of each phase ─► bench/results/congestion.json, a page with plots
//
// chromium_up and chromium_down are RFC 8867's case 5.1 with the browser's camera of 720 lines as simulcast: rates, losses and the
// queue are the bottleneck's own account, pictures and freezes are Chromium's, delays are from stamps in the pictures (from the
// encoder to the arrival of the last packet). Servers play in turn. LiveKit's server is installed as package livekit says; its SDK
// for browsers by
//
//	npm pack livekit-client@2.23.0 && tar xzf livekit-client-2.23.0.tgz
//	go run ./bench/congestion -livekit-sdk package/dist/livekit-client.umd.js
//
// drop has no browser: the Go SDK subscribes to three layers and a voice over loopback, through a line whose capacity drops from
// 2.5 to 0.6 Mbit/s and comes back, over and over, at an RTT of 50 ms. Its rows say when the last packet of the largest layer left,
// when the queue was below 50 ms, when the largest layer was back, what flapped, and what was lost of the voice.
//
// cost runs tolkyn's own bench on loopback with media.congestion_control on and off in turn; its ratio is the median of the pairs'.
// A machine that others use says nothing there: -quick is for a first look, the whole takes a quarter of an hour.
//
// Two Chromiums encode and decode on the machine of the server: fps_sent, sender_cpu_limited and emulator_late_p99 say whether it
// had room. It needs root (namespaces) and Chromium.
package main
