// One caller, in a page of the server's own origin. Sets globalThis.tolkynCaller; all of it returns promises:
//
//   clock()       the worker's clock, ms since the Unix epoch
//   join(how)     into the call, publishing and receiving as told
//   mute(muted)   the microphone
//   drop()        ends what carries signaling without a word; the SDK sets it up again
//   leave()
//   take()        what has been since the last take: frames, pictures shown, getStats, steps, errors
//
// Times are ms since the Unix epoch by this page's clock. A slot is known by the place of its receiver among all that were ever
// made in this page.
globalThis.tolkynCaller ??= (() => {
  const now = () => performance.timeOrigin + performance.now();
  const errors = [];
  const fail = (what, e) => errors.length < 20 && errors.push(`${what}: ${e?.code ? e.code + ": " : ""}${e?.message ?? e}`);
  addEventListener("error", (e) => !e.message.startsWith("ResizeObserver") && fail("script", e.error ?? e.message));
  addEventListener("unhandledrejection", (e) => fail("script", e.reason));

  // --- the worker ---

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

  // --- steps, and what carries signaling ---

  let steps = {}, sockets = new Set();
  const step = (name) => (steps[name] ??= now());
  const carries = (socket, opened, closed) => {
    sockets.add(socket);
    opened.then(() => step("connect"), () => {});
    closed.then(() => sockets.delete(socket), () => sockets.delete(socket));
  };
  const event = (target, name) => new Promise((done) => target.addEventListener(name, done, { once: true }));
  const Socket = globalThis.WebSocket, Transport = globalThis.WebTransport;
  globalThis.WebSocket = class extends Socket {
    constructor(...args) {
      super(...args);
      carries(this, event(this, "open"), event(this, "close"));
    }
  };
  if (Transport) {
    globalThis.WebTransport = class extends Transport {
      constructor(...args) {
        super(...args);
        carries(this, this.ready, this.closed);
      }
    };
  }

  // --- every connection that the SDK makes: at first, and when it has to begin anew ---

  const receivers = []; // {receiver, kind}, by slot
  let plan = null;
  const Peer = globalThis.RTCPeerConnection;
  globalThis.RTCPeerConnection = class extends Peer {
    #sending = { audio: ["microphone"], video: ["camera", "screen"] };
    constructor(...args) {
      super(...args);
      this.addEventListener("iceconnectionstatechange", () => {
        if (["connected", "completed"].includes(this.iceConnectionState)) step("ice");
      });
      this.addEventListener("connectionstatechange", () => this.connectionState === "connected" && step("dtls"));
    }
    addTransceiver(kind, init) {
      const t = super.addTransceiver(kind, init);
      if (init?.direction === "recvonly") {
        t.receiver.transform = new RTCRtpScriptTransform(worker, { kind, slot: receivers.length });
        receivers.push({ receiver: t.receiver, kind });
      } else {
        const media = this.#sending[kind].shift(); // the SDK makes them in this order
        const track = plan?.tracks.find((p) => p.media === media);
        if (track) t.sender.transform = new RTCRtpScriptTransform(worker, { kind, sender: track.sender });
      }
      return t;
    }
    setRemoteDescription(d) {
      step("join");
      return super.setRemoteDescription(d);
    }
  };

  // --- what is published ---

  const fps = 30;
  const colours = ["#7c3a2d", "#2d5a7c", "#3d6b35", "#6a3d7c"];
  const picture = ({ width: w, height: h, layer }) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [w, h];
    const g = canvas.getContext("2d", { alpha: false });
    const began = performance.now(), colour = colours[plan.scene % colours.length];
    const draw = () => {
      const at = (performance.now() - began) / 1000, frame = Math.floor(at * fps) % plan.loop;
      g.fillStyle = colour;
      g.fillRect(0, 0, w, h);
      const disc = (x, y, r, fill) => {
        g.fillStyle = fill;
        g.beginPath();
        g.arc(x * w, y * h, r * h, 0, 2 * Math.PI);
        g.fill();
      };
      disc(0.5, 1.1, 0.42, "#e9e2d4"); // shoulders, a head, eyes, a mouth that talks, a hand that waves
      disc(0.5, 0.48, 0.22, "#e8b88f");
      disc(0.47, 0.44, 0.022, "#222");
      disc(0.53, 0.44, 0.022, "#222");
      disc(0.5, 0.57, 0.02 + 0.025 * Math.abs(Math.sin(at * 9)), "#7a2d28");
      disc(0.78 + 0.08 * Math.sin(at * 5), 0.5, 0.07, "#e8b88f");
      g.fillStyle = "#fff";
      g.font = `${Math.round(h / 12)}px sans-serif`;
      g.fillText(`${plan.name}  ${at.toFixed(1)} s`, 0.03 * w, 0.95 * h);
      tolkynSource.drawBlocks(g, w, { scene: plan.scene, layer, frame });
    };
    draw();
    const timer = setInterval(draw, 1000 / fps);
    stops.push(() => clearInterval(timer));
    return canvas.captureStream(fps).getVideoTracks()[0];
  };

  // A voice of a kind: a buzz through two formants, in syllables.
  const voice = async () => {
    const sound = new AudioContext();
    stops.push(() => sound.close());
    await sound.resume();
    const out = sound.createMediaStreamDestination(), mouth = new GainNode(sound, { gain: 0 });
    const throat = new OscillatorNode(sound, { type: "sawtooth", frequency: 110 + 35 * (plan.scene % 4) });
    for (const frequency of [650, 1300]) throat.connect(new BiquadFilterNode(sound, { type: "bandpass", frequency, Q: 4 })).connect(mouth);
    const syllables = new OscillatorNode(sound, { frequency: 3.7 });
    syllables.connect(new GainNode(sound, { gain: 0.5 })).connect(mouth.gain);
    mouth.connect(out);
    throat.start();
    syllables.start();
    return out.stream.getAudioTracks()[0];
  };

  // --- what is received ---

  const shown = [], elements = new Map();
  let missed = 0;
  const attach = (slot, i) => {
    const had = elements.get(i);
    if (had) return;
    const e = document.createElement(slot.kind);
    e.autoplay = e.playsInline = true;
    e.srcObject = new MediaStream([slot.track]);
    elements.set(i, e);
    if (slot.kind === "video") {
      e.muted = true;
      e.width = 160; // drawn small: what is shown matters, not how large
      const look = (_, frame) => {
        e.requestVideoFrameCallback(look);
        if (frame.rtpTimestamp === undefined) return;
        if (shown.length < 20_000) shown.push({ slot: i, timestamp: frame.rtpTimestamp, at: performance.timeOrigin + frame.expectedDisplayTime });
        else missed++;
      };
      e.requestVideoFrameCallback(look);
    }
    document.body.append(e);
    e.play().catch((err) => fail("play", err));
  };
  const placeOf = (slot) => receivers.findIndex((r) => r.receiver === slot.receiver);
  const attachAll = () => {
    for (const s of room?.slots ?? []) attach(s, placeOf(s));
  };

  // --- the call ---

  let sdk, client, room, signaling = "", reconnects = 0, up = false, stops = [];
  const sum = { packets: 0, bytes: 0, base: { packets: 0, bytes: 0 } };

  const token = async () => {
    if (plan.token) return plan.token;
    const door = `/v1/dev-token?room=${encodeURIComponent(plan.room)}&identity=${encodeURIComponent(plan.person)}`;
    const answer = await fetch(door, { method: "POST" });
    const pass = await answer.json().catch(() => ({}));
    if (!pass.token) throw new Error(`the server gives no token (status ${answer.status}): start it in development mode, or name a key`);
    return pass.token;
  };

  const join = async (how) => {
    plan = how;
    if (plan.transport === "websocket") delete globalThis.WebTransport;
    sdk ??= await import("/sdk.js");
    const input = { name: plan.name, slots: plan.slots };
    for (const t of plan.tracks) input[t.media] = t.media === "microphone" ? await voice() : picture(t);
    const pass = await token();
    steps = { began: now() };
    client = await sdk.connect(location.origin, async () => pass);
    step("auth");
    signaling = client.session.transport;
    client.session.on("transport", (t) => (signaling = t));
    room = await client.join(input);
    for (const f of client.failedDevices) fail("publish", f);
    room.on("error", (e) => fail("room", e));
    room.on("slots", attachAll);
    room.on("rebuilt", attachAll);
    room.on("state", (s) => {
      if (s === "reconnecting" && up) reconnects++;
      up = s === "connected";
    });
    room.on("ended", ({ reason, error }) => reason !== "left" && fail(`the call ended (${reason})`, error ?? reason));
    attachAll();
  };

  const leave = async () => {
    const ending = room;
    room = client = undefined;
    for (const stop of stops.splice(0)) stop();
    for (const e of elements.values()) e.remove();
    elements.clear();
    sum.base = { packets: sum.packets, bytes: sum.bytes };
    await ending?.leave();
  };

  const drop = async () => {
    for (const s of sockets) s.close();
  };

  const counters = [
    "packetsReceived", "packetsLost", "packetsDiscarded", "retransmittedPacketsReceived", "nackCount", "bytesReceived",
    "headerBytesReceived", "jitter", "jitterBufferDelay", "jitterBufferEmittedCount", "totalSamplesReceived", "concealedSamples",
    "silentConcealedSamples", "concealmentEvents", "insertedSamplesForDeceleration", "removedSamplesForAcceleration",
    "framesReceived", "framesDecoded", "framesDropped", "freezeCount", "totalFreezesDuration", "totalInterFrameDelay",
    "totalSquaredInterFrameDelay", "frameWidth", "frameHeight",
  ];

  const take = async () => {
    const out = { at: now(), present: !!room && room.state !== "ended", steps, signaling, reconnects, rtt: 0, path: "", readings: [] };
    if (room) {
      const all = [];
      (await room.connection.getStats()).forEach((s) => all.push(s));
      const byId = new Map(all.map((s) => [s.id, s]));
      const sent = { packets: 0, bytes: 0 };
      for (const s of all) {
        if (s.type === "outbound-rtp") {
          sent.packets += s.packetsSent ?? 0;
          sent.bytes += (s.bytesSent ?? 0) + (s.headerBytesSent ?? 0);
        }
        if (s.type !== "inbound-rtp" || !s.mid) continue;
        const slot = room.slots.find((x) => x.mid === s.mid);
        if (!slot) continue;
        const reading = { slot: placeOf(slot), kind: slot.kind, at: s.timestamp, identity: slot.participant?.identity ?? "", source: slot.remoteTrack?.source ?? "" };
        for (const c of counters) reading[c] = s[c] ?? 0;
        out.readings.push(reading);
      }
      sum.packets = sum.base.packets + sent.packets;
      sum.bytes = sum.base.bytes + sent.bytes;
      const pair = byId.get(all.find((s) => s.type === "transport")?.selectedCandidatePairId);
      out.rtt = (pair?.currentRoundTripTime ?? 0) * 1000;
      out.path = byId.get(pair?.remoteCandidateId)?.protocol ?? "";
    }
    const { frames, overflow } = await ask("take");
    return {
      ...out, frames, overflow: overflow + missed, shown: shown.splice(0), errors: errors.splice(0), sentPackets: sum.packets, sentBytes: sum.bytes,
    };
  };

  return { clock: () => ask("clock"), join, mute: (muted) => room?.setMuted("microphone", muted), drop, leave, take };
})();
