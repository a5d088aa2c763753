import { Meter, TolkynError, type CallStats, type Participant, type Room, type RoomState, type Source } from "../client";
import type { Announcer } from "./announce";
import { chosen } from "./devices";
import { h, set, text } from "./dom";
import { explain } from "./failure";
import { bars, icon, wordmark, type Icon } from "./icons";
import { gridCapacity, isWide, pageOf, staged, stripCapacity, tiles, views, type View } from "./layout";
import { Level, loudness } from "./level";
import { Order } from "./order";
import { showPeople } from "./people";
import { prefer, preferences, wantedSaver } from "./preferences";
import { showSettings, showShortcuts } from "./settings";
import { Speakers } from "./speakers";
import { speed, Tile, transportNames, type TileState } from "./tile";
import { invite } from "./token";
import type { Shown } from "./why";
import { figure, say, sayPeople, type Word } from "./words";

const levelEvery = 80; // ms: a ring that follows a syllable
const measureEvery = 1_000; // ms
const pauseAfter = 5_000; // ms in the background: who only looks something up in another tab finds the pictures as they were
const swipe = 60; // px across: less is a tap with an unsteady finger
const mostHidden = 200; // wishes: a frame to the server holds 64 KiB
const speakingLevel = 0.35; // of the ring, where the server does not tell who speaks
const spokenLevel = 0.5; // the least of the ring of somebody who speaks by the server's word

interface Wanted extends TileState {
  key: string;
  participant?: Participant;
}

/** The call itself: stage, bar, and everything that keeps them true. */
export class Call {
  readonly element = h("main", { class: "call" });
  readonly #room: Room;
  readonly #announcer: Announcer;
  readonly #meter: Meter;
  readonly #level = new Level();
  readonly #speakers: Speakers;
  readonly #tiles = new Map<string, Tile>();
  readonly #ends: (() => void)[] = [];

  readonly #stage = h("div", { class: "stage" });
  readonly #main = h("div", { class: "main" });
  readonly #strip = h("div", { class: "strip" });
  readonly #pager = h("nav", { class: "pager", hidden: true });
  readonly #pageText = h("span", { role: "status" });
  readonly #before = h("button", { type: "button", class: "plain", onclick: () => void this.#turn(-1) }, icon("before"));
  readonly #after = h("button", { type: "button", class: "plain", onclick: () => void this.#turn(1) }, icon("after"));
  readonly #viewButton = h("button", { type: "button", class: "plain", popovertarget: "views" });
  readonly #viewMenu = h("div", { id: "views", class: "menu", popover: "auto", role: "menu" });
  readonly #alone = h("div", { class: "alone" });
  readonly #banner = h("div", { class: "banner", role: "alert", hidden: true });
  readonly #count = h("span", { class: "count" });
  readonly #people = h("button", { type: "button", class: "people" }, icon("people"), this.#count);
  readonly #state = h("span", { class: "state", role: "status" });
  readonly #badge = h("button", { type: "button", class: "badge" });
  readonly #badgeText = h("span");
  readonly #badgeBars = bars();
  readonly #unblock = h("button", { type: "button", class: "primary unblock", hidden: true });
  readonly #buttons: Record<Source, HTMLButtonElement>;

  readonly #changedDevice = new Set<Source>(); // chosen while it was off: taken up when it is switched on

  readonly #order = new Order();
  readonly #pageStarts = [""]; // of a large room's roster: behind whom each later page begins
  #rosterPage: Participant[] | undefined; // of a large room, on later pages
  #turning = false;
  #page = 0;
  #pages = 1;
  #perPage = 1;
  #atMost = 0; // videos, as the server was told
  #first = 1; // how many of the others stand on the first page
  #speaking: ReadonlySet<string> | undefined; // by the server's word; undefined: it has said nothing yet
  #stageTimer: ReturnType<typeof setTimeout> | undefined;
  #pauseTimer: ReturnType<typeof setTimeout> | undefined;
  #pinned = "";
  #withNumbers = false;
  #wasReconnecting = false;
  #stats: CallStats | undefined;
  #visible: Wanted[] = [];

