package sfu

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/tolkyn/tolkyn/sfu/internal/downlink"
	"github.com/tolkyn/tolkyn/sfu/internal/handshake"
	"github.com/tolkyn/tolkyn/sfu/internal/plan"
	"github.com/tolkyn/tolkyn/sfu/internal/shard"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// maxTracks of one peer: microphone, camera, a screen and its sound, four times over. Whoever joins is told of all tracks
// in the room, in one frame.
const maxTracks = 16

// Peer is one client's media session. All methods are safe from any goroutine; those that negotiate or change the room
// wait for their turn.
type Peer struct {
	// Fixed after Join.
	sfu  *SFU
	room *room
	core *core // where its media is, for its whole life
	id   shard.PeerID
	req  JoinRequest
	hs   *handshake.Peer
	// What the device should publish and takes.
	maxVideos int
	maxHeight uint32

	// Owned by the room's loop.
	paused bool                 // it wants no video
	layers map[string]SlotLayer // what LayersChanged told last, by mid

	// Held while pion negotiates: one offer at a time.
	negotiating sync.Mutex
	policy      handshake.Policy // guarded by it

	// Guarded by SFU.ufrags.
	ufrags       []string // newest last, as many as its shard keeps
	ufragsClosed bool     // it has left: there will be no more

	// Guarded by mu.
	mu       sync.Mutex
	tracks   map[string]publication // by track id
	slots    [2][]peerSlot          // audio, video, each by the index that the handshake gave it
	opened   int                    // numbers given to slots on the shard
	joining  bool                   // Join has not returned: it will see to the end of a peer that departs meanwhile
	departed bool
}

// publication is one published track: its m-line, which carries no other, and its name on the shard.
type publication struct {
	mid    string
	track  shard.TrackID
	video  bool
	backup bool // of another track: the room does not know it
	// What its shard was told, and the shards where it is watched besides.
	published shard.Publish
	mirrors   []*core
}

// peerSlot is one receive slot: its m-line and its number on the shard.
type peerSlot struct {
	mid    string // empty while its m-line is stopped
	number int
}

// join makes the peer known to the shard, answers its offer and enters the room.
func (p *Peer) join(ctx context.Context) (Joined, error) {
	var err error
	p.hs, err = p.core.engine.NewPeer(p.core.shard, handshake.Hooks{
		Keys: func(k handshake.Keys) {
			p.core.shard.Post(shard.Keys{ID: p.id, Local: k.Local, Remote: k.Remote})
		},
		Wrote: func() { p.core.shard.Post(shard.Wrote{ID: p.id}) },
		LocalCredentials: func(ufrag, pwd string) {
			p.sfu.ufrags.add(p, ufrag)
			p.core.shard.Post(shard.LocalCredentials{ID: p.id, Ufrag: ufrag, Pwd: pwd})
		},
		Failed: func(err error) {
			p.sfu.log.Info("media session failed", "peer_id", p.ID(), "err", err)
			p.sfu.gone(p.id, shard.Fault)
		},
	})
	if err != nil {
		return Joined{}, fmt.Errorf("join room %q: %w", p.req.Room, err)
	}
	if !p.sfu.know(p) {
		return Joined{}, ErrClosed
	}
	p.core.shard.Post(shard.AddPeer{ID: p.id, Room: p.room.id, Handshake: p.hs})

	answer, tracks, _, err := p.negotiate(ctx, p.req.Offer, p.req.Tracks, p.req.Profile)
	if err != nil {
		return Joined{}, err
	}
	audio, video := p.openNow()
	out := p.room.do(p, plan.Join{
		Peer: planID(p.id), Identity: p.req.Identity, Name: p.req.Name,
		CanPublish: p.req.Publish, CanSubscribe: p.req.Subscribe,
		Tracks: tracks, AudioSlots: len(audio), VideoSlots: len(video),
		MaxVideos: p.maxVideos, MaxHeight: p.maxHeight,
	})
	if out.rejected != nil {
		return Joined{}, fmt.Errorf("join room %q: %w", p.req.Room, out.rejected)
	}
	return Joined{PeerID: p.ID(), Answer: answer, Peers: out.peers, Slots: out.slots, Size: out.size}, nil
}

