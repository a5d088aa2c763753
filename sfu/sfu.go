package sfu

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tolkyn/tolkyn/internal/handover"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/sfu/internal/handshake"
	"github.com/tolkyn/tolkyn/sfu/internal/plan"
	"github.com/tolkyn/tolkyn/sfu/internal/shard"
	"github.com/tolkyn/tolkyn/sfu/internal/speaker"
)

// Config of an SFU. The zero value of each optional field means its default.
type Config struct {
	// Sockets carry all media, a shard each: an event loop that fills a core at most. At least one. The SFU owns them from New
	// on and closes them.
	Sockets []udp.Socket
	// TCP accepts ICE-TCP (RFC 6544) connections: as many as Sockets, of the same shards, or none. Owned like Sockets.
	TCP []net.Listener
	// Advertise lists the addresses told to clients as candidates, with the ports of their shard's Socket and TCP. At least
	// one.
	Advertise []netip.Addr
	// Front is the one port; see there.
	Front Front
	// MaxPeers bounds one room; default 1000.
	MaxPeers int
	// MaxAudioSlots and MaxVideoSlots bound what one peer may offer; defaults 16 and 49.
	MaxAudioSlots, MaxVideoSlots int
	// MaxPeerRate bounds what one peer may send, MaxAudioRate and MaxVideoRate what one track of it may: what is over is
	// dropped and counted (Drops.PeerFlood, Drops.TrackFlood). Defaults, for each number by itself: 2,500 packets/s and
	// 30 Mbit/s a peer, 500 packets/s and 2 Mbit/s an audio track, four fifths of its peer's a video track.
	MaxPeerRate, MaxAudioRate, MaxVideoRate Rate
	// Congestion bounds what each peer is sent by what its path carries.
	Congestion Congestion
	// Logger gets one line per state change; nil discards.
	Logger *slog.Logger
}

// Congestion says how the SFU holds to what a peer's path carries: it estimates that from the peer's feedback, shares it among
// the peer's slots and paces what leaves.
type Congestion struct {
	// Off sends each peer all that its slots want.
	Off bool
	// Start is what a path is taken to carry before anything is known of it; 0: 1 Mbit/s. Min and Max bound every estimate;
	// 0: 30 kbit/s and 50 Mbit/s.
	Start, Min, Max bwe.Bitrate
}

// startBitrate: most paths carry more, and on those that do not, what is too much is a tenth of a second of a queue. A second
// later the estimate stands on what was measured.
const startBitrate = 1 * bwe.Mbps

// config is what the shards are told; nil for none.
func (c Congestion) config() *bwe.Config {
	if c.Off {
		return nil
	}
	return &bwe.Config{Start: cmp.Or(c.Start, startBitrate), Min: c.Min, Max: c.Max}
}

// Rate is a number of packets and of bits a second.
type Rate = shard.Rate

// orElse fills in what is 0.
func orElse(r, otherwise Rate) Rate {
	return Rate{
		PacketsPerSecond: cmp.Or(r.PacketsPerSecond, otherwise.PacketsPerSecond),
		BitsPerSecond:    cmp.Or(r.BitsPerSecond, otherwise.BitsPerSecond),
	}
}

// SFU forwards media between the peers of its rooms. All methods are safe from any goroutine.
type SFU struct {
	// Fixed after New.
	cfg   Config
	log   *slog.Logger
	cores []*core

	// What clients know us by, of UDP; a shard's index, or frontShard.
	addresses map[netip.AddrPort]int

	// Atomic.
	trackIDs, roomIDs atomic.Uint64
	strayed           atomic.Uint64

	ufrags ufrags

	// Guarded by mu.
	mu       sync.Mutex
	rooms    map[roomKey]*room
	numbered map[shard.RoomID]*room // the same
	peers    map[shard.PeerID]*Peer
	closed   bool

	wg sync.WaitGroup // departures and room loops under way
}

// core is one shard and what answers offers for it.
type core struct {
	// Fixed after New.
	index  int
	shard  *shard.Shard
	engine *handshake.Engine

	// Guarded by SFU.mu.
	peers int
}

