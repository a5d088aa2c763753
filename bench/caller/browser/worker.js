// Between the network and the decoders, in a worker: notes every frame that comes, stamps every frame that goes. Needs read.js
// and write.js of package source before it.
const most = 50_000; // frames kept until somebody takes them: a minute of eight streams
let frames = [], overflow = 0;
const counted = new Map(); // frames sent, by sender

const now = () => performance.timeOrigin + performance.now();

const note = (slot, kind, read) => ({
  transform(frame, to) {
    const came = now(), bytes = new Uint8Array(frame.data), meta = frame.getMetadata(), stamp = read(bytes);
    // When the last packet came, where the browser tells. Chromium hands pictures to scripts, not sounds, only at its next tick of
    // 64 a second.
    const at = meta.receiveTime === undefined ? came : performance.timeOrigin + meta.receiveTime;
    if (frames.length < most) {
      frames.push({
        slot, at, size: bytes.length, sequence: meta.sequenceNumber ?? -1, timestamp: meta.rtpTimestamp ?? frame.timestamp ?? 0,
        key: frame.type === "key", width: meta.width ?? 0, height: meta.height ?? 0,
        stamped: stamp !== null, sender: stamp?.sender ?? 0, frame: stamp?.frame ?? 0, sent: stamp?.sent ?? 0,
      });
    } else overflow++;
    to.enqueue(frame);
  },
});

const mark = (sender, write) => ({
  transform(frame, to) {
    const count = counted.get(sender) ?? 0;
    counted.set(sender, count + 1);
    frame.data = write(new Uint8Array(frame.data), { sender, frame: count >>> 0, sent: Math.round(now() * 1000) }).buffer;
    to.enqueue(frame);
  },
});

onrtctransform = ({ transformer: { options: o, readable, writable } }) => {
  const video = o.kind === "video";
  const through = o.sender === undefined
    ? note(o.slot, o.kind, video ? tolkynSource.readVP8 : tolkynSource.readOpus)
    : mark(o.sender, video ? tolkynSource.stampVP8 : tolkynSource.stampOpus);
  readable.pipeThrough(new TransformStream(through)).pipeTo(writable).catch(() => {}); // the connection was closed
};

onmessage = ({ data: { id, ask } }) => {
  if (ask === "clock") return postMessage({ id, value: now() });
  postMessage({ id, value: { frames, overflow } });
  frames = [];
};
