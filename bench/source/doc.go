// Package source is the media that callers send: pictures and voices that a person recognises, every decoder decodes, and
// that tell a receiver who sent them and when.
//
//	scene.Draw ─► block code ─► ffmpeg ─► clips/a-180p.ivf ┐                     sender, frame, time
//	espeak-ng ────────────────► ffmpeg ─► clips/a-32k.ogg  ┴─► Load ─► Player ─► Stamp ─► VP8 frame, Opus packet ══► call
//	             go generate                                   what is due when
//
//	received frame or packet ─► ReadVP8, ReadTail, ReadOpus ─► Stamp: delay, loss, who, which layer
//	decoded picture ──────────► ReadBlocks ─────────────────► Code: what a person saw, and when
//
// A core: it has no clock, no goroutine, no file but those embedded; read.js is the same readers for a browser. There are four
// scenes, A to D, each a person of other colours with a voice of another pitch; all are loops of six seconds, pictures of 30
// frames a second with a keyframe every second.
//
//	clip       picture    bit/s        clip      packets   bit/s
//	x-180p     320×180    120,000      x-32k     20 ms     32,000
//	x-360p     640×360    400,000      x-12k     60 ms     12,000
//	a-720p     1280×720   1,200,000
//
// All layers have the same frames at the same times, and keyframes at the same frames. 720p is kept of scene A alone, to keep
// the repository small: it is 40 % of all bytes. Rates are those asked of the encoder: without stamps, RTP and IP.
//
// How a frame carries its stamp: a decoder of VP8 reads its last partition as far as it needs and never looks at what is
// behind it (RFC 6386 §9.5); a decoder of Opus must accept any padding (RFC 6716 §3.2.5), and one that knows extensions steps
// over those it does not know (draft-ietf-mlcodec-opus-extension). TestStamp in web/e2e shows that Chromium minds neither.
package source
