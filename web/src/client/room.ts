import { create } from "@bufbuild/protobuf";
import {
  JoinSchema,
  MuteSchema,
  PeerUpdate_Change,
  PublishSchema,
  Sdp_Type,
  SdpSchema,
  SubscribeSchema,
  Track_Kind,
  Track_Source,
  TrackSchema,
  TrackUpdate_Change,
  UnpublishSchema,
  WishSchema,
  type Peer,
  type PeerUpdate,
  type Sdp,
  type SlotMap,
  type Snapshot,
  type Track,
  type TrackUpdate,
} from "../wire/tolkyn_pb";
import { deflate, inflate } from "./deflate";
import { Emitter } from "./emitter";
import { fromDevice, TolkynError, type EndReason } from "./errors";
import { Media, type SlotCounts, type Source } from "./media";
import type { ServerMessage, Session, SessionState } from "./session";

/** What to send: true for the default device, constraints for a certain one, or a track of your own. */
export type MediaInput = boolean | MediaTrackConstraints | MediaStreamTrack;

export interface JoinOptions {
  /** Shown to others; at most 128 bytes of UTF-8. */
  name: string;
  microphone?: MediaInput;
  camera?: MediaInput;
  screen?: MediaInput;
  /** Receive slots: default 3 audio (at most 16) and 9 video (at most 49). */
  slots?: Partial<SlotCounts>;
}

/** "connecting": joined, media on its way. "reconnecting": signaling or media is lost and being mended. */
export type RoomState = "connecting" | "connected" | "reconnecting" | "ended";

/** What somebody else publishes. */
export interface RemoteTrack {
  readonly id: string;
  readonly kind: "audio" | "video";
  readonly source: Source | "screen-audio";
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
  trackPublished: { participant: Participant; track: RemoteTrack };
  trackUnpublished: { participant: Participant; track: RemoteTrack };
  trackMuted: { participant: Participant; track: RemoteTrack };
  /** What flows in the slots changed (all slots, in order: audio, then video). */
  slots: readonly Slot[];
  /** Loudest first; level 0 to 127. Only from servers that detect speakers. */
  speakers: readonly { participant: string; level: number }[];
  /** What we publish changed. */
  published: readonly Publication[];
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

const iceDeadline = 12_000; // ms: with 30 % loss a join takes one; after twelve it is not loss
const restartPause = 3_000; // ms between ICE restarts, or 3 round trips: a restart needs one, and some checks, to show
const rejoinPause = 1_000; // ms before joining again after a refusal that may pass
const wishPause = 250; // ms: a resized window says where it ended, not each step

/**
 * Room is a joined call: who is there, what flows in which slot, what we send. It outlives the connection (Session) and,
 * if need be, the RTCPeerConnection (Media).
 */
export class Room extends Emitter<RoomEvents> {
  readonly session: Session;
  readonly #name: string;
  readonly #counts: SlotCounts;
  readonly #participants = new Map<string, MutableParticipant>();
  readonly #publications = new Map<Source, MutablePublication>();

  #media: Media;
  #slots: MutableSlot[] = [];
  #map: SlotMap | undefined;
  #peerId = "";
  #state: RoomState = "connecting";
  #joined = false;
  #wasConnected = false; // of this Media
  #serial = Promise.resolve(); // local media operations and negotiations, one after the other
  #restartedAt = -Infinity;
  #iceTimer: ReturnType<typeof setTimeout> | undefined; // armed while media should come and has not
  #mendTimer: ReturnType<typeof setTimeout> | undefined;
  #wishes: readonly Wish[] | undefined;
  #wished = ""; // what the server was last told
  #wishTimer: ReturnType<typeof setTimeout> | undefined;

