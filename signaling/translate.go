package signaling

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// The words of the wire and the words of the SFU, in both directions.

var (
	kindsIn = map[wire.Track_Kind]sfu.TrackKind{
		wire.Track_AUDIO: sfu.Audio, wire.Track_VIDEO: sfu.Video,
	}
	sourcesIn = map[wire.Track_Source]sfu.TrackSource{
		wire.Track_MICROPHONE: sfu.Microphone, wire.Track_CAMERA: sfu.Camera,
		wire.Track_SCREEN: sfu.Screen, wire.Track_SCREEN_AUDIO: sfu.ScreenAudio,
	}
)

// trackOf checks a client's track. The error begins with the field.
func trackOf(t *wire.Track) (sfu.Track, error) {
	kind, source := kindsIn[t.GetKind()], sourcesIn[t.GetSource()]
	switch {
	case t.GetTrackId() == "":
		return sfu.Track{}, errors.New("track_id: is missing, choose one")
	case len(t.GetTrackId()) > maxTrackID:
		return sfu.Track{}, fmt.Errorf("track_id: has %d bytes, at most %d", len(t.GetTrackId()), maxTrackID)
	case kind == 0:
		return sfu.Track{}, errors.New("kind: want AUDIO or VIDEO")
	case source == 0:
		return sfu.Track{}, errors.New("source: want MICROPHONE, CAMERA, SCREEN or SCREEN_AUDIO")
	case t.GetMid() == "" || len(t.GetMid()) > maxTrackID:
		return sfu.Track{}, errors.New("mid: want the a=mid of the m-line that carries the track")
	case len(t.GetBackupOf()) > maxTrackID || t.GetBackupOf() == t.GetTrackId():
		return sfu.Track{}, errors.New("backup_of: want the track_id of another track, the one that this shows in another codec")
	}
	return sfu.Track{
		ID: t.GetTrackId(), Kind: kind, Source: source, MID: t.GetMid(), Muted: t.GetMuted(), BackupOf: t.GetBackupOf(),
	}, nil
}

// deviceOf takes what a client says of its device; what we do not know of it is left out.
func deviceOf(d *wire.Device) sfu.Device {
	const most = 1024 // beyond which a number says nothing
	device := sfu.Device{
		Decoders: int(min(d.GetDecoders(), most)), Cores: int(min(d.GetCores(), most)), SavingPower: d.GetSavingPower(),
		Hot: d.GetThermal() == wire.Device_SERIOUS || d.GetThermal() == wire.Device_CRITICAL,
	}
	switch d.GetClass() {
	case wire.Device_LOW:
		device.Class = sfu.LowDevice
	case wire.Device_NORMAL:
		device.Class = sfu.NormalDevice
	case wire.Device_HIGH:
		device.Class = sfu.HighDevice
	}
	for c := codec.VP8; int(c) < codec.Count; c++ {
		if slices.ContainsFunc(d.GetHardwareEncoders(), func(name string) bool { return strings.EqualFold(name, c.String()) }) {
			device.HardwareEncoders = append(device.HardwareEncoders, c)
		}
	}
	return device
}

// profileOf takes what an offer says of the sound's cost. One that we do not know changes nothing.
func profileOf(offer *wire.Sdp) sfu.Profile {
	switch offer.GetProfile() {
	case wire.Profile_FULL:
		return sfu.FullProfile
	case wire.Profile_SAVER:
		return sfu.SaverProfile
	default:
		return 0
	}
}