// arrive ends a join: well, or with everything undone when it failed or the peer had to depart meanwhile.
func (p *Peer) arrive(failed error) error {
	p.mu.Lock()
	p.joining = false
	if failed == nil && p.departed {
		failed = ErrGone
	}
	p.departed = p.departed || failed != nil
	p.mu.Unlock()
	if failed == nil {
		return nil
	}
	p.room.do(p, plan.Leave{Peer: planID(p.id)}) // a peer that the room does not know is fine
	p.dismantle()
	return failed
}

// negotiate answers an offer and tells the shard what is new in it: uplinks for the tracks, receive slots. It returns the
// tracks published, and the ids of those that they took the place of: a track of the same id or on the same m-line.
func (p *Peer) negotiate(ctx context.Context, offer string, tracks []Track, profile Profile) (sdp string, published []plan.Track, replaced []string, err error) {
	p.negotiating.Lock()
	defer p.negotiating.Unlock()
	if err := p.core.admit(ctx, p.id); err != nil {
		return "", nil, nil, err
	}
	defer p.core.shard.Post(shard.Wrote{ID: p.id})
	policy := p.policy
	if profile != 0 {
		policy.Saver = profile == SaverProfile
	}
	answer, err := p.hs.Answer(ctx, offer, policy, func(sending map[string]bool) error {
		if err := checkTracks(sending, tracks); err != nil {
			return err
		}
		return p.mayPublish(tracks)
	})
	if err != nil {
		return "", nil, nil, offerError(err)
	}
	p.policy = policy
	p.core.shard.Post(shard.Save{ID: p.id, On: policy.Saver})
	p.core.shard.Post(shard.RemoteCredentials{ID: p.id, Ufrag: answer.RemoteUfrag, Pwd: answer.RemotePwd})
	lines := map[string]handshake.Published{}
	for _, line := range answer.Published {
		lines[line.MID] = line
	}
	published, replaced = p.publish(lines, tracks)
	if p.req.Subscribe {
		if p.closeSlots(answer.Ended) {
			p.resize() // before one of the places is taken again: what it showed goes elsewhere or is shown anew
		}
		p.openSlots(answer.Slots)
	}
	return answer.SDP, published, replaced, nil
}

// checkTracks holds tracks to the m-lines they name, before anything of the offer is done. sending tells by mid on which
// the client sends, and whether video.
func checkTracks(sending map[string]bool, tracks []Track) error {
	ids, mids := map[string]bool{}, map[string]bool{}
	for _, t := range tracks {
		video, ok := sending[t.MID]
		switch {
		case !ok:
			return fmt.Errorf("%w: track %q names mid %q, but the offer has no sending m-line of that mid", ErrBadOffer, t.ID, t.MID)
		case video != (t.Kind == Video):
			return fmt.Errorf("%w: track %q and its m-line %q are not of one kind", ErrBadOffer, t.ID, t.MID)
		case t.ID == "" || len(t.ID) > 64:
			return fmt.Errorf("%w: track ids have 1 to 64 bytes", ErrBadOffer)
		case t.BackupOf != "" && (!video || t.BackupOf == t.ID):
			return fmt.Errorf("%w: track %q cannot be a backup: it is of video, and of another track", ErrBadOffer, t.ID)
		case ids[t.ID] || mids[t.MID]:
			return fmt.Errorf("%w: track %q or its mid %q is named twice", ErrBadOffer, t.ID, t.MID)
		}
		ids[t.ID], mids[t.MID] = true, true
	}
	return nil
}

// mayPublish bounds the tracks of a peer, with those that would be new, and holds backups to what they stand in for.
func (p *Peer) mayPublish(tracks []Track) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(tracks)
	primaries := map[string]bool{}
	for _, t := range tracks {
		primaries[t.ID] = t.Kind == Video && t.BackupOf == ""
	}
	for id, u := range p.tracks {
		if slices.ContainsFunc(tracks, func(t Track) bool { return t.ID == id || t.MID == u.mid }) {
			continue
		}
		n++
		primaries[id] = u.video && !u.backup
	}
	for _, t := range tracks {
		if t.BackupOf != "" && !primaries[t.BackupOf] {
			return fmt.Errorf("%w: track %q is a backup of %q, which is no published video or a backup itself", ErrBadOffer, t.ID, t.BackupOf)
		}
	}
	if n > maxTracks {
		return fmt.Errorf("%w: %d tracks, at most %d are taken", ErrBadOffer, n, maxTracks)
	}
	return nil
}