  private constructor(session: Session, options: JoinOptions) {
    super();
    this.session = session;
    this.#name = options.name;
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
    const room = new Room(session, options);
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
      session.on("closed", ({ reason, error }) => room.#end(reason, error));
      await room.#join();
    } catch (e) {
      room.#end("lost");
      throw e;
    }
    addEventListener("online", room.#onNetwork);
    room.#network?.addEventListener("change", room.#onNetwork);
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
  /** The others, in join order. */
  get participants(): ReadonlyMap<string, Participant> {
    return this.#participants;
  }
  /** Audio slots first, then video, each in order. */
  get slots(): readonly Slot[] {
    return this.#slots;
  }
  get published(): readonly Publication[] {
    return [...this.#publications.values()];
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

  /** Starts sending, or sends something else from the same source: another device needs no new publication. */
  publish(source: Source, input: MediaInput = true): Promise<Publication> {
    return this.#inTurn(async () => {
      const known = this.#publications.has(source);
      const p = await this.#capture(source, input);
      try {
        if (!known) await this.#announce([p]);
        else if (p.muted) {
          p.muted = false;
          await this.#tellMute(p);
        }
      } catch (e) {
        if (!known) this.#forget(p);
        throw e;
      } finally {
        this.emit("published", this.published);
      }
      return p;
    });
  }

  /** Stops sending and takes the track away from the others. */
  unpublish(source: Source): Promise<void> {
    return this.#inTurn(async () => {
      const p = this.#publications.get(source);
      if (!p) return;
      this.#forget(p);
      this.emit("published", this.published);
      try {
        await this.session.request({ case: "unpublish", value: create(UnpublishSchema, { trackIds: [p.id] }) });
      } catch (e) {
        if (asError(e).code !== "not-found") throw e; // asked twice across a reconnect
      }
    });
  }

  /**
   * Mutes or unmutes. A muted microphone sends silence; a muted camera is switched off (its light goes out) and opened
   * again on unmuting. Local first: it takes effect before the server knows.
   */
  setMuted(source: Source, muted: boolean): Promise<void> {
    // Silence must not wait in a queue behind a negotiation.
    const now = this.#publications.get(source);
    if (source === "microphone" && muted && now?.track) now.track.enabled = false;
    const switched = this.#inTurn(async () => {
      const p = this.#publications.get(source);
      if (!p || p.muted === muted) return undefined;
      if (source === "microphone" && (muted || p.track?.readyState === "live")) {
        if (p.track) p.track.enabled = !muted;
      } else if (muted) {
        await this.#sender(source)?.replaceTrack(null);
        if (ours(p.input)) p.track?.stop();
        p.track = undefined;
      } else {
        await this.#capture(source, p.input); // a microphone that was unplugged, too
      }
      p.muted = muted;
      this.emit("published", this.published);
      return p;
    });
    // Not in turn: without a connection the answer may take long, and the next switch must not wait for it.
    return switched.then((p) => p && this.#tellMute(p));
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

  async #join(): Promise<void> {
    const media = this.#media;
    if (this.#publications.has("screen")) media.openScreen();
    for (const p of this.#publications.values()) await this.#attach(p);
    const offer = await media.offer();
    const joining = this.session.request({
      case: "join",
      value: create(JoinSchema, {
        name: this.#name,
        offer: await describe(offer, Sdp_Type.OFFER),
        tracks: this.published.map((p) => this.#wireTrack(p)),
      }),
    });
    const m = await joining;
    if (m.case !== "joined") throw new TolkynError("protocol", `Join answered by ${m.case}`);
    this.#peerId = m.value.peerId;
    this.#joined = true;
    this.#makeSlots();
    this.#setPeers(m.value.peers);
    this.#setSlots(m.value.slots);
    await media.answer(await read(m.value.answer));
    this.#watchIce();
    this.#updateState();
    this.#wished = "";
    this.#subscribe();
  }

  // A new RTCPeerConnection takes the old one's place, with everything we publish: in the same session, where the server
  // lets the new peer replace the old one, or in a new session.
  async #rejoin(): Promise<void> {
    this.#joined = false;
    this.#updateState();
    await this.#inTurn(async () => {
      if (this.#state === "ended" || this.#joined || this.session.state !== "open") return;
      this.#media.close();
      this.#media = this.#newMedia();
      try {
        await this.#join();
        this.emit("rebuilt", undefined);
      } catch (e) {
        const error = asError(e);
        if (this.session.state !== "open") return; // the resumed or renewed session brings us here again
        if (!error.temporary) return this.#end("lost", error);
        setTimeout(() => void this.#rejoin(), Math.max(error.retryAfter, rejoinPause));
      }
    });
  }

  #newMedia(): Media {
    this.#wasConnected = false;
    this.#unwatchIce();
    return new Media(this.#counts, { onState: (s) => this.#onIceState(s) }, onLoopback(this.session.url));
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
    }
  }

  #snapshot(s: Snapshot): void {
    if (!this.#joined) return;
    if (!s.joined) {
      void this.#rejoin(); // the server gave our media session up
      return;
    }
    this.#setPeers(s.peers);
    this.#setSlots(s.slots);
  }

  #peerUpdate(u: PeerUpdate): void {
    if (!u.peer || u.peer.peerId === this.#peerId) return;
    if (u.change === PeerUpdate_Change.JOINED) this.#addPeer(u.peer);
    else if (u.change === PeerUpdate_Change.LEFT) this.#removePeer(u.peer.peerId);
  }

  #addPeer(peer: Peer): void {
    const known = this.#participants.get(peer.peerId);
    const p = known ?? { id: peer.peerId, identity: "", name: "", tracks: new Map<string, RemoteTrack>() };
    p.identity = peer.identity;
    p.name = peer.name;
    p.tracks.clear();
    for (const t of peer.tracks) p.tracks.set(t.trackId, remoteTrack(t));
    this.#participants.set(p.id, p);
    if (!known) this.emit("participantJoined", p);
    else for (const track of p.tracks.values()) this.emit("trackMuted", { participant: p, track });
  }

