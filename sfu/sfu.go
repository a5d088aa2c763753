package sfu

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu/internal/handshake"
	"github.com/tolkyn/tolkyn/sfu/internal/plan"
	"github.com/tolkyn/tolkyn/sfu/internal/shard"
)

// Config of an SFU. The zero value of each optional field means its default.
type Config struct {
	// Socket carries all media; the SFU owns it from New on and closes it.
	Socket udp.Socket
	// TCP accepts ICE-TCP (RFC 6544) connections; nil for none. Owned like Socket.
	TCP net.Listener
	// Advertise lists the addresses told to clients as candidates, with the ports of Socket and TCP. At least one.
	Advertise []netip.Addr
	// MaxPeers bounds one room; default 1000.
	MaxPeers int
	// MaxAudioSlots and MaxVideoSlots bound what one peer may offer; defaults 16 and 49.
	MaxAudioSlots, MaxVideoSlots int
	// MaxPeerRate bounds what one peer may send, MaxAudioRate and MaxVideoRate what one track of it may: what is over is
	// dropped and counted (Drops.PeerFlood, Drops.TrackFlood). Defaults, for each number by itself: 2,500 packets/s and
	// 30 Mbit/s a peer, 500 packets/s and 2 Mbit/s an audio track, four fifths of its peer's a video track.
	MaxPeerRate, MaxAudioRate, MaxVideoRate Rate
	// Logger gets one line per state change; nil discards.
	Logger *slog.Logger
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
	cfg    Config
	log    *slog.Logger
	engine *handshake.Engine
	shard  *shard.Shard

	// Atomic.
	trackIDs, roomIDs atomic.Uint64

	// Guarded by mu.
	mu       sync.Mutex
	rooms    map[roomKey]*room
	numbered map[shard.RoomID]*room // the same
	peers    map[shard.PeerID]*Peer
	closed   bool

	wg sync.WaitGroup // departures and room loops under way
}

// New starts an SFU on cfg.Socket.
func New(cfg Config) (*SFU, error) {
	if cfg.Socket == nil || len(cfg.Advertise) == 0 {
		return nil, fmt.Errorf("start sfu: Config needs Socket and at least one address in Advertise")
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
	hs := handshake.Config{MaxAudioSlots: cfg.MaxAudioSlots, MaxVideoSlots: cfg.MaxVideoSlots, Logger: cfg.Logger}
	for _, a := range cfg.Advertise {
		hs.HostAddrs = append(hs.HostAddrs, netip.AddrPortFrom(a, cfg.Socket.LocalAddr().Port()))
		if cfg.TCP != nil {
			port := uint16(cfg.TCP.Addr().(*net.TCPAddr).Port)
			hs.TCPAddrs = append(hs.TCPAddrs, netip.AddrPortFrom(a, port))
		}
	}
	engine, err := handshake.NewEngine(hs)
	if err != nil {
		return nil, fmt.Errorf("start sfu: %w", err)
	}
	s := &SFU{
		cfg: cfg, log: cfg.Logger, engine: engine,
		rooms: map[roomKey]*room{}, numbered: map[shard.RoomID]*room{}, peers: map[shard.PeerID]*Peer{},
	}
	s.shard = shard.New(shard.Config{
		Socket: cfg.Socket, TCP: cfg.TCP, Gone: s.gone, Logger: cfg.Logger,
		Speakers: s.heard, LayersWanted: s.layersWanted, CodecWanted: s.codecWanted, LayersChanged: s.layersChanged,
		PeerRate: cfg.MaxPeerRate, AudioRate: cfg.MaxAudioRate, VideoRate: cfg.MaxVideoRate,
	})
	return s, nil
}

// Join opens a media session: it answers the offer and puts the peer into its room, which is made when it is the first.
// It may take as long as ctx allows, since pion works on the caller's goroutine.
// Errors: ErrClosed, ErrRoomFull, ErrForbidden, ErrBadOffer, ErrUnsupportedCodec, *BusyError.
func (s *SFU) Join(ctx context.Context, req JoinRequest) (*Peer, Joined, error) {
	if len(req.Tracks) > 0 && !req.Publish {
		return nil, Joined{}, fmt.Errorf("%w: publish tracks", ErrForbidden)
	}
	r, err := s.enter(roomKey{req.Tenant, req.Room}, req.Identity)
	if err != nil {
		return nil, Joined{}, err
	}
	p := &Peer{sfu: s, room: r, id: newPeerID(), req: req, joining: true, tracks: map[string]publication{}}
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
func (s *SFU) admit(ctx context.Context, id shard.PeerID) error {
	if s.shard.Admit(ctx, id) {
		return nil
	}
	return &BusyError{RetryAfter: max(s.shard.Backlog(), time.Second)}
}

// maxSameIdentity bounds the members of one identity: the peer, the one that replaces it, and two that are being dismantled
// after as many rejoins in a row.
const maxSameIdentity = 4

// enter finds or makes the room and counts one more member and user of it. An identity takes one place, however many joins
// of it are under way: it replaces its own peer, so that a full room lets it in.
func (s *SFU) enter(key roomKey, identity string) (*room, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	r := s.rooms[key]
	if r == nil {
		r = newRoom(s, key)
		s.rooms[key], s.numbered[r.id] = r, r
		s.wg.Go(r.run)
	}
	here := r.members[identity]
	switch {
	case (identity == "" || here == 0) && r.places >= s.cfg.MaxPeers:
		return nil, fmt.Errorf("%w: %d peers are in", ErrRoomFull, r.places)
	case identity != "" && here >= maxSameIdentity:
		return nil, &BusyError{RetryAfter: time.Second}
	}
	if identity == "" || here == 0 {
		r.places++
	}
	r.members[identity]++
	r.users++
	return r, nil
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
	err := s.shard.Close()
	s.wg.Wait()
	return err
}

// Stats are the SFU's figures at one moment.
type Stats struct {
	Rooms, Peers int
	Shards       []shard.Stats
}

// Stats returns the figures of all shards; ok is false when a shard's loop no longer answers.
func (s *SFU) Stats() (st Stats, ok bool) {
	s.mu.Lock()
	st.Rooms, st.Peers = len(s.rooms), len(s.peers)
	s.mu.Unlock()
	sh, ok := s.shard.Stats()
	st.Shards = append(st.Shards, sh)
	return st, ok
}

// Busy is how long the loop of each shard has not been asleep since its start: what a second adds to it is the share of one
// core that the shard uses. It asks no loop, so a loop that is stuck shows as a busy one.
func (s *SFU) Busy() []time.Duration { return []time.Duration{s.shard.Busy()} }

func newPeerID() shard.PeerID {
	var b [8]byte
	rand.Read(b[:])
	return shard.PeerID(binary.BigEndian.Uint64(b[:]) | 1)
}

func planID(id shard.PeerID) plan.PeerID { return plan.PeerID(id) }
