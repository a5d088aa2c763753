package plan

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestAnyCommands checks, after every command of any sequence, what must always hold; that a second room given the same
// commands has the same effects; that the effects replayed give the maps the room has; and that nobody hears of a peer of
// whom he has not been told. The rooms are large above 4 peers.
func TestAnyCommands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		room, twin := New(Config{MaxPeers: 7}), New(Config{MaxPeers: 7})
		room.roster.bounds = bounds{small: 4, again: 3, page: 2, known: 3}
		twin.roster.bounds = room.roster.bounds
		replayed, clients := map[PeerID]*SlotMap{}, map[PeerID]*listener{}
		held, now := map[holding]time.Duration{}, time.Duration(0)
		for range rapid.IntRange(1, 60).Draw(t, "commands") {
			now += time.Duration(rapid.SampledFrom([]int{0, 0, 100, 700, 1000, 2500}).Draw(t, "ms")) * time.Millisecond
			command := anyCommand(t)
			before, stage, since := map[PeerID]SlotMap{}, room.speech.stage, room.speech.since
			for _, p := range room.order {
				before[p.id] = room.Slots(p.id)
			}
			effects := room.Step(now, command)
			require.Equal(t, effects, twin.Step(now, command))
			require.Equal(t, room.Next(), twin.Next())
			if next := room.Next(); next != 0 {
				require.Greater(t, next, now, "what is due has been done")
			}
			replay(t, replayed, room, effects)
			for _, p := range room.order {
				checkSlots(t, room, p, false)
				require.Equal(t, room.Slots(p.id), *replayed[p.id])
				if now, was := room.Slots(p.id), before[p.id]; was.Audio != nil && !wishing(command, p.id) {
					checkStable(t, was.Audio, now.Audio)
					checkStable(t, was.Video, now.Video)
				}
			}
			for _, p := range room.order {
				checkHeld(t, room, p, held, now, before[p.id], wishing(command, p.id))
			}
			require.Len(t, replayed, room.Len())
			if stage != nil && room.speech.stage != stage && room.peers[stage.id] == stage && stage.source(Microphone) != nil {
				require.GreaterOrEqual(t, now, since+stageHold, "on stage for a moment only")
			}
			listen(t, room, clients, now, command, effects)
		}
		// After the longest hold nobody waits for a slot that he should have.
		for range 3 {
			now += 3 * time.Second
			effects := room.Step(now, Tick{})
			replay(t, replayed, room, effects)
			listen(t, room, clients, now, Tick{}, effects)
		}
		require.Zero(t, room.Next())
		require.Empty(t, room.Step(now+time.Hour, Tick{}))
		for _, p := range room.order {
			checkSlots(t, room, p, true)
		}
	})
}