  #removePeer(id: string): void {
    const p = this.#participants.get(id);
    if (!p) return;
    this.#participants.delete(id);
    for (const s of this.#slots) if (s.participant === p) s.participant = s.remoteTrack = undefined;
    this.emit("participantLeft", p);
    this.emit("slots", this.#slots);
  }

  #setPeers(peers: readonly Peer[]): void {
    const there = new Set(peers.map((p) => p.peerId));
    for (const id of [...this.#participants.keys()]) if (!there.has(id)) this.#removePeer(id);
    for (const p of peers) this.#addPeer(p);
  }

  #trackUpdate(u: TrackUpdate): void {
    const participant = this.#participants.get(u.peerId);
    if (!participant || !u.track) return;
    const track = remoteTrack(u.track);
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
    this.#refreshSlots();
    this.emit("slots", this.#slots);
  }

  // The map names ids; participants and tracks come by other events, before or after it.
  #refreshSlots(): void {
    const byMid = new Map(this.#map?.slots.map((s) => [s.mid, s]));
    for (const slot of this.#slots) {
      const s = byMid.get(slot.mid);
      slot.participant = s?.peerId ? this.#participants.get(s.peerId) : undefined;
      slot.remoteTrack = s ? slot.participant?.tracks.get(s.trackId) : undefined;
    }
  }

  // --- what we send -------------------------------------------------------------------------------------------------

  // Opens the input and puts it on its m-line. The publication exists afterwards; the server is not told yet.
  async #capture(source: Source, input: MediaInput): Promise<MutablePublication> {
    const track = await open(source, input);
    const old = this.#publications.get(source);
    const p: MutablePublication = old ?? {
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
    if (track.kind === "video") track.contentHint = source === "screen" ? "detail" : "motion";
    if (source === "microphone") track.enabled = true;
    this.#publications.set(source, p);
    if (this.#joined) await this.#attach(p);
    return p;
  }

  async #attach(p: MutablePublication): Promise<void> {
    const sender = this.#sender(p.source);
    if (sender) await sender.replaceTrack(p.track ?? null);
  }

  #sender(source: Source): RTCRtpSender | undefined {
    return this.#media.senders[source]?.sender;
  }

  // Tells the server about new tracks. It takes note of them with an offer, even where no m-line is new.
  async #announce(list: MutablePublication[]): Promise<void> {
    for (const p of list) {
      if (p.source === "screen") this.#media.openScreen();
      await this.#attach(p);
    }
    await this.#negotiate(list);
  }