// publish opens a track on the shard for each one on its m-line. The room hears of all but the backups.
func (p *Peer) publish(lines map[string]handshake.Published, tracks []Track) (published []plan.Track, replaced []string) {
	tracks = slices.Clone(tracks)
	slices.SortStableFunc(tracks, func(a, b Track) int { return cmp.Compare(a.BackupOf, b.BackupOf) }) // primaries first
	for _, t := range tracks {
		line := lines[t.MID]
		id := shard.TrackID(p.sfu.trackIDs.Add(1))
		p.mu.Lock()
		for old, u := range p.tracks {
			if old == t.ID || u.mid == t.MID {
				delete(p.tracks, old)
				if !u.backup {
					replaced = append(replaced, old)
				}
				p.end(u)
			}
		}
		primary := p.tracks[t.BackupOf]
		command := shard.Publish{
			ID: p.id, Track: id, Primary: primary.track, MID: line.MID, Ext: line.Ext,
			Voice: t.Source == Microphone, Muted: t.Muted, CCFB: line.CCFB, REMB: line.REMB, Encodings: encodings(line),
		}
		p.tracks[t.ID] = publication{mid: t.MID, track: id, video: t.Kind == Video, backup: t.BackupOf != "", published: command}
		p.core.shard.Post(command)
		for _, c := range primary.mirrors {
			p.mirror(t.ID, c)
		}
		p.mu.Unlock()
		if t.BackupOf == "" {
			published = append(published, plan.Track{ID: t.ID, Kind: plan.Kind(t.Kind), Source: plan.Source(t.Source), Muted: t.Muted})
		}
	}
	return published, replaced
}

// encodings lists the streams of an m-line.
func encodings(line handshake.Published) []shard.Encoding {
	var all []shard.Encoding
	for _, e := range line.Encodings {
		all = append(all, shard.Encoding{RID: e.RID, Config: uplink.Config{
			SSRC: e.SSRC, RTXSSRC: e.RTXSSRC,
			PayloadType: line.PayloadType, RTXPayloadType: line.RTXPayloadType, Codec: line.Codec,
			// Without RTX, what carries transport-cc is resent with a new number under the same nonce (seen with audio).
			NACK: line.NACK && (line.RTXPayloadType != 0 || !line.TransportCC),
			RED:  line.RED,
		}})
	}
	return all
}

// closeSlots forgets the receive slots whose m-lines have been stopped; true when there were any.
func (p *Peer) closeSlots(ended []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	any := false
	for kind := range p.slots {
		for i := range p.slots[kind] {
			if s := &p.slots[kind][i]; s.mid != "" && slices.Contains(ended, s.mid) {
				s.mid, any = "", true
			}
		}
	}
	return any
}

// openSlots opens the receive slots that the answer has and the shard does not. A slot whose m-line was stopped makes
// place for another of its kind, so that a client that recycles m-lines for ever holds no more than its limit.
func (p *Peer) openSlots(lines []handshake.Slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range lines {
		kind := 0
		if line.Video {
			kind = 1
		}
		for line.Index >= len(p.slots[kind]) {
			p.slots[kind] = append(p.slots[kind], peerSlot{number: p.opened})
			p.opened++
		}
		s := &p.slots[kind][line.Index]
		if s.mid == line.MID {
			continue
		}
		s.mid = line.MID
		p.core.shard.Post(shard.OpenSlot{ID: p.id, Slot: s.number, Video: line.Video, Ext: line.Ext, CNAME: line.CNAME, CCFB: line.CCFB, Config: slotConfig(line)})
	}
}

// resize tells the room which slots are open now.
func (p *Peer) resize() {
	audio, video := p.openNow()
	p.room.do(p, plan.Resize{Peer: planID(p.id), Audio: audio, Video: video})
}

