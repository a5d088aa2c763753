// Package bench calls a server as strangers do and says how good the call was. It is a black box: it talks to any
// server by its address.
//
//	scenario ──► callers ──► netem ──► server under test (tolkyn, LiveKit, Janus, plain)
//	               │  ▲                    │
//	     source ───┘  └──── media ◄────────┘
//	               │
//	               ▼
//	            measure ──► report: terminal, JSON, CSV, Prometheus, HTML
//
// bench/fanout measures what forwarding costs the server, bench/signaling the plane: replies, changes of networks, memory,
// messages. bench/netem is the network between two ends. The rest is empty until the bench is built; Go benchmarks stand beside
// the code they measure, and scripts/bench runs all of them.
package bench
