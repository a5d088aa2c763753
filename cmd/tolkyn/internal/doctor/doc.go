// Package doctor tests a deployment as a client does, and says what to fix. So far: relays (TURN).
//
//	URL ──► Client: one way to the relay, each request by itself ──► what it answered, code and size
//	                                                                        │
//	reach ─ credentials ─ relay ─ ranges: what a good relay answers ◄───────┤
//	                                                                        ▼
//	                                               Finding: good, doubtful or bad, and what mends it
//
// It knows nothing of our server: coturn is tested in the same way.
package doctor