// eventOut says an event of the SFU on the wire. Gone is not an event there: see session.lostPeer.
func eventOut(event sfu.Event) *wire.ServerFrame {
	switch e := event.(type) {
	case sfu.PeerJoined:
		return wire.Event(&wire.ServerFrame_PeerUpdate{PeerUpdate: &wire.PeerUpdate{
			Change: wire.PeerUpdate_JOINED, Peer: peerOut(e.Peer),
		}})
	case sfu.PeerLeft:
		return wire.Event(&wire.ServerFrame_PeerUpdate{PeerUpdate: &wire.PeerUpdate{
			Change: wire.PeerUpdate_LEFT, Peer: &wire.Peer{PeerId: e.PeerID},
		}})
	case sfu.TrackPublished:
		return trackUpdate(wire.TrackUpdate_PUBLISHED, e.PeerID, e.Track)
	case sfu.TrackUnpublished:
		return trackUpdate(wire.TrackUpdate_UNPUBLISHED, e.PeerID, e.Track)
	case sfu.TrackMuted:
		if e.Track.Muted {
			return trackUpdate(wire.TrackUpdate_MUTED, e.PeerID, e.Track)
		}
		return trackUpdate(wire.TrackUpdate_UNMUTED, e.PeerID, e.Track)
	case sfu.SlotsChanged:
		slots := slotsOut(e.Slots)
		slots.Peers = peersOut(e.Peers)
		return wire.Event(&wire.ServerFrame_SlotMap{SlotMap: slots})
	case sfu.RosterChanged:
		return wire.Event(&wire.ServerFrame_RosterUpdate{RosterUpdate: &wire.RosterUpdate{Size: uint32(e.Size)}})
	case sfu.SpeakersChanged:
		speakers := &wire.Speakers{}
		for _, who := range e.Speakers {
			speakers.Speakers = append(speakers.Speakers, &wire.Speaker{PeerId: who.PeerID, Level: uint32(who.Level)})
		}
		return wire.Event(&wire.ServerFrame_Speakers{Speakers: speakers})
	case sfu.LayersWanted:
		wanted := &wire.LayersWanted{TrackId: e.TrackID}
		for _, one := range e.Encodings {
			wanted.Encodings = append(wanted.Encodings, &wire.EncodingWanted{
				Rid: one.RID, Wanted: one.Wanted, Spatial: uint32(one.Layer.Spatial), Temporal: uint32(one.Layer.Temporal),
			})
		}
		return wire.Event(&wire.ServerFrame_LayersWanted{LayersWanted: wanted})
	case sfu.CodecWanted:
		return wire.Event(&wire.ServerFrame_CodecWanted{CodecWanted: &wire.CodecWanted{
			TrackId: e.TrackID, Codec: e.Codec.String(), Wanted: e.Wanted,
		}})
	case sfu.ProfileWanted:
		profile := wire.Profile_FULL
		if e.Profile == sfu.SaverProfile {
			profile = wire.Profile_SAVER
		}
		return wire.Event(&wire.ServerFrame_ProfileWanted{ProfileWanted: &wire.ProfileWanted{Profile: profile}})
	}
	return nil
}

var limitsOut = map[sfu.Limit]wire.SlotLayer_Limit{
	sfu.NoLimit: wire.SlotLayer_NONE, sfu.WishLimit: wire.SlotLayer_WISH, sfu.PublisherLimit: wire.SlotLayer_PUBLISHER,
	sfu.BandwidthLimit: wire.SlotLayer_BANDWIDTH, sfu.DeviceLimit: wire.SlotLayer_DEVICE, sfu.CodecLimit: wire.SlotLayer_CODEC,
	sfu.PausedLimit: wire.SlotLayer_PAUSED,
}

// slotLayerOut says what one slot shows.
func slotLayerOut(s sfu.SlotLayer) *wire.ServerFrame {
	return wire.Event(&wire.ServerFrame_LayerState{LayerState: &wire.LayerState{Slots: []*wire.SlotLayer{{
		Mid: s.MID, Width: uint32(s.Width), Height: uint32(s.Height), Encoding: uint32(s.Encoding),
		Spatial: uint32(s.Layer.Spatial), Temporal: uint32(s.Layer.Temporal), Bitrate: uint32(s.Bitrate), Limit: limitsOut[s.Limit],
	}}}})
}

func trackUpdate(change wire.TrackUpdate_Change, peer string, t sfu.Track) *wire.ServerFrame {
	return wire.Event(&wire.ServerFrame_TrackUpdate{TrackUpdate: &wire.TrackUpdate{
		Change: change, PeerId: peer, Track: trackOut(t),
	}})
}

