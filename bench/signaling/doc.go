//go:build linux

// Command signaling measures the plane: how soon a server answers, what a session weighs, what a message costs, and how
// long a change of networks is felt.
//
//	┌ client process ─────────┐   ┌ this process ───────┐   ┌ server process ────────────┐
//	│ raw QUIC, WebTransport, │   │ bench/netem:        │   │ tolkyn serve               │
//	│ WSS, the Go SDK;        │◄──┤ two namespaces,     ├──►│ bare: quic-go that echoes, │
//	│ times its own calls     │   │ 50 ms each way, NAT │   │ the floor in the same run  │
//	└─────────────────────────┘   └─────────────────────┘   └────────────────────────────┘
//
// The server is the built binary with its own defaults, reached by address alone. First replies and changes of networks go
// over the modelled link; memory and messages over the loopback of the server's namespace, from hundreds of source
// addresses, so that limits for one address stay as they are. Needs root.
package main
