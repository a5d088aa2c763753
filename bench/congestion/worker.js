// Between the network and the codecs, in a worker: stamps every picture that goes, notes the stamp of every one that comes. Needs
// read.js and write.js of package source before it.
const most = 50_000; // kept until somebody takes them
let frames = [], count = 0;
const now = () => performance.timeOrigin + performance.now();

const ways = {
  out(frame, to) {
    frame.data = tolkynSource.stampVP8(new Uint8Array(frame.data), { sender: 1, frame: count++ >>> 0, sent: Math.round(now() * 1000) }).buffer;
    to.enqueue(frame);
  },
  in(frame, to) {
    const came = now(), bytes = new Uint8Array(frame.data), meta = frame.getMetadata(), stamp = tolkynSource.readVP8(bytes);
    const at = meta.receiveTime === undefined ? came : performance.timeOrigin + meta.receiveTime; // of its last packet
    if (stamp && frames.length < most) frames.push({ at, sent: stamp.sent / 1000 });
    to.enqueue(frame);
  },
};

onrtctransform = ({ transformer: { options, readable, writable } }) => {
  readable.pipeThrough(new TransformStream({ transform: ways[options.way] })).pipeTo(writable).catch(() => {}); // it was closed
};

onmessage = ({ data: { id, ask } }) => {
  if (ask === "clock") return postMessage({ id, value: now() });
  postMessage({ id, value: frames });
  frames = [];
};
