package shard

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/srtp"
	"github.com/tolkyn/tolkyn/sfu/alloc"
	"github.com/tolkyn/tolkyn/sfu/internal/downlink"
	"github.com/tolkyn/tolkyn/sfu/internal/handshake"
	"github.com/tolkyn/tolkyn/sfu/internal/ladder"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// Command is one message to the shard's inbox; the types below are all there are.
type Command interface {
	apply(s *Shard, now time.Duration)
}

// Post puts a command into the inbox; commands of one goroutine are applied in order. It waits while the inbox is full
// and returns false once the shard is closed.
func (s *Shard) Post(c Command) bool {
	select {
	case <-s.done:
		return false
	default:
	}
	select {
	case s.inbox <- c:
	case <-s.done:
		return false
	}
	s.wake()
	return true
}

// commands applies what is in the inbox, at most commandBudget of them.
func (s *Shard) commands() {
	for range commandBudget {
		s.suspect = nil
		select {
		case c := <-s.inbox:
			c.apply(s, s.now())
		default:
			return
		}
	}
}

// AddPeer makes a peer known. Packets find it by the credentials that follow.
type AddPeer struct {
	ID        PeerID
	Room      RoomID // whose speakers it may be among
	Handshake *handshake.Peer
}

func (c AddPeer) apply(s *Shard, now time.Duration) {
	var ssrc [4]byte
	rand.Read(ssrc[:])
	p := &peer{
		id: c.ID, hs: c.Handshake, added: now, lastHeard: now, consented: noConsent,
		bySSRC: map[uint32]*published{}, byOut: map[uint32]*slot{}, opened: map[uint32]bool{},
		ssrc: binary.BigEndian.Uint32(ssrc[:]),
	}
	p.timer.owner = p
	s.peers[c.ID] = p
	s.enterRoom(p, c.Room)
	s.wheel.arm(&p.timer, now+silentAfter)
}

// LocalCredentials routes checks for a new local ufrag to the peer. The previous one keeps working, so that media goes on
// across an ICE restart; older ones end.
type LocalCredentials struct {
	ID         PeerID
	Ufrag, Pwd string
}

func (c LocalCredentials) apply(s *Shard, now time.Duration) {
	p := s.peers[c.ID]
	if p == nil {
		return
	}
	p.credentials = append(p.credentials, credential{c.Ufrag, handshake.NewSecret(c.Pwd)})
	p.pionUntil = now + restartTime
	s.ufrags[c.Ufrag] = p
	for len(p.credentials) > 2 {
		delete(s.ufrags, p.credentials[0].ufrag)
		p.credentials = p.credentials[1:]
	}
}

// RemoteCredentials are the client's, from its newest offer: our own checks are sent with them.
type RemoteCredentials struct {
	ID         PeerID
	Ufrag, Pwd string
}

func (c RemoteCredentials) apply(s *Shard, _ time.Duration) {
	if p := s.peers[c.ID]; p != nil {
		p.remote = credential{c.Ufrag, handshake.NewSecret(c.Pwd)}
	}
}

// Keys arrive when DTLS is done; media flows from here on.
type Keys struct {
	ID            PeerID
	Local, Remote srtp.Key
}

func (c Keys) apply(s *Shard, now time.Duration) {
	p := s.peers[c.ID]
	if p == nil || p.opener != nil {
		return // once: two sealers on one key would use a nonce twice
	}
	opener, err := srtp.NewOpener(c.Remote)
	if err == nil {
		p.sealer, err = srtp.NewSealer(c.Local)
	}
	if err != nil {
		s.log.Error("cannot use the exported keys", "peer", p.id, "err", err)
		s.cfg.Gone(p.id, Fault)
		return
	}
	p.opener, p.connected, p.keyed = opener, true, now
	p.pionUntil = 0 // a path is agreed: the first checks are over
	p.reports = now + reportInterval
	p.opensAt = now + downlink.Hold
	s.wheel.arm(&p.timer, now)
	for _, sl := range p.slots {
		sl.down.Ready(now)
		s.ready[sl.class].push(sl)
	}
	s.openEarly(now, p)
}

// Negotiation asks the handshake gate for a place: SDP and a new PeerConnection cost a core as much as a DTLS flight.
// Granted receives whether there is one, once; the place is free again with Wrote. When Ended is closed by the time a
// place is free, nobody wants it any more.
type Negotiation struct {
	ID      PeerID
	Granted chan<- bool // buffered
	Ended   <-chan struct{}
}

