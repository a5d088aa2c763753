import { TolkynError, type Participant, type Room } from "../client";
import { h, set } from "./dom";
import { icon } from "./icons";
import { sheet } from "./settings";
import { hue, initials } from "./tile";
import { figure, say } from "./words";

/**
 * Opens the list of those in the room. Of a large room the server gives it page by page, as far as the user scrolls; a search
 * asks for all of them.
 */
export function showPeople(room: Room, choose: (id: string) => void, copyLink: () => void): void {
  const rows = new Map<string, HTMLElement>();
  const list = h("ul", { class: "people-list" });
  const find = say("findPeople");
  const search = h("input", { type: "search", placeholder: find, "aria-label": find, oninput: () => filter() });
  const note = h("p", { class: "note", role: "status" });
  const bottom = h("div", { class: "bottom" });
  const scroll = h("div", { class: room.size > 7 ? "scroll long" : "scroll" }, list, note, bottom);
  const link = h("button", { type: "button", class: "secondary", onclick: copyLink }, icon("link"), say("copyLink"));
  const dialog = sheet(say("people"), h("div", { class: "find" }, h("label", { class: "field" }, search), link), scroll);
  dialog.classList.add("people-sheet");
  const heading = dialog.querySelector("h2")!;

  let after = "";
  let more = true;
  let loading = false;

  const filter = (): void => {
    const wanted = search.value.trim().toLocaleLowerCase();
    let shown = 0;
    for (const row of rows.values()) {
      row.hidden = !row.dataset.name!.includes(wanted);
      if (!row.hidden) shown++;
    }
    note.textContent = shown > 0 ? "" : say(more ? "searching" : "nobodyFound");
    if (wanted && more) void load();
  };
  const add = (p: Participant): void => {
    const row = person(p.name || p.identity, p.identity, [...p.tracks.values()], () => {
      dialog.close();
      choose(p.id);
    });
    rows.get(p.id)?.replaceWith(row);
    if (!rows.has(p.id)) list.append(row);
    rows.set(p.id, row);
  };
  const load = async (): Promise<void> => {
    if (loading || !more || !dialog.open) return;
    loading = true;
    try {
      const page = await room.roster(after);
      for (const p of page.participants) add(p);
      after = page.participants.at(-1)?.id ?? after;
      more = page.more && page.participants.length > 0;
    } catch (e) {
      more = false;
      // A server without rosters names everybody.
      if (e instanceof TolkynError) for (const p of room.participants.values()) add(p);
    }
    loading = false;
    count();
    filter();
    if (more && bottom.getBoundingClientRect().top < innerHeight) void load(); // the list does not reach the bottom yet
  };
  const count = (): void => set(heading, "data-count", figure(room.size));

  const { session, name } = room;
  const mine = room.published.map((p) => ({ source: p.source, muted: p.muted }));
  const me = person(name, session.welcome.identity, mine, undefined);
  rows.set("self", me);
  list.append(me);
  count();
  const seen = new IntersectionObserver((entries) => entries.some((e) => e.isIntersecting) && void load());
  seen.observe(bottom);
  const ends = [
    room.on("roster", count),
    room.on("participantJoined", (p) => (more ? undefined : (add(p), count(), filter()))),
    room.on("participantLeft", (p) => {
      rows.get(p.id)?.remove();
      rows.delete(p.id);
      count();
    }),
    room.on("trackMuted", ({ participant }) => rows.has(participant.id) && add(participant)),
  ];
  dialog.addEventListener("close", () => {
    seen.disconnect();
    for (const end of ends) end();
  });
  void load();
}

function person(
  name: string,
  identity: string,
  tracks: readonly { source: string; muted: boolean }[],
  choose: (() => void) | undefined, // undefined: we ourselves
): HTMLElement {
  const on = (source: string): boolean => tracks.some((t) => t.source === source && !t.muted);
  const face = h("span", { class: "face", "aria-hidden": "true" }, initials(name));
  face.style.setProperty("--hue", String(hue(identity)));
  const content = [
    face,
    h("span", { class: "name" }, choose ? name : `${name} (${say("you")})`),
    h(
      "span",
      { class: "marks" },
      on("screen") ? icon("screen") : undefined,
      icon(on("camera") ? "camera" : "cameraOff"),
      icon(on("microphone") ? "mic" : "micOff"),
    ),
  ];
  return h(
    "li",
    { "data-name": name.toLocaleLowerCase() },
    choose
      ? h("button", { type: "button", "aria-label": say("enlarge", { name }), onclick: choose }, ...content)
      : h("div", {}, ...content),
  );
}