func anyCommand(t *rapid.T) Command {
	peer := PeerID(rapid.IntRange(1, 9).Draw(t, "peer"))
	count := rapid.IntRange(0, 4)
	switch rapid.IntRange(0, 13).Draw(t, "command") {
	case 0, 1, 2:
		return Join{
			Peer: peer, Identity: rapid.SampledFrom([]string{"", "", "a", "b", "c", "d", "e"}).Draw(t, "identity"),
			CanPublish: rapid.IntRange(0, 4).Draw(t, "publish") > 0, CanSubscribe: rapid.IntRange(0, 4).Draw(t, "subscribe") > 0,
			Tracks: anyTracks(t), AudioSlots: count.Draw(t, "audio"), VideoSlots: count.Draw(t, "video"),
			MaxVideos: rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "videos"), MaxHeight: uint32(count.Draw(t, "height")) / 4 * 360,
		}
	case 3:
		return Leave{Peer: peer}
	case 4, 5:
		return Publish{Peer: peer, Tracks: anyTracks(t)}
	case 6:
		var ids []string
		for _, track := range anyTracks(t) {
			ids = append(ids, track.ID)
		}
		return Unpublish{Peer: peer, IDs: ids}
	case 7:
		return Mute{Peer: peer, ID: "mic0", Muted: rapid.Bool().Draw(t, "muted")}
	case 8:
		open := rapid.SliceOfN(rapid.Bool(), 0, 4)
		return Resize{Peer: peer, Audio: open.Draw(t, "audio"), Video: open.Draw(t, "video")}
	case 9, 10:
		var s Speak
		for range rapid.IntRange(0, 6).Draw(t, "speakers") {
			s.Speakers = append(s.Speakers, Speaker{Peer: PeerID(rapid.IntRange(1, 9).Draw(t, "speaker")), Level: 90})
		}
		return s
	case 11:
		return Page{Peer: peer, After: PeerID(rapid.IntRange(0, 9).Draw(t, "after")), Limit: rapid.IntRange(-1, 3).Draw(t, "limit")}
	case 12:
		return Tick{}
	default:
		s := Subscribe{Peer: peer, VideoPaused: rapid.IntRange(0, 4).Draw(t, "paused") == 0, LastN: count.Draw(t, "last")}
		for range rapid.IntRange(0, 5).Draw(t, "wishes") {
			s.Wishes = append(s.Wishes, Wish{
				Peer:     PeerID(rapid.IntRange(1, 9).Draw(t, "wished")),
				Track:    rapid.SampledFrom([]string{"", "", "mic0", "cam0", "screen1"}).Draw(t, "track"),
				Hidden:   rapid.Bool().Draw(t, "hidden"),
				Priority: uint32(rapid.IntRange(0, 2).Draw(t, "priority")),
				Width:    uint32(rapid.IntRange(0, 2).Draw(t, "size")) * 640, Height: uint32(rapid.IntRange(0, 2).Draw(t, "size")) * 360,
			})
		}
		return s
	}
}

func anyTracks(t *rapid.T) []Track {
	var list []Track
	for range rapid.IntRange(0, 3).Draw(t, "tracks") {
		name := rapid.SampledFrom([]string{"mic", "mic", "cam", "screen", "sound"}).Draw(t, "source")
		track := tracks([]string{name})[0]
		track.ID += fmt.Sprint(rapid.IntRange(0, 1).Draw(t, "number"))
		list = append(list, track)
	}
	return list
}

// replay carries effects out on plain maps, as the shard would.
func replay(t *rapid.T, maps map[PeerID]*SlotMap, room *Room, effects []Effect) {
	type place struct {
		peer  PeerID
		video bool
		slot  int
	}
	assigned, told := map[place]bool{}, map[PeerID]SlotMap{}
	for _, p := range room.order {
		m := maps[p.id]
		if m == nil {
			m = &SlotMap{}
			maps[p.id] = m
		}
		for size := len(room.Slots(p.id).Audio); len(m.Audio) < size; {
			m.Audio = append(m.Audio, TrackRef{})
		}
		for size := len(room.Slots(p.id).Video); len(m.Video) < size; {
			m.Video = append(m.Video, TrackRef{})
		}
		if m.Audio == nil {
			m.Audio = []TrackRef{}
		}
		if m.Video == nil {
			m.Video = []TrackRef{}
		}
	}
	for id := range maps {
		if room.peers[id] == nil {
			delete(maps, id)
		}
	}
	for _, e := range effects {
		switch e := e.(type) {
		case Assign:
			at := place{e.Peer, e.Video, e.Slot}
			require.False(t, assigned[at], "assigned twice in one step")
			assigned[at] = true
			list := maps[e.Peer].Audio
			if e.Video {
				list = maps[e.Peer].Video
			}
			list[e.Slot] = TrackRef{}
			if e.Track != nil {
				list[e.Slot] = *e.Track
				require.Equal(t, room.viewOf(room.peers[e.Peer], *e.Track, e.Video), e.View)
			}
		case Tell:
			require.Contains(t, maps, e.Peer, "told a peer that is not here")
			if s, ok := e.Event.(SlotsChanged); ok {
				require.NotContains(t, told, e.Peer)
				told[e.Peer] = s.Slots
			}
		}
	}
	for id, m := range told {
		require.Equal(t, *maps[id], m)
	}
}