  constructor(room: Room, announcer: Announcer) {
    this.#room = room;
    this.#announcer = announcer;
    this.#meter = new Meter(room);
    this.#speakers = new Speakers((blocked) => (this.#unblock.hidden = !blocked));
    this.#buttons = {
      microphone: this.#control(() => this.toggle("microphone")),
      camera: this.#control(() => this.toggle("camera")),
      screen: this.#control(() => this.toggle("screen")),
      "screen-audio": this.#control(() => this.toggle("screen-audio")),
    };
    this.#pager.append(this.#before, this.#pageText, this.#after);
    this.#badge.append(this.#badgeBars, this.#badgeText);
    this.#badge.addEventListener("click", () => this.#toggleNumbers());
    this.#people.addEventListener("click", () => this.#showPeople());
    this.#unblock.addEventListener("click", () => this.#speakers.unblock());
    this.#draw();
    this.#listen();
    this.#speakers.attach(room);
    this.#showState(room.state);
    this.#update();
  }

  close(): void {
    for (const end of this.#ends) end();
    clearTimeout(this.#stageTimer);
    clearTimeout(this.#pauseTimer);
    for (const t of this.#tiles.values()) t.close();
    this.#level.close();
    this.#speakers.close();
    document.querySelector("dialog.sheet")?.remove();
    this.element.remove();
  }

  /** Microphone, camera, screen or its sound: on if it was off, off if it was on. */
  async toggle(source: Source): Promise<void> {
    const p = this.#room.publication(source);
    const button = this.#buttons[source];
    // A device that is being opened needs no second one; switching sound off never waits.
    if (button.ariaBusy && !(p && source === "microphone")) return;
    set(button, "aria-busy", "true");
    try {
      if (!p && source === "screen-audio") return;
      if (source === "screen") await (p ? this.#room.unpublish("screen") : this.#room.publish("screen"));
      else if (source === "screen-audio") await this.#room.setMuted(source, !p!.muted);
      else if (!p) await this.#room.publish(source, chosen(source));
      else if (p.muted && this.#changedDevice.has(source)) await this.#room.publish(source, chosen(source));
      else await this.#room.setMuted(source, !p.muted);
      if (this.#isOn(source)) this.#changedDevice.delete(source);
      const on = this.#isOn(source);
      if (source === "microphone") prefer({ microphoneOn: on });
      if (source === "camera") prefer({ cameraOn: on });
      this.#announcer.whisper(say(outcome[source][on ? 0 : 1]));
    } catch (e) {
      // Closing the browser's own "which screen?" is no failure.
      const closed = source === "screen" && e instanceof TolkynError && e.code === "device-denied";
      if (!closed) this.#announcer.say(explain(e), "bad");
    } finally {
      set(button, "aria-busy", undefined);
      this.#update();
    }
  }

  #draw(): void {
    const room = this.#room.session.welcome.room;
    const settings = h("button", { type: "button", class: "plain", onclick: () => this.#settings() }, icon("settings"));
    label(settings, say("settings"));
    const help = h("button", { type: "button", class: "plain wide-only", onclick: showShortcuts }, icon("keyboard"));
    label(help, say("shortcuts"));
    const link = h("button", { type: "button", class: "plain wide-only", onclick: () => void this.#copyLink() }, icon("link"));
    label(link, say("copyLink"));
    const leave = h("button", { type: "button", class: "round leave", onclick: () => void this.#room.leave() }, icon("leave"));
    label(leave, say("leave"));
    set(leave, "aria-keyshortcuts", "l");
    label(this.#badge, say("numbers"));
    label(this.#viewButton, say("view"));
    label(this.#before, say("pageBefore"));
    label(this.#after, say("pageAfter"));
    this.#drawViews();
    this.#unblock.replaceChildren(icon("sound"), say("tapToHear"));
    this.#alone.replaceChildren(
      h("strong", {}, say("alone")),
      h("span", {}, say("aloneHint")),
      h("button", { type: "button", class: "secondary", onclick: () => void this.#copyLink() }, icon("link"), say("copyLink")),
    );
    this.#stage.replaceChildren(this.#main, this.#strip);
    this.element.replaceChildren(
      h(
        "header",
        { class: "top" },
        wordmark(),
        h("span", { class: "room" }, h("b", {}, room), this.#people),
        h("span", { class: "spring" }),
        this.#state,
        this.#badge,
        this.#viewButton,
        link,
        help,
        settings,
      ),
      this.#banner,
      this.#stage,
      this.#pager,
      this.#viewMenu,
      this.#alone,
      this.#unblock,
      h("footer", { class: "bar" }, ...this.#shownButtons(), leave),
      this.#speakers.element,
    );
  }

  #shownButtons(): HTMLButtonElement[] {
    const list = [this.#buttons.microphone, this.#buttons.camera];
    const canShare = typeof navigator.mediaDevices?.getDisplayMedia === "function"; // not on phones
    if (canShare) list.push(this.#buttons.screen, this.#buttons["screen-audio"]);
    return list;
  }

  #control(act: () => Promise<void>): HTMLButtonElement {
    return h("button", { type: "button", class: "round", onclick: () => void act() });
  }

  #listen(): void {
    const room = this.#room;
    const update = (): void => this.#update();
    this.#ends.push(
      room.on("state", (s) => this.#showState(s)),
      room.on("slots", update),
      room.on("published", update),
      room.on("participantJoined", (p) => {
        if (!this.#isLarge()) this.#announcer.say(say("someoneJoined", { name: p.name }));
        this.#update();
      }),
      room.on("participantLeft", (p) => {
        if (!this.#isLarge()) this.#announcer.say(say("someoneLeft", { name: p.name }));
        this.#update();
      }),
      room.on("roster", update),
      room.on("layers", () => this.#showStats()),
      room.on("speakers", (list) => {
        this.#speaking = new Set(list.map((s) => s.participant));
        this.#order.heard([...this.#speaking], this.#first, performance.now());
        this.#layout();
      }),
      room.on("trackPublished", ({ participant, track }) => {
        if (track.source === "screen") this.#announcer.say(say("someoneShares", { name: participant.name }));
        this.#update();
      }),
      room.on("trackUnpublished", update),
      room.on("trackMuted", update),
      room.on("rebuilt", () => {
        this.#speakers.attach(room);
        this.#update();
      }),
      room.on("error", (e) => {
        if (e.code === "ice-failed") this.#showBanner(explain(e));
        else this.#announcer.say(explain(e), "bad");
      }),
    );
    const levels = setInterval(() => this.#showLevels(), levelEvery);
    const measure = setInterval(() => void this.#measure(), measureEvery);
    const resized = new ResizeObserver(() => this.#layout());
    resized.observe(this.#stage);
    const onKey = (e: KeyboardEvent): void => this.#onKey(e);
    const onVisible = (): void => this.#onVisible();
    document.addEventListener("keydown", onKey);
    document.addEventListener("visibilitychange", onVisible);
    this.#listenSwipes();
    this.#ends.push(
      () => clearInterval(levels),
      () => clearInterval(measure),
      () => resized.disconnect(),
      () => document.removeEventListener("keydown", onKey),
      () => document.removeEventListener("visibilitychange", onVisible),
    );
  }

  // Nobody looks: no pictures then. They come back at once.
  #onVisible(): void {
    clearTimeout(this.#pauseTimer);
    if (document.visibilityState === "visible") this.#room.pauseVideo(false);
    else this.#pauseTimer = setTimeout(() => this.#room.pauseVideo(true), pauseAfter);
  }

  #listenSwipes(): void {
    let from: Touch | undefined;
    const begin = (e: TouchEvent): void => void (from = e.touches.length === 1 ? e.touches[0] : undefined);
    this.#stage.addEventListener("touchstart", begin, { passive: true });
    this.#stage.addEventListener("touchend", (e) => {
      const to = e.changedTouches[0];
      if (!from || !to) return;
      const [x, y] = [to.clientX - from.clientX, to.clientY - from.clientY];
      if (Math.abs(x) > swipe && Math.abs(x) > 2 * Math.abs(y)) void this.#turn(x < 0 ? 1 : -1);
    });
  }

  #onKey(e: KeyboardEvent): void {
    const typing = e.target instanceof HTMLElement && e.target.closest("input, select, textarea, dialog");
    if (typing || e.ctrlKey || e.metaKey || e.altKey || e.repeat) return;
    // By place on the keyboard, so that a Cyrillic layout works too; "?" by what it writes.
    if (e.key === "?" || (e.code === "Slash" && e.shiftKey)) showShortcuts();
    else if (e.code === "KeyM") void this.toggle("microphone");
    else if (e.code === "KeyV") void this.toggle("camera");
    else if (e.code === "KeyS") void this.toggle("screen");
    else if (e.code === "KeyI") this.#toggleNumbers();
    else if (e.code === "KeyG") this.#choose(views[(views.indexOf(preferences.view) + 1) % views.length]!);
    else if (e.code === "KeyP") this.#showPeople();
    else if (e.code === "ArrowLeft" || e.code === "PageUp") void this.#turn(-1);
    else if (e.code === "ArrowRight" || e.code === "PageDown") void this.#turn(1);
    else if (e.code === "KeyL") void this.#room.leave();
    else return;
    e.preventDefault();
  }

  // --- the stage ----------------------------------------------------------------------------------------------------

  #update(): void {
    const { size } = this.#room;
    text(this.#count, figure(size));
    label(this.#people, `${say("people")}: ${sayPeople(size)}`);
    set(this.#people, "aria-keyshortcuts", "p");
    this.#alone.hidden = size > 1;
    this.#order.follow(this.#inOrder());
    this.#showButtons();
    this.#level.follow(this.#room.publication("microphone")?.track);
    this.#layout();
  }

  // Not everybody is known; or was not when the user turned the page, which brought the rest.
  #isLarge(): boolean {
    return this.#room.size > this.#room.participants.size + 1 || this.#rosterPage !== undefined;
  }

  // In a large room those in our slots come first: of the others there is no picture.
  #inOrder(): string[] {
    const ids = [...this.#room.participants.keys()];
    if (!this.#isLarge()) return ids;
    const shown = this.#room.slots.flatMap((s) => (s.kind === "video" && s.participant ? [s.participant.id] : []));
    return [...new Set([...shown, ...ids])];
  }

  // Screens, ourselves, and the others in order.
  #wanted(): { screens: Wanted[]; self: Wanted; faces: Wanted[] } {
    const screens: Wanted[] = [];
    const faces: Wanted[] = [];
    const there = this.#rosterPage ?? this.#order.ids.flatMap((id) => this.#room.participants.get(id) ?? []);
    const all = new Set([...there, ...this.#room.participants.values()]);
    for (const p of all) {
      const face = this.#face(p);
      faces.push(face);
      if (![...p.tracks.values()].some((t) => t.source === "screen")) continue;
      const video = this.#room.slotOf(p.id, "video", "screen")?.track;
      screens.push({ ...face, key: `${p.id}:screen`, screen: true, muted: true, video });
    }
    const { session, name } = this.#room;
    const me = { name, identity: session.welcome.identity, self: true, featured: false };
    const microphone = this.#room.publication("microphone");
    const camera = this.#room.publication("camera")?.track;
    const self = { ...me, key: "self", screen: false, muted: microphone?.muted ?? true, video: camera };
    const screen = this.#room.publication("screen")?.track;
    if (screen) screens.push({ ...me, key: "self:screen", screen: true, muted: true, video: screen });
    return { screens, self, faces: faces.filter((f) => there.includes(f.participant!) || f.key === this.#pinned) };
  }

  #layout(): void {
    const { screens, self, faces } = this.#wanted();
    const everybody = [...screens, ...faces, self];
    const featured = everybody.length > 1 ? this.#featured(screens, faces, everybody) : undefined;
    if (featured) featured.featured = true;
    const box = this.#stage.getBoundingClientRect();
    const gap = box.width < 600 ? 8 : 12;
    const upright = !isWide(box.width, box.height);
    // More cameras than slots would be tiles without a picture.
    const most = box.width < 600 ? 8 : Math.max(2, this.#room.slots.filter((s) => s.kind === "video").length + 1);
    const capacity = featured ? stripCapacity(box.width, box.height) : gridCapacity(most, box.width, box.height, gap);
    const page = this.#paged(screens, faces, self, featured, capacity);

    this.#stage.classList.toggle("featuring", featured !== undefined && page.length > 0);
    this.#stage.classList.toggle("tall", upright);
    const main = featured ? [featured] : page;
    const strip = featured ? page : [];
    this.#visible = [...main, ...strip];
    const shown = new Set(this.#visible.map((w) => w.key));
    for (const [key, tile] of this.#tiles) {
      if (shown.has(key)) continue;
      tile.close();
      this.#tiles.delete(key);
    }
    this.#place(this.#main, main);
    this.#place(this.#strip, strip);
    if (!featured) {
      const fit = tiles(main.length, box.width, box.height, gap);
      this.#main.style.setProperty("--tile-width", `${fit.width}px`);
      this.#main.style.setProperty("--tile-height", `${fit.height}px`);
      this.#main.style.setProperty("--columns", String(fit.columns));
    }
    this.#showPager();
    this.#wish();
  }

  // What the user chose to see large; else what the layout puts there, from the others rather than from us.
  #featured(screens: Wanted[], faces: Wanted[], everybody: Wanted[]): Wanted | undefined {
    const pinned = everybody.find((w) => w.key === this.#pinned);
    if (pinned) return pinned;
    const screen = screens.find((w) => !w.self);
    switch (staged(preferences.view, this.#room.size, screen !== undefined)) {
      case "screen":
        return screen;
      case "speaker": {
        const { id, due } = this.#order.stage(performance.now());
        clearTimeout(this.#stageTimer);
        if (due !== undefined) this.#stageTimer = setTimeout(() => this.#layout(), due);
        const p = this.#room.participants.get(id);
        return faces.find((w) => w.key === id) ?? (p && this.#face(p)); // not on this page of a large room
      }
      case "nothing":
        return undefined;
    }
  }

  #face(p: Participant): Wanted {
    const slot = this.#room.slotOf(p.id, "video", "camera");
    return {
      key: p.id,
      name: p.name || p.identity,
      identity: p.identity,
      self: false,
      screen: false,
      featured: false,
      muted: [...p.tracks.values()].every((t) => t.source !== "microphone" || t.muted),
      video: slot && !slot.remoteTrack?.muted ? slot.track : undefined,
      participant: p,
    };
  }

  // The tiles of this page beside the featured one. We ourselves stand last on the first page.
  #paged(screens: Wanted[], faces: Wanted[], self: Wanted, featured: Wanted | undefined, capacity: number): Wanted[] {
    const without = (list: Wanted[]): Wanted[] => list.filter((w) => w.key !== featured?.key);
    const list = without([...screens, ...faces]);
    if (self.key !== featured?.key) list.splice(Math.min(list.length, Math.max(1, capacity) - 1), 0, self);
    this.#first = Math.max(1, capacity - 1 - screens.length);
    if (capacity !== this.#perPage) {
      this.#perPage = capacity;
      if (this.#rosterPage) this.#page = 0; // its pages were of another size
      this.#rosterPage = undefined;
      this.#pageStarts.length = 1;
    }
    if (this.#isLarge()) {
      this.#pages = 1 + Math.ceil((this.#room.size - 1) / capacity);
      return this.#rosterPage ? without(faces).slice(0, capacity) : list.slice(0, capacity);
    }
    const { shown, page, pages } = pageOf(list, this.#page, capacity);
    this.#page = page;
    this.#pages = pages;
    return shown;
  }

  async #turn(by: 1 | -1): Promise<void> {
    const page = this.#page + by;
    if (page < 0 || page >= this.#pages || this.#turning) return;
    this.#turning = true;
    try {
      if (this.#isLarge() && page > 0) {
        const { participants, more } = await this.#room.roster(this.#pageStarts[page - 1] ?? "", this.#perPage);
        if (participants.length === 0) return;
        this.#pageStarts[page] = participants.at(-1)!.id;
        this.#rosterPage = [...participants];
        if (!more) this.#pages = page + 1;
      } else {
        this.#rosterPage = undefined;
      }
      this.#page = page;
    } catch (e) {
      this.#announcer.say(explain(e), "bad");
    } finally {
      this.#turning = false;
    }
    this.#layout();
  }

  #showPager(): void {
    this.#pager.hidden = this.#pages < 2;
    if (this.#pager.hidden) return;
    text(this.#pageText, say("page", { n: figure(this.#page + 1), of: figure(this.#pages) }));
    this.#before.disabled = this.#page === 0;
    this.#after.disabled = this.#page >= this.#pages - 1;
  }

  #place(into: HTMLElement, list: Wanted[]): void {
    const elements = list.map((w) => {
      let tile = this.#tiles.get(w.key);
      if (!tile) {
        tile = new Tile(w.key, () => this.#pin(this.#pinned === w.key ? "" : w.key));
        this.#tiles.set(w.key, tile);
      }
      tile.show(w);
      return tile.element;
    });
    // Moving a playing video interrupts it: touch the order only where it is wrong.
    elements.forEach((e, i) => {
      if (into.children[i] !== e) into.insertBefore(e, into.children[i] ?? null);
    });
  }

  #pin(key: string): void {
    this.#pinned = key;
    this.#layout();
  }

  #showPeople(): void {
    showPeople(this.#room, (id) => this.#pin(id), () => void this.#copyLink());
  }

  #choose(view: View): void {
    prefer({ view });
    this.#pinned = "";
    this.#drawViews();
    this.#announcer.whisper(`${say("view")}: ${say(viewFaces[view][1])}`);
    this.#layout();
  }

  #drawViews(): void {
    this.#viewButton.replaceChildren(icon(viewFaces[preferences.view][0]));
    set(this.#viewMenu, "aria-label", say("view"));
    this.#viewMenu.replaceChildren(
      ...views.map((v) => {
        const [name, word] = viewFaces[v];
        const choose = (): void => {
          this.#viewMenu.hidePopover();
          this.#choose(v);
        };
        const checked = String(v === preferences.view);
        const attributes = { type: "button", role: "menuitemradio", "aria-checked": checked, onclick: choose };
        return h("button", attributes, icon(name), say(word));
      }),
    );
  }

  // What is on the screen, and how large; and nothing else: what is not seen costs the link as much as what is.
  #wish(): void {
    const scale = devicePixelRatio || 1;
    const seen = this.#visible
      .filter((w) => w.participant)
      .map((w) => {
        const box = this.#tiles.get(w.key)?.element.getBoundingClientRect();
        const track = [...w.participant!.tracks.values()].find((t) => t.source === (w.screen ? "screen" : "camera"));
        return {
          participant: w.participant!.id,
          track: track?.id ?? "",
          width: Math.round((box?.width ?? 0) * scale),
          height: Math.round((box?.height ?? 0) * scale),
        };
      })
      .filter((w) => w.track)
      .sort((a, b) => b.width * b.height - a.width * a.height);
    const named = new Set(seen.map((w) => w.track));
    const unseen = [...this.#room.participants.values()].flatMap((p) =>
      [...p.tracks.values()]
        .filter((t) => t.kind === "video" && !named.has(t.id))
        .map((t) => ({ participant: p.id, track: t.id, hidden: true })),
    );
    this.#room.wish([...seen, ...unseen.slice(0, mostHidden)]);
    // Those we do not know of cannot be named.
    const atMost = this.#isLarge() ? Math.max(1, seen.length) : 0;
    if (atMost !== this.#atMost) this.#room.showAtMost((this.#atMost = atMost));
  }

  // --- what moves ---------------------------------------------------------------------------------------------------

  readonly #heard = new Map<string, number>();

  #showLevels(): void {
    const now = this.#room.levels();
    for (const w of this.#visible) {
      if (w.screen) continue;
      const id = w.participant?.id ?? "";
      const level = w.self ? this.#level.read() : loudness(now.get(id) ?? 0);
      // Up at once, down slowly: a ring that flickers with each syllable is worse than none.
      const shown = w.muted ? 0 : Math.max(level, (this.#heard.get(w.key) ?? 0) * 0.88);
      this.#heard.set(w.key, shown);
      // The server tells speech from noise; we ourselves want to see whether we are heard, before the server says so.
      const told = w.self ? undefined : this.#speaking?.has(id);
      const speaks = told ?? shown > speakingLevel;
      this.#tiles.get(w.key)?.speak(told ? Math.max(shown, spokenLevel) : shown, speaks && !w.muted);
    }
  }

  async #measure(): Promise<void> {
    let stats: CallStats;
    try {
      stats = await this.#meter.read();
    } catch {
      return; // the connection is being replaced
    }
    this.#stats = stats;
    this.#showStats();
  }

  #showStats(): void {
    const stats = this.#stats;
    if (!stats) return;
    set(this.#badgeBars, "data-quality", stats.quality);
    const words: Word[] = ["noMedia", "poor", "fair", "good"];
    text(this.#badgeText, stats.quality === 0 ? "" : say("ms", { n: figure(stats.rtt) }));
    const sum = `↓ ${speed(stats.bitrateIn)} ↑ ${speed(stats.bitrateOut)} · ${stats.path} · ${stats.cipher} · ${transportNames[stats.signaling]}`;
    set(this.#badge, "title", `${say("quality")}: ${say(words[stats.quality]!)} · ${sum}`);
    const connected = stats.quality > 0;
    const layersOf = (w: Wanted): Shown | undefined => {
      const source = w.screen ? "screen" : "camera";
      const s = this.#room.slotOf(w.participant?.id ?? "", "video", source);
      if (s) return this.#room.layers.get(s.mid);
      // A small device has no slot for everybody.
      const isOn = [...(w.participant?.tracks.values() ?? [])].some((t) => t.source === source && !t.muted);
      return isOn && this.#room.device.class === "low" ? { width: 0, height: 0, limit: "device" } : undefined;
    };
    for (const w of this.#visible) {
      const id = w.participant?.id ?? "";
      const slot = (kind: "audio" | "video") => {
        const s = this.#room.slotOf(id, kind, kind === "audio" ? undefined : w.screen ? "screen" : "camera");
        return s && stats.slots.get(s.mid);
      };
      this.#tiles.get(w.key)?.measure(
        {
          video: w.self ? undefined : slot("video"),
          audio: w.self || w.screen ? undefined : slot("audio"),
          sending: w.self ? stats.sending.filter((s) => s.source.startsWith("screen") === w.screen) : [],
          layers: w.self ? undefined : layersOf(w),
          signaling: w.self && !w.screen ? stats.signaling : undefined,
          perMinute: w.self && !w.screen ? stats.perMinuteIn + stats.perMinuteOut : 0,
          rtt: stats.rtt,
          connected,
        },
        this.#withNumbers,
      );
    }
  }

  #toggleNumbers(): void {
    this.#withNumbers = !this.#withNumbers;
    set(this.#badge, "aria-pressed", String(this.#withNumbers));
    this.#showStats();
  }

  #showState(s: RoomState): void {
    const words: Partial<Record<RoomState, Word>> = { connecting: "connecting", reconnecting: "reconnecting" };
    const word = words[s];
    this.#state.textContent = word ? say(word) : "";
    this.#state.hidden = !word;
    this.element.classList.toggle("unsteady", s === "reconnecting");
    if (s === "connected") {
      this.#banner.hidden = true;
      if (this.#wasReconnecting) this.#announcer.say(say("reconnected"));
    }
    this.#wasReconnecting = s === "reconnecting";
  }

  #showBanner(message: string): void {
    this.#banner.textContent = message;
    this.#banner.hidden = false;
  }

  #isOn(source: Source): boolean {
    const p = this.#room.publication(source);
    return p !== undefined && !p.muted;
  }

  #showButtons(): void {
    const faces: Record<Source, { on: [Icon, Word]; off: [Icon, Word]; key: string }> = {
      microphone: { on: ["mic", "muteMic"], off: ["micOff", "unmuteMic"], key: "m" },
      camera: { on: ["camera", "cameraOff"], off: ["cameraOff", "cameraOn"], key: "v" },
      screen: { on: ["screen", "stopScreen"], off: ["screen", "shareScreen"], key: "s" },
      "screen-audio": { on: ["sound", "soundOff"], off: ["soundOff", "soundOn"], key: "" },
    };
    this.#buttons["screen-audio"].hidden = !this.#room.publication("screen-audio");
    for (const [source, face] of Object.entries(faces) as [Source, (typeof faces)[Source]][]) {
      const on = this.#isOn(source);
      const [name, word] = on ? face.on : face.off;
      const b = this.#buttons[source];
      if (b.dataset.icon !== name) {
        b.dataset.icon = name;
        b.replaceChildren(icon(name));
      }
      label(b, say(word));
      if (face.key) {
        set(b, "title", `${say(word)} (${face.key.toUpperCase()})`);
        set(b, "aria-keyshortcuts", face.key);
      }
      b.classList.toggle("off", source !== "screen" && !on);
      b.classList.toggle("on", source === "screen" && on);
    }
  }

  #settings(): void {
    const change = (source: "microphone" | "camera") => () => {
      const p = this.#room.publication(source);
      if (p?.muted) this.#changedDevice.add(source);
      if (!p || p.muted) return;
      this.#room.publish(source, chosen(source)).catch((e) => this.#announcer.say(explain(e), "bad"));
    };
    showSettings({
      microphone: change("microphone"),
      camera: change("camera"),
      speaker: () => this.#speakers.choose(),
      language: () => {
        this.#draw();
        this.#showState(this.#room.state);
        this.#update();
        this.#showStats();
      },
      saver: () => void this.#room.save(wantedSaver()).catch((e) => this.#announcer.say(explain(e), "bad")),
    });
  }

  async #copyLink(): Promise<void> {
    const link = new URL("/", location.href);
    if (invite()) link.hash = `invite=${invite()}`;
    else link.searchParams.set("room", this.#room.session.welcome.room);
    try {
      await navigator.clipboard.writeText(link.href);
      this.#announcer.say(say("copied"));
    } catch {
      this.#announcer.say(link.href);
    }
  }
}

const outcome: Record<Source, [Word, Word]> = {
  microphone: ["youAreHeard", "youAreMuted"],
  camera: ["cameraNowOn", "cameraNowOff"],
  screen: ["screenShared", "screenStopped"],
  "screen-audio": ["soundNowOn", "soundNowOff"],
};

const viewFaces: Record<View, [Icon, Word]> = {
  auto: ["auto", "viewAuto"],
  grid: ["grid", "viewGrid"],
  speaker: ["stage", "viewSpeaker"],
  screen: ["screen", "viewScreen"],
};

function label(e: Element, words: string): void {
  set(e, "aria-label", words);
  set(e, "title", words);
}

/** What the user sees first of what he left off in the preferences. */
export function wantedDevices(): { microphone: MediaTrackConstraints | boolean; camera: MediaTrackConstraints | boolean } {
  return {
    microphone: preferences.microphoneOn && chosen("microphone"),
    camera: preferences.cameraOn && chosen("camera"),
  };
}