func (c Negotiation) apply(s *Shard, now time.Duration) {
	s.step(now, c.ID, heldPacket{granted: c.Granted, ended: c.Ended})
}

// Wrote tells that pion wrote a packet for the peer: its place in the handshake gate is free.
type Wrote struct{ ID PeerID }

func (c Wrote) apply(s *Shard, now time.Duration) {
	s.gate.Wrote(c.ID)
	s.pollGate(now)
}

// RemovePeer takes a peer off the shard; Done is closed when no packet can reach it any more. Unknown peers are fine.
type RemovePeer struct {
	ID   PeerID
	Done chan<- struct{}
}

func (c RemovePeer) apply(s *Shard, _ time.Duration) {
	if c.Done != nil {
		defer close(c.Done) // also when a fault ends the removal
	}
	if p := s.peers[c.ID]; p != nil {
		s.remove(p)
	}
}

// Publish opens a track. A packet finds its encoding by its SSRC, else by the MID and the RID it carries (RFC 8843 §9.2,
// RFC 8852), else by the MID alone.
type Publish struct {
	ID        PeerID
	Track     TrackID
	Primary   TrackID // shows the same in another codec: this one is for those who cannot decode that; 0: none
	MID       string
	Ext       handshake.ExtensionIDs
	Voice     bool       // its audio level says whether the publisher speaks
	Muted     bool       // likewise Mute
	CCFB      bool       // the publisher is told of arrivals by RFC 8888,
	REMB      bool       // or what its path carries, by REMB; of neither: by transport-wide numbers where it gives them
	Encodings []Encoding // in the publisher's order; at least one, all of one codec
}

// Encoding is one stream of a track.
type Encoding struct {
	RID    string        // empty for the only one of a track without simulcast
	Config uplink.Config // SSRC and RTXSSRC 0: found by MID and RID; Clock is the shard's
}

func (c Publish) apply(s *Shard, now time.Duration) {
	p := s.peers[c.ID]
	if p == nil || len(c.Encodings) == 0 {
		return
	}
	p.ext = mergeExt(p.ext, c.Ext)
	s.openTrack(now, newTrack(c, p), c.Primary)
}

// Unpublish ends a track; slots that show it run dry until assigned anew.
type Unpublish struct{ Track TrackID }

func (c Unpublish) apply(s *Shard, now time.Duration) {
	if t := s.tracks[c.Track]; t != nil {
		s.closeTrack(now, t)
	}
}

// Mute says that a track is silent or dark, or no longer: who is muted does not speak, whatever his audio level.
type Mute struct {
	Track TrackID
	Muted bool
}

func (c Mute) apply(s *Shard, now time.Duration) {
	if t := s.tracks[c.Track]; t != nil {
		s.mute(now, t, c.Muted)
	}
}

// OpenSlot opens receive slot number Slot of a peer; numbers rise from 0 without holes. A number that is open already
// is opened anew and shows nothing: another m-line has its place.
type OpenSlot struct {
	ID     PeerID
	Slot   int
	Video  bool
	Ext    handshake.ExtensionIDs
	CNAME  string
	CCFB   bool // the client tells what has come by the slot's own numbers (RFC 8888)
	Config downlink.Config
}

