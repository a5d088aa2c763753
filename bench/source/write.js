// The writers of package source for a browser, after read.js, which they complete:
//
//   stampVP8(bytes, stamp)     a VP8 frame (RTCEncodedVideoFrame.data as Uint8Array) with the stamp behind it
//   stampOpus(bytes, stamp)    a packet of Opus with the stamp in its padding; one that has padding already, as it is
//                              both make a new Uint8Array; stamp: { sender, frame, sent }, as readVP8 returns it
//   drawBlocks(g, w, code)     draws the code along the top of a canvas w pixels wide; code: { scene, layer, frame }
(() => {
  const stampSize = 20, magic = 0xa7, opusExtension = 121;
  const { crc16, crc32 } = tolkynSource;

  const put = (to, at, { sender, frame, sent }) => {
    const view = new DataView(to.buffer, to.byteOffset + at, stampSize), high = Math.floor(sent / 2 ** 32);
    view.setUint32(0, sender);
    view.setUint32(4, frame);
    view.setUint32(8, high);
    view.setUint8(8, magic);
    view.setUint32(12, sent - high * 2 ** 32);
    view.setUint32(16, crc32(to.subarray(at, at + 16)));
  };

  // No zeros in front, as AppendVP8 has them: browsers cut a frame into equal parts, of which the last holds all of the stamp.
  const stampVP8 = (bytes, stamp) => {
    const to = new Uint8Array(bytes.length + stampSize);
    to.set(bytes);
    put(to, bytes.length, stamp);
    return to;
  };

  // As code 3 of RFC 6716 §3.2.5 has it: configuration, count of frames, length of padding, lengths, frames, padding.
  const stampOpus = (bytes, stamp) => {
    const code = bytes[0] & 3;
    if (bytes.length < 3 || (code === 3 && bytes[1] & 0x40)) return bytes.slice();
    const [count, from] = [[1, 1], [2, 1], [2 | 0x80, 1], [bytes[1], 2]][code];
    const rest = bytes.subarray(from), size = 2 + stampSize, to = new Uint8Array(3 + rest.length + size);
    to.set([bytes[0] | 3, count | 0x40, size]);
    to.set(rest, 3);
    to.set([(opusExtension << 1) | 1, stampSize], 3 + rest.length);
    put(to, to.length - stampSize, stamp);
    return to;
  };

  const drawBlocks = (g, w, { scene, layer, frame }) => {
    const size = w / 40, payload = ((scene & 3) << 10) | ((layer & 3) << 8) | (frame & 255);
    const bits = [0xa, 4, payload, 12, crc16(payload), 16];
    const blocks = [0, 0, 0, 0];
    for (let i = 0; i < bits.length; i += 2) for (let b = bits[i + 1] - 1; b >= 0; b--) blocks.push((bits[i] >> b) & 1);
    blocks.push(0, 0, 0, 0);
    blocks.forEach((white, i) => {
      g.fillStyle = white ? "#fff" : "#000";
      g.fillRect(i * size, 0, size, size);
    });
  };

  Object.assign(tolkynSource, { stampVP8, stampOpus, drawBlocks });
})();
