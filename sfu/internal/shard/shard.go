package shard

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/handover"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/internal/srtp"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/sfu/internal/handshake"
	"github.com/tolkyn/tolkyn/sfu/internal/ladder"
	"github.com/tolkyn/tolkyn/sfu/internal/speaker"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

const (
	// turnBudget bounds what one turn sends before the socket is read again: about 0.4 ms of work, so that one big room
	// never starves the small ones on its core.
	turnBudget = 256
	// commandBudget bounds the commands of one turn likewise: a frame of an ICE-TCP connection is one.
	commandBudget = 256
	// inboxSize bounds the commands waiting; who posts more waits.
	inboxSize = 4096
	// silentAfter is how long a peer may send nothing authenticated before it leaves its slots.
	silentAfter = 15 * time.Second
	// keysWithin is how long a handshake may take: 30 % loss needs 1 s, and who is not through by then tries anew.
	keysWithin = 30 * time.Second
	// consentFor is how long media flows to an address after it last answered a check (RFC 7675 §5.1).
	consentFor = 30 * time.Second
	// noConsent is before any proof.
	noConsent = -consentFor
)

// PeerID names a peer on its shard.
type PeerID uint64

// TrackID names a published track on its shard.
type TrackID uint64

// RoomID names a room on its shard.
type RoomID uint64

// Config of a Shard.
type Config struct {
	// Socket carries the packets; owned by the shard, closed by Close.
	Socket udp.Socket
	// TCP accepts ICE-TCP connections; nil for none. Owned like Socket.
	TCP net.Listener
	// Index is the shard's among those that Connect connects, from 0.
	Index int
	// LinkMoved is called when a Link that was a peer's on another shard, from, has proved to be one's of this shard; nil with one
	// shard. From the shard's goroutine, must not block.
	LinkMoved func(l *handover.Link, from int)
	// Epoch is when the shard's clock stood at 0, one for all that Connect connects; the zero value: now.
	Epoch time.Time
	// PeerRate bounds what one peer sends, AudioRate and VideoRate what one track of it does; what is over is dropped.
	PeerRate, AudioRate, VideoRate Rate
	// Congestion bounds what subscribers are sent by what their paths carry; nil: nothing does.
	Congestion *bwe.Config
	// Gone is called when a peer fell silent or had to be removed; from the shard's goroutine, must not block. The shard
	// keeps a silent peer until RemovePeer; a faulty one is already out of its tables.
	Gone func(PeerID, Reason)
	// What the shard finds out, each nil when nobody wants to know. Like Gone they are called from the shard's goroutine and
	// must not block; the slices are the receiver's.
	//
	// LayersWanted: which encodings of a track anybody watches, all of them, in the publisher's order. A track begins with
	// all watched.
	LayersWanted func(publisher PeerID, track TrackID, encodings []EncodingWanted)
	// CodecWanted: somebody can decode the track in that codec only (wanted), or nobody needs it any more.
	CodecWanted func(publisher PeerID, track TrackID, c codec.Codec, wanted bool)
	// LayersChanged: what video slots of a subscriber receive, those that changed; at most 4 calls a second a peer.
	LayersChanged func(subscriber PeerID, slots []SlotLayer)
	// Thin: the way to a subscriber that does not save has carried less than a voice takes for seconds.
	Thin func(subscriber PeerID)
	// Speakers: who speaks in a room, loudest first; their IDs are PeerIDs. On change only.
	Speakers func(room RoomID, speakers []speaker.Speaker)
	// Logger gets contained faults, never packets; nil discards.
	Logger *slog.Logger
}

// Reason says why Config.Gone was called.
type Reason uint8

// The reasons.
const (
	Silent Reason = iota + 1
	Fault
)

