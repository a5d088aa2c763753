import { codecOf, preferVideo, type VideoCodec } from "./codecs";
import type { DeviceClass } from "./device";
import { differ, fitted, offered, type Encoding, type Picture, type Wanted } from "./encodings";

// The header extension that tells of layers, which browsers do not offer by themselves: the server reads there which layer a
// packet of H.264 or AV1 is of.
export const dependencyDescriptor = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

/** Not in every browser yet: https://w3c.github.io/webrtc-extensions/#rtp-header-extension-control */
export interface HeaderExtensionControl {
  getHeaderExtensionsToNegotiate?(): { uri: string; direction: RTCRtpTransceiverDirection }[];
  setHeaderExtensionsToNegotiate?(e: { uri: string; direction: RTCRtpTransceiverDirection }[]): void;
}

/**
 * Outgoing is an m-line on which we send video. It keeps the sender's encodings what they should be: after each answer (the
 * server may have taken another codec, or fewer encodings), when the picture changes, and when the server says which layers
 * somebody watches.
 */
export class Outgoing {
  readonly transceiver: RTCRtpTransceiver;
  readonly #picture: Picture;
  readonly #device: DeviceClass;
  readonly #asked: VideoCodec;
  readonly #hasModes: boolean; // the browser knows scalabilityMode
  readonly #refused = new Set<string>(); // modes that setParameters threw at
  #wanted: ReadonlyMap<string, Wanted> | undefined; // by RID; the server has said nothing yet: all
  #fitting: Promise<void> | undefined;
  #again = false;

  /** codecs: those the server may choose from, the one we ask for first. */
  constructor(pc: RTCPeerConnection, picture: Picture, device: DeviceClass, codecs: readonly VideoCodec[]) {
    this.#picture = picture;
    this.#device = device;
    this.#asked = codecs[0]!;
    const encodings = offered({ picture, device, codec: this.#asked, lines: 0 });
    this.transceiver = add(pc, encodings);
    preferVideo(this.transceiver, "send", codecs);
    takeExtensions(this.transceiver, (uri) => uri === dependencyDescriptor);
    this.#hasModes = this.#encodings().some((e) => e.scalabilityMode !== undefined);
  }

  get sender(): RTCRtpSender {
    return this.transceiver.sender;
  }

  // The negotiated codec; before the answer the one asked for.
  #codec(parameters: RTCRtpSendParameters): VideoCodec {
    return codecOf(parameters.codecs?.[0]?.mimeType) ?? this.#asked;
  }

  /** Sends this track from now on. */
  async replaceTrack(track: MediaStreamTrack | null): Promise<void> {
    await this.sender.replaceTrack(track);
    await this.fit();
  }

  /** What the server wants, by RID; undefined: all. */
  want(wanted: ReadonlyMap<string, Wanted> | undefined): Promise<void> {
    this.#wanted = wanted;
    return this.fit();
  }

  /** Brings the sender's encodings in line. Never throws: what a browser refuses stays as it was. */
  fit(): Promise<void> {
    // setParameters takes only what getParameters gave last: one change at a time, and the last word wins.
    this.#again = true;
    this.#fitting ??= this.#fit().finally(() => (this.#fitting = undefined));
    return this.#fitting;
  }

  async #fit(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      const parameters = this.sender.getParameters();
      const now = (parameters.encodings ?? []) as Encoding[];
      const codec = this.#codec(parameters);
      const next = this.#next(now, codec);
      if (next.every((e, i) => !differ(now[i]!, e))) continue;
      try {
        await this.sender.setParameters({ ...parameters, encodings: next });
      } catch (e) {
        // Perhaps for a mode this browser's encoder does not have: once more without it. Else the sender is stopped, and there
        // is nothing to fit.
        const modes = next.flatMap((e, i) => (e.scalabilityMode !== now[i]!.scalabilityMode ? [e.scalabilityMode] : []));
        for (const m of modes) this.#refused.add(`${codec} ${m}`);
        this.#again ||= modes.length > 0;
      }
    }
  }

  #next(now: readonly Encoding[], codec: VideoCodec): Encoding[] {
    const settings = this.sender.track?.getSettings() ?? {};
    const lines = Math.min(settings.width ?? 0, settings.height ?? 0);
    const next = fitted(now, { picture: this.#picture, device: this.#device, codec, lines }, this.#wanted);
    return next.map(({ scalabilityMode, ...e }, i) => {
      const isTaken = this.#hasModes && !this.#refused.has(`${codec} ${scalabilityMode}`);
      const mode = isTaken ? scalabilityMode : now[i]!.scalabilityMode;
      return mode === undefined ? e : { ...e, scalabilityMode: mode };
    });
  }

  #encodings(): Encoding[] {
    return (this.sender.getParameters().encodings ?? []) as Encoding[];
  }
}

function add(pc: RTCPeerConnection, encodings: Encoding[]): RTCRtpTransceiver {
  try {
    return pc.addTransceiver("video", { direction: "sendonly", sendEncodings: encodings });
  } catch {
    // A mode that no codec of this browser has: without modes, then.
    const sendEncodings = encodings.map(({ scalabilityMode: _, ...e }) => e);
    return pc.addTransceiver("video", { direction: "sendonly", sendEncodings });
  }
}

/** Offers these header extensions beside those the browser would; where it lets us, no others than `only`. */
export function takeExtensions(t: RTCRtpTransceiver, more: (uri: string) => boolean, only?: (uri: string) => boolean): void {
  const control = t as HeaderExtensionControl;
  const extensions = control.getHeaderExtensionsToNegotiate?.();
  if (!extensions) return;
  for (const e of extensions) {
    if (more(e.uri)) e.direction = "sendrecv";
    else if (only && !only(e.uri)) e.direction = "stopped";
  }
  control.setHeaderExtensionsToNegotiate?.(extensions);
}
