package main

import (
	"reflect"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/supervisor"
	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/signaling"
	"github.com/tolkyn/tolkyn/turn"
)

// figures are the Stats() of the parts. A part that does not answer now says false, and shows nothing.
type figures struct {
	load      *load
	sfu       func() (sfu.Stats, bool) // nil where the roles are elsewhere, likewise signaling
	signaling func() signaling.Stats
	turn      func() turn.Stats // nil without a relay
	one       *onePort          // nil without the one port
	child     *supervisor.Child // nil without a supervisor
}

// newMetrics collects the figures when it is asked, under tolkyn_<part>_<what>_<unit>. Labels are few and bounded; no room
// and no user is one.
func newMetrics(f figures) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	b := readBuild()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "tolkyn_build_info",
		Help:        "1, with what this binary is as labels.",
		ConstLabels: prometheus.Labels{"version": b.version, "commit": b.commit, "go": runtime.Version()},
	})
	info.Set(1)
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		info,
		&collector{f},
	)
	return registry
}

// collector turns figures into metrics.
type collector struct{ figures figures }

// Describe names nothing ahead, since some labels (codes of errors) are there only once they were seen.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect reads all figures now.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	e := emitter{out}
	c.figures.load.collect(e)
	if c.figures.sfu != nil {
		if stats, ok := c.figures.sfu(); ok {
			collectSFU(e, stats)
		}
		collectSignaling(e, c.figures.signaling())
	}
	if c.figures.turn != nil {
		collectTURN(e, c.figures.turn())
	}
	if c.figures.one != nil {
		c.figures.one.collect(e)
	}
	if c.figures.child != nil {
		collectRestarts(e, c.figures.child.Restarts)
	}
}

// emitter sends metrics out.
type emitter struct{ out chan<- prometheus.Metric }

func (e emitter) gauge(name, help string, value float64) {
	e.out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue, value)
}

func (e emitter) counter(name, help string, value uint64) {
	e.out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, nil), prometheus.CounterValue, float64(value))
}

func (e emitter) seconds(name, help string, value time.Duration) {
	e.out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, nil), prometheus.CounterValue, value.Seconds())
}

// by is one counter for each value of a label.
func (e emitter) by(name, help, label string, values map[string]uint64) {
	e.labelled(name, help, prometheus.CounterValue, label, values)
}

// now is one gauge for each value of a label.
func (e emitter) now(name, help, label string, values map[string]uint64) {
	e.labelled(name, help, prometheus.GaugeValue, label, values)
}

func (e emitter) labelled(name, help string, kind prometheus.ValueType, label string, values map[string]uint64) {
	desc := prometheus.NewDesc(name, help, []string{label}, nil)
	for value, n := range values {
		e.out <- prometheus.MustNewConstMetric(desc, kind, float64(n), value)
	}
}

func (l *load) collect(e emitter) {
	stats := l.shown.Load()
	e.gauge("tolkyn_load_cpu_cores", "CPU time the process spends a second, average of a few seconds.", stats.CPU)
	e.gauge("tolkyn_load_cpu_budget_cores", "CPU time a second above which joins are refused.", stats.CPUBudget)
	e.gauge("tolkyn_load_shard_share", "Share of its one core that the busiest shard uses, average of a few seconds.", stats.Shard)
	e.gauge("tolkyn_load_shard_share_budget", "Share of a shard's core above which joins are refused.", stats.ShardBudget)
	e.gauge("tolkyn_load_packets_per_second", "Datagrams in and out of the media port a second, average of a few seconds.", stats.Packets)
	e.by("tolkyn_load_refused_joins_total", "Joins refused as BUSY.", "reason", map[string]uint64{
		string(refuseCPU):     l.refused[0].Load(),
		string(refusePackets): l.refused[1].Load(),
		string(refuseDrain):   l.refused[2].Load(),
		string(refuseShard):   l.refused[3].Load(),
	})
}