func slotConfig(line handshake.Slot) downlink.Config {
	var start [10]byte
	rand.Read(start[:])
	cfg := downlink.Config{
		SSRC: line.SSRC, RTXSSRC: line.RTXSSRC, Video: line.Video,
		AudioLevelID: line.Ext.AudioLevel, ColorSpaceID: line.Ext.ColorSpace, DescriptorID: line.Ext.Descriptor,
		Mixed: line.Mixed, NACK: line.NACK, RED: line.RED,
		FirstSequence: binary.BigEndian.Uint16(start[:2]), FirstRTXSequence: binary.BigEndian.Uint16(start[2:4]),
		FirstTimestamp: binary.BigEndian.Uint32(start[4:]),
	}
	if line.FEC != 0 && line.TransportCC { // without feedback by packets nobody knows whether loss is random
		cfg.FEC, cfg.FECSSRC = line.FEC, line.FECSSRC
		cfg.FirstFECSequence = binary.BigEndian.Uint16(start[8:])
	}
	if line.TransportCC {
		cfg.TransportSeqID = line.Ext.TransportSeq
	}
	for _, pt := range line.Payloads {
		cfg.Payloads = append(cfg.Payloads, downlink.Payload{Codec: pt.Codec, PayloadType: pt.PayloadType, RTXPayloadType: pt.RTXPayloadType})
	}
	return cfg
}

func offerError(err error) error {
	switch {
	case errors.Is(err, ErrBadOffer):
		return err
	case errors.Is(err, handshake.ErrNoCodec):
		return fmt.Errorf("%w: %w", ErrUnsupportedCodec, err)
	case errors.Is(err, handshake.ErrClosed):
		return ErrGone
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	default:
		return fmt.Errorf("%w: %w", ErrBadOffer, err)
	}
}

// ID is the peer's id in its room, as others see it.
func (p *Peer) ID() string { return idString(planID(p.id)) }

// Negotiate answers a later offer: new or recycled m-lines, or an ICE restart. tracks describes the sending m-lines that
// are new; those already published stay. profile is what sound may cost from now on. Errors as in Join, and ErrGone.
func (p *Peer) Negotiate(ctx context.Context, offer string, tracks []Track, profile Profile) (answer string, err error) {
	if len(tracks) > 0 && !p.req.Publish {
		return "", fmt.Errorf("%w: publish tracks", ErrForbidden)
	}
	if !p.use() {
		return "", ErrGone
	}
	defer p.sfu.exit(p.room)
	answer, published, replaced, err := p.negotiate(ctx, offer, tracks, profile)
	if err != nil {
		return "", err
	}
	p.resize()
	if len(replaced) > 0 {
		p.room.do(p, plan.Unpublish{Peer: planID(p.id), IDs: replaced}) // their slots show nothing any more
	}
	if len(published) > 0 {
		if out := p.room.do(p, plan.Publish{Peer: planID(p.id), Tracks: published}); out.rejected != nil {
			return "", out.rejected
		}
	}
	return answer, nil
}

// Unpublish ends tracks by id. ErrNotFound when one is unknown (the others still end).
func (p *Peer) Unpublish(_ context.Context, ids []string) error {
	p.mu.Lock()
	known := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return p.tracks[id].backup })
	p.mu.Unlock()
	err := p.command(plan.Unpublish{Peer: planID(p.id), IDs: known})
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		if u, ok := p.tracks[id]; ok {
			delete(p.tracks, id)
			p.end(u)
		}
	}
	return err
}

// PathStats is what is known of the way to one peer.
type PathStats = shard.PathStats

// Path returns what is known of the way to the peer, as its feedback tells; ok is false while that is nothing.
func (p *Peer) Path() (st PathStats, ok bool) { return p.core.shard.Path(p.id) }

// Subscribe replaces what the peer wants to see. Wishes about peers or tracks that are not in the room wait for them.
func (p *Peer) Subscribe(_ context.Context, s Subscription) error {
	c := plan.Subscribe{Peer: planID(p.id), VideoPaused: s.VideoPaused, LastN: s.LastN}
	for _, w := range s.Wishes {
		id, err := parseID(w.PeerID)
		if err != nil {
			return fmt.Errorf("%w: peer %q", ErrNotFound, w.PeerID)
		}
		c.Wishes = append(c.Wishes, plan.Wish{
			Peer: id, Track: w.TrackID, Hidden: w.Hidden, Priority: w.Priority, Width: w.Width, Height: w.Height,
		})
	}
	return p.command(c)
}

// Mute tells the room that a track of this peer is silent or dark (or no longer).
func (p *Peer) Mute(_ context.Context, trackID string, muted bool) error {
	if err := p.command(plan.Mute{Peer: planID(p.id), ID: trackID, Muted: muted}); err != nil {
		return err
	}
	p.core.shard.Post(shard.Mute{Track: p.track(trackID, p.core), Muted: muted})
	return nil
}

