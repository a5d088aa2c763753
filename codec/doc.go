// Package codec looks into payloads just far enough to forward them: where frames begin and end, which are keyframes,
// which layer they belong to; and renumbers what a change of source would break. One file a codec.
//
//	payload ──► Codec.Inspect ──► Meta{Start, End, Keyframe, Entry, Layer, SwitchUp, PictureID, TL0, Width, …}
//	   │                            │ decides: drop, switch, forward
//	   ▼                            ▼
//	private copy ─────────────► RewriteVP8, RewriteVP9 (picture id, TL0) ──► sealed and sent
//
//	header extensions ──► Structure.ReadDescriptor: layers of any codec, encrypted or not
//	                  └─► ReadAudioLevel, ReadOrientation, ReadCaptureTime, ReadPlayoutDelay, ReadLayersAllocation
//	voice ──────────────► ReadRED: own payload and copies ──► ReadOpus: duration, silence, in-band FEC
//
// What each codec tells of itself, without a dependency descriptor:
//
//	        frames begin, end     keyframe           layers              size                rewritten
//	VP8     yes, marker           frame header       temporal            keyframe            picture id, TL0
//	VP9     yes, yes              not P, base layer  spatial, temporal   structure, or key   picture id, TL0
//	H.264   NAL units, marker     SPS                droppable or not    SPS                 nothing
//	AV1     OBUs, marker          sequence header    where OBUs say so   sequence header     nothing
//	Opus    each packet           each packet        none                none                nothing
//
// Chromium's VP8 leaves picture ids and layers out where the dependency descriptor is negotiated.
//
// Pure functions; any goroutine. No input makes them panic and none of them allocates.
package codec
