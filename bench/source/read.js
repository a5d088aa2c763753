// The readers of package source for a browser: the same bytes, the same answers. Sets globalThis.tolkynSource, in a page or in
// a worker:
//
//   readVP8(bytes)            stamp of a VP8 frame (RTCEncodedVideoFrame.data as Uint8Array), or of the payload of its last packet
//   readOpus(bytes)           stamp of a packet of Opus (RTCEncodedAudioFrame.data as Uint8Array)
//                             { sender, frame, sent, caller, track, layer } or null; sent in µs since the Unix epoch
//   readBlocks(rgba, w, h)    code in a picture (ImageData.data, its top is enough): { scene, layer, frame } or null
//   crc16(number), crc32(bytes)  the checksums of code and stamp, for write.js
globalThis.tolkynSource ??= (() => {
  const stampSize = 20, magic = 0xa7, opusExtension = 121;

  const castagnoli = new Uint32Array(256).map((_, i) => {
    for (let bit = 0; bit < 8; bit++) i = i & 1 ? (i >>> 1) ^ 0x82f63b78 : i >>> 1;
    return i;
  });
  const crc32 = (bytes) => ~bytes.reduce((crc, b) => castagnoli[(crc ^ b) & 255] ^ (crc >>> 8), ~0) >>> 0;

  const readStamp = (b) => {
    if (b.length !== stampSize || b[8] !== magic) return null;
    const view = new DataView(b.buffer, b.byteOffset, b.length);
    if (view.getUint32(16) !== crc32(b.subarray(0, 16))) return null;
    const sender = view.getUint32(0);
    const high = (view.getUint32(8) << 8) >> 8; // 24 bits with a sign
    const sent = high * 2 ** 32 + view.getUint32(12);
    return { sender, frame: view.getUint32(4), sent, caller: sender >>> 8, track: (sender >>> 4) & 15, layer: sender & 15 };
  };

  const readVP8 = (bytes) => (bytes.length < stampSize ? null : readStamp(bytes.subarray(bytes.length - stampSize)));

  // Only code 3 has padding (RFC 6716 §3.2.5), and only there do we put stamps.
  const readOpus = (bytes) => {
    if (bytes.length < 3 || (bytes[0] & 3) !== 3 || !(bytes[1] & 0x40)) return null;
    let at = 2, size = 0;
    for (; at < bytes.length && bytes[at] === 255; at++) size += 254;
    if (at === bytes.length) return null;
    size += bytes[at++];
    if (size > bytes.length - at) return null;
    return readPadding(bytes.subarray(bytes.length - size));
  };

  const readPadding = (rest) => {
    for (let at = 0; at < rest.length; ) {
      const id = rest[at] >> 1, more = rest[at] & 1;
      at++;
      let size = 0;
      if (id === 2) return null; // repeats: what follows stands in no fixed place
      if (id === 0) size = more ? 0 : rest.length - at;
      else if (id < 32) size = more;
      else if (!more) size = rest.length - at;
      else {
        for (let laced = true; laced; ) {
          if (at === rest.length) return null;
          laced = rest[at] === 255;
          size += rest[at++];
        }
      }
      if (size > rest.length - at) return null;
      const stamp = id === opusExtension ? readStamp(rest.subarray(at, at + size)) : null;
      if (stamp) return stamp;
      at += size;
    }
    return null;
  };

  const crc16 = (v) => {
    let crc = 0xffff;
    for (const b of [v >> 8, v & 255]) {
      crc ^= b << 8;
      for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
    }
    return crc;
  };

  const readBlocks = (rgba, w, h) => {
    const across = 40, margin = 4, blocks = 32, size = w / across;
    if (size < 4 || h < size || rgba.length < 4 * w * Math.floor(size)) return null;
    const level = Array.from({ length: blocks }, (_, i) => {
      let sum = 0, count = 0;
      const x = (margin + i) * size;
      for (let py = Math.floor(size / 4); py < Math.floor((size * 3) / 4); py++) {
        for (let px = Math.floor(x + size / 4); px < Math.floor(x + (size * 3) / 4); px++) {
          sum += rgba[4 * (py * w + px) + 1]; // green is most of what is bright
          count++;
        }
      }
      return Math.floor(sum / count);
    });
    const white = (level[0] + level[2]) / 2, black = (level[1] + level[3]) / 2;
    if (white - black < 50) return null;
    let bits = 0;
    for (const v of level) {
      const share = (v - black) / (white - black);
      if (share > 0.4 && share <= 0.6) return null;
      bits = bits * 2 + (share > 0.6 ? 1 : 0);
    }
    const payload = Math.floor(bits / 65536) & 0xfff;
    if (bits !== 0xa * 2 ** 28 + payload * 65536 + crc16(payload)) return null;
    return { scene: payload >> 10, layer: (payload >> 8) & 3, frame: payload & 255 };
  };

  return { readVP8, readOpus, readBlocks, crc16, crc32 };
})();
