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
// There is one link model, in internal/netsim: delay, loss, rate, queue, reordering, seeded and pure. This package only
// drives real packets through it, IPv4 and IPv6, TCP as UDP, at an MTU of 1,500 bytes and without offloads, so what a
// capture shows is what a wire would carry. It needs Linux, /dev/net/tun and root, and neither tc nor the netem module.
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
// Presets, recorded traces and a relay that needs no root come with the bench.
package netem
