// Package netsim is the one model of a network: links that delay, lose, queue, reorder and duplicate, and hosts on them.
//
//	Host ── ListenUDP ─ net.PacketConn (pion)         Host ── Socket ─ udp.Socket (shard)
//	  │ send                                            ▲ deliver
//	  ▼                                                 │
//	 NAT? ──► Link: rate and queue ─ loss ─ delay ──► NAT? ──► events in order of arrival, one timer
//
// Link is pure and seeded: it takes a time and a size and says when the packet arrives, if at all. It is as its LinkConfig
// says, or changes as a Trace says: a list of times and configurations, which may begin again. Network gives links to
// pairs of hosts and keeps time with package time alone, so in a testing/synctest bubble a minute of a call takes
// milliseconds. A whole call in a test looks like this, with the network made inside the bubble:
//
//	synctest.Test(t, func(t *testing.T) {
//		n := netsim.New(1)
//		defer n.Close()
//		server := n.Host(netip.MustParseAddr("10.0.0.1"))
//		client := n.Host(netip.MustParseAddr("10.0.0.2"))
//		n.SetPath(server, client, netsim.LinkConfig{Delay: 50 * time.Millisecond, Loss: 0.05})
//
//		socket, err := server.Socket(7882) // for the shard
//		require.NoError(t, err)
//		conn, err := client.ListenUDP(0) // for pion
//		require.NoError(t, err)
//		var settings webrtc.SettingEngine
//		mux := webrtc.NewICEUDPMux(nil, conn)
//		settings.SetICEUDPMux(mux)
//		settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
//		settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
//		// ... the call, with client.Move, nat.Rebind or n.Cut in it; then close the peers, mux and the network, in this order
//		// (closing conn instead of mux makes pion log an error).
//	})
package netsim
