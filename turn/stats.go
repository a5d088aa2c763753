package turn

// Stats are a server's counters since New. Labels are bounded: ways, and reasons of a fixed list.
type Stats struct {
	Ways     [3]WayStats       // by Way
	Refused  map[string]uint64 // requests and connections refused, by reason; all reasons are there
	Dropped  map[string]uint64 // packets, by reason; all reasons are there
	Workers  int               // goroutines that move packets
	Busy     int               // of them, those that have clients to serve now
	Draining bool
}

// WayStats counts the clients of one way.
type WayStats struct {
	Allocations int    // held now
	Allocated   uint64 // ever
	Connections int    // open now; of UDP always 0

	ToPeers, FromPeers Traffic // relayed through sockets of ours
	HandedOver         Traffic // given to Config.Path. What that sends to clients it counts itself
}

// Traffic is packets and their bytes without headers.
type Traffic struct{ Packets, Bytes uint64 }

func (t *Traffic) add(o Traffic) {
	t.Packets += o.Packets
	t.Bytes += o.Bytes
}

// reason is why packets were dropped.
type reason int

const (
	unknown      reason = iota // from no client of ours
	malformed                  // neither STUN nor ChannelData, or cut off
	noChannel                  // ChannelData of a channel that is not bound
	noPermission               // for, or from, a peer without a permission or whom the rules deny
	noFamily                   // for a peer of a family that the allocation has no address of
	noPath                     // for our own media, which takes no more links of this allocation
	pathFull                   // which our own media did not take
	overRate                   // of a quota in bits
	oversized                  // too long for a Data indication
	slow                       // for a reader whose queue was full
	late                       // which waited 100 ms for a slow reader
	faults                     // whose handling failed, which is ours to repair
	reasons
)

var reasonNames = [reasons]string{
	"unknown", "malformed", "no_channel", "no_permission", "no_family", "no_path", "path_full", "over_rate", "oversized", "slow",
	"late", "fault",
}

// refusal is why a connection or a request was refused.
type refusal int

const (
	tooManyConnections refusal = iota
	badHandshake               // TLS failed, or took too long
	neverAllocated             // nothing was allocated on the connection in time
	idleConnection             // nothing was read from it for long
	notOurs                    // bytes that are neither STUN nor ChannelData, or a frame that is too long
	slowReader                 // nothing left for 5 s
	overQuota                  // an allocation above the quota of its user, its address or of all
	noPort                     // an allocation without a free relay port
	tooManyPeers               // a permission above the rate of new peers
	revoked                    // an allocation whose credentials were revoked
	refusals
)

var refusalNames = [refusals]string{
	"too_many_connections", "bad_handshake", "never_allocated", "idle", "not_turn", "slow_reader", "over_quota", "no_port",
	"too_many_peers", "revoked",
}

// Stats counts since New.
func (s *Server) Stats() Stats {
	all := Stats{
		Refused: make(map[string]uint64, refusals), Dropped: make(map[string]uint64, reasons),
		Workers: len(s.workers), Draining: s.draining.Load() != nil,
	}
	for i, name := range refusalNames {
		all.Refused[name] = s.refused[i].Load()
	}
	all.Dropped[reasonNames[overRate]] = s.unpaid.Load()
	for _, l := range s.lanes {
		l.mu.Lock()
		stats := l.stats
		l.mu.Unlock()
		for i, name := range reasonNames {
			all.Dropped[name] += stats.drops[i]
		}
		for i := range stats.ways {
			from, to := &stats.ways[i], &all.Ways[i]
			to.Allocations += from.Allocations
			to.Allocated += from.Allocated
			to.Connections += from.Connections
			to.ToPeers.add(from.ToPeers)
			to.FromPeers.add(from.FromPeers)
			to.HandedOver.add(from.HandedOver)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.workers {
		if w.owns > 0 {
			all.Busy++
		}
	}
	return all
}