// viewOf is the view by a second road: from what the wishes say.
func (r *Room) viewOf(p *peer, ref TrackRef, video bool) View {
	if !video {
		return View{}
	}
	v := &p.receive
	var view View
	priority := uint32(0)
	named := func(id string) bool {
		for _, w := range v.wanted { // best first
			if w.Peer == ref.Peer && w.Track == id {
				view.Width, view.Height, priority = w.Width, w.Height, w.Priority
				return true
			}
		}
		return false
	}
	if !named(ref.ID) {
		named("")
	}
	switch {
	case ref.ID[:3] == "scr":
		view.Detail = true
	case v.maxHeight > 0 && view.Height == 0:
		view = View{Height: v.maxHeight, Limited: true}
	case v.maxHeight > 0 && view.Height > v.maxHeight:
		view = View{Width: view.Width * v.maxHeight / view.Height, Height: v.maxHeight, Limited: true}
	}
	view.Priority = priority
	last := r.speech.stage
	if last != nil && last.id == p.id {
		last = r.speech.before
	}
	view.Speaks = ref.ID[:3] == "cam" && last != nil && last.id == ref.Peer
	return view
}

// checkSlots: never oneself, nothing twice, nothing hidden, nothing that ended; no more videos than the client and its
// device want; a free slot means that nobody waits. When all holds are over: nobody waits who has a greater claim than one
// who has a slot, and who is on stage is in slots 0.
func checkSlots(t *rapid.T, room *Room, p *peer, over bool) {
	v := &p.receive
	shown := map[TrackRef]bool{}
	for kind, s := range map[Kind]*slots{Audio: &v.audio, Video: &v.video} {
		least, used, open := claim{rank: 1 << 30}, 0, 0
		for i, track := range s.now {
			if s.closed[i] {
				require.Nil(t, track, "shown in a slot that is closed")
				continue
			}
			open++
			if track == nil {
				continue
			}
			used++
			require.NotEqual(t, p, track.owner)
			require.False(t, shown[track.ref()])
			require.Equal(t, kind, track.Kind)
			require.Same(t, track.owner, room.peers[track.owner.id])
			require.Same(t, track, track.owner.track(track.ID))
			require.NotEqual(t, hidden, v.rank(track))
			shown[track.ref()] = true
			if c := v.claim(track); c.compare(least) < 0 {
				least = c
			}
		}
		require.Equal(t, used, s.used)
		most := open
		if kind == Video {
			for _, bound := range []int{v.maxVideos, v.lastN} {
				if bound > 0 {
					most = min(most, bound)
				}
			}
			if v.paused {
				most = 0
			}
		}
		require.LessOrEqual(t, used, most)
		for _, other := range room.order {
			for _, track := range other.published {
				if other == p || track.Kind != kind || shown[track.ref()] || v.rank(track) == hidden {
					continue
				}
				require.Equal(t, most, used, "%v waits beside a free slot", track.ref())
				if c := v.claim(track); used > 0 && (over || c.rank > least.rank) {
					require.LessOrEqual(t, c.compare(least), 0, "%v waits below its claim", track.ref())
				}
			}
		}
		if source := []Source{Microphone, Camera}[kind-1]; room.stageOf(p) != nil && open > 0 && !s.closed[0] {
			if t0 := room.stageOf(p).source(source); t0 != nil && shown[t0.ref()] {
				require.Same(t, t0, s.now[0], "not on stage")
			}
		}
	}
	require.Len(t, v.where, len(shown))
}

// checkStable: what is in both maps is in the same slot, save what went to slot 0 or had to go from there.
func checkStable(t *rapid.T, before, after []TrackRef) {
	for i, ref := range before {
		if at := slices.Index(after, ref); ref != (TrackRef{}) && at >= 0 && at != i {
			require.True(t, at == 0 || i == 0, "moved")
		}
	}
}

