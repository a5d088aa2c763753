import { create } from "@bufbuild/protobuf";
import {
  JoinSchema,
  MuteSchema,
  PeerUpdate_Change,
  Profile,
  PublishSchema,
  RosterSchema,
  Sdp_Type,
  SdpSchema,
  SlotLayer_Limit,
  SubscribeSchema,
  Track_Kind,
  Track_Source,
  TrackSchema,
  TrackUpdate_Change,
  UnpublishSchema,
  WishSchema,
  type CodecWanted,
  type LayersWanted,
  type LayerState,
  type Peer,
  type PeerUpdate,
  type ProfileWanted,
  type Sdp,
  type SlotMap,
  type Snapshot,
  type Track,
  type TrackUpdate,
} from "../wire/tolkyn_pb";
import { openWithSound, ours, type MediaInput } from "./capture";
import { codecOf, supported, type VideoCodec } from "./codecs";
import { deflate, inflate } from "./deflate";
import { describeDevice, wireDevice, type Device } from "./device";
import { Emitter } from "./emitter";
import { fromDevice, TolkynError, type EndReason } from "./errors";
import { Media, type SlotCounts, type Source } from "./media";
import { network, networkSaves, wireProfile } from "./profile";
import type { ServerMessage, Session, SessionState } from "./session";

export interface JoinOptions {
  /** Shown to others; at most 128 bytes of UTF-8. */
  name: string;
  microphone?: MediaInput;
  camera?: MediaInput;
  screen?: MediaInput;
  /** Receive slots: default 3 audio (at most 16) and 9 video (at most 49). */
  slots?: Partial<SlotCounts>;
  /**
   * What pictures are sent in; default "auto": VP8, or H.264 where it is encoded in hardware, as a simulcast. VP9 and AV1
   * carry their layers in one stream. The server may take VP8 or H.264 instead, by the device's class.
   */
  codec?: VideoCodec | "auto";
  /** What the application knows better of this machine than the browser. */
  device?: Partial<Device>;
  /**
   * Sound that costs little: 12 kbit/s, and nothing in silence. Default "auto": where the browser says that each byte counts or
   * that the network is of the second generation, and where the server finds that the path carries no more.
   */
  saver?: boolean | "auto";
  /** Media goes through the server's relays (TURN) alone, and the server learns none of our addresses. Without relays none flows. */
  relayOnly?: boolean;
}

/** "connecting": joined, media on its way. "reconnecting": signaling or media is lost and being mended. */
export type RoomState = "connecting" | "connected" | "reconnecting" | "ended";

/** What somebody else publishes. */
export interface RemoteTrack {
  readonly id: string;
  readonly kind: "audio" | "video";
  readonly source: Source;
  readonly muted: boolean;
}

/** Somebody else in the room. */
export interface Participant {
  readonly id: string;
  readonly identity: string;
  readonly name: string;
  readonly tracks: ReadonlyMap<string, RemoteTrack>;
}

/** One receive position. Its track stays the same while the server changes what flows in it. */
export interface Slot {
  /** a=mid of its m-line. */
  readonly mid: string;
  readonly kind: "audio" | "video";
  readonly index: number;
  readonly track: MediaStreamTrack;
  readonly receiver: RTCRtpReceiver;
  /** Whose track flows here; undefined when nothing does. */
  readonly participant: Participant | undefined;
  readonly remoteTrack: RemoteTrack | undefined;
}

/** What we publish. */
export interface Publication {
  readonly id: string;
  readonly source: Source;
  /** What is being sent; undefined while a camera is muted. */
  readonly track: MediaStreamTrack | undefined;
  readonly muted: boolean;
}

/** Why a video is not larger: see SlotLayer in signaling/wire/tolkyn.proto. */
export type Limit = "none" | "wish" | "publisher" | "bandwidth" | "device" | "codec" | "paused";

/** What a video slot receives now, and why not more. */
export interface SlotLayers {
  readonly mid: string;
  /** Pixels; 0 when nothing flows, or the size is unknown. */
  readonly width: number;
  readonly height: number;
  /** Which encoding of the publisher's, and which layers of it, counted from 0. */
  readonly encoding: number;
  readonly spatial: number;
  readonly temporal: number;
  /** Bits a second, as the server measured. */
  readonly bitrate: number;
  readonly limit: Limit;
}

/** A part of those in the room, in join order. */
export interface RosterPage {
  participants: readonly Participant[];
  /** How many are in the room, we ourselves counted. */
  size: number;
  /** There are more behind the last one. */
  more: boolean;
}

/** What this client wants to see, most wanted first; see Room.wish. */
export interface Wish {
  participant: string;
  track?: string;
  hidden?: boolean;
  priority?: number;
  /** Device pixels on screen. */
  width?: number;
  height?: number;
}

export interface RoomEvents {
  state: RoomState;
  participantJoined: Participant;
  participantLeft: Participant;
  /** The number of those in the room changed, or those of a large room that we know of. */
  roster: number;
  trackPublished: { participant: Participant; track: RemoteTrack };
  trackUnpublished: { participant: Participant; track: RemoteTrack };
  trackMuted: { participant: Participant; track: RemoteTrack };
  /** What flows in the slots changed (all slots, in order: audio, then video). */
  slots: readonly Slot[];
  /** Who speaks, loudest first; level 0 to 127. Empty when nobody does. */
  speakers: readonly { participant: string; level: number }[];
  /** What these video slots receive changed. */
  layers: readonly SlotLayers[];
  /** What we publish changed. */
  published: readonly Publication[];
  /** Sound costs little now, or no longer. */
  saver: boolean;
  /** The media connection was replaced by a new one: slots have new tracks. */
  rebuilt: void;
  /** Something failed that does not end the call. */
  error: TolkynError;
  /** Over. Nothing comes after this. */
  ended: { reason: EndReason; error?: TolkynError };
}