// State returns what Joined would say now, without the answer: for a session that lost its events.
func (p *Peer) State(context.Context) (Joined, error) {
	if !p.use() {
		return Joined{}, ErrGone
	}
	defer p.sfu.exit(p.room)
	out := p.room.do(p, nil)
	return Joined{PeerID: p.ID(), Peers: out.peers, Slots: out.slots, Size: out.size}, nil
}

// Roster returns a page of the room's peers, in join order: limit of them (1 to 64) behind the peer named after, from the
// beginning when that is empty or has left. Events tell of those on the page from then on.
func (p *Peer) Roster(_ context.Context, after string, limit int) (RosterPage, error) {
	c := plan.Page{Peer: planID(p.id), Limit: limit}
	if after != "" {
		id, err := parseID(after)
		if err != nil {
			return RosterPage{}, fmt.Errorf("%w: peer %q", ErrNotFound, after)
		}
		c.After = id
	}
	if !p.use() {
		return RosterPage{}, ErrGone
	}
	defer p.sfu.exit(p.room)
	out := p.room.do(p, c)
	return RosterPage{Peers: out.peers, Size: out.size, More: out.more}, out.rejected
}

// Leave ends the media session; others see PeerLeft. Idempotent.
func (p *Peer) Leave(context.Context) error {
	p.depart(0)
	return nil
}

func (p *Peer) command(c plan.Command) error {
	if !p.use() {
		return ErrGone
	}
	defer p.sfu.exit(p.room)
	return p.room.do(p, c).rejected
}

// use counts a use of the room, which must not end under it; false once the peer has departed.
func (p *Peer) use() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.departed {
		return false
	}
	p.sfu.mu.Lock()
	p.room.users++
	p.sfu.mu.Unlock()
	return true
}

// depart takes the peer out of its room and off its shard; with a reason its client is told.
func (p *Peer) depart(reason GoneReason) {
	if !p.ends() {
		return
	}
	p.room.do(p, plan.Leave{Peer: planID(p.id)})
	p.tidy(reason)
}

// ends marks the peer as departed; true when the caller has to see to the rest.
func (p *Peer) ends() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := !p.departed
	p.departed = true
	return first && !p.joining
}

// evicted is depart for a peer that the plan has already taken out; called from the room's loop, which must not wait.
func (p *Peer) evicted() {
	if p.ends() {
		p.sfu.wg.Go(func() { p.tidy(GoneReplaced) })
	}
}

func (p *Peer) tidy(reason GoneReason) {
	if reason != 0 {
		p.req.Events(Gone{reason})
	}
	p.sfu.log.Info("peer left", "room_id", p.req.Room, "peer_id", p.ID(), "reason", reason)
	p.dismantle()
}

// dismantle frees what join made, whether or not it came to its end. Called once, by whoever ended the peer.
func (p *Peer) dismantle() {
	p.mu.Lock()
	for _, u := range p.tracks {
		p.end(u)
	}
	clear(p.tracks)
	p.mu.Unlock()
	p.sfu.ufrags.remove(p)
	removed := make(chan struct{})
	if p.core.shard.Post(shard.RemovePeer{ID: p.id, Done: removed}) {
		p.core.shard.Await(removed)
	}
	if p.hs != nil {
		p.hs.Close()
	}
	p.sfu.expel(p)
}

// track returns what the shard of core c knows a track by, 0 for one that has ended. A track that was published on another
// shard is made known there.
func (p *Peer) track(id string, c *core) shard.TrackID {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c != p.core {
		p.mirror(id, c)
	}
	return p.tracks[id].track
}

// mirror makes a track known on another shard, and all its backups. Guarded by mu.
func (p *Peer) mirror(id string, c *core) {
	u, ok := p.tracks[id]
	if !ok || slices.Contains(u.mirrors, c) {
		return
	}
	u.mirrors = append(u.mirrors, c)
	p.tracks[id] = u
	c.shard.Post(shard.Mirror{Publish: u.published, From: p.core.shard})
	for backup, b := range p.tracks {
		if b.published.Primary == u.track {
			p.mirror(backup, c)
		}
	}
}

// end ends a track on all shards that know it.
func (p *Peer) end(u publication) {
	p.core.shard.Post(shard.Unpublish{Track: u.track})
	for _, c := range u.mirrors {
		c.shard.Post(shard.Unpublish{Track: u.track})
	}
}

// trackID is the client's name for a track of its own on the shard; false for one that has ended.
func (p *Peer) trackID(track shard.TrackID) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, u := range p.tracks {
		if u.track == track {
			return id, true
		}
	}
	return "", false
}

