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
// Empty until the bench is built; the benchmarks that exist today are Go benchmarks beside the code they measure, and
// scripts/bench runs them.
package bench