// Shard is one event loop. Post, Deliver, Forget, WriteTo, Stats, Busy and Close are safe from any goroutine; all else is the loop's.
type Shard struct {
	// Fixed after New.
	cfg   Config
	sock  udp.Socket
	log   *slog.Logger
	epoch time.Time
	inbox chan Command
	done  chan struct{}
	wg    sync.WaitGroup
	tcp   *tcpConns
	ring  *ring

	// Atomic.
	closing atomic.Bool
	backlog atomic.Int64 // how long the handshake gate's queue will take, ns
	awake   atomic.Int64 // since when the loop has not slept, ns since epoch; see busy.go
	busy    atomic.Int64 // how long it has not slept before that, ns
	waiting atomic.Bool  // true while the loop may sleep and nobody has woken it: only then is a wake needed

	forgotten forgotten

	// Owned by loop.
	batch           *udp.Batch
	at              int // datagram of the batch being handled, so that a contained fault loses only that one
	queue           *udp.Queue
	sealRaw         []byte // scratch for packets that leave over TCP
	wheel           wheel
	gate            *handshake.Gate[PeerID, heldPacket]
	gateAt          time.Duration
	peers           map[PeerID]*peer
	tracks          map[TrackID]*track
	rooms           map[RoomID]*voices
	sources         map[netip.AddrPort]*peer      // addresses of authenticated checks, nothing else
	links           map[*handover.Link]*transport // those that a check proved to be a peer's
	unproved        *transport                    // scratch: of a Link that is none of them
	outs            map[udp.Port]*outlet
	waitingOut      []*outlet // that something was written to in this turn
	ufrags          map[string]*peer
	ssrcs           map[uint32]*peer // publishers by SSRC: finds the owner of a packet from a new address
	checks          map[transactionID]*peer
	stun            []byte             // scratch
	touched         []*published       // uplinks that stored packets in this batch
	layerRates      []uplink.LayerRate // scratch, likewise rates
	rates           []ladder.LayerRate
	inlets, outlets []*pipe
	poured          []*pipe          // outlets that something was put into
	far             map[PeerID]*peer // publishers on other shards, of tracks that are watched here
	ready           [2]readyQueue
	arrivals        []rtcp.Arrival // scratch, as is results
	results         []bwe.Result
	unshared        []*peer // whose bits are shared anew in this turn
	sharing         sharing
	suspect         *peer      // whose packet or slot is handled right now
	ecn             packet.ECN // with which it came
	stats           Stats
}

// New starts a shard on cfg.Socket. Close ends it.
func New(cfg Config) *Shard {
	s := newShard(cfg)
	if cfg.TCP != nil {
		s.tcp = newTCPConns(s, cfg.TCP)
	}
	s.wg.Go(s.run)
	return s
}

