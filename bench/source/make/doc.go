// Command make makes the clips anew, with Debian's espeak-ng and ffmpeg:
//
//	apt-get install -y ffmpeg espeak-ng && go generate ./bench/source
//
//	text ─► espeak-ng ─► ffmpeg: 6 s at 48 kHz ─┬─► libopus ─► x-32k.ogg, x-12k.ogg
//	                                            ▼ loudness of each frame: x.mouth
//	                                   scene.Draw, Code.DrawBlocks ─► libvpx ─► x-180p.ivf, x-360p.ivf, a-720p.ivf
//	all of them ─► SHA256SUMS
//
// The same versions of both programs make the same bytes. Others make clips that look and sound alike; commit them with the
// new SHA256SUMS.
package main
