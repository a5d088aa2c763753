// Runs in every page before its own scripts. It offers window.e2e:
//
//   source(look)     a MediaStream that can be told from all others: one colour, one tone, a timecode in the picture,
//                    and once a second a flash and a beep at the same instant
//   watch(id, track) looks at a received picture: colour, size, timecode, gaps between frames, flashes
//   hear(id, track)  listens to a received sound: loudest frequency, beeps
//   join(…)          a call by the SDK; sees(name) and hears(name) are what comes from somebody by the slot map
//   report()         everything known, as text, for a test that failed
//
// and it keeps every RTCPeerConnection that the page makes, with how often each was renegotiated, and every WebTransport.
if (!window.e2e) {
  const e2e = (window.e2e = { peers: [], descriptions: 0, onlyTCP: false, mediaPort: 0, udpVia: "", dialled: [], holdBack: 0, slowSocket: 0, watched: {}, heard: {}, errors: [] });
  addEventListener("error", (e) => {
    // Not an error: what one frame did not deliver, the next one does (CSS Resize Observer 3.3.2).
    if (!e.message.startsWith("ResizeObserver loop")) e2e.errors.push(String(e.error?.stack ?? e.message));
  });
  addEventListener("unhandledrejection", (e) => e2e.errors.push(String(e.reason?.stack ?? e.reason)));

  // Who knows only the TCP candidates of the other side cannot use UDP: neither side may learn of one.
  const withoutUDP = (sdp) => sdp.split("\r\n").filter((l) => !/^a=candidate:\S+ \d+ udp /i.test(l)).join("\r\n");

  // Whoever is told of another port sends there: the test has something that counts in between, over UDP alone. The server, which
  // would find a shorter way, is told of no address.
  const past = (sdp) =>
    sdp
      .split("\r\n")
      .filter((l) => !/^a=candidate:\S+ \d+ tcp /i.test(l))
      .map((l) => l.replace(/^(a=candidate:\S+ \d+ udp \d+ \S+) \d+/i, `$1 ${e2e.mediaPort}`))
      .join("\r\n");

  // UDP to the server takes another way, "127.0.0.1 4000", which a test may cut; TCP does not.
  const udpVia = (sdp) => sdp.replace(/^(a=candidate:\S+ \d+ udp \d+) \S+ \d+/gim, `$1 ${e2e.udpVia}`);

  // Of the relays that the page is told of, those alone whose URL matches.
  const through = (c) => {
    if (!e2e.relayBy || !c?.iceServers) return c;
    const iceServers = c.iceServers.map((s) => ({ ...s, urls: [s.urls].flat().filter((u) => e2e.relayBy.test(u)) }));
    return { ...c, iceServers: iceServers.filter((s) => s.urls.length > 0) };
  };

  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(c, ...args) {
      super(through(c), ...args);
      e2e.peers.push(this);
    }
    setConfiguration(c) {
      return super.setConfiguration(through(c));
    }
    get localDescription() {
      const d = super.localDescription;
      if (e2e.mediaPort && d) return { type: d.type, sdp: d.sdp.replace(/^a=candidate:.*\r\n/gm, "") };
      return (e2e.onlyTCP || e2e.udpVia) && d ? { type: d.type, sdp: withoutUDP(d.sdp) } : d;
    }
    setLocalDescription(...args) {
      e2e.descriptions++;
      return super.setLocalDescription(...args);
    }
    setRemoteDescription(d) {
      e2e.descriptions++;
      if (e2e.udpVia) return super.setRemoteDescription({ type: d.type, sdp: udpVia(d.sdp) });
      if (e2e.onlyTCP) return super.setRemoteDescription({ type: d.type, sdp: withoutUDP(d.sdp) });
      return super.setRemoteDescription(e2e.mediaPort ? { type: d.type, sdp: past(d.sdp) } : d);
    }
  };

  // holdBack delays by so many ms what comes over WebTransport once it is open.
  const NativeTransport = window.WebTransport;
  if (NativeTransport) {
    window.WebTransport = class extends NativeTransport {
      constructor(...args) {
        super(...args);
        e2e.dialled.push(this);
      }
      async createBidirectionalStream() {
        const stream = await super.createBidirectionalStream();
        if (!e2e.holdBack) return stream;
        const late = new TransformStream({
          transform: async (piece, to) => {
            await new Promise((done) => setTimeout(done, e2e.holdBack));
            to.enqueue(piece);
          },
        });
        return { writable: stream.writable, readable: stream.readable.pipeThrough(late) };
      }
    };
  }

  // slowSocket is by how many ms WebSockets open later: on a busy machine they would win against WebTransport now and then.
  const NativeSocket = window.WebSocket;
  window.WebSocket = class extends NativeSocket {
    set onopen(f) {
      super.onopen = f && ((e) => (e2e.slowSocket ? setTimeout(() => f(e), e2e.slowSocket) : f(e)));
    }
  };

  // The picture, in pixels of a 320×180 original: the flash is the square at the top left, the timecode a row of
  // blocks along the bottom, most significant bit first.
  const width = 320, height = 180, square = 60, block = 16, bits = 20;
  const flashLasts = 0.1; // s
  const beepAt = 2500; // Hz: above every tone and what it may ring with

  let context;
  const audio = () => (context ??= new AudioContext());

  // Noise as cameras have it: without, a large picture costs no more bits than a small one. Beside the colour and the codes.
  const noise = (n) =>
    Array.from({ length: n }, () => {
      const canvas = document.createElement("canvas");
      const [w, h] = [(canvas.width = 400), (canvas.height = 300)];
      const g = canvas.getContext("2d"), grain = g.createImageData(w, h);
      for (let i = 0; i < grain.data.length; i += 4) {
        grain.data.fill(96 + 64 * Math.random(), i, i + 3);
        grain.data[i + 3] = 255;
      }
      g.putImageData(grain, 0, 0);
      return canvas;
    });

  e2e.source = async ({ color, tone, scale = 1, fps = 20, noisy = false }) => {
    const sound = audio();
    await sound.resume();
    const out = sound.createMediaStreamDestination();
    const oscillator = (frequency, volume) => {
      const gain = new GainNode(sound, { gain: volume });
      const node = new OscillatorNode(sound, { frequency });
      node.connect(gain).connect(out);
      node.start();
      return gain.gain;
    };
    oscillator(tone, 0.2);
    const beep = oscillator(beepAt, 0);

    const canvas = document.createElement("canvas");
    canvas.width = width * scale;
    canvas.height = height * scale;
    const g = canvas.getContext("2d", { alpha: false });
    const grains = noisy ? noise(7) : [];
    let drawings = 0;
    const draw = (flash) => {
      g.setTransform(scale, 0, 0, scale, 0, 0);
      g.fillStyle = `rgb(${color.join(",")})`;
      g.fillRect(0, 0, width, height);
      if (noisy) g.drawImage(grains[++drawings % grains.length], 215, 50, 100, 75);
      g.fillStyle = flash ? "#fff" : "#000";
      g.fillRect(0, 0, square, square);
      const code = Date.now() % 2 ** bits;
      for (let i = 0; i < bits; i++) {
        g.fillStyle = (code >> (bits - 1 - i)) & 1 ? "#fff" : "#000";
        g.fillRect(i * block, height - block, block, block);
      }
    };
    // Both follow the clock of the sound. The beep is scheduled a little ahead, the flash drawn when it is heard.
    let next = Math.ceil(sound.currentTime) + 0.5, shown = false, drawn = 0;
    const schedule = (at) => {
      beep.setValueAtTime(0.6, at);
      beep.setValueAtTime(0, at + flashLasts);
    };
    schedule(next);
    const timer = setInterval(() => {
      const now = sound.currentTime;
      if (now > next + flashLasts) schedule((next = Math.ceil(now - 0.5) + 0.5));
      const flash = now >= next && now < next + flashLasts;
      if (flash === shown && performance.now() - drawn < 1000 / fps - 2) return;
      shown = flash;
      drawn = performance.now();
      draw(flash);
    }, 4);
    draw(false);
    const stream = new MediaStream([...canvas.captureStream().getVideoTracks(), ...out.stream.getAudioTracks()]);
    e2e.stop = () => clearInterval(timer);
    e2e.stream = stream;
    return stream;
  };

  e2e.watch = (id, track) => {
    const video = document.createElement("video");
    video.muted = video.playsInline = video.autoplay = true;
    video.srcObject = new MediaStream([track]);
    video.width = 160;
    document.body.append(video);
    const small = document.createElement("canvas");
    small.width = width;
    small.height = height;
    const g = small.getContext("2d", { willReadFrequently: true });
    const w = (e2e.watched[id] = {
      id, frames: 0, color: [], width: 0, height: 0, delay: 0, flashes: [], lit: true, colors: [],
      worstGap: 0, came: 0, gaps: [], // ms between two frames received
      worstPause: 0, last: 0, // ms between two frames on screen
    });
    const bright = (x, y) => g.getImageData(x, y, 1, 1).data[1] > 128;
    const look = (_, frame) => {
      video.requestVideoFrameCallback(look);
      const at = frame.expectedDisplayTime ?? performance.now();
      g.drawImage(video, 0, 0, width, height);
      w.frames++;
      w.width = frame.width;
      w.height = frame.height;
      w.color = [...g.getImageData(width / 2, height / 2, 1, 1).data].slice(0, 3);
      const name = nameOf(w.color);
      if (w.colors.at(-1)?.name !== name) w.colors.push({ name, at: performance.now() });
      let code = 0;
      for (let i = 0; i < bits; i++) code = code * 2 + Number(bright(i * block + block / 2, height - block / 2));
      w.delay = (Date.now() - code + 2 ** bits) % 2 ** bits;
      w.code = code;
      const lit = bright(square / 2, square / 2);
      if (lit && !w.lit) w.flashes.push(at);
      w.lit = lit;
      const came = frame.receiveTime ?? at; // Firefox does not tell when a frame was received
      if (w.came) {
        const gap = came - w.came;
        w.worstGap = Math.max(w.worstGap, gap);
        if (gap > 80) w.gaps.push(`${Math.round(gap)} at ${Math.round(came)}`);
      }
      w.came = came;
      if (w.last) w.worstPause = Math.max(w.worstPause, at - w.last);
      w.last = at;
    };
    video.requestVideoFrameCallback(look);
    void video.play().catch((e) => e2e.errors.push(`play ${id}: ${e}`));
    w.video = video;
  };

  /** The picture that is on the screen under this id: its size, and in base64 how bright each pixel is (green, 0 to 255). */
  e2e.grab = (id) => {
    const { video } = e2e.watched[id], canvas = document.createElement("canvas");
    const [width, height] = [(canvas.width = video.videoWidth), (canvas.height = video.videoHeight)];
    const g = canvas.getContext("2d");
    g.drawImage(video, 0, 0);
    const { data } = g.getImageData(0, 0, width, height);
    let bytes = "";
    for (let i = 1; i < data.length; i += 4) bytes += String.fromCharCode(data[i]);
    return { width, height, pixels: btoa(bytes) };
  };

  /** Ends watching and hearing under this id. */
  e2e.forget = (id) => {
    e2e.watched[id]?.video.remove();
    if (e2e.watched[id]) e2e.watched[id].video.srcObject = null;
    clearInterval(e2e.heard[id]?.timer);
    e2e.heard[id]?.source.disconnect();
    delete e2e.watched[id];
    delete e2e.heard[id];
  };

  // The colours that tests use, by the nearest; the encoder changes them a little.
  const palette = { red: [200, 30, 30], green: [30, 170, 30], blue: [30, 30, 200], yellow: [220, 200, 30] };
  e2e.palette = palette;
  const nameOf = (rgb) => {
    const distance = (name) => Math.hypot(...palette[name].map((v, i) => v - rgb[i]));
    const best = Object.keys(palette).sort((a, b) => distance(a) - distance(b))[0];
    return distance(best) < 80 ? best : `rgb(${rgb})`;
  };
  /** How far the colour that comes under this id is from one of the palette, in the channel that is farthest off. */
  e2e.offBy = (id, name) => Math.max(...palette[name].map((v, i) => Math.abs(v - (e2e.watched[id]?.color[i] ?? Infinity))));
  e2e.colorOf = (id) => nameOf(e2e.watched[id]?.color ?? []);

  e2e.hear = async (id, track) => {
    const sound = audio();
    await sound.resume();
    const stream = new MediaStream([track]);
    // Chromium hands the sound of a remote track to Web Audio only while an element plays it.
    const player = new Audio();
    player.muted = true;
    player.srcObject = stream;
    void player.play().catch((e) => e2e.errors.push(`play ${id}: ${e}`));
    const source = sound.createMediaStreamSource(stream);
    const tone = new AnalyserNode(sound, { fftSize: 8192, smoothingTimeConstant: 0 });
    source.connect(tone);
    const filter = new BiquadFilterNode(sound, { type: "bandpass", frequency: beepAt, Q: 5 });
    const beep = new AnalyserNode(sound, { fftSize: 2048 });
    source.connect(filter).connect(beep);
    const samples = new Float32Array(beep.fftSize);
    const h = (e2e.heard[id] = { id, beeps: [], player, tone, source });
    let quietSince = 0;
    h.timer = setInterval(() => {
      beep.getFloatTimeDomainData(samples);
      const now = performance.now();
      const first = samples.findIndex((v) => Math.abs(v) > 0.15);
      if (first < 0) {
        quietSince = now;
      } else if (quietSince && now - quietSince < 100) {
        h.beeps.push(now - ((samples.length - first) / sound.sampleRate) * 1000);
        quietSince = 0;
      }
    }, 8);
  };

  /** Has the microphone say this Ogg file, in base64, over and over. */
  e2e.say = async (base64) => {
    const sound = audio();
    const file = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const out = sound.createMediaStreamDestination();
    const source = new AudioBufferSourceNode(sound, { buffer: await sound.decodeAudioData(file.buffer), loop: true });
    source.connect(out);
    source.start();
    await e2e.room.publish("microphone", out.stream.getAudioTracks()[0]);
  };

  /** The loudest frequency below the beep in Hz, 0 when all is quiet. */
  e2e.frequency = (id) => {
    const h = e2e.heard[id];
    if (!h) return 0;
    const levels = new Float32Array(h.tone.frequencyBinCount);
    h.tone.getFloatFrequencyData(levels);
    const bin = h.tone.context.sampleRate / h.tone.fftSize;
    let best = 0;
    for (let i = Math.ceil(100 / bin); i < 2000 / bin; i++) if (!best || levels[i] > levels[best]) best = i;
    return levels[best] > -60 ? best * bin : 0;
  };

  /**
   * How much later the sound comes than the picture, in ms, for each flash that has its beep within half a second.
   */
  e2e.lipSync = (picture, sound) =>
    e2e.watched[picture].flashes.flatMap((flash) => {
      const beep = e2e.heard[sound].beeps.find((b) => Math.abs(b - flash) < 500);
      return beep === undefined ? [] : [beep - flash];
    });

  // --- a call by the SDK ----------------------------------------------------------------------------------------------

  /** Joins the room of this name with a source of this look, or without one the browser's fake devices, and watches and hears every slot that is ever filled. */
  // A server that can be reached from elsewhere hands out no tokens: the test has put one into e2e.token.
  const tokenFor = async (room, name) => {
    if (e2e.token) return e2e.token;
    const answer = await fetch(`/v1/dev-token?room=${room}&identity=${name}`);
    const pass = await answer.json();
    if (!pass.token) throw new Error(`no token: ${answer.status} ${pass.error}`);
    return pass.token;
  };

  e2e.join = async ({ name, room, look, slots, codec, device, saver, blind, relayOnly }) => {
    const token = await tokenFor(room, name);
    // Firefox uses all its addresses only while the page holds a device, and this one's source is none.
    if (navigator.userAgent.includes("Firefox")) e2e.device = await navigator.mediaDevices.getUserMedia({ audio: true });
    const stream = look ? await e2e.source(look) : await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
    const client = await tolkyn.sdk.connect(location.origin, token);
    e2e.session = client.session;
    const [camera] = stream.getVideoTracks(), [microphone] = stream.getAudioTracks();
    const more = { ...(codec && { codec }), ...(device && { device }), ...(saver !== undefined && { saver }), ...(relayOnly && { relayOnly }) };
    e2e.room = await client.join({ name, ...(!blind && { camera }), microphone, slots, ...more });
    e2e.wanted = []; // what the server said of layers, with when
    e2e.session.on("event", (m) => {
      if (m.case === "layersWanted" || m.case === "codecWanted") e2e.wanted.push({ at: performance.now(), ...m });
    });
    e2e.room.on("error", (e) => e2e.errors.push(`room: ${e.code} ${e.message}`));
    const follow = () => {
      for (const s of e2e.room.slots) {
        const id = s.kind + s.index;
        if (!s.participant || e2e.watched[id] || e2e.heard[id]) continue;
        if (s.kind === "video") e2e.watch(id, s.track);
        else void e2e.hear(id, s.track);
      }
    };
    e2e.room.on("slots", follow);
    e2e.room.on("rebuilt", () => {
      e2e.watched = {};
      e2e.heard = {};
      follow();
    });
    follow();
    return e2e.room.id;
  };

  const participant = (name) => [...(e2e.room?.participants.values() ?? [])].find((p) => p.name === name);

  /** The watched slot in which somebody's picture (or sound) comes, "" when it does not. */
  e2e.slot = (name, kind) => {
    const p = participant(name);
    const slot = p && e2e.room.slotOf(p.id, kind);
    return slot ? kind + slot.index : "";
  };
  e2e.sees = (name) => e2e.watched[e2e.slot(name, "video")];
  e2e.hears = (name) => e2e.heard[e2e.slot(name, "audio")];
  e2e.present = (name) => participant(name) !== undefined;
  e2e.hide = (...names) => e2e.room.wish(names.map((n) => ({ participant: participant(n).id, hidden: true })));

  /** Wishes for somebody's picture in this size, in device pixels. */
  e2e.view = (name, width, height) => e2e.room.wish([{ participant: participant(name).id, width, height }]);

  /** The codec in which somebody's picture comes: "VP8"; "" when none does. */
  e2e.codecOf = async (name) => {
    const { mid } = e2e.room.slotOf(participant(name).id, "video") ?? {};
    const stats = await e2e.stats();
    const coming = stats.find((s) => s.type === "inbound-rtp" && s.mid === mid);
    return stats.find((s) => s.id === coming?.codecId)?.mimeType.split("/")[1] ?? "";
  };

  /** What is being sent in pictures, by encoding, in the order of the offer, those in other codecs behind: frames counts spatial layers, too. */
  e2e.sending = async () => {
    const stats = await e2e.stats();
    return stats
      .filter((s) => s.type === "outbound-rtp" && s.kind === "video")
      .map((s) => ({
        mid: s.mid, rid: s.rid ?? "", index: s.encodingIndex ?? 0, active: s.active !== false, frames: s.framesSent ?? 0,
        width: s.frameWidth ?? 0, height: s.frameHeight ?? 0, mode: s.scalabilityMode ?? "",
        codec: stats.find((c) => c.id === s.codecId)?.mimeType.split("/")[1] ?? "",
      }))
      .sort((a, b) => a.mid - b.mid || a.index - b.index);
  };

  // What a receiver counts that a switch must not move.
  const counters = async () => {
    const sum = { freezes: 0, frozen: 0, concealed: 0, lost: 0 };
    for (const s of await e2e.stats()) {
      if (s.type !== "inbound-rtp") continue;
      sum.freezes += s.freezeCount ?? 0;
      sum.frozen += 1000 * (s.totalFreezesDuration ?? 0);
      sum.concealed += (s.concealedSamples ?? 0) - (s.silentConcealedSamples ?? 0);
      sum.lost += s.packetsLost ?? 0;
    }
    return sum;
  };
  let start;

  /** Begins to observe how smoothly everything comes; observed() ends it and tells. */
  e2e.observe = async () => {
    start = await counters();
    for (const w of Object.values(e2e.watched)) Object.assign(w, { worstGap: 0, worstPause: 0, gaps: [] });
  };
  e2e.observed = async () => {
    const end = await counters(), pictures = Object.values(e2e.watched);
    return {
      freezes: end.freezes - start.freezes,
      frozen: end.frozen - start.frozen,
      concealed: end.concealed - start.concealed,
      lost: end.lost - start.lost,
      gap: Math.max(...pictures.map((w) => w.worstGap)),
      pause: Math.max(...pictures.map((w) => w.worstPause)),
      delay: Math.max(...pictures.map((w) => w.delay)),
    };
  };

  /** How much later the sound of a slot is played than its picture, in ms, as the browser reckons it; null if it does not. */
  e2e.reckonedSync = async (name) => {
    const stats = await e2e.stats();
    const [sound, picture] = ["audio", "video"].map((kind) => {
      const { mid } = e2e.room.slotOf(participant(name).id, kind);
      return stats.find((s) => s.type === "inbound-rtp" && s.mid === mid);
    });
    if (!sound?.estimatedPlayoutTimestamp || !picture?.estimatedPlayoutTimestamp) return null;
    return picture.estimatedPlayoutTimestamp - sound.estimatedPlayoutTimestamp;
  };

  // --- the call page ------------------------------------------------------------------------------------------------

  // ?portrait=N puts a drawn person in front of the page's camera: N picks the looks, and the first one speaks.
  const people = [
    { wall: "#e8d9c5", wall2: "#c9b08f", shirt: "#2f5d8a", skin: "#e3b48c", hair: "#3a2a20", long: true },
    { wall: "#cfe0e6", wall2: "#8fb3c0", shirt: "#b5533c", skin: "#c98f65", hair: "#15110f", long: false },
    { wall: "#dfe5d0", wall2: "#a5b58a", shirt: "#4b4a6b", skin: "#edc5a3", hair: "#7a4a22", long: true },
  ];
  const draw = (g, who, at) => {
    const ellipse = (x, y, rx, ry, color) => {
      g.fillStyle = color;
      g.beginPath();
      g.ellipse(x, y, rx, ry, 0, 0, 2 * Math.PI);
      g.fill();
    };
    const wall = g.createLinearGradient(0, 0, 640, 360);
    wall.addColorStop(0, who.wall);
    wall.addColorStop(1, who.wall2);
    g.fillStyle = wall;
    g.fillRect(0, 0, 640, 360);
    g.fillStyle = "#ffffff66"; // a window
    for (const [x, y] of [[60, 40], [136, 40], [60, 116], [136, 116]]) g.fillRect(x, y, 68, 68);
    ellipse(560, 330, 60, 90, "#5f7d5a"); // a plant
    ellipse(600, 290, 40, 80, "#6f8f68");
    const sway = 5 * Math.sin(at / 900), nod = 2 * Math.sin(at / 500);
    g.save();
    g.translate(320 + sway, 30 + nod);
    if (who.long) ellipse(0, 145, 88, 125, who.hair);
    ellipse(0, 350, 165, 120, who.shirt);
    g.fillStyle = who.skin;
    g.fillRect(-26, 190, 52, 55);
    ellipse(0, 130, 68, 84, who.skin);
    g.fillStyle = who.hair;
    g.beginPath();
    g.ellipse(0, 100, 74, 68, 0, Math.PI, 2 * Math.PI);
    g.quadraticCurveTo(20, 70, -74, 100);
    g.fill();
    const blink = at % 4000 < 120 ? 1 : 7;
    ellipse(-25, 132, 6, blink, "#2b211c");
    ellipse(25, 132, 6, blink, "#2b211c");
    g.strokeStyle = "#7d3f34";
    g.lineWidth = 5;
    g.lineCap = "round";
    g.beginPath();
    g.arc(0, 160, 26, 0.2 * Math.PI, 0.8 * Math.PI);
    g.stroke();
    g.restore();
  };
  const portrait = new URLSearchParams(location.search).get("portrait");
  if (portrait !== null) {
    const canvas = document.createElement("canvas");
    canvas.width = 640;
    canvas.height = 360;
    const g = canvas.getContext("2d", { alpha: false });
    const paint = () => draw(g, people[portrait % people.length], performance.now());
    paint();
    setInterval(paint, 1000 / 15);
    const sound = audio(), out = sound.createMediaStreamDestination();
    const voice = new GainNode(sound, { gain: portrait === "0" ? 0.4 : 0 });
    const tone = new OscillatorNode(sound, { frequency: 220 });
    tone.connect(voice).connect(out);
    tone.start();
    navigator.mediaDevices.getUserMedia = async (wanted) => {
      await sound.resume();
      return new MediaStream([
        ...(wanted.video ? canvas.captureStream().getVideoTracks() : []),
        ...(wanted.audio ? out.stream.clone().getAudioTracks() : []),
      ]);
    };
  }

  /** How many tiles of the call page show a picture that moves on. */
  e2e.liveTiles = async () => {
    const frames = () => [...document.querySelectorAll(".tile video")].map((v) => v.getVideoPlaybackQuality().totalVideoFrames);
    const before = frames();
    await new Promise((done) => setTimeout(done, 500));
    return frames().filter((n, i) => n > before[i]).length;
  };

  /** The median of lipSync over the last five flashes; NaN before there are so many. */
  e2e.offset = (picture, sound) => {
    const last = e2e.lipSync(picture, sound).slice(-5);
    return last.length < 5 ? NaN : last.sort((a, b) => a - b)[2];
  };
  e2e.offsetOf = (name) => e2e.offset(e2e.slot(name, "video"), e2e.slot(name, "audio"));

  /** Resolves to "" once the condition holds, to what is known when it does not within ms. */
  e2e.until = async (condition, ms) => {
    const deadline = performance.now() + ms;
    let error = "";
    while (performance.now() < deadline) {
      try {
        if (await condition()) return "";
        error = "";
      } catch (e) {
        error = String(e);
      }
      await new Promise((done) => setTimeout(done, 50));
    }
    return `not within ${ms} ms: ${condition} ${error}`;
  };

  /** All statistics of the page's last peer connection, as plain objects. */
  e2e.stats = async () => {
    const peer = e2e.peers.at(-1);
    return peer ? [...(await peer.getStats()).values()].map((s) => ({ ...s })) : [];
  };

  e2e.report = async () => {
    const lines = [`errors ${JSON.stringify(e2e.errors)}`, `visibility ${document.visibilityState}`, `descriptions ${e2e.descriptions}`];
    if (context) lines.push(`sound ${context.state} ${context.currentTime}`);
    for (const { video, ...w } of Object.values(e2e.watched)) {
      lines.push(`watched ${JSON.stringify({ ...w, name: nameOf(w.color), flashes: w.flashes.length, paused: video.paused, ready: video.readyState })}`);
    }
    for (const { id, beeps } of Object.values(e2e.heard)) lines.push(`heard ${id} ${e2e.frequency(id)} Hz, ${beeps.length} beeps`);
    for (const s of e2e.room?.slots ?? []) {
      if (s.participant) lines.push(`slot ${s.kind}${s.index} mid ${s.mid}: ${s.participant.name} ${s.remoteTrack?.id}`);
    }
    for (const l of e2e.room?.layers?.values() ?? []) lines.push(`layers ${JSON.stringify(l)}`);
    for (const { at, case: kind, value } of e2e.wanted?.slice(-6) ?? []) {
      lines.push(`told at ${Math.round(at)} ${kind} ${JSON.stringify(value, (k, v) => (k.startsWith("$") ? undefined : v))}`);
    }
    if (e2e.room) for (const s of await e2e.sending()) lines.push(`sending ${JSON.stringify(s)}`);
    if (e2e.session) lines.push(`session ${e2e.session.state}, ${e2e.session.transport}, rtt ${e2e.session.rtt} ms`);
    if (e2e.room) lines.push(`room ${e2e.room.state}, participants ${[...e2e.room.participants.values()].map((p) => p.name)}`);
    for (const p of e2e.peers) lines.push(`peer ${p.signalingState} ${p.iceConnectionState} ${p.connectionState}`);
    const wanted = ["inbound-rtp", "outbound-rtp", "candidate-pair", "transport", "remote-inbound-rtp", "local-candidate", "remote-candidate"];
    for (const s of await e2e.stats()) {
      if (!wanted.includes(s.type) || (s.type === "inbound-rtp" && !s.packetsReceived)) continue;
      lines.push(JSON.stringify(s));
    }
    return lines.join("\n");
  };
}