// slotLayers names the m-lines of what the shard tells of video slots.
func (p *Peer) slotLayers(slots []shard.SlotLayer) []SlotLayer {
	p.mu.Lock()
	defer p.mu.Unlock()
	mids := map[int]string{}
	for _, s := range p.slots[1] {
		mids[s.number] = s.mid
	}
	var all []SlotLayer
	for _, s := range slots {
		if mid := mids[s.Slot]; mid != "" {
			all = append(all, SlotLayer{
				MID: mid, Width: int(s.Width), Height: int(s.Height), Encoding: s.Encoding, Layer: s.Layer, Bitrate: int(s.Bits),
				Limit: Limit(s.Limit),
			})
		}
	}
	return all
}

// videoMIDs are the m-lines of the video slots, by index; empty for one that is closed.
func (p *Peer) videoMIDs() (mids []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.slots[1] {
		mids = append(mids, s.mid)
	}
	return mids
}

// openNow tells of each slot whether it is open.
func (p *Peer) openNow() (audio, video []bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var open [2][]bool
	for kind, slots := range p.slots {
		for _, s := range slots {
			open[kind] = append(open[kind], s.mid != "")
		}
	}
	return open[0], open[1]
}

func (p *Peer) slotNumber(video bool, i int) (int, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kind := 0
	if video {
		kind = 1
	}
	if i >= len(p.slots[kind]) {
		return 0, false
	}
	return p.slots[kind][i].number, true
}

// slotInfos names the m-line of each slot.
func (p *Peer) slotInfos(m plan.SlotMap) []SlotInfo {
	p.mu.Lock()
	defer p.mu.Unlock()
	var infos []SlotInfo
	for kind, refs := range [2][]plan.TrackRef{m.Audio, m.Video} {
		for i, ref := range refs {
			if i >= len(p.slots[kind]) {
				break
			}
			info := SlotInfo{MID: p.slots[kind][i].mid}
			if info.MID == "" {
				continue
			}
			if ref.Peer != 0 {
				info.PeerID, info.TrackID = idString(ref.Peer), ref.ID
			}
			infos = append(infos, info)
		}
	}
	return infos
}

// event translates what the plan tells into what signaling hears.
func (p *Peer) event(e plan.Event) Event {
	switch e := e.(type) {
	case plan.PeerJoined:
		return PeerJoined{peerInfo(e.Peer)}
	case plan.PeerLeft:
		return PeerLeft{idString(e.Peer)}
	case plan.TrackPublished:
		return TrackPublished{idString(e.Peer), track(e.Track)}
	case plan.TrackUnpublished:
		return TrackUnpublished{idString(e.Peer), track(e.Track)}
	case plan.TrackMuted:
		return TrackMuted{idString(e.Peer), track(e.Track)}
	case plan.SlotsChanged:
		changed := SlotsChanged{Slots: p.slotInfos(e.Slots)}
		if len(e.Peers) > 0 {
			changed.Peers = peerInfos(e.Peers)
		}
		return changed
	case plan.RosterChanged:
		return RosterChanged{e.Size}
	case plan.SpeakersChanged:
		changed := SpeakersChanged{Speakers: make([]Speaker, len(e.Speakers))}
		for i, s := range e.Speakers {
			changed.Speakers[i] = Speaker{PeerID: idString(s.Peer), Level: s.Level}
		}
		return changed
	}
	return nil
}

func peerInfos(in []plan.PeerInfo) []PeerInfo {
	out := make([]PeerInfo, len(in))
	for i, p := range in {
		out[i] = peerInfo(p)
	}
	return out
}

func peerInfo(p plan.PeerInfo) PeerInfo {
	info := PeerInfo{ID: idString(p.Peer), Identity: p.Identity, Name: p.Name}
	for _, t := range p.Tracks {
		info.Tracks = append(info.Tracks, track(t))
	}
	return info
}

func track(t plan.Track) Track {
	return Track{ID: t.ID, Kind: TrackKind(t.Kind), Source: TrackSource(t.Source), Muted: t.Muted}
}

func idString(id plan.PeerID) string { return strconv.FormatUint(uint64(id), 36) }

func parseID(s string) (plan.PeerID, error) {
	id, err := strconv.ParseUint(s, 36, 64)
	return plan.PeerID(id), err
}