// holding is a track in a slot of a peer.
type holding struct {
	peer  *peer
	track *track
}

// checkHeld: of those who had a slot, and would have it still for all that their publishers and the receiver did, nobody
// lost it before his time. held says since when each has his.
func checkHeld(t *rapid.T, room *Room, p *peer, held map[holding]time.Duration, now time.Duration, before SlotMap, wishing bool) {
	for _, ref := range slices.Concat(before.Audio, before.Video) {
		if room.peers[ref.Peer] == nil {
			continue
		}
		track := room.peers[ref.Peer].track(ref.ID)
		if track == nil {
			continue
		}
		h := holding{p, track}
		since, is := held[h]
		if _, has := p.receive.where[track]; has || !is {
			continue
		}
		delete(held, h)
		if wishing || len(p.receive.wanted) > 0 {
			continue
		}
		if track.Kind == Video || track.Source == ScreenAudio || track.owner.speaks {
			require.GreaterOrEqual(t, now, since+map[Kind]time.Duration{Audio: audioHold, Video: videoHold}[track.Kind])
		}
	}
	for track := range p.receive.where {
		if _, is := held[holding{p, track}]; !is {
			held[holding{p, track}] = now
		}
	}
}

// wishing says whether the command may move slots of the peer: its own wishes, slots it closed, or a join under its id.
func wishing(c Command, id PeerID) bool {
	switch c := c.(type) {
	case Subscribe:
		return c.Peer == id
	case Resize:
		return c.Peer == id
	case Join:
		return c.Peer == id
	default:
		return false
	}
}

// listener is what a client makes of its events.
type listener struct {
	known    map[PeerID]PeerInfo
	size     int
	sized    time.Duration // when it was told a size last; -1: never
	speakers time.Duration // likewise
}

