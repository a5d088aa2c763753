// Publishes one track as /mode says, and tells the server every second what came of it.
(async () => {
  const post = async (path, body) => (await fetch(path, { method: "POST", body })).text();
  try {
    const mode = await (await fetch("/mode")).json();
    const track = mode.audio ? await microphone() : mode.canvas ? await drawing(mode) : await camera(mode);
    const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    const t = pc.addTransceiver(track, { direction: "sendonly", sendEncodings: mode.encodings ?? undefined });
    prefer(t, mode);
    if (t.getHeaderExtensionsToNegotiate) {
      const wanted = (x) => !(mode.bare && x.uri.endsWith("#dependency-descriptor-rtp-header-extension"));
      t.setHeaderExtensionsToNegotiate(
        t.getHeaderExtensionsToNegotiate().map((x) => ({ ...x, direction: wanted(x) ? "sendrecv" : "stopped" })),
      );
    }
    await pc.setLocalDescription();
    while (pc.iceGatheringState !== "complete") await new Promise((done) => setTimeout(done, 50));
    await pc.setRemoteDescription({ type: "answer", sdp: await post("/offer", pc.localDescription.sdp) });
    try {
      const p = t.sender.getParameters();
      p.degradationPreference = "maintain-resolution"; // a busy machine must not shrink the layers
      await t.sender.setParameters(p);
    } catch (e) {
      console.log(e);
    }
    for (;;) {
      const all = [];
      let estimate = 0;
      (await pc.getStats()).forEach((s) => {
        if (s.type === "outbound-rtp") all.push(s);
        if (s.type === "candidate-pair") estimate = Math.max(estimate, s.availableOutgoingBitrate ?? 0);
      });
      await post("/stats", JSON.stringify({ state: pc.connectionState, estimate, streams: all }));
      await new Promise((done) => setTimeout(done, 1000));
    }
  } catch (e) {
    await post("/failed", String(e?.stack ?? e));
  }

  async function microphone() {
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
    return stream.getAudioTracks()[0];
  }

  async function camera({ width, height }) {
    const stream = await navigator.mediaDevices.getUserMedia({
      video: { width: { exact: width }, height: { exact: height }, frameRate: 30 },
    });
    return stream.getVideoTracks()[0];
  }

  // drawing is for browsers whose fake camera stands still.
  async function drawing({ width, height }) {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    document.body.append(canvas);
    const pen = canvas.getContext("2d");
    let frame = 0;
    setInterval(() => {
      frame++;
      pen.fillStyle = "#2a4858";
      pen.fillRect(0, 0, width, height);
      for (let i = 0; i < 4; i++) {
        const angle = frame / 20 + i;
        pen.fillStyle = `hsl(${(frame * 2 + i * 90) % 360} 80% 55%)`;
        pen.fillRect(width * (0.4 + 0.35 * Math.cos(angle)), height * (0.4 + 0.35 * Math.sin(angle * 1.3)), width / 6, height / 6);
      }
      pen.fillStyle = "white";
      pen.font = `${height / 6}px monospace`;
      pen.fillText(String(frame), width / 20, height * 0.95);
    }, 40);
    return canvas.captureStream().getVideoTracks()[0];
  }

  // prefer offers the mode's codec alone, with what repairs it.
  function prefer(t, { codec, audio, red }) {
    const kind = audio ? "audio" : "video";
    const names = [codec, ...(audio ? (red ? ["red"] : []) : ["rtx"])].map((n) => `${kind}/${n}`.toLowerCase());
    const pick = (from) => {
      const codecs = from.getCapabilities(kind).codecs.filter((c) => names.includes(c.mimeType.toLowerCase()));
      // RED first: that is how a page asks for it.
      return codecs.sort((a, b) => b.mimeType.toLowerCase().endsWith("/red") - a.mimeType.toLowerCase().endsWith("/red"));
    };
    try {
      t.setCodecPreferences(pick(RTCRtpReceiver));
    } catch {
      t.setCodecPreferences(pick(RTCRtpSender));
    }
  }
})();
