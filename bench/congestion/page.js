// One side of a call, in a page of the server's own origin. Sets globalThis.tolkynCongestion; all of it returns promises:
//
//   clock()    the worker's clock, ms since the Unix epoch
//   join(how)  into the call: {kind: "tolkyn" | "livekit", url, token, name, publish}
//   take()     counters of getStats so far, and the stamps of frames that came since the last take
//   leave()
//
// Both servers are called by their own SDK as it comes: Tolkyn's from /sdk.js, LiveKit's from globalThis.LivekitClient. A camera
// of 1280×720 at 30 pictures a second and a microphone are published, as simulcast; the other side wants all of it.
globalThis.tolkynCongestion ??= (() => {
  const errors = [];
  const fail = (what, e) => errors.length < 20 && errors.push(`${what}: ${e?.message ?? e}`);
  addEventListener("error", (e) => !e.message.startsWith("ResizeObserver") && fail("script", e.error ?? e.message));
  addEventListener("unhandledrejection", (e) => fail("script", e.reason));

  const worker = new Worker(URL.createObjectURL(new Blob([globalThis.tolkynWorker], { type: "text/javascript" })));
  const asked = new Map();
  let number = 0;
  worker.onmessage = ({ data: { id, value } }) => {
    asked.get(id)?.(value);
    asked.delete(id);
  };
  worker.onerror = (e) => fail("worker", e.message);
  const ask = (what) => new Promise((answer) => {
    asked.set(++number, answer);
    worker.postMessage({ id: number, ask: what });
  });

  // Every connection that an SDK makes, with the worker between its pictures and the network.
  const peers = [];
  const through = (end, way) => end && !end.transform && (end.transform = new RTCRtpScriptTransform(worker, { way }));
  const Peer = globalThis.RTCPeerConnection;
  globalThis.RTCPeerConnection = class extends Peer {
    constructor(...args) {
      super(...args);
      peers.push(this);
      this.addEventListener("track", ({ track, receiver }) => track.kind === "video" && through(receiver, "in"));
    }
    addTransceiver(what, init) {
      const t = super.addTransceiver(what, init);
      if ((what.kind ?? what) === "video") init?.direction === "recvonly" ? through(t.receiver, "in") : through(t.sender, "out");
      return t;
    }
  };
  delete globalThis.WebTransport; // both SDKs by WebSocket: what it sends shares the link, and is the same kind for both

  const camera = { width: 1280, height: 720, frameRate: 30 };
  const show = (track) => {
    const e = document.createElement(track.kind);
    e.autoplay = e.playsInline = e.muted = track.kind === "video";
    e.autoplay = true;
    e.srcObject = new MediaStream([track]);
    document.body.append(e);
    e.play().catch((err) => fail("play", err));
  };

  let leave = async () => {};

  const joinTolkyn = async ({ token, name, publish }) => {
    const sdk = await import("/sdk.js");
    const input = { name, slots: { audio: 1, video: 1 }, device: { class: "high" } };
    if (publish) {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: camera });
      [input.microphone] = stream.getAudioTracks();
      [input.camera] = stream.getVideoTracks();
    }
    const client = await sdk.connect(location.origin, async () => token);
    const room = await client.join(input);
    room.on("error", (e) => fail("room", e));
    room.on("ended", ({ reason }) => reason !== "left" && fail("the call ended", reason));
    const shown = new Set();
    const look = () => {
      for (const s of room.slots) {
        if (!s.participant || shown.has(s.mid)) continue;
        shown.add(s.mid);
        show(s.track);
        if (s.kind === "video") room.wish([{ participant: s.participant.id, width: camera.width, height: camera.height }]);
      }
    };
    room.on("slots", look);
    look();
    leave = () => room.leave();
  };

  const joinLiveKit = async ({ url, token, publish }) => {
    const { Room, RoomEvent } = globalThis.LivekitClient;
    const room = new Room({ adaptiveStream: false, dynacast: true, videoCaptureDefaults: { resolution: camera }, publishDefaults: { simulcast: true, videoCodec: "vp8" } });
    room.on(RoomEvent.TrackSubscribed, (track) => show(track.mediaStreamTrack));
    room.on(RoomEvent.Disconnected, (reason) => fail("the call ended", reason));
    await room.connect(url, token);
    if (publish) await Promise.all([room.localParticipant.setCameraEnabled(true), room.localParticipant.setMicrophoneEnabled(true)]);
    leave = () => {
      room.removeAllListeners(RoomEvent.Disconnected);
      return room.disconnect();
    };
  };

  const join = (how) => (how.kind === "livekit" ? joinLiveKit : joinTolkyn)(how);

  const take = async () => {
    const out = { at: 0, video: {}, audio: {}, sent: { encodings: [] }, available: 0, errors: errors.splice(0) };
    for (const peer of peers) {
      if (peer.connectionState === "closed") continue;
      (await peer.getStats()).forEach((s) => {
        const pictures = s.kind === "video";
        if (s.type === "inbound-rtp" && (s.packetsReceived ?? 0) > (out[s.kind].packetsReceived ?? 0)) {
          out[s.kind] = {
            packetsReceived: s.packetsReceived, packetsLost: s.packetsLost, bytesReceived: s.bytesReceived + s.headerBytesReceived,
            framesDecoded: s.framesDecoded ?? 0, totalInterFrameDelay: s.totalInterFrameDelay ?? 0,
            freezeCount: s.freezeCount ?? 0, totalFreezesDuration: s.totalFreezesDuration ?? 0, frameHeight: s.frameHeight ?? 0, retransmitted: s.retransmittedPacketsReceived ?? 0, nackCount: s.nackCount ?? 0,
            pliCount: s.pliCount ?? 0, concealedSamples: s.concealedSamples ?? 0, totalSamples: s.totalSamplesReceived ?? 0,
            silentConcealedSamples: s.silentConcealedSamples ?? 0,
          };
        }
        if (s.type === "outbound-rtp" && pictures) {
          out.sent.encodings.push({
            rid: s.rid ?? "", active: s.active !== false, framesEncoded: s.framesEncoded ?? 0, height: s.frameHeight ?? 0, bytes: (s.bytesSent ?? 0) + (s.headerBytesSent ?? 0),
            target: s.targetBitrate ?? 0, limited: s.qualityLimitationReason ?? "", limitedCPU: s.qualityLimitationDurations?.cpu ?? 0,
            retransmitted: s.retransmittedPacketsSent ?? 0,
          });
        }
        if (s.type === "candidate-pair" && s.nominated && s.availableOutgoingBitrate) out.available = s.availableOutgoingBitrate;
      });
    }
    out.at = performance.timeOrigin + performance.now();
    return { ...out, frames: await ask("frames") };
  };

  return { clock: () => ask("clock"), join, take, leave: () => leave() };
})();
