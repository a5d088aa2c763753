//go:build linux

// Command fanout measures what forwarding one packet costs the server, beside the floor of the machine, in one run.
//
//	┌ server process ───────────┐        ┌ this process ─────────────────────────────┐
//	│ tolkyn serve              │◄─SRTP──┤ publishers: paced, sealed ahead of time    │
//	│ /proc CPU, mallocs        ├──SRTP─►│ subscribers: real ICE, DTLS, SRTP; polled   │
//	└───────────────────────────┘        │ each 1 ms, every packet opened and counted │
//	┌ floor process ────────────┐        │                                            │
//	│ rewrite + seal + sendmmsg ├──SRTP─►│ the same subscribers' sockets              │
//	└───────────────────────────┘        └────────────────────────────────────────────┘
//
// Beside that: what a participant weighs (memory, goroutines), and how long a packet takes through the server, alone and
// beside 50 joins a second.
//
// A subscriber reads without UDP_GRO: a receiver that joins segments would halve the sender's cost on loopback. It talks
// to the server by address alone, so any server that speaks the protocol can stand there.
//
// Its callers are its own, not those of bench/caller/light: they seal everything ahead of time, pace bursts to the millisecond
// and open every packet within one, which is what makes the rows of today comparable with those kept before.
package main