// newShard makes a shard whose loop does not run.
func newShard(cfg Config) *Shard {
	if cfg.Epoch.IsZero() {
		cfg.Epoch = time.Now()
	}
	s := &Shard{
		cfg: cfg, sock: cfg.Socket, log: cfg.Logger, epoch: cfg.Epoch,
		inbox: make(chan Command, inboxSize), done: make(chan struct{}),
		batch: udp.NewBatch(), queue: udp.NewQueue(turnBudget + 64), sealRaw: make([]byte, 2048),
		gate:   handshake.NewGate[PeerID, heldPacket](runtime.GOMAXPROCS(0)),
		peers:  map[PeerID]*peer{},
		tracks: map[TrackID]*track{},
		ring:   newRing(),
		links:  map[*handover.Link]*transport{}, unproved: &transport{}, outs: map[udp.Port]*outlet{},
		rooms:   map[RoomID]*voices{},
		far:     map[PeerID]*peer{},
		sources: map[netip.AddrPort]*peer{},
		ufrags:  map[string]*peer{},
		ssrcs:   map[uint32]*peer{},
		checks:  map[transactionID]*peer{},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.wheel.init(0)
	return s
}

// Close ends the loop, closes the sockets and waits for every goroutine. Idempotent.
func (s *Shard) Close() error {
	if s.closing.Swap(true) {
		<-s.done
		return nil
	}
	close(s.done)
	if s.tcp != nil {
		s.tcp.close()
	}
	err := s.sock.Close()
	s.wg.Wait()
	return err
}

// Backlog is how long a handshake that starts now must wait for the gate's queue to drain; 0 while it is within bounds.
func (s *Shard) Backlog() time.Duration { return time.Duration(s.backlog.Load()) }

// Admit waits for a place at the handshake gate; false when there is none to be had before ctx ends, or the peer or the
// shard is gone. Post Wrote when the work is done.
func (s *Shard) Admit(ctx context.Context, id PeerID) bool {
	granted := make(chan bool, 1)
	if !s.Post(Negotiation{id, granted, ctx.Done()}) {
		return false
	}
	select {
	case ok := <-granted:
		return ok
	case <-ctx.Done():
		return false
	case <-s.done:
		return false
	}
}

// Await waits for a channel that a command closes, or for the shard's end.
func (s *Shard) Await(done <-chan struct{}) {
	select {
	case <-done:
	case <-s.done:
	}
}

// now is the time since the shard's epoch.
func (s *Shard) now() time.Duration { return time.Since(s.epoch) }

// run is the whole life of a shard: commands, packets in, timers, packets out, wait.
func (s *Shard) run() {
	for !s.closing.Load() {
		s.contained()
	}
}

// contained turns until the shard closes or a peer's packet makes our code panic. That peer is removed; everybody else's
// packets of the same batch are still handled on the next entry.
func (s *Shard) contained() {
	defer func() {
		fault := recover()
		if fault == nil {
			return
		}
		p := s.suspect
		s.suspect = nil
		s.stats.Faults++
		s.log.Error("contained a fault", "panic", fault, "stack", string(debug.Stack()))
		if p != nil {
			s.expel(p)
		}
	}()
	for !s.closing.Load() {
		if !s.turn() {
			s.wait()
		}
	}
}

// expel removes a peer whose packet or slot made our code panic, also when the removal itself meets what is broken.
func (s *Shard) expel(p *peer) {
	defer func() {
		if fault := recover(); fault != nil {
			s.stats.Faults++
			s.log.Error("contained a fault in a removal", "panic", fault, "stack", string(debug.Stack()))
		}
		s.suspect = nil
		s.cfg.Gone(p.id, Fault)
	}()
	s.remove(p)
}

// turn does one bounded round of work; false when nothing more is known to be waiting.
func (s *Shard) turn() bool {
	s.commands()
	s.forget()
	s.suspect = nil
	now := s.now()
	more := false
	if s.at >= s.batch.Len() {
		s.at = 0
		n, _ := s.sock.Read(s.batch)
		more = n >= udp.MaxMessages // else the socket was empty: asking it again would be a system call for nothing
	}
	for range turnBudget { // a batch may hold many more: the kernel joins what comes from one sender
		if s.at >= s.batch.Len() {
			break
		}
		b, from := s.batch.Datagram(s.at)
		s.ecn = s.batch.ECN(s.at)
		s.at++ // before the work: a fault must not meet the same datagram twice
		s.handle(now, b, path{addr: from})
		s.suspect = nil
	}
	s.ecn = packet.NotECT // of whatever comes otherwise
	more = s.accept(now, turnBudget) || more
	more = s.draw(now, turnBudget) || more
	s.heed(now)
	s.suspect = nil
	s.spread(now)
	s.suspect = nil
	s.timers(now)
	s.shareAll(now)
	s.suspect = nil
	more = s.forward(now, turnBudget) || more
	s.suspect = nil
	s.sock.Flush(s.queue)
	s.flushOutlets()
	return more || s.at < s.batch.Len()
}

// wait sleeps until a packet, a command or the next deadline.
func (s *Shard) wait() {
	s.waiting.Store(true)
	defer s.waiting.Store(false)
	if len(s.inbox) > 0 || s.piped() || !s.ring.empty() || s.forgotten.any.Load() {
		return
	}
	now := s.now()
	timeout := time.Duration(-1)
	if at, ok := s.nextDeadline(); ok {
		timeout = max(at-now, 0)
	}
	s.sleeps(now)
	s.sock.Wait(timeout)
	s.wakes(s.now())
}

// piped says whether something has come through a pipe.
func (s *Shard) piped() bool {
	for _, p := range s.inlets {
		if !p.idle() {
			return true
		}
	}
	for _, p := range s.outlets {
		if p.told.Load() {
			return true
		}
	}
	return false
}

func (s *Shard) nextDeadline() (time.Duration, bool) {
	at, ok := s.wheel.next()
	if s.gateAt > 0 && (!ok || s.gateAt < at) {
		return s.gateAt, true
	}
	return at, ok
}

// peer is everything the shard knows of one client. Owned by loop.
type peer struct {
	id    PeerID
	from  *pipe // nil, or through which the tracks of a peer on another shard come: that is all there is of it
	hs    *handshake.Peer
	ext   handshake.ExtensionIDs
	added time.Duration

	// Path: see path.go.
	credentials []credential // newest last; two across an ICE restart
	remote      credential
	destination path
	allowed     []source
	check       pathCheck
	measureAt   time.Duration // next check for the round trip
	arrived     time.Duration // last authenticated packet from the destination
	consented   time.Duration // last proof that the destination wants our media
	pionUntil   time.Duration // until then pion answers checks, for an ICE restart
	lastHeard   time.Duration // last authenticated packet of any kind
	connected   bool
	silent      bool
	saves       bool // each byte to and from it counts: see save.go

	// Keys: nil until DTLS is done.
	opener *srtp.Opener
	sealer *srtp.Sealer
	early  [][]byte      // packets that came before the keys
	keyed  time.Duration // when they came

	// What it sends.
	clock   uplink.Clock // one for all its uplinks: lip sync
	uplinks []*published
	bySSRC  map[uint32]*published
	inbound inbound

	// What it receives.
	slots   []*slot
	byOut   map[uint32]*slot
	opened  map[uint32]bool // SSRCs that slots have had
	sent    uint64          // packets that have left under transport-wide numbers: the next one's
	pending [2][]*slot      // slots with packets to send, by ready queue
	queued  [2]bool

	congestion *congestion // of what it receives; nil when nothing bounds that
	hearing    hearing

	timer   timer
	opensAt time.Duration // end of the first keyframe's hold; 0 past it
	reports time.Duration // next sender and receiver reports
	ssrc    uint32        // sender of our own RTCP
	rtt     time.Duration
	rttAt   time.Duration // of the newest sample
	asked   int           // sequence numbers of NACKs since askedAt
	askedAt time.Duration // nackInterval begins
	gone    bool

	tracks []*track
	voices *voices       // of its room; nil without one
	toldAt time.Duration // Config.LayersChanged was called last
	tellAt time.Duration // its slots are looked at for it; 0: no need
}