func (c OpenSlot) apply(s *Shard, now time.Duration) {
	p := s.peers[c.ID]
	if p == nil || c.Slot > len(p.slots) {
		return
	}
	if p.opened[c.Config.SSRC] || p.opened[c.Config.RTXSSRC] || p.opened[c.Config.FECSSRC] {
		s.log.Error("a slot cannot begin anew on the same SSRC", "peer", p.id, "slot", c.Slot) // it would use nonces twice
		return
	}
	p.opened[c.Config.SSRC] = true
	for _, ssrc := range [...]uint32{c.Config.RTXSSRC, c.Config.FECSSRC} {
		if ssrc != 0 {
			p.opened[ssrc] = true
		}
	}
	p.ext = mergeExt(p.ext, c.Ext)
	sl := &slot{
		owner: p, down: downlink.New(c.Config), cname: c.CNAME, layer: codec.Everything,
		index: uint16(c.Slot), numbered: c.Config.TransportSeqID != 0 || c.CCFB,
	}
	if c.CCFB && s.cfg.Congestion != nil {
		sl.own = new([2]ownNumbers)
	}
	for _, pt := range c.Config.Payloads {
		if int(pt.Codec) < codec.Count && pt.PayloadType != 0 {
			sl.decodes[pt.Codec] = true
			sl.prefers = append(sl.prefers, pt.Codec)
		}
	}
	if c.Video {
		sl.class = video
	} else {
		sl.ear = &ear{byPackets: sl.numbered && s.cfg.Congestion != nil, again: c.Config.NACK}
		sl.down.SetRedundancy(p.hearing.mode)
		p.hearing.repair = 0
		p.hearing.lossyTo = max(p.hearing.lossyTo, now+losslessNew)
		p.hearing.setLossless(p, false)
	}
	if p.sealer != nil {
		sl.down.Ready(p.keyed)
	}
	if c.Slot < len(p.slots) {
		s.suspect = p
		old := p.slots[c.Slot]
		s.leave(now, old)
		old.down.Assign(now, nil, 0) // it may wait in a ready queue, and has nothing for it any more
		delete(p.byOut, old.down.Config().SSRC)
		p.slots[c.Slot] = sl
	} else {
		p.slots = append(p.slots, sl)
	}
	p.byOut[c.Config.SSRC] = sl
	s.openCongestion(now, p, sl)
}

// Assign makes a slot show a track, 0 for none, as large as View says. CSRC names the participant to the receiver. The shard
// decides which encoding and layer of the track that is, and changes it as the track changes.
type Assign struct {
	ID       PeerID
	Slot     int
	Track    TrackID
	CSRC     uint32
	View     ladder.View
	Kind     alloc.Kind // what a video shows, and how much the client wants it: where bits are short
	Priority uint32
}

func (c Assign) apply(s *Shard, now time.Duration) {
	p := s.peers[c.ID]
	if p == nil || c.Slot >= len(p.slots) {
		return
	}
	sl := p.slots[c.Slot]
	sl.kind, sl.priority = c.Kind, c.Priority
	s.assignTrack(now, sl, s.tracks[c.Track], c.CSRC, c.View)
}

// Query runs a function inside the loop, for figures and health checks; it must be short.
type Query struct{ Run func(s *Shard) }

func (c Query) apply(s *Shard, _ time.Duration) { c.Run(s) }

func mergeExt(have, more handshake.ExtensionIDs) handshake.ExtensionIDs {
	if more.MID != 0 {
		have.MID = more.MID
	}
	if more.TransportSeq != 0 {
		have.TransportSeq = more.TransportSeq
	}
	if more.AudioLevel != 0 {
		have.AudioLevel = more.AudioLevel
	}
	if more.ColorSpace != 0 {
		have.ColorSpace = more.ColorSpace
	}
	if more.RID != 0 {
		have.RID = more.RID
	}
	if more.RepairedRID != 0 {
		have.RepairedRID = more.RepairedRID
	}
	if more.Descriptor != 0 {
		have.Descriptor = more.Descriptor
	}
	if more.AbsSendTime != 0 {
		have.AbsSendTime = more.AbsSendTime
	}
	return have
}

// remove takes a peer out of every table.
func (s *Shard) remove(p *peer) {
	if p.gone {
		return
	}
	p.gone = true
	s.stats.Handshake.Add(p.handshakeStats())
	s.stats.PeerTime += p.inCall(s.now())
	if s.peers[p.id] == p {
		delete(s.peers, p.id)
	}
	if s.far[p.id] == p {
		delete(s.far, p.id)
	}
	s.wheel.disarm(&p.timer)
	s.restGate(p)
	for _, held := range s.gate.Forget(p.id) {
		held.refuse()
	}
	for _, c := range p.credentials {
		delete(s.ufrags, c.ufrag)
	}
	for _, a := range p.allowed {
		s.forgetSource(p, a)
	}
	s.endCheck(p)
	now := s.now()
	for _, sl := range p.slots { // by hand: what a fault has broken is not asked to do anything more
		s.leave(now, sl)
	}
	s.leaveRoom(now, p)
	for len(p.uplinks) > 0 {
		s.closeTrack(now, p.uplinks[0].track)
	}
	for c := range s.ready {
		s.ready[c].drop(p)
	}
}