// New starts an SFU on cfg.Sockets.
func New(cfg Config) (*SFU, error) {
	if len(cfg.Sockets) == 0 || len(cfg.Advertise) == 0 {
		return nil, fmt.Errorf("start sfu: Config needs at least one socket in Sockets and one address in Advertise")
	}
	if cfg.Front.Only && cfg.Front.UDP == 0 {
		return nil, fmt.Errorf("start sfu: Config.Front.Only leaves clients nothing but the one port, and Front.UDP names none")
	}
	if len(cfg.TCP) != 0 && len(cfg.TCP) != len(cfg.Sockets) {
		return nil, fmt.Errorf("start sfu: Config.TCP has %d listeners for %d sockets; give each its own or none", len(cfg.TCP), len(cfg.Sockets))
	}
	if cfg.MaxPeers == 0 {
		cfg.MaxPeers = 1000
	}
	if cfg.MaxAudioSlots == 0 {
		cfg.MaxAudioSlots = 16
	}
	if cfg.MaxVideoSlots == 0 {
		cfg.MaxVideoSlots = 49
	}
	cfg.MaxPeerRate = orElse(cfg.MaxPeerRate, Rate{PacketsPerSecond: 2_500, BitsPerSecond: 30_000_000})
	cfg.MaxAudioRate = orElse(cfg.MaxAudioRate, Rate{PacketsPerSecond: 500, BitsPerSecond: 2_000_000})
	cfg.MaxVideoRate = orElse(cfg.MaxVideoRate, Rate{
		PacketsPerSecond: cfg.MaxPeerRate.PacketsPerSecond * 4 / 5, BitsPerSecond: cfg.MaxPeerRate.BitsPerSecond / 5 * 4,
	})
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &SFU{
		cfg: cfg, log: cfg.Logger, addresses: map[netip.AddrPort]int{}, ufrags: ufrags{homes: map[string]int{}},
		rooms: map[roomKey]*room{}, numbered: map[shard.RoomID]*room{}, peers: map[shard.PeerID]*Peer{},
	}
	engines := make([]*handshake.Engine, len(cfg.Sockets))
	for i := range engines { // all of them before the first shard runs: what fails here leaves nothing behind
		var err error
		if engines[i], err = s.newEngine(i); err != nil {
			return nil, fmt.Errorf("start sfu: %w", err)
		}
	}
	epoch := time.Now()
	shards := make([]*shard.Shard, len(engines))
	for i, engine := range engines {
		c := shard.Config{
			Socket: cfg.Sockets[i], Index: i, Epoch: epoch, Gone: s.gone, Logger: cfg.Logger,
			LinkMoved:    func(l *handover.Link, from int) { s.cores[from].shard.Forget(l) },
			LayersWanted: s.layersWanted, CodecWanted: s.codecWanted, LayersChanged: s.layersChanged, Thin: s.thin,
			Speakers:   func(id shard.RoomID, speakers []speaker.Speaker) { s.heard(i, id, speakers) },
			Congestion: cfg.Congestion.config(),
			PeerRate:   cfg.MaxPeerRate, AudioRate: cfg.MaxAudioRate, VideoRate: cfg.MaxVideoRate,
		}
		if len(cfg.TCP) > 0 {
			c.TCP = cfg.TCP[i]
		}
		shards[i] = shard.New(c)
		s.cores = append(s.cores, &core{index: i, shard: shards[i], engine: engine})
	}
	shard.Connect(shards...)
	return s, nil
}