type MutableParticipant = { id: string; identity: string; name: string; tracks: Map<string, RemoteTrack> };
type MutableSlot = { -readonly [K in keyof Slot]: Slot[K] };
type MutablePublication = {
  -readonly [K in keyof Publication]: Publication[K];
} & { input: MediaInput; ended?: () => void };

/** The second publication of a picture, in another codec. */
interface Backup {
  readonly id: string;
  readonly source: Source;
  readonly codec: VideoCodec;
  ending?: ReturnType<typeof setTimeout>;
}

const iceDeadline = 12_000; // ms: with 30 % loss a join takes one; after twelve it is not loss
const restartPause = 3_000; // ms between ICE restarts, or 3 round trips: a restart needs one, and some checks, to show
const reachWithin = 5_000; // ms for the server to answer before media goes over TCP: else the whole network is away
const rejoinPause = 1_000; // ms before joining again after a refusal that may pass
const backupPause = 30_000; // ms a second publication stays after it was last wanted: who comes back needs no offer
const mostKnown = 160;
const thinPause = 60_000; // ms that we save because the server said so before we try whether the path carries more
const longestThinPause = 16 * 60_000; // ms, after several tries
const wishPause = 250; // ms: a resized window says where it ended, not each step

/**
 * Room is a joined call: who is there, what flows in which slot, what we send. It outlives the connection (Session) and,
 * if need be, the RTCPeerConnection (Media).
 */
export class Room extends Emitter<RoomEvents> {
  readonly session: Session;
  readonly #name: string;
  readonly #counts: SlotCounts;
  readonly #codecs: readonly VideoCodec[];
  readonly #relayOnly: boolean;
  readonly #participants = new Map<string, MutableParticipant>();
  readonly #publications = new Map<Source, MutablePublication>();
  readonly #backups = new Map<string, Backup>(); // by track id
  readonly #layers = new Map<string, SlotLayers>(); // by mid

  /** What this machine can do, as the server was told. */
  readonly device: Device;

  #media: Media;
  #slots: MutableSlot[] = [];
  #map: SlotMap | undefined;
  #size = 1;
  #known: string[] = []; // the participants, the one learnt of last at the end
  #peerId = "";
  #state: RoomState = "connecting";
  #joined = false;
  #wasConnected = false; // of this Media
  #serial = Promise.resolve(); // local media operations and negotiations, one after the other
  #restartedAt = -Infinity;
  #doubted = 0; // when UDP last seemed silent
  #iceTimer: ReturnType<typeof setTimeout> | undefined; // armed while media should come and has not
  #mendTimer: ReturnType<typeof setTimeout> | undefined;
  #wishes: readonly Wish[] = [];
  #videoPaused = false;
  #lastN = 0;
  #saverAsked: boolean | "auto";
  #saver: boolean; // what the newest offer said
  #fewSlots: boolean; // it had one slot for video
  #thinTimer: ReturnType<typeof setTimeout> | undefined; // armed while we save for the server's word alone
  #thinPause = thinPause;
  #wished = ""; // what the server was last told
  #wishTimer: ReturnType<typeof setTimeout> | undefined;