func collectSFU(e emitter, stats sfu.Stats) {
	if len(stats.Shards) == 0 {
		return
	}
	shard := sum(stats.Shards)
	e.gauge("tolkyn_sfu_rooms", "Rooms now.", float64(stats.Rooms))
	e.gauge("tolkyn_sfu_peers", "Peers in rooms now.", float64(stats.Peers))
	e.gauge("tolkyn_sfu_peers_saving", "Of them those whose sound is to cost little.", float64(shard.Saving))
	e.seconds("tolkyn_sfu_peer_seconds_total", "Time that peers have been in calls: what one of them costs a minute is sixty times bytes by this.", shard.PeerTime)
	e.gauge("tolkyn_sfu_shards", "Event loops for media, a port each.", float64(len(stats.Shards)))
	e.gauge("tolkyn_sfu_tracks", "Tracks that are published now.", float64(shard.Tracks))
	e.gauge("tolkyn_sfu_uplinks", "Encodings of them.", float64(shard.Uplinks))
	e.gauge("tolkyn_sfu_mirrors", "Tracks that are watched on other shards than their publishers'.", float64(shard.Mirrors))
	e.gauge("tolkyn_sfu_history_bytes", "Memory of the rings that answer for lost packets.", float64(shard.HistoryBytes))
	e.counter("tolkyn_sfu_layer_switches_total", "Changes of encoding or layer within a slot's track.", shard.LayerSwitches)
	e.counter("tolkyn_sfu_encodings_paused_total", "Encodings that publishers were told nobody watches.", shard.EncodingsPaused)
	e.counter("tolkyn_sfu_backups_asked_total", "Publications in a second codec that were asked for.", shard.BackupsAsked)
	e.by("tolkyn_sfu_packets_total", "RTP packets opened (in) and sealed (out).", "direction",
		map[string]uint64{"in": shard.PacketsIn, "out": shard.PacketsOut})
	e.by("tolkyn_sfu_bytes_total", "Bytes of those packets.", "direction",
		map[string]uint64{"in": shard.BytesIn, "out": shard.BytesOut})
	e.by("tolkyn_sfu_nacks_total", "Sequence numbers asked again: of publishers (out), by subscribers (in).", "direction",
		map[string]uint64{"in": shard.NACKsReceived, "out": shard.NACKsSent})
	e.counter("tolkyn_sfu_resent_packets_total", "Packets sent again to subscribers.", shard.Resent)
	collectPaths(e, shard)
	e.counter("tolkyn_sfu_resend_misses_total", "Packets asked again that were gone or came too soon.", shard.ResendMissed)
	e.by("tolkyn_sfu_keyframe_requests_total", "Keyframes asked: of publishers (out), by subscribers (in).", "direction",
		map[string]uint64{"in": shard.KeyframesWanted, "out": shard.KeyframesAsked})
	e.counter("tolkyn_sfu_path_changes_total", "Times that media followed a peer to a new address.", shard.PathChanges)
	e.counter("tolkyn_sfu_faults_total", "Panics contained to one peer.", shard.Faults)
	e.by("tolkyn_sfu_dropped_packets_total", "Packets that went no further.", "reason", map[string]uint64{
		"malformed": shard.Drops.Malformed, "unknown_source": shard.Drops.UnknownSource, "unknown_ufrag": shard.Drops.UnknownUfrag,
		"forged_stun": shard.Drops.ForgedSTUN, "forged": shard.Drops.Forged, "replayed": shard.Drops.Replayed,
		"unknown_ssrc": shard.Drops.UnknownSSRC, "too_many_ssrcs": shard.Drops.TooManySSRCs, "before_keys": shard.Drops.BeforeKeys,
		"duplicate": shard.Drops.Duplicate, "too_old": shard.Drops.TooOld, "gate_full": shard.Drops.GateFull,
		"unsealed": shard.Drops.Unsealed, "nack_flood": shard.Drops.NACKFlood, "tcp_stale": shard.Drops.TCPStale,
		"repair_overflow": shard.Drops.RepairOverflow, "repair_stale": shard.Drops.RepairStale, "feedback_flood": shard.Drops.FeedbackFlood,
		"link_unsent": shard.Drops.LinkUnsent, "link_overflow": shard.Drops.LinkOverflow, "link_flood": shard.Drops.LinkFlood,
		"link_oversize": shard.Drops.LinkOversize,
		"track_flood":   shard.Drops.TrackFlood, "peer_flood": shard.Drops.PeerFlood, "pipe_overflow": shard.Drops.PipeOverflow,
	})
	e.seconds("tolkyn_sfu_shard_busy_seconds_total", "Time that the shards' loops did not sleep: each is one core at most.", shard.Busy)
	e.gauge("tolkyn_handshake_waiting", "Peers that wait at the handshake gate now.", float64(shard.Gate.Waiting))
	e.by("tolkyn_handshake_steps_total", "Steps of handshakes at the gate: passed at once, queued, dropped or refused.", "fate",
		map[string]uint64{"passed": shard.Gate.Passed, "queued": shard.Gate.Queued, "dropped": shard.Gate.Dropped, "refused": shard.Gate.Refused})
	e.by("tolkyn_handshake_dropped_packets_total",
		"Packets between the shard and pion that went no further; leaked is media that pion wanted to send and must stay 0.", "reason",
		map[string]uint64{"overflow": shard.Handshake.Overflow, "unrouted": shard.Handshake.Unrouted, "crowded": shard.Handshake.Crowded, "leaked": shard.Handshake.Leaked})
	e.by("tolkyn_udp_datagrams_total", "Datagrams through the media ports.", "direction",
		map[string]uint64{"in": shard.Socket.ReceivedDatagrams, "out": shard.Socket.SentDatagrams})
	e.by("tolkyn_udp_bytes_total", "Bytes of those datagrams.", "direction",
		map[string]uint64{"in": shard.Socket.ReceivedBytes, "out": shard.Socket.SentBytes})
	e.by("tolkyn_udp_calls_total", "System calls that read or sent.", "direction",
		map[string]uint64{"in": shard.Socket.ReceiveCalls, "out": shard.Socket.SendCalls})
	e.by("tolkyn_udp_dropped_datagrams_total", "Datagrams lost at the socket.", "reason", map[string]uint64{
		"receive_buffer": shard.Socket.Overflow, "truncated": shard.Socket.Truncated,
		"send_buffer": shard.Socket.SendAgain, "send_refused": shard.Socket.SendError,
	})
	gso := 0.0
	if shard.Socket.GSO {
		gso = 1
	}
	e.gauge("tolkyn_udp_gso", "1 when runs leave as one segmented message (GSO), 0 when packet by packet.", gso)
	e.counter("tolkyn_udp_gso_fallbacks_total", "Runs sent again one by one, since the path took no segmentation.",
		shard.Socket.GSOFallbacks)
}