// listen hands the events to the clients, and checks that they know whom they are told of, and know him as he is.
func listen(t *rapid.T, room *Room, clients map[PeerID]*listener, now time.Duration, c Command, effects []Effect) {
	for id := range clients {
		if room.peers[id] == nil {
			delete(clients, id)
		}
	}
	joiner := PeerID(0)
	if j, ok := c.(Join); ok && clients[j.Peer] == nil && room.peers[j.Peer] != nil {
		joiner = j.Peer
		l := &listener{known: map[PeerID]PeerInfo{}, size: room.Len(), sized: -1, speakers: -1}
		for _, info := range room.Peers(j.Peer) {
			l.known[info.Peer] = info
		}
		clients[j.Peer] = l
		require.LessOrEqual(t, len(l.known), max(room.roster.small, room.roster.page, len(room.peers[j.Peer].receive.where)))
	}
	for _, e := range effects {
		tell, ok := e.(Tell)
		if !ok {
			continue
		}
		require.NotEqual(t, joiner, tell.Peer, "the answer tells the joiner")
		l := clients[tell.Peer]
		knows := func(id PeerID) { require.Contains(t, l.known, id, "%T about a stranger", tell.Event) }
		switch e := tell.Event.(type) {
		case PeerJoined:
			require.NotContains(t, l.known, e.Peer.Peer)
			l.known[e.Peer.Peer] = e.Peer
		case PeerLeft:
			knows(e.Peer)
			delete(l.known, e.Peer)
		case TrackPublished:
			knows(e.Peer)
			info := l.known[e.Peer]
			info.Tracks = append(slices.Clone(info.Tracks), e.Track)
			l.known[e.Peer] = info
		case TrackUnpublished:
			knows(e.Peer)
			info := l.known[e.Peer]
			info.Tracks = slices.DeleteFunc(slices.Clone(info.Tracks), func(t Track) bool { return t.ID == e.Track.ID })
			if len(info.Tracks) == 0 {
				info.Tracks = nil
			}
			l.known[e.Peer] = info
		case TrackMuted:
			knows(e.Peer)
			info := l.known[e.Peer]
			info.Tracks = slices.Clone(info.Tracks)
			for i := range info.Tracks {
				if info.Tracks[i].ID == e.Track.ID {
					info.Tracks[i] = e.Track
				}
			}
			l.known[e.Peer] = info
		case SlotsChanged:
			for _, info := range e.Peers {
				require.NotContains(t, l.known, info.Peer)
				l.known[info.Peer] = info
			}
		case RosterChanged:
			require.Equal(t, room.Len(), e.Size)
			if l.sized >= 0 && room.roster.large && l.size != 0 {
				require.GreaterOrEqual(t, now, l.sized+sizeGap)
			}
			l.size, l.sized = e.Size, now
			if !room.roster.large {
				l.sized = -1
			}
		case SpeakersChanged:
			if l.speakers >= 0 {
				require.GreaterOrEqual(t, now, l.speakers+speakersGap)
			}
			l.speakers = now
			for _, s := range e.Speakers {
				if s.Peer != tell.Peer {
					knows(s.Peer)
				}
			}
		}
	}
	if page, ok := c.(Page); ok && clients[page.Peer] != nil {
		peers, _ := room.Page(page.Peer, page.After, page.Limit)
		for _, info := range peers {
			clients[page.Peer].known[info.Peer] = info
		}
	}
	require.Len(t, clients, room.Len())
	for id, l := range clients {
		p, idle := room.peers[id], 0
		known := map[PeerID]PeerInfo{}
		for _, info := range room.Peers(id) {
			known[info.Peer] = info
			if !p.receive.shows(room.peers[info.Peer]) {
				idle++
			}
		}
		require.Equal(t, known, l.known)
		if !room.roster.large {
			require.Len(t, known, room.Len()-1, "a small room tells everybody of everybody")
			continue
		}
		require.LessOrEqual(t, idle, max(room.roster.known, room.roster.page))
		for t0 := range p.receive.where {
			require.Contains(t, known, t0.owner.id, "shown and not known")
		}
	}
}

// member joins with everything.
func member(n int) Join {
	return Join{
		Peer: PeerID(n), CanPublish: true, CanSubscribe: true, AudioSlots: 3, VideoSlots: 9,
		Tracks: []Track{{ID: "mic", Kind: Audio, Source: Microphone}, {ID: "cam", Kind: Video, Source: Camera}},
	}
}

func audience(n int) Join {
	return Join{Peer: PeerID(n), CanSubscribe: true, AudioSlots: 3, VideoSlots: 9}
}

// tells counts the events of each peer by their type.
func tells(effects []Effect) map[string]int {
	counts := map[string]int{}
	for _, e := range effects {
		if tell, ok := e.(Tell); ok {
			counts[fmt.Sprintf("%T", tell.Event)[len("plan."):]]++
		}
	}
	return counts
}

