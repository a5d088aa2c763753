// Command tolkyn is the whole server in one binary.
//
//	flags > TOLKYN_SECTION__KEY > tolkyn.yaml > defaults
//	                    │
//	                    ▼
//	 serve: supervisor ──► the same program again, started again after a crash
//	   │
//	   ├─────► http 8080 ── page, /v1/ws ───► signaling ──┐
//	   │       https 8443 (--lan or a certificate)  ▲     │
//	   ├─────► quic 8443/udp ───────────────────────┘     ▼
//	   ├─────► media 7882/udp, ICE-TCP 7882/tcp ───────► sfu
//	   └─────► admin 127.0.0.1:9090 ── /livez /readyz /metrics
//
//	 call     plays clips into a room, records what comes
//	 token    signs a join token by hand
//	 config   print, check, schema
//	 version  what this binary is
//
// Everything that touches the outside stands here and nowhere else: files, environment, flags, signals, listening
// sockets, and the Prometheus client.
package main