// collectPaths shows what is known of the ways to subscribers, and what was done about it.
func collectPaths(e emitter, shard sfu.ShardStats) {
	peers, steps := map[string]uint64{}, sfu.EstimateSteps()
	for i, n := range shard.Paths.ByEstimate {
		name := "more"
		if i < len(steps) {
			name = strconv.FormatInt(int64(steps[i]/bwe.Kbps), 10)
		}
		peers[name] = uint64(n)
	}
	e.now("tolkyn_sfu_paths", "Peers by what their paths carry, as estimated: at most so many kbit/s.", "kbps", peers)
	e.gauge("tolkyn_sfu_paths_congested", "Peers on whose path a queue stands, or loss follows what is sent.", float64(shard.Paths.Congested))
	e.gauge("tolkyn_sfu_slots_paused", "Video slots that show nothing now for want of bits.", float64(shard.Paths.Paused))
	e.counter("tolkyn_sfu_slot_pauses_total", "Times that a video slot began to show nothing for want of bits.", shard.Pauses)
	e.counter("tolkyn_sfu_pacer_waits_total", "Times that a subscriber's video waited for room on its path.", shard.Halts)
	e.seconds("tolkyn_sfu_pacer_wait_seconds_total", "Time that it waited.", shard.HaltedFor)
	e.counter("tolkyn_sfu_probes_total", "Bursts to find out whether a path carries more.", shard.Probes)
	e.counter("tolkyn_sfu_padding_packets_total", "Packets of them without media of their own.", shard.Padding)
	e.counter("tolkyn_sfu_padding_bytes_total", "Bytes of those packets.", shard.PaddingBytes)
	e.counter("tolkyn_sfu_repair_bytes_total", "Bytes of packets sent again to subscribers on their RTX streams.", shard.RepairBytes)
	modes := map[string]uint64{}
	for i, mode := range sfu.VoiceModes() {
		modes[mode] = shard.VoicePackets[i]
	}
	e.by("tolkyn_sfu_voice_packets_total", "Packets of sound to subscribers, by how they were protected against loss.", "mode", modes)
	e.counter("tolkyn_sfu_voice_copy_bytes_total", "Bytes of these: copies of earlier packets within later ones.", shard.RedundantBytes)
	e.by("tolkyn_sfu_voice_repairs_total", "Packets of sound that had been lost: sent to subscribers again, and of publishers those that came within later ones or late.",
		"how", map[string]uint64{"resent": shard.VoicesResent, "copied": shard.VoicesRestored, "late": shard.VoicesRepaired})
	e.counter("tolkyn_sfu_parity_packets_total", "Packets of parity (FlexFEC) to subscribers whose pictures are lost far away.", shard.Parity)
	e.counter("tolkyn_sfu_parity_bytes_total", "Bytes of those packets.", shard.ParityBytes)
}