// TestRoomGrowsAndShrinks: what is told at the two borders, and between them.
func TestRoomGrowsAndShrinks(t *testing.T) {
	room, now := New(Config{}), time.Duration(0)
	step := func(c Command) map[string]int {
		now += 2 * time.Second
		return tells(room.Step(now, c))
	}
	for n := 1; n <= 3; n++ {
		step(member(n))
	}
	for n := 4; n < 64; n++ {
		step(audience(n))
	}
	require.Equal(t, map[string]int{"PeerJoined": 63}, step(audience(64)), "the last of a small room")
	require.Equal(t, map[string]int{"RosterChanged": 64}, step(audience(65)), "the first of a large one")
	require.Len(t, room.Peers(65), 64)
	require.Equal(t, map[string]int{"RosterChanged": 65}, step(audience(66)))
	peers := room.Peers(66)
	require.Len(t, peers, 64, "the first page")
	require.Equal(t, []PeerID{1, 2, 3}, []PeerID{peers[0].Peer, peers[1].Peer, peers[2].Peer})
	require.Equal(t, map[string]int{"TrackMuted": 65}, step(Mute{Peer: 1, ID: "cam", Muted: true}), "everybody sees him")

	// 65 is known to 66 only, by a page; then 66 alone hears that he left.
	require.Empty(t, step(Page{Peer: 66, After: 64}))
	page, more := room.Page(66, 64, 0)
	require.Equal(t, PeerID(65), page[0].Peer)
	require.Len(t, page, 1)
	require.False(t, more)
	require.Equal(t, map[string]int{"PeerLeft": 1, "RosterChanged": 65}, step(Leave{Peer: 65}))

	// A wish makes known, now and when the one wished for comes.
	require.Equal(t, map[string]int{"PeerJoined": 1}, step(Subscribe{Peer: 5, Wishes: []Wish{{Peer: 66}, {Peer: 70}, {Peer: 4}}}))
	require.Equal(t, map[string]int{"PeerJoined": 1, "RosterChanged": 65}, step(audience(70)))

	for n := 4; n <= 21; n++ {
		require.Equal(t, 1, min(1, step(Leave{Peer: PeerID(n)})["RosterChanged"]))
	}
	require.Equal(t, 48, room.Len())
	require.True(t, room.roster.large)
	counts := step(Leave{Peer: 22})
	require.Equal(t, 47, counts["RosterChanged"], "the size of a room that is small again")
	require.Positive(t, counts["PeerJoined"])
	for _, p := range room.order {
		require.Len(t, room.Peers(p.id), 46)
	}
	require.Equal(t, map[string]int{"PeerJoined": 47}, step(audience(80)))
}

func TestPages(t *testing.T) {
	room := New(Config{})
	for n := 1; n <= 200; n++ {
		room.Step(0, audience(n))
	}
	var all []PeerID
	after, more := PeerID(0), true
	for more {
		var page []PeerInfo
		page, more = room.Page(50, after, 30)
		require.LessOrEqual(t, len(page), 30)
		for _, p := range page {
			all = append(all, p.Peer)
		}
		after = all[len(all)-1]
		room.Step(0, Page{Peer: 50, After: after, Limit: 30})
	}
	require.Len(t, all, 199)
	require.True(t, slices.IsSorted(all))
	require.NotContains(t, all, PeerID(50))
	require.LessOrEqual(t, len(room.Peers(50)), usual.known)
	for _, after := range []PeerID{0, 999} {
		page, more := room.Page(50, after, -1)
		require.Len(t, page, 64)
		require.True(t, more)
		require.Equal(t, PeerID(1), page[0].Peer)
	}
	page, more := room.Page(999, 198, 2)
	require.Len(t, page, 2)
	require.False(t, more)
}

// hall is a room of so many, the first 20 of whom publish.
func hall(peers int) *Room {
	room := New(Config{MaxPeers: peers + 10})
	for n := 1; n <= 20; n++ {
		room.Step(0, member(n))
	}
	for n := 21; n <= peers; n++ {
		room.Step(0, audience(n))
	}
	return room
}

// TestListenerOfALargeRoom: ten seconds of a debate among 20 in a room of 1,000, in which somebody joins or leaves every
// 100 ms, give one listener about as many events as in a room of 30.
func TestListenerOfALargeRoom(t *testing.T) {
	heard := func(peers int) (events, most int) {
		room := hall(peers)
		debate(room, peers, func(_ time.Duration, effects []Effect) {
			for _, e := range effects {
				if tell, ok := e.(Tell); ok && tell.Peer == 25 {
					events++
				}
			}
		})
		perSecond := map[PeerID]map[int]int{}
		debate(hall(peers), peers, func(now time.Duration, effects []Effect) {
			for _, e := range effects {
				if tell, ok := e.(Tell); ok {
					if perSecond[tell.Peer] == nil {
						perSecond[tell.Peer] = map[int]int{}
					}
					perSecond[tell.Peer][int(now/time.Second)]++
				}
			}
		})
		for _, seconds := range perSecond {
			for _, n := range seconds {
				most = max(most, n)
			}
		}
		return events, most
	}
	small, _ := heard(30)
	large, most := heard(1000)
	t.Logf("events in 10 s: %d in a room of 30, %d in one of 1,000; at most %d in a second", small, large, most)
	require.Less(t, large, small)
	require.LessOrEqual(t, most, 8)
}

