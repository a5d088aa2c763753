// Package netem puts a bad network between two ends on one machine: real kernels' stacks, real packets, modelled links.
//
//	namespace "client"                      this process                      namespace "server"
//	┌───────────────────────┐   ┌──────────────────────────────────┐   ┌───────────────────────┐
//	│ 10.77.1.2  fd77:1::2  │   │ pump: one thread, real-time      │   │ lo 10.77.0.1  fd77::1 │
//	│ link0 (TUN) ──────────┼──►│ read ─ netsim.Link up ─ heap ────┼──►│ link0 (TUN)           │
//	│             ◄─────────┼───┤ heap ─ netsim.Link down ─ read ◄─┼───┤                       │
//	│ 10.77.2.2  fd77:2::2  │   │                                  │   │                       │
//	│ link1 (TUN) ◄─────────┼──►│ NAT per link: Rebind             │◄──┼ link1 (TUN)           │
//	└───────────────────────┘   └──────────────────────────────────┘   └───────────────────────┘
//
//	a client in this process, without root            a client of any kind, without root
//	pion, quic-go                                     browser ──► Relay ─ Line, one a client ──► server
//	  └ Conn ─┐                                                   ◄──                        ◄──
//	  └ Conn ─┴ Line: netsim.Link up, down ─ heap, one timer ─ real sockets ──► server
//
// There is one link model, in internal/netsim: delay, loss, rate, queue, reordering, blackouts, seeded and pure. This
// package only drives real packets through it. Three ways to do that:
//
//   - Network, two namespaces: whole programs, IPv4 and IPv6, TCP as UDP (which share a link, and each has its loss), at an
//     MTU of 1,500 bytes and without offloads, so what a capture shows is what a wire would carry. It needs Linux,
//     /dev/net/tun and root, and neither tc nor the netem module. Config.Veth joins them without any model, for load.
//   - Line, a client's access: its UDP sockets in this process share one modelled way. Hundreds are cheap.
//   - Relay: a UDP port before a server; each client address behind it has a Line of its own.
//
// What a network is like is data: Path, Event, Profile. Preset knows many by name, from "lan" to "steppe" and the test
// cases of RFC 8867; ParseTrace and ParseDeliveries read recorded ones. What was asked and what was done stands in Accounts:
// loss, delay by the model and by the clock, and the emulator's own lateness, which is never hidden in the delay.
//
// A namespace is a thread here: it was unshared by a goroutine that owns it and ends with that goroutine, or with the
// process however that dies. Nothing has a name in the file system, so nothing can be left behind. Start runs a program
// inside and has the kernel kill it when this process goes; In opens sockets inside that this process then uses.
//
//	network, err := netem.Open(netem.Config{Seed: 1, Links: []netem.Path{netem.RoundTrip(100 * time.Millisecond)}})
//	...
//	defer network.Close()
//	err = network.Start(netem.Server, exec.Command("tolkyn", "serve", "--listen", netem.ServerAddr.String()+":8080"))
//	conn, err := network.Dial(ctx, netem.Client, "tcp", netem.ServerAddr.String()+":8080")
//
// A pion client on a mobile network, in any process of any user:
//
//	train, _ := netem.Preset("train")
//	line, err := netem.NewLine(netem.LineConfig{Seed: 1, Links: train.Links, Events: train.Events})
//	...
//	defer line.Close()
//	conn, err := line.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
//	...
//	settings.SetICEUDPMux(webrtc.NewICEUDPMux(nil, conn))
package netem