// sum adds up what shards counted, field by field; what is true or false is true when it is so of all.
func sum[T any](shards []T) (total T) {
	if len(shards) == 0 {
		return total
	}
	total = shards[0]
	for i := range shards[1:] {
		add(reflect.ValueOf(&total).Elem(), reflect.ValueOf(&shards[1+i]).Elem())
	}
	return total
}

func add(to, from reflect.Value) {
	switch {
	case to.Kind() == reflect.Struct:
		for i := range to.NumField() {
			add(to.Field(i), from.Field(i))
		}
	case to.Kind() == reflect.Array:
		for i := range to.Len() {
			add(to.Index(i), from.Index(i))
		}
	case to.CanInt():
		to.SetInt(to.Int() + from.Int())
	case to.CanUint():
		to.SetUint(to.Uint() + from.Uint())
	case to.Kind() == reflect.Bool:
		to.SetBool(to.Bool() && from.Bool())
	}
}

func collectSignaling(e emitter, stats signaling.Stats) {
	sessions, connections, opened := map[string]uint64{}, map[string]uint64{}, map[string]uint64{}
	detached := stats.Sessions
	for name, transport := range stats.Transports {
		sessions[name], connections[name] = uint64(transport.Sessions), uint64(transport.Connections)
		opened[name] = transport.Accepted
		detached -= transport.Sessions
	}
	sessions["none"] = uint64(max(0, detached)) // A session that is not sure of its client yet is counted on its connection only.
	e.now("tolkyn_signaling_sessions", "Sessions now, by what they are on; none: their client is away.", "transport", sessions)
	e.now("tolkyn_signaling_connections", "Connections now.", "transport", connections)
	e.by("tolkyn_signaling_connections_opened_total", "Connections taken.", "transport", opened)
	e.counter("tolkyn_signaling_faults_total", "Connections that ended by a panic, which was contained to them.", stats.Panics)
	e.by("tolkyn_signaling_frames_total", "Messages read (in) and written (out).", "direction",
		map[string]uint64{"in": stats.FramesIn, "out": stats.FramesOut})
	e.counter("tolkyn_signaling_resumes_total", "Sessions put on a new connection.", stats.Resumes)
	e.counter("tolkyn_signaling_outbox_overflows_total", "Connections cut because their client read too slowly.", stats.OutboxOverflows)
	e.counter("tolkyn_signaling_hellos_refused_total", "Hellos and failed Resumes of addresses that sent too many.", stats.HellosRefused)
	e.counter("tolkyn_signaling_address_overflows_total", "Addresses forgotten while their limit still mattered.", stats.AddressOverflow)
	e.by("tolkyn_signaling_errors_total", "Errors told to clients.", "code", stats.Errors)

	e.gauge("tolkyn_quic_handshakes", "Handshakes of QUIC and WebTransport under way now.", float64(stats.QUIC.HalfOpen))
	e.by("tolkyn_quic_handshakes_lost_total", "Handshakes that came to nothing: refused, or begun and not completed.", "fate",
		map[string]uint64{"refused": stats.QUIC.HandshakesRefused, "failed": stats.QUIC.HandshakesFailed})
	e.counter("tolkyn_quic_retries_total", "Clients told to prove their address first, since many handshakes were under way.", stats.QUIC.Retries)
	e.counter("tolkyn_quic_early_frames_total", "Frames handled before the handshake was complete (0-RTT).", stats.QUIC.EarlyFrames)
	e.counter("tolkyn_quic_datagrams_total", "Datagrams read.", stats.QUIC.Datagrams)
	e.counter("tolkyn_quic_dropped_datagrams_total", "Those of them without an answer: no Ping, or too many.", stats.QUIC.DatagramDrops)
	e.counter("tolkyn_quic_stopped_streams_total", "Streams that clients opened beside their control stream.", stats.QUIC.UnaskedStreams)
}