  // One offer and its answer: with new tracks as Publish, without as Sdp.
  async #negotiate(list: MutablePublication[] = []): Promise<void> {
    const media = this.#media;
    const offer = await describe(await media.offer(), Sdp_Type.OFFER);
    try {
      const m = await this.session.request(
        list.length > 0
          ? {
              case: "publish",
              value: create(PublishSchema, { tracks: list.map((p) => this.#wireTrack(p)), offer }),
            }
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
    this.#sender(p.source)?.replaceTrack(null).catch(() => {}); // of a connection that is closed: nothing flows
  }

  // The device was unplugged, or the user ended sharing in the browser's own bar.
  async #trackEnded(p: MutablePublication, track: MediaStreamTrack): Promise<void> {
    if (p.track !== track || this.#state === "ended") return;
    if (p.source === "screen") return this.unpublish("screen").catch((e) => this.emit("error", asError(e)));
    this.emit("error", new TolkynError("device-lost", `the ${p.source} is gone: ${track.label}`));
    await this.setMuted(p.source, true).catch((e) => this.emit("error", asError(e)));
  }

  #wireTrack(p: Publication): Track {
    return create(TrackSchema, {
      trackId: p.id,
      kind: p.source === "microphone" ? Track_Kind.AUDIO : Track_Kind.VIDEO,
      source: wireSource[p.source],
      mid: this.#media.senders[p.source]?.mid ?? "",
      muted: p.muted,
    });
  }

  #subscribe(): void {
    if (!this.#wishes || !this.#joined || this.session.state !== "open") return;
    const wishes = this.#wishes.map((w, i) =>
      create(WishSchema, {
        peerId: w.participant,
        trackId: w.track ?? "",
        hidden: w.hidden ?? false,
        priority: w.priority ?? this.#wishes!.length - i,
        width: Math.round(w.width ?? 0),
        height: Math.round(w.height ?? 0),
      }),
    );
    const text = JSON.stringify(this.#wishes);
    if (text === this.#wished) return;
    this.#wished = text;
    this.session
      .request({ case: "subscribe", value: create(SubscribeSchema, { wishes }) })
      .catch((e) => {
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
    if (performance.now() - this.#restartedAt > restartPause) this.#mend();
  };

  // Only Chromium tells of a change from Wi-Fi to mobile data.
  get #network(): EventTarget | undefined {
    return (navigator as { connection?: EventTarget }).connection;
  }

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
    removeEventListener("online", this.#onNetwork);
    this.#network?.removeEventListener("change", this.#onNetwork);
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
};

function remoteTrack(t: Track): RemoteTrack {
  const sources: Partial<Record<Track_Source, RemoteTrack["source"]>> = {
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

/** Opens what a MediaInput names. Throws "device-…". */
export async function open(source: Source, input: MediaInput): Promise<MediaStreamTrack> {
  if (input instanceof MediaStreamTrack) return input;
  if (!navigator.mediaDevices) {
    throw new TolkynError("device-denied", "browsers give cameras and microphones only to https pages and to localhost");
  }
  const wanted = typeof input === "object" ? input : {};
  try {
    let stream: MediaStream;
    if (source === "screen") {
      stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 15 }, ...wanted } });
    } else if (source === "camera") {
      const video = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 }, ...wanted };
      stream = await navigator.mediaDevices.getUserMedia({ video });
    } else {
      const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, ...wanted };
      stream = await navigator.mediaDevices.getUserMedia({ audio });
    }
    const track = stream.getTracks()[0];
    if (!track) throw new DOMException("the browser gave no track", "NotFoundError");
    return track;
  } catch (e) {
    throw fromDevice(e);
  }
}

/** Tracks that we opened are ours to stop; the application's own are not. */
function ours(input: MediaInput): boolean {
  return !(input instanceof MediaStreamTrack);
}

async function describe(sdp: string, type: Sdp_Type): Promise<Sdp> {
  return create(SdpSchema, { type, deflate: await deflate(sdp) });
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