  private constructor(session: Session, options: JoinOptions, device: Device) {
    super();
    this.session = session;
    this.device = device;
    this.#name = options.name;
    this.#codecs = codecsFor(options.codec ?? "auto", device);
    this.#relayOnly = options.relayOnly ?? false;
    this.#saverAsked = options.saver ?? "auto";
    this.#saver = this.#fewSlots = this.#saverAsked === "auto" ? networkSaves() : this.#saverAsked;
    const limits = session.welcome.limits;
    this.#counts = {
      audio: clamp(options.slots?.audio ?? 3, limits?.maxAudioSlots || 16),
      video: clamp(options.slots?.video ?? 9, limits?.maxVideoSlots || 49),
    };
    this.#media = this.#newMedia();
  }

  /**
   * Joins the token's room. Devices that cannot be opened do not keep the user out: the join goes on without them and
   * `failed` says why.
   */
  static async join(session: Session, options: JoinOptions): Promise<{ room: Room; failed: TolkynError[] }> {
    const room = new Room(session, options, await describeDevice(options.device));
    const failed: TolkynError[] = [];
    try {
      for (const source of ["microphone", "camera", "screen"] as const) {
        const input = options[source];
        if (!input) continue;
        try {
          await room.#capture(source, input);
        } catch (e) {
          failed.push(e instanceof TolkynError ? e : fromDevice(e));
        }
      }
      session.on("event", (m) => room.#handle(m));
      session.on("snapshot", (s) => room.#snapshot(s));
      session.on("renewed", () => void room.#rejoin());
      session.on("state", (state) => room.#onSession(state));
      session.on("relays", () => void room.#renewRelays());
      session.on("closed", ({ reason, error }) => room.#end(reason, error));
      await room.#join();
    } catch (e) {
      room.#end("lost");
      throw e;
    }
    addEventListener("online", room.#onNetwork);
    network()?.addEventListener("change", room.#onNetwork);
    return { room, failed };
  }

  get state(): RoomState {
    return this.#state;
  }
  /** Our own id in the room. */
  get id(): string {
    return this.#peerId;
  }
  get name(): string {
    return this.#name;
  }
  /**
   * The others, in join order. Of a large room only those the server tells us of: the first page, those in our slots, those we
   * wished for or saw on a page of the roster, at most some 128.
   */
  get participants(): ReadonlyMap<string, Participant> {
    return this.#participants;
  }
  /** How many are in the room, we ourselves counted. */
  get size(): number {
    return this.#size;
  }
  /** What the video slots receive, by mid, as far as the server has told. */
  get layers(): ReadonlyMap<string, SlotLayers> {
    return this.#layers;
  }
  /** Audio slots first, then video, each in order. */
  get slots(): readonly Slot[] {
    return this.#slots;
  }
  get published(): readonly Publication[] {
    return [...this.#publications.values()];
  }
  /** Sound costs little now: see JoinOptions. */
  get saver(): boolean {
    return this.#saver;
  }
  /** The RTCPeerConnection in use: for statistics and tests. A rebuilt room has another one. */
  get connection(): RTCPeerConnection {
    return this.#media.pc;
  }
  /** The server's media addresses, from its answer. */
  get advertised(): string[] {
    return this.#media.advertised;
  }

  publication(source: Source): Publication | undefined {
    return this.#publications.get(source);
  }

  /** The slot in which a participant's track flows now. */
  slotOf(participant: string, kind: "audio" | "video", source?: Source): Slot | undefined {
    return this.#slots.find(
      (s) => s.kind === kind && s.participant?.id === participant && (!source || s.remoteTrack?.source === source),
    );
  }

  /** Which source one of the connection's m-lines sends; undefined for a slot. */
  sourceOf(t: RTCRtpTransceiver): Source | undefined {
    return this.#media.sourceOf(t);
  }

  /**
   * Starts sending, or sends something else from the same source: another device needs no new publication. A screen brings its
   * sound with it, as "screen-audio", where browser and user give it.
   */
  publish(source: Source, input: MediaInput = true): Promise<Publication> {
    return this.#inTurn(async () => {
      const known = new Set(this.#publications.keys());
      const captured = await this.#capture(source, input);
      const fresh = captured.filter((p) => !known.has(p.source));
      try {
        if (fresh.length > 0) await this.#announce(fresh);
        for (const p of captured) {
          if (!p.muted) continue;
          p.muted = false;
          await this.#attach(p);
          await this.#tellMute(p);
        }
        const silent = source === "screen" && captured.length === 1;
        if (silent && known.has("screen-audio")) await this.#withdraw("screen-audio");
      } catch (e) {
        for (const p of fresh) this.#forget(p);
        throw e;
      } finally {
        this.emit("published", this.published);
      }
      return captured[0]!;
    });
  }

  /** Stops sending and takes the track away from the others; a screen's sound goes with it. */
  unpublish(source: Source): Promise<void> {
    return this.#inTurn(() => this.#withdraw(...(source === "screen" ? (["screen", "screen-audio"] as const) : [source])));
  }

  /**
   * Mutes or unmutes. A muted microphone sends nothing and stays open; a muted camera is switched off (its light goes out) and
   * opened again on unmuting. Local first: it takes effect before the server knows.
   */
  setMuted(source: Source, muted: boolean): Promise<void> {
    // Silence must not wait in a queue behind a negotiation.
    const now = this.#publications.get(source);
    if (isSound(source) && muted && now?.track) now.track.enabled = false;
    const switched = this.#inTurn(async () => {
      const known = new Set(this.#publications.keys());
      const p = this.#publications.get(source);
      if (!p || p.muted === muted) return undefined;
      if (isSound(source) && (muted || p.track?.readyState === "live")) {
        if (p.track) p.track.enabled = !muted;
      } else if (muted) {
        const { track } = p;
        p.track = undefined;
        if (ours(p.input)) track?.stop();
      } else {
        const [, sound] = await this.#capture(source, p.input); // a microphone that was unplugged, too
        if (sound && !known.has(sound.source)) await this.#announce([sound]);
      }
      p.muted = muted;
      await this.#attach(p);
      this.emit("published", this.published);
      return p;
    });
    // Not in turn: without a connection the answer may take long, and the next switch must not wait for it.
    return switched.then((p) => p && this.#tellMute(p));
  }

  /** Has sound cost little from now on, or not; "auto": as the network is. */
  async save(saver: boolean | "auto"): Promise<void> {
    this.#saverAsked = saver;
    await this.#saveAsAsked();
  }

  // As the user said, else as the network is: what the server has found of its path before counts no more.
  #saveAsAsked(): Promise<void> {
    clearTimeout(this.#thinTimer);
    return this.#setSaver(this.#saverAsked === "auto" ? networkSaves() : this.#saverAsked);
  }

  #setSaver(saver: boolean, fewSlots = saver): Promise<void> {
    return this.#inTurn(async () => {
      if (saver === this.#saver && fewSlots === this.#fewSlots) return;
      const reopens = fewSlots !== this.#fewSlots;
      this.#fewSlots = fewSlots;
      if (saver !== this.#saver) {
        this.#saver = saver;
        this.emit("saver", saver);
      }
      if (!this.#joined) return; // the next Join says so
      if (reopens) this.#media.showVideos(this.#offered.video);
      try {
        await this.#negotiate(undefined, wireProfile(saver));
      } catch (e) {
        if (reopens) void this.#rejoin(); // slots that have been stopped do not come back
        throw e;
      }
      if (!reopens) return;
      this.#makeSlots();
      this.#refreshSlots();
      this.emit("slots", this.#slots);
    });
  }

  // Where each byte counts one slot for video is open: each costs reports, whether or not anything flows.
  get #offered(): SlotCounts {
    return this.#fewSlots ? { audio: this.#counts.audio, video: 1 } : this.#counts;
  }

  /**
   * Says what is wanted on screen and how large, most wanted first. Tracks not named fill the free slots. Sent at most
   * four times a second, and only when it changed.
   */
  wish(wishes: readonly Wish[]): void {
    this.#wishes = wishes;
    this.#wishTimer ??= setTimeout(() => {
      this.#wishTimer = undefined;
      this.#subscribe();
    }, wishPause);
  }

  /** No video in any slot while the page is not looked at; sound goes on. Takes effect at once. */
  pauseVideo(paused: boolean): void {
    this.#videoPaused = paused;
    this.#subscribeNow();
  }

  /** At most so many videos in the slots; 0: as many as there are slots. */
  showAtMost(n: number): void {
    this.#lastN = Math.max(0, Math.floor(n));
    this.#subscribeNow();
  }

  /**
   * A page of those in the room, in join order: those behind this participant, "" for the first page; at most 64. From then on
   * events tell of those on it.
   */
  async roster(after = "", limit = 0): Promise<RosterPage> {
    const m = await this.session.request({ case: "roster", value: create(RosterSchema, { after, limit }) });
    if (m.case !== "rosterPage") throw new TolkynError("protocol", `Roster answered by ${m.case}`);
    const { peers, size, more } = m.value;
    const others = peers.filter((p) => p.peerId !== this.#peerId);
    for (const p of others) {
      this.#known = this.#known.filter((id) => id !== p.peerId); // it counts as new
      this.#learn(p);
    }
    this.#setSize(size);
    const participants = others.flatMap((p) => this.#participants.get(p.peerId) ?? []);
    return { participants, size, more };
  }

  /** Loudness of each remote participant with audio in a slot, 0 to 1, measured by this browser. */
  levels(): Map<string, number> {
    const levels = new Map<string, number>();
    for (const s of this.#slots) {
      if (s.kind !== "audio" || !s.participant) continue;
      const level = s.receiver.getSynchronizationSources?.()[0]?.audioLevel ?? 0;
      levels.set(s.participant.id, Math.max(level, levels.get(s.participant.id) ?? 0));
    }
    return levels;
  }

  /** Leaves the room and ends the session. Never throws. */
  async leave(): Promise<void> {
    await this.session.leave();
    this.#end("left");
  }

  /** Asks for new ICE credentials and paths; the call goes on meanwhile. */
  restartIce(): Promise<void> {
    return this.#inTurn(async () => {
      this.#restartedAt = performance.now();
      this.#media.pc.restartIce();
      await this.#negotiate();
    });
  }

  // --- joining ------------------------------------------------------------------------------------------------------

  async #join(overTCP = false): Promise<void> {
    const media = this.#media;
    for (const p of this.#publications.values()) {
      media.open(p.source);
      await this.#attach(p);
    }
    const offer = await media.offer();
    const joining = this.session.request({
      case: "join",
      value: create(JoinSchema, {
        name: this.#name,
        offer: await describe(offer, Sdp_Type.OFFER, wireProfile(this.#saver)),
        tracks: this.published.map((p) => this.#wireTrack(p)),
        device: wireDevice(this.device),
      }),
    });
    const m = await joining;
    if (m.case !== "joined") throw new TolkynError("protocol", `Join answered by ${m.case}`);
    this.#peerId = m.value.peerId;
    this.#joined = true;
    this.#makeSlots();
    this.#setPeers(m.value.peers, m.value.rosterSize);
    this.#setSlots(m.value.slots);
    await media.answer(await read(m.value.answer), overTCP);
    this.#watchIce();
    this.#updateState();
    this.#wished = JSON.stringify([[], false, 0]); // what the server takes for granted
    this.#subscribe();
  }

  // A new RTCPeerConnection takes the old one's place, with everything we publish: in the same session, where the server
  // lets the new peer replace the old one, or in a new session. overTCP: UDP is dead; the old connection stands until then, and
  // what it showed last.
  async #rejoin(overTCP = false): Promise<void> {
    this.#joined = false;
    this.#updateState();
    await this.#inTurn(async () => {
      if (this.#state === "ended" || this.#joined || this.session.state !== "open") return;
      const old = this.#media;
      if (overTCP) old.retire();
      else old.close();
      this.#media = this.#newMedia();
      this.#wasConnected = overTCP;
      try {
        await this.#join(overTCP);
        this.emit("rebuilt", undefined);
      } catch (e) {
        const error = asError(e);
        if (this.session.state !== "open") return; // the resumed or renewed session brings us here again
        if (!error.temporary) return this.#end("lost", error);
        setTimeout(() => void this.#rejoin(), Math.max(error.retryAfter, rejoinPause));
      } finally {
        old.close();
      }
    });
  }

  // Nothing comes over UDP any more. When the server can be reached and still nothing comes, it is UDP alone that is dead, and a
  // new connection over TCP is there before the browser has noticed. It stays until the next ICE restart, which a change of
  // networks brings: to go back by ourselves would be heard.
  async #onSilence(media: Media, sure: boolean): Promise<void> {
    const at = (): boolean => media === this.#media && this.#joined && this.#state !== "ended";
    if (!at() || this.#relayOnly || !media.advertised.some((a) => a.endsWith("/tcp"))) return;
    if (!sure) {
      this.#doubted = performance.now();
      return this.session.probe(true);
    }
    if (this.session.heard <= this.#doubted && !(await this.session.reach(reachWithin))) return;
    if (at() && this.session.state === "open" && (await media.silent()) && at()) await this.#rejoin(true);
  }

  #newMedia(): Media {
    this.#wasConnected = false;
    this.#unwatchIce();
    for (const b of this.#backups.values()) clearTimeout(b.ending); // asked for again where they are needed
    this.#backups.clear();
    this.#layers.clear();
    const media: Media = new Media({
      slots: this.#offered,
      device: this.device.class,
      codecs: this.#codecs,
      nearby: onLoopback(this.session.url),
      relays: this.session.iceServers,
      relayOnly: this.#relayOnly,
      onState: (s) => this.#onIceState(s),
      onSilence: (sure) => void this.#onSilence(media, sure),
      saver: () => this.#saver,
    });
    return media;
  }

  // What was allocated with credentials that run out ends with them.
  async #renewRelays(): Promise<void> {
    const media = this.#media;
    const due = await media.renew(this.session.iceServers);
    if (due && media === this.#media && this.#joined && this.session.state === "open") this.#mend();
  }

  #makeSlots(): void {
    const slot = (kind: "audio" | "video") => (t: RTCRtpTransceiver, index: number): MutableSlot => ({
      mid: t.mid ?? "",
      kind,
      index,
      track: t.receiver.track,
      receiver: t.receiver,
      participant: undefined,
      remoteTrack: undefined,
    });
    this.#slots = [...this.#media.audioSlots.map(slot("audio")), ...this.#media.videoSlots.map(slot("video"))];
  }

  // --- what the server tells ----------------------------------------------------------------------------------------

  #handle(m: ServerMessage): void {
    switch (m.case) {
      case "peerUpdate":
        return this.#peerUpdate(m.value);
      case "trackUpdate":
        return this.#trackUpdate(m.value);
      case "slotMap":
        return this.#setSlots(m.value);
      case "speakers":
        return this.emit("speakers", m.value.speakers.map((s) => ({ participant: s.peerId, level: s.level })));
      case "rosterUpdate":
        return this.#setSize(m.value.size);
      case "layersWanted":
        return this.#layersWanted(m.value);
      case "codecWanted":
        return this.#codecWanted(m.value);
      case "layerState":
        return this.#layerState(m.value);
      case "profileWanted":
        return this.#profileWanted(m.value);
    }
  }

  #snapshot(s: Snapshot): void {
    if (!this.#joined) return;
    if (!s.joined) {
      void this.#rejoin(); // the server gave our media session up
      return;
    }
    this.#setPeers(s.peers, s.rosterSize);
    this.#setSlots(s.slots);
  }

  #peerUpdate(u: PeerUpdate): void {
    if (!u.peer || u.peer.peerId === this.#peerId) return;
    const { peer, change } = u;
    const known = this.#participants.has(peer.peerId);
    const by = Number(change === PeerUpdate_Change.JOINED && !known) - Number(change === PeerUpdate_Change.LEFT && known);
    // In a small room everybody is known and each update counts; of a large one RosterUpdate tells the number.
    const counts = by !== 0 && this.#participants.size + 1 >= this.#size;
    if (counts) this.#size = this.#participants.size + 1 + by;
    if (change === PeerUpdate_Change.JOINED) this.#addPeer(peer);
    else if (change === PeerUpdate_Change.LEFT) {
      this.#media.calm();
      this.#removePeer(peer.peerId);
    }
    if (counts) this.emit("roster", this.#size);
  }

  #addPeer(peer: Peer): void {
    const p = this.#know(peer);
    if (p) this.emit("participantJoined", p);
  }

  // Somebody who was there before we heard of him.
  #learn(peer: Peer): void {
    if (this.#know(peer)) this.emit("roster", this.#size);
  }

  // Returns who was not known before.
  #know(peer: Peer): MutableParticipant | undefined {
    const known = this.#participants.get(peer.peerId);
    const p = known ?? { id: peer.peerId, identity: "", name: "", tracks: new Map<string, RemoteTrack>() };
    p.identity = peer.identity;
    p.name = peer.name;
    p.tracks.clear();
    for (const t of peer.tracks) p.tracks.set(t.trackId, remoteTrack(t));
    this.#participants.set(p.id, p);
    if (!this.#known.includes(p.id)) this.#known.push(p.id);
    this.#forgetOldest();
    if (!known) return p;
    for (const track of p.tracks.values()) this.emit("trackMuted", { participant: p, track });
    return undefined;
  }

  #removePeer(id: string): void {
    const p = this.#participants.get(id);
    if (!p) return;
    this.#drop(p);
    this.emit("participantLeft", p);
    this.emit("slots", this.#slots);
  }

  #drop(p: MutableParticipant): void {
    this.#participants.delete(p.id);
    this.#known = this.#known.filter((id) => id !== p.id);
    for (const s of this.#slots) if (s.participant === p) s.participant = s.remoteTrack = undefined;
  }

  // The server tells each client of 128 and forgets the oldest that is in no slot. We keep some more: whom we forgot too early
  // would come back into a slot without a name.
  #forgetOldest(): void {
    if (this.#known.length <= mostKnown) return;
    const inSlots = new Set(this.#map?.slots.map((s) => s.peerId));
    const oldest = this.#participants.get(this.#known.find((id) => !inSlots.has(id)) ?? "");
    if (oldest) this.#drop(oldest);
  }

  #setSize(size: number): void {
    if (size === this.#size) return;
    this.#size = size;
    this.emit("roster", size);
  }

  #setPeers(peers: readonly Peer[], size: number): void {
    const there = new Set(peers.map((p) => p.peerId));
    for (const id of [...this.#participants.keys()]) if (!there.has(id)) this.#removePeer(id);
    for (const p of peers) this.#addPeer(p);
    this.#setSize(size || peers.length + 1);
  }

  #trackUpdate(u: TrackUpdate): void {
    const participant = this.#participants.get(u.peerId);
    if (!participant || !u.track) return;
    const track = remoteTrack(u.track);
    if (u.change === TrackUpdate_Change.MUTED || u.change === TrackUpdate_Change.UNPUBLISHED) this.#media.calm();
    switch (u.change) {
      case TrackUpdate_Change.PUBLISHED:
        participant.tracks.set(track.id, track);
        this.#refreshSlots();
        return this.emit("trackPublished", { participant, track });
      case TrackUpdate_Change.UNPUBLISHED:
        participant.tracks.delete(track.id);
        this.#refreshSlots();
        return this.emit("trackUnpublished", { participant, track });
      case TrackUpdate_Change.MUTED:
      case TrackUpdate_Change.UNMUTED: {
        const known = participant.tracks.get(track.id) ?? track;
        const changed = { ...known, muted: u.change === TrackUpdate_Change.MUTED };
        participant.tracks.set(track.id, changed);
        this.#refreshSlots();
        return this.emit("trackMuted", { participant, track: changed });
      }
    }
  }

  #setSlots(map: SlotMap | undefined): void {
    this.#map = map;
    for (const p of map?.peers ?? []) this.#learn(p);
    this.#refreshSlots();
    this.emit("slots", this.#slots);
  }

  #layerState(state: LayerState): void {
    const changed = state.slots.map((s) => ({
      mid: s.mid,
      width: s.width,
      height: s.height,
      encoding: s.encoding,
      spatial: s.spatial,
      temporal: s.temporal,
      bitrate: s.bitrate,
      limit: limits[s.limit] ?? "none",
    }));
    for (const s of changed) this.#layers.set(s.mid, s);
    this.emit("layers", changed);
  }

  // The map names ids; participants and tracks come by other events, before or after it.
  #refreshSlots(): void {
    const byMid = new Map(this.#map?.slots.map((s) => [s.mid, s]));
    for (const slot of this.#slots) {
      const s = byMid.get(slot.mid);
      slot.participant = s?.peerId ? this.#participants.get(s.peerId) : undefined;
      slot.remoteTrack = s ? slot.participant?.tracks.get(s.trackId) : undefined;
      if (!s?.peerId) this.#layers.delete(slot.mid);
    }
  }

  // --- what we send -------------------------------------------------------------------------------------------------

  // Opens the input and puts it on its m-line, and the sound that a screen brings on another. The publications exist
  // afterwards; the server is not told yet.
  async #capture(source: Source, input: MediaInput): Promise<MutablePublication[]> {
    const { track, sound } = await openWithSound(source, input, this.device.class);
    const captured = [await this.#take(source, input, track)];
    if (sound) captured.push(await this.#take("screen-audio", true, sound));
    return captured;
  }

  async #take(source: Source, input: MediaInput, track: MediaStreamTrack): Promise<MutablePublication> {
    const p: MutablePublication = this.#publications.get(source) ?? {
      id: `${source}-${Math.random().toString(36).slice(2, 8)}`,
      source,
      track: undefined,
      muted: false,
      input,
    };
    if (p.track && p.track !== track) {
      if (p.ended) p.track.removeEventListener("ended", p.ended);
      if (ours(p.input)) p.track.stop();
    }
    p.input = input;
    p.track = track;
    p.ended = () => void this.#trackEnded(p, track);
    track.addEventListener("ended", p.ended);
    if (contentHints[source]) track.contentHint = contentHints[source];
    if (isSound(source)) track.enabled = true;
    this.#publications.set(source, p);
    if (this.#joined) await this.#attach(p);
    return p;
  }

  // Sends what is published and not muted, in every codec it is published in. Silence would cost as much as speech.
  async #attach(p: Publication): Promise<void> {
    const track = p.muted ? null : (p.track ?? null);
    await this.#media.send(p.source, track);
    for (const b of this.#backups.values()) {
      if (b.source === p.source) await this.#media.send(b.source, track, b.codec);
    }
  }

  // Tells the server about new tracks. It takes note of them with an offer, even where no m-line is new.
  async #announce(list: readonly MutablePublication[]): Promise<void> {
    for (const p of list) {
      this.#media.open(p.source);
      await this.#attach(p);
    }
    await this.#negotiate(() => list.map((p) => this.#wireTrack(p)));
  }

  // Ends publications, with what there is of them in other codecs.
  async #withdraw(...sources: readonly Source[]): Promise<void> {
    const ended = sources.flatMap((s) => this.#publications.get(s) ?? []);
    const backups = [...this.#backups.values()].filter((b) => ended.some((p) => p.source === b.source));
    if (ended.length === 0) return;
    for (const b of backups) this.#forgetBackup(b);
    for (const p of ended) this.#forget(p);
    this.emit("published", this.published);
    await this.#tellEnded([...backups, ...ended].map((p) => p.id));
  }

  async #tellEnded(trackIds: string[]): Promise<void> {
    try {
      await this.session.request({ case: "unpublish", value: create(UnpublishSchema, { trackIds }) });
    } catch (e) {
      if (asError(e).code !== "not-found") throw e; // asked twice across a reconnect
    }
  }

  #layersWanted(w: LayersWanted): void {
    if (!this.#joined) return; // said to the peer whose place we are taking; of ours all is wanted at first
    const wanted = new Map(w.encodings.map((e) => [e.rid, e]));
    const source = [...this.#publications.values()].find((p) => p.id === w.trackId)?.source;
    const backup = this.#backups.get(w.trackId);
    if (source) void this.#media.outgoing(source)?.want(wanted);
    else if (backup) void this.#media.outgoing(backup.source, backup.codec)?.want(wanted);
  }

  // The path does not carry the sound it is asked to. The user's own word stands. Slots stay open: that may pass, and who saves shows
  // nothing of it, so that we have to try.
  #profileWanted(w: ProfileWanted): void {
    if (this.#saverAsked !== "auto" || this.#saver || w.profile !== Profile.SAVER) return;
    const failed = (e: unknown): void => this.emit("error", asError(e));
    this.#setSaver(true, false).catch(failed);
    clearTimeout(this.#thinTimer);
    this.#thinTimer = setTimeout(() => this.#saveAsAsked().catch(failed), this.#thinPause);
    this.#thinPause = Math.min(2 * this.#thinPause, longestThinPause);
  }

  // Somebody cannot decode what we send: the same picture goes out in another codec too, as long as he is there.
  #codecWanted(w: CodecWanted): void {
    const p = [...this.#publications.values()].find((p) => p.id === w.trackId);
    const codec = codecOf(w.codec);
    if (!p || !codec || isSound(p.source)) return;
    const id = `${p.id}-${codec}`;
    const known = this.#backups.get(id);
    if (known) {
      clearTimeout(known.ending);
      if (!w.wanted) known.ending = setTimeout(() => this.#endBackup(known), backupPause);
      return;
    }
    if (!w.wanted || supported("send", [codec]).length === 0) return;
    const backup: Backup = { id, source: p.source, codec };
    this.#backups.set(id, backup);
    const media = this.#media;
    this.#inTurn(async () => {
      if (media !== this.#media || !this.#joined || this.#backups.get(id) !== backup) return;
      media.open(p.source, codec);
      await media.send(p.source, p.track ?? null, codec);
      await this.#negotiate(() => [
        create(TrackSchema, {
          trackId: id,
          kind: Track_Kind.VIDEO,
          source: wireSource[p.source],
          mid: media.transceiver(p.source, codec)?.mid ?? "",
          backupOf: p.id,
        }),
      ]);
    }).catch((e) => {
      this.#forgetBackup(backup);
      if (this.session.state === "open" && media === this.#media) this.emit("error", asError(e));
    });
  }

  #endBackup(b: Backup): void {
    this.#inTurn(async () => {
      if (this.#backups.get(b.id) !== b || !this.#joined) return;
      this.#forgetBackup(b);
      await this.#tellEnded([b.id]);
    }).catch((e) => this.emit("error", asError(e)));
  }

  #forgetBackup(b: Backup): void {
    clearTimeout(b.ending);
    if (this.#backups.get(b.id) === b) this.#backups.delete(b.id);
    this.#media.send(b.source, null, b.codec).catch(() => {}); // of a connection that is closed: nothing flows
  }

  // One offer and its answer: with new tracks as Publish, without as Sdp. The offer gives new m-lines their mids.
  async #negotiate(announced: () => Track[] = () => [], profile?: Profile): Promise<void> {
    const media = this.#media;
    const offer = await describe(await media.offer(), Sdp_Type.OFFER, profile);
    const tracks = announced();
    try {
      const m = await this.session.request(
        tracks.length > 0
          ? { case: "publish", value: create(PublishSchema, { tracks, offer }) }
          : { case: "sdp", value: offer },
      );
      if (m.case !== "sdp") throw new TolkynError("protocol", `an offer was answered by ${m.case}`);
      await media.answer(await read(m.value));
    } catch (e) {
      await media.rollback();
      throw e;
    }
  }

  async #tellMute(p: Publication): Promise<void> {
    if (!this.#joined) return; // Join tells
    try {
      await this.session.request({ case: "mute", value: create(MuteSchema, { trackId: p.id, muted: p.muted }) });
    } catch (e) {
      // The session or the peer was begun anew meanwhile, and its Join has told.
      if (!["connection-lost", "not-found", "protocol"].includes(asError(e).code)) throw e;
    }
  }

  #forget(p: MutablePublication): void {
    this.#publications.delete(p.source);
    if (p.ended) p.track?.removeEventListener("ended", p.ended);
    if (ours(p.input)) p.track?.stop();
    this.#media.send(p.source, null).catch(() => {}); // of a connection that is closed: nothing flows
  }

  // The device was unplugged, or the user ended sharing in the browser's own bar.
  async #trackEnded(p: MutablePublication, track: MediaStreamTrack): Promise<void> {
    if (p.track !== track || this.#state === "ended") return;
    if (p.source === "screen" || p.source === "screen-audio") {
      return this.unpublish(p.source).catch((e) => this.emit("error", asError(e)));
    }
    this.emit("error", new TolkynError("device-lost", `the ${p.source} is gone: ${track.label}`));
    await this.setMuted(p.source, true).catch((e) => this.emit("error", asError(e)));
  }

  #wireTrack(p: Publication): Track {
    return create(TrackSchema, {
      trackId: p.id,
      kind: isSound(p.source) ? Track_Kind.AUDIO : Track_Kind.VIDEO,
      source: wireSource[p.source],
      mid: this.#media.transceiver(p.source)?.mid ?? "",
      muted: p.muted,
    });
  }

  #subscribeNow(): void {
    clearTimeout(this.#wishTimer);
    this.#wishTimer = undefined;
    this.#subscribe();
  }

  #subscribe(): void {
    if (!this.#joined || this.session.state !== "open") return;
    const text = JSON.stringify([this.#wishes, this.#videoPaused, this.#lastN]);
    if (text === this.#wished) return;
    this.#wished = text;
    const wishes = this.#wishes.map((w, i) =>
      create(WishSchema, {
        peerId: w.participant,
        trackId: w.track ?? "",
        hidden: w.hidden ?? false,
        priority: w.priority ?? this.#wishes.length - i,
        width: Math.round(w.width ?? 0),
        height: Math.round(w.height ?? 0),
      }),
    );
    const value = create(SubscribeSchema, { wishes, videoPaused: this.#videoPaused, lastN: this.#lastN });
    this.session.request({ case: "subscribe", value }).catch((e) => {
      this.#wished = "";
      if (this.#joined && this.session.state === "open") this.emit("error", asError(e));
    });
  }

  // --- staying connected --------------------------------------------------------------------------------------------

  #onIceState(state: RTCIceConnectionState): void {
    if (state === "connected" || state === "completed") {
      this.#wasConnected = true;
      this.#unwatchIce();
    } else if (state === "failed" || state === "disconnected") {
      this.session.probe();
      this.#mend();
    }
    this.#updateState();
  }

  #onSession(state: SessionState): void {
    // A rejoin that lost its connection is tried again; "renewed" does the same for a new session.
    if (state === "open" && !this.#joined && this.#peerId) void this.#rejoin();
    this.#updateState();
  }

  // Media should be there within the deadline; if it is not, the user learns which address was tried.
  #watchIce(): void {
    this.#iceTimer ??= setTimeout(() => {
      this.#unwatchIce();
      if (this.#state === "ended" || this.#iceIsUp()) return;
      const addresses = this.advertised;
      this.emit(
        "error",
        new TolkynError(
          "ice-failed",
          `no media path to ${addresses.join(", ") || "the server: its answer names no address"}; ` +
            `if that is not where the server can be reached, start it with --advertise ADDRESS`,
          { addresses },
        ),
      );
      // A path that once worked: start over with a new connection. One that never did: try again, it is cheap.
      if (this.#wasConnected) void this.#rejoin();
      else this.#mend();
    }, iceDeadline);
  }

  #unwatchIce(): void {
    clearTimeout(this.#iceTimer);
    this.#iceTimer = undefined;
  }

  #mend(): void {
    if (!this.#joined || this.#state === "ended" || this.session.state !== "open") return;
    this.#watchIce();
    const pause = Math.max(restartPause, 3 * this.session.rtt);
    const wait = this.#restartedAt + pause - performance.now();
    if (wait > 0) {
      this.#mendTimer ??= setTimeout(() => {
        this.#mendTimer = undefined;
        if (!this.#iceIsUp()) this.#mend();
      }, wait);
      return;
    }
    this.#restartedAt = performance.now();
    this.restartIce().catch((e) => {
      const error = asError(e);
      if (error.code === "not-found" || error.code === "protocol") void this.#rejoin(); // no longer in the room
      else if (this.session.state === "open") this.emit("error", error);
    });
  }

  readonly #onNetwork = (): void => {
    this.#thinPause = thinPause;
    this.#saveAsAsked().catch(() => {}); // the next Join says so
    if (performance.now() - this.#restartedAt > restartPause) this.#mend();
  };

  #iceIsUp(): boolean {
    return ["connected", "completed"].includes(this.#media.pc.iceConnectionState);
  }

  #updateState(): void {
    if (this.#state === "ended") return;
    let state: RoomState = "connecting";
    if (this.#joined) {
      if (this.session.state === "open" && this.#iceIsUp()) state = "connected";
      else if (this.#wasConnected || this.session.state === "reconnecting") state = "reconnecting";
    } else if (this.#state !== "connecting") {
      state = "reconnecting";
    }
    // What broke while signaling was away could not be mended then.
    if (state === "reconnecting" && this.session.state === "open" && this.#joined && !this.#iceIsUp()) this.#mend();
    if (state === "connected" && this.#state !== "connected") this.#subscribe();
    if (state === this.#state) return;
    this.#state = state;
    this.emit("state", state);
  }

  #end(reason: EndReason, error?: TolkynError): void {
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.#unwatchIce();
    clearTimeout(this.#mendTimer);
    clearTimeout(this.#wishTimer);
    clearTimeout(this.#thinTimer);
    removeEventListener("online", this.#onNetwork);
    network()?.removeEventListener("change", this.#onNetwork);
    for (const b of this.#backups.values()) clearTimeout(b.ending);
    for (const p of [...this.#publications.values()]) this.#forget(p);
    this.#media.close();
    if (this.session.state !== "closed") void this.session.leave();
    this.emit("state", "ended");
    this.emit("ended", error ? { reason, error } : { reason });
  }

  // One at a time, in order; a failure does not stop the next.
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#serial.then(work);
    this.#serial = done.then(
      () => {},
      () => {},
    );
    return done;
  }
}

const wireSource: Record<Source, Track_Source> = {
  microphone: Track_Source.MICROPHONE,
  camera: Track_Source.CAMERA,
  screen: Track_Source.SCREEN,
  "screen-audio": Track_Source.SCREEN_AUDIO,
};

// What encoders make of a picture or a sound: https://w3c.github.io/mst-content-hint/
const contentHints: Record<Source, string> = {
  microphone: "", // the application's own choice
  camera: "motion",
  screen: "detail",
  "screen-audio": "music",
};

const limits: Record<SlotLayer_Limit, Limit> = {
  [SlotLayer_Limit.LIMIT_UNSPECIFIED]: "none",
  [SlotLayer_Limit.NONE]: "none",
  [SlotLayer_Limit.WISH]: "wish",
  [SlotLayer_Limit.PUBLISHER]: "publisher",
  [SlotLayer_Limit.BANDWIDTH]: "bandwidth",
  [SlotLayer_Limit.DEVICE]: "device",
  [SlotLayer_Limit.CODEC]: "codec",
  [SlotLayer_Limit.PAUSED]: "paused",
};

function isSound(source: Source): boolean {
  return source === "microphone" || source === "screen-audio";
}

// Behind the codec asked for come the two that a server may take instead, by the device's class.
function codecsFor(asked: VideoCodec | "auto", device: Device): VideoCodec[] {
  const usual: VideoCodec[] = device.hardwareEncoders.includes("h264") ? ["h264", "vp8"] : ["vp8", "h264"];
  const wanted = asked === "auto" ? usual : [asked, ...usual.filter((c) => c !== asked)];
  const list = wanted.filter((c) => supported("send", [c]).length > 0);
  return list.length > 0 ? list : ["vp8"];
}

function remoteTrack(t: Track): RemoteTrack {
  const sources: Partial<Record<Track_Source, Source>> = {
    [Track_Source.CAMERA]: "camera",
    [Track_Source.SCREEN]: "screen",
    [Track_Source.SCREEN_AUDIO]: "screen-audio",
  };
  return {
    id: t.trackId,
    kind: t.kind === Track_Kind.VIDEO ? "video" : "audio",
    source: sources[t.source] ?? (t.kind === Track_Kind.VIDEO ? "camera" : "microphone"),
    muted: t.muted,
  };
}

async function describe(sdp: string, type: Sdp_Type, profile: Profile = Profile.PROFILE_UNSPECIFIED): Promise<Sdp> {
  return create(SdpSchema, { type, deflate: await deflate(sdp), profile });
}

async function read(sdp: Sdp | undefined): Promise<string> {
  if (!sdp || sdp.type !== Sdp_Type.ANSWER) throw new TolkynError("protocol", "the server's answer is missing");
  return inflate(sdp.deflate);
}

function clamp(n: number, max: number): number {
  return Math.max(1, Math.min(Math.floor(n), max));
}

function onLoopback(url: string): boolean {
  const host = new URL(url).hostname;
  return host === "localhost" || host.endsWith(".localhost") || host === "[::1]" || /^127\./.test(host);
}

function asError(e: unknown): TolkynError {
  return e instanceof TolkynError ? e : new TolkynError("internal", String(e), { cause: e });
}