// collectTURN shows what the relay does: by the way of clients to it, and by reasons of a fixed list.
func collectTURN(e emitter, stats turn.Stats) {
	held, ever, open := map[string]uint64{}, map[string]uint64{}, map[string]uint64{}
	packets, bytes := map[string]uint64{}, map[string]uint64{}
	for i, name := range [...]string{turn.UDP: "udp", turn.TCP: "tcp", turn.TLS: "tls"} {
		w := stats.Ways[i]
		held[name], ever[name], open[name] = uint64(w.Allocations), w.Allocated, uint64(w.Connections)
		for path, t := range map[string]turn.Traffic{"to_peers": w.ToPeers, "from_peers": w.FromPeers, "handed_over": w.HandedOver} {
			packets[path] += t.Packets
			bytes[path] += t.Bytes
		}
	}
	delete(open, "udp")
	e.now("tolkyn_turn_allocations", "Allocations now, by how clients reach the relay.", "transport", held)
	e.by("tolkyn_turn_allocations_opened_total", "Allocations made.", "transport", ever)
	e.now("tolkyn_turn_connections", "Connections of clients now, those without an allocation included.", "transport", open)
	e.by("tolkyn_turn_packets_total", "Packets relayed: to peers and from them through sockets, or handed over to the SFU of this process.",
		"path", packets)
	e.by("tolkyn_turn_bytes_total", "Bytes of those packets, without headers.", "path", bytes)
	e.by("tolkyn_turn_refused_total", "Requests and connections refused.", "reason", stats.Refused)
	e.by("tolkyn_turn_dropped_packets_total", "Packets that went no further.", "reason", stats.Dropped)
	e.gauge("tolkyn_turn_workers", "Goroutines that move packets.", float64(stats.Workers))
	e.gauge("tolkyn_turn_workers_busy", "Of them, those that have clients to serve now.", float64(stats.Busy))
	draining := 0.0
	if stats.Draining {
		draining = 1
	}
	e.gauge("tolkyn_turn_draining", "1 when new allocations are refused, since the relay is about to end.", draining)
}

func collectRestarts(e emitter, restarts supervisor.Restarts) {
	e.by("tolkyn_supervisor_restarts_total", "Times that the supervisor started the server again, by what had ended it.", "reason",
		map[string]uint64{
			string(supervisor.Panic): restarts.Panics, string(supervisor.Signal): restarts.Signals, string(supervisor.Exit): restarts.Exits,
		})
}