// newEngine makes what answers offers for shard i: with the candidates of its own port, and those of the front. A peer stays on
// its shard, so that another's port would only bring it packets that it has to hand over.
func (s *SFU) newEngine(i int) (*handshake.Engine, error) {
	hs := handshake.Config{MaxAudioSlots: s.cfg.MaxAudioSlots, MaxVideoSlots: s.cfg.MaxVideoSlots, Logger: s.cfg.Logger}
	own, front := s.cfg.Sockets[i].LocalAddr().Port(), s.cfg.Front
	for _, a := range s.cfg.Advertise {
		at := netip.AddrPortFrom(a.Unmap(), own)
		s.addresses[at] = i
		if !front.Only {
			hs.HostAddrs = append(hs.HostAddrs, at)
		}
		if len(s.cfg.TCP) > 0 && !front.Only {
			port := uint16(s.cfg.TCP[i].Addr().(*net.TCPAddr).Port)
			hs.TCPAddrs = append(hs.TCPAddrs, netip.AddrPortFrom(a, port))
		}
	}
	for _, a := range s.cfg.Advertise {
		if front.UDP != 0 {
			at := netip.AddrPortFrom(a.Unmap(), front.UDP)
			s.addresses[at] = frontShard
			hs.HostAddrs = append(hs.HostAddrs, at)
		}
		if at := netip.AddrPortFrom(a, front.TCP); front.TCP != 0 && !slices.Contains(hs.TCPAddrs, at) {
			hs.TCPAddrs = append(hs.TCPAddrs, at)
		}
	}
	return handshake.NewEngine(hs)
}

// Join opens a media session: it answers the offer and puts the peer into its room, which is made when it is the first.
// It may take as long as ctx allows, since pion works on the caller's goroutine.
// Errors: ErrClosed, ErrRoomFull, ErrForbidden, ErrBadOffer, ErrUnsupportedCodec, *BusyError.
func (s *SFU) Join(ctx context.Context, req JoinRequest) (*Peer, Joined, error) {
	if len(req.Tracks) > 0 && !req.Publish {
		return nil, Joined{}, fmt.Errorf("%w: publish tracks", ErrForbidden)
	}
	r, c, err := s.enter(roomKey{req.Tenant, req.Room}, req.Identity)
	if err != nil {
		return nil, Joined{}, err
	}
	p := &Peer{sfu: s, room: r, core: c, id: newPeerID(), req: req, joining: true, tracks: map[string]publication{}}
	p.suit(req.Device)
	joined, err := p.join(ctx)
	if err = p.arrive(err); err != nil {
		return nil, Joined{}, err
	}
	s.log.Info("peer joined", "room_id", req.Room, "peer_id", joined.PeerID)
	return p, joined, nil
}

// admit waits for a place at the handshake gate, so that negotiating takes no more of a core from running calls than a
// handshake may.
func (c *core) admit(ctx context.Context, id shard.PeerID) error {
	if c.shard.Admit(ctx, id) {
		return nil
	}
	return &BusyError{RetryAfter: max(c.shard.Backlog(), time.Second)}
}

// maxSameIdentity bounds the members of one identity: the peer, the one that replaces it, and two that are being dismantled
// after as many rejoins in a row.
const maxSameIdentity = 4

// spreadFrom is the size from which on a room's new peers go to the least loaded shard, wherever the others are. Below, one
// shard serves all of them for less than pipes would cost.
const spreadFrom = 50

// idlest is the core with the fewest peers. Guarded by mu.
func (s *SFU) idlest() *core {
	return slices.MinFunc(s.cores, func(a, b *core) int { return cmp.Compare(a.peers, b.peers) })
}

// enter finds or makes the room, counts one more member and user of it, and finds the core for that one. An identity takes one place, however many joins
// of it are under way: it replaces its own peer, so that a full room lets it in.
func (s *SFU) enter(key roomKey, identity string) (*room, *core, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, ErrClosed
	}
	r := s.rooms[key]
	if r == nil {
		r = newRoom(s, key)
		r.home = s.idlest()
		s.rooms[key], s.numbered[r.id] = r, r
		s.wg.Go(r.run)
	}
	here := r.members[identity]
	switch {
	case (identity == "" || here == 0) && r.places >= s.cfg.MaxPeers:
		return nil, nil, fmt.Errorf("%w: %d peers are in", ErrRoomFull, r.places)
	case identity != "" && here >= maxSameIdentity:
		return nil, nil, &BusyError{RetryAfter: time.Second}
	}
	if identity == "" || here == 0 {
		r.places++
	}
	r.members[identity]++
	r.users++
	c := r.home
	if r.places > spreadFrom {
		c = s.idlest()
	}
	c.peers++
	return r, c, nil
}

