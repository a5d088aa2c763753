// Package codec looks into payloads just far enough to forward them: where frames begin and end, which are keyframes,
// which layer they belong to; and renumbers what a change of source would break. One file a codec.
//
//	payload ──► Codec.Inspect ──► Meta{Start, End, Keyframe, PictureID, TL0, TID, …}
//	   │                            │ decides: drop, switch, forward
//	   ▼                            ▼
//	private copy ─────────────► RewriteVP8(picture id, TL0) ──► sealed and sent
//
// Pure functions; any goroutine. No input makes them panic and none of them allocates.
package codec