func peersOut(peers []sfu.PeerInfo) []*wire.Peer {
	all := make([]*wire.Peer, len(peers))
	for i, p := range peers {
		all[i] = peerOut(p)
	}
	return all
}

func peerOut(p sfu.PeerInfo) *wire.Peer {
	tracks := make([]*wire.Track, len(p.Tracks))
	for i, t := range p.Tracks {
		tracks[i] = trackOut(t)
	}
	return &wire.Peer{PeerId: p.ID, Identity: p.Identity, Name: p.Name, Tracks: tracks}
}

// trackOut leaves the MID out: it means something between the publisher and the server only.
func trackOut(t sfu.Track) *wire.Track {
	out := &wire.Track{TrackId: t.ID, Muted: t.Muted}
	switch t.Kind {
	case sfu.Audio:
		out.Kind = wire.Track_AUDIO
	case sfu.Video:
		out.Kind = wire.Track_VIDEO
	}
	switch t.Source {
	case sfu.Microphone:
		out.Source = wire.Track_MICROPHONE
	case sfu.Camera:
		out.Source = wire.Track_CAMERA
	case sfu.Screen:
		out.Source = wire.Track_SCREEN
	case sfu.ScreenAudio:
		out.Source = wire.Track_SCREEN_AUDIO
	}
	return out
}

func slotsOut(slots []sfu.SlotInfo) *wire.SlotMap {
	all := make([]*wire.Slot, len(slots))
	for i, s := range slots {
		all[i] = &wire.Slot{Mid: s.MID, PeerId: s.PeerID, TrackId: s.TrackID}
	}
	return &wire.SlotMap{Slots: all}
}

// wireError turns what the SFU says into what the wire says.
func wireError(err error) *wire.Error {
	var busy *sfu.BusyError
	switch {
	case errors.As(err, &busy):
		return &wire.Error{Code: wire.Error_BUSY, Message: "this node is full, try again later", RetryAfterMs: milliseconds(busy.RetryAfter)}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, sfu.ErrClosed):
		return &wire.Error{Code: wire.Error_BUSY, Message: "this node cannot answer now, try again", RetryAfterMs: 1000}
	case errors.Is(err, sfu.ErrRoomFull):
		return &wire.Error{Code: wire.Error_ROOM_FULL, Message: "the room is full", RetryAfterMs: 5000}
	case errors.Is(err, sfu.ErrForbidden):
		return &wire.Error{Code: wire.Error_FORBIDDEN, Message: shorten(err.Error())}
	case errors.Is(err, sfu.ErrBadOffer):
		return &wire.Error{Code: wire.Error_BAD_SDP, Message: shorten(err.Error())}
	case errors.Is(err, sfu.ErrUnsupportedCodec):
		return &wire.Error{Code: wire.Error_UNSUPPORTED_CODEC, Message: shorten(err.Error())}
	case errors.Is(err, sfu.ErrGone):
		return &wire.Error{Code: wire.Error_NOT_FOUND, Message: "this session is no longer in the room: join again"}
	case errors.Is(err, sfu.ErrNotFound):
		return &wire.Error{Code: wire.Error_NOT_FOUND, Message: shorten(err.Error())}
	}
	// What went wrong inside is for our log, not for strangers.
	return &wire.Error{Code: wire.Error_INTERNAL, Message: "the server failed, and has logged why"}
}

// frameError says what is wrong with bytes that are no frame.
func frameError(err error) *wire.Error {
	code := wire.Error_PROTOCOL
	if errors.Is(err, wire.ErrFrameTooLarge) {
		code = wire.Error_TOO_LARGE
	}
	return &wire.Error{Code: code, Message: "frame: " + shorten(err.Error()), Fatal: true}
}

// shorten keeps a text that holds a stranger's input within reason.
func shorten(text string) string {
	const most = 512
	text = strings.ToValidUTF8(text, "�") // or it could not be sent
	if len(text) <= most {
		return text
	}
	cut := most
	for cut > 0 && text[cut]&0xc0 == 0x80 {
		cut-- // not inside a character
	}
	return text[:cut] + "…"
}