// know makes a joining peer one of those that Close ends; false when it is too late for that.
func (s *SFU) know(p *Peer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.peers[p.id] = p
	}
	return !s.closed
}

// expel counts one member less.
func (s *SFU) expel(p *Peer) {
	s.mu.Lock()
	delete(s.peers, p.id)
	p.core.peers--
	r, identity := p.room, p.req.Identity
	r.members[identity]--
	if identity == "" || r.members[identity] == 0 {
		r.places--
	}
	if r.members[identity] == 0 {
		delete(r.members, identity)
	}
	s.mu.Unlock()
	s.exit(p.room)
}

// exit counts one user less; the last one ends the room.
func (s *SFU) exit(r *room) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.users--
	if r.users == 0 {
		delete(s.rooms, r.key)
		delete(s.numbered, r.id)
		close(r.inbox)
	}
}

// gone hears from the shard that a peer fell silent or was removed; the departure must not hold up the shard.
func (s *SFU) gone(id shard.PeerID, why shard.Reason) {
	reason := GoneFailed
	if why == shard.Silent {
		reason = GoneSilent
	}
	s.mu.Lock()
	p := s.peers[id]
	if p != nil && !s.closed {
		s.wg.Go(func() { p.depart(reason) })
	}
	s.mu.Unlock()
}

// Close ends every peer with GoneShutdown and frees the sockets. It waits for all goroutines.
func (s *SFU) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.wg.Wait()
		return nil
	}
	s.closed = true
	peers := make([]*Peer, 0, len(s.peers))
	for _, p := range s.peers {
		peers = append(peers, p)
	}
	s.mu.Unlock()
	for _, p := range peers {
		p.depart(GoneShutdown)
	}
	var errs []error
	for _, c := range s.cores {
		errs = append(errs, c.shard.Close())
	}
	s.wg.Wait()
	return errors.Join(errs...)
}

// Stats are the SFU's figures at one moment.
type Stats struct {
	Rooms, Peers int
	Strayed      uint64 // packets that Deliver was given for no address of ours, or behind the one port for nobody
	Shards       []ShardStats
}

// ShardStats are those of one shard.
type ShardStats = shard.Stats

// Stats returns the figures of all shards; ok is false when a shard's loop no longer answers.
func (s *SFU) Stats() (st Stats, ok bool) {
	s.mu.Lock()
	st.Rooms, st.Peers = len(s.rooms), len(s.peers)
	s.mu.Unlock()
	st.Strayed = s.strayed.Load()
	for _, c := range s.cores {
		sh, answers := c.shard.Stats()
		if !answers {
			return st, false
		}
		st.Shards = append(st.Shards, sh)
	}
	return st, true
}

// VoiceModes are the names of what shard.Stats.VoicePackets counts: how voices are protected against loss, from not at all to the
// most.
func VoiceModes() []string { return shard.VoiceModes() }

// EstimateSteps are the bounds of what shard.Stats.Paths.ByEstimate counts: at most so many bits a second each, and above all
// of them the last.
func EstimateSteps() []bwe.Bitrate { return shard.EstimateSteps() }

// Busy is how long the loop of each shard has not been asleep since its start: what a second adds to it is the share of one
// core that the shard uses. It asks no loop, so a loop that is stuck shows as a busy one.
func (s *SFU) Busy() (all []time.Duration) {
	for _, c := range s.cores {
		all = append(all, c.shard.Busy())
	}
	return all
}

func newPeerID() shard.PeerID {
	var b [8]byte
	rand.Read(b[:])
	return shard.PeerID(binary.BigEndian.Uint64(b[:]) | 1)
}

func planID(id shard.PeerID) plan.PeerID { return plan.PeerID(id) }