// debate lasts ten seconds: who speaks changes every 500 ms, and every 100 ms somebody comes or goes.
func debate(room *Room, peers int, each func(time.Duration, []Effect)) {
	next, now := 0, 10*time.Second
	step := func(c Command) {
		for due := room.Next(); due != 0 && due <= now; due = room.Next() {
			each(due, room.Step(due, Tick{}))
		}
		each(now, room.Step(now, c))
	}
	for ; now < 20*time.Second; now += 100 * time.Millisecond {
		next++
		if next%2 == 0 {
			step(audience(peers + next))
		} else {
			step(Leave{Peer: PeerID(peers + next - 1)})
		}
		if next%5 == 0 {
			step(Speak{Speakers: []Speaker{{Peer: PeerID(1 + next%20), Level: 90}, {Peer: PeerID(1 + next/2%20), Level: 80}}})
		}
	}
}

// TestLargeRoomTouchesFew: an ordinary command touches no slots of receivers that it does not concern.
func TestLargeRoomTouchesFew(t *testing.T) {
	room := New(Config{})
	for n := 1; n <= 200; n++ {
		room.Step(0, member(n))
	}
	now := 5 * time.Second
	room.Step(now, Tick{})
	now += 5 * time.Second
	require.Len(t, room.Step(now, member(201)), 200+12, "a join: the new size for each, and the joiner's own slots")
	require.Len(t, room.Step(now, Mute{Peer: 7, ID: "mic", Muted: true}), 200)
	require.Empty(t, room.Step(now, Leave{Peer: 201}), "nobody saw the last one, and sizes are told once a second")
	// Everybody saw the first one, in two slots: told he left, two new tracks, the new map.
	require.Len(t, room.Step(now, Leave{Peer: 1}), 199*4)
}

// BenchmarkJoinOf1000 is the join of the last of 1,000, and its leave.
func BenchmarkJoinOf1000(b *testing.B) {
	for name, join := range map[string]func(int) Join{"audience": audience, "publisher": member} {
		b.Run(name, func(b *testing.B) {
			room, now := hall(999), 10*time.Second
			b.ReportAllocs()
			for n := 1000; b.Loop(); n++ {
				now += time.Millisecond
				room.Step(now, join(n))
				room.Step(now, Leave{Peer: PeerID(n)})
			}
		})
	}
}

// BenchmarkStormOf1000 is 1,000 joins of publishers in one second.
func BenchmarkStormOf1000(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		room := New(Config{})
		for n := 1; n <= 1000; n++ {
			room.Step(time.Duration(n)*time.Millisecond, member(n))
		}
	}
}

// BenchmarkSpeakIn1000 is one change of speakers in a room of 1,000 with 20 publishers: among those who are heard already,
// and by one who takes a slot from another in 1,000 places, and the stage at times.
func BenchmarkSpeakIn1000(b *testing.B) {
	room, now := hall(1000), 10*time.Second
	b.Run("same slots", func(b *testing.B) {
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			now += 100 * time.Millisecond
			room.Step(now, Speak{Speakers: []Speaker{{Peer: 1}, {Peer: PeerID(2 + n%2)}, {Peer: PeerID(3 - n%2)}}})
		}
	})
	b.Run("new slots", func(b *testing.B) {
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			now += 500 * time.Millisecond
			room.Step(now, Speak{Speakers: []Speaker{{Peer: PeerID(1 + n%20)}}})
		}
	})
}
