import * as sdk from "../client";
import { Announcer } from "./announce";
import { Call, wantedDevices } from "./call";
import { h } from "./dom";
import { explain, explainEnd } from "./failure";
import { wordmark } from "./icons";
import { preferences, showTheme, wantedSaver } from "./preferences";
import { Prejoin, type Decision } from "./prejoin";
import { Door } from "./token";
import { preferredLanguage, languages, say, setLanguage } from "./words";

// For tests and the curious: see web/README.md.
interface Hook {
  sdk: typeof sdk;
  client?: sdk.Client;
  room?: sdk.Room;
  stats?: () => Promise<sdk.CallStats>;
  /** Why the last attempt to join failed. */
  failure?: unknown;
}
declare global {
  interface Window {
    tolkyn: Hook;
  }
}
window.tolkyn = { sdk };

const query = new URLSearchParams(location.search);
const app = document.querySelector<HTMLElement>("#app")!;
const announcer = new Announcer();
let room = query.get("room") ?? `${anyOf(["dala", "samal", "aspan", "bulaq", "tolqyn", "juldyz"])}-${100 + Math.floor(Math.random() * 900)}`;

function anyOf(list: readonly string[]): string {
  return list[Math.floor(Math.random() * list.length)]!;
}

function start(): void {
  const asked = languages.find((l) => l === query.get("lang"));
  setLanguage(asked ?? (preferences.language || preferredLanguage(navigator.languages)));
  showTheme();
  document.body.append(announcer.element);
  if (query.get("autojoin") !== "1") return showPrejoin();
  const wanted = wantedDevices();
  app.replaceChildren(h("main", { class: "end" }, wordmark(), h("p", { role: "status" }, say("joining"))));
  join({ name: query.get("name") ?? preferences.name, room }, {
    microphone: query.get("microphone") !== "0" && (wanted.microphone || true),
    camera: query.get("camera") !== "0" && (wanted.camera || true),
  }).catch((e) => {
    window.tolkyn.failure = e;
    showPrejoin();
    announcer.say(explain(e), "bad");
  });
}

let prejoin: Prejoin | undefined;

function showPrejoin(): void {
  prejoin?.close();
  prejoin = new Prejoin(room, (d) => join(d, wantedDevices()));
  app.replaceChildren(prejoin.element);
}

async function join(d: Decision, devices: ReturnType<typeof wantedDevices>): Promise<void> {
  room = d.room;
  const client = await sdk.connect(location.origin, new Door(d.room).token);
  window.tolkyn.client = client;
  let joined: sdk.Room;
  try {
    joined = await client.join({ name: d.name || "?", ...devices, ...asked() });
  } catch (e) {
    await client.leave();
    throw e;
  }
  prejoin?.close();
  prejoin = undefined;
  const meter = new sdk.Meter(joined);
  window.tolkyn.room = joined;
  window.tolkyn.stats = () => meter.read();
  history.replaceState(null, "", link(d.room));
  document.title = `${joined.session.welcome.room} · Tolkyn`;
  const call = new Call(joined, announcer);
  app.replaceChildren(call.element);
  for (const e of client.failedDevices) announcer.say(explain(e), "bad");
  const onUnload = (): void => void joined.leave();
  addEventListener("pagehide", onUnload);
  joined.on("ended", ({ reason, error }) => {
    removeEventListener("pagehide", onUnload);
    call.close();
    document.title = "Tolkyn";
    showEnd(reason, error, d);
  });
}

// Codec, class of device, saving and relays, for those who try them: see web/README.md.
function asked(): Pick<sdk.JoinOptions, "codec" | "device" | "saver" | "relayOnly"> {
  const codec = query.get("codec") as sdk.VideoCodec | null;
  const device = query.get("device") as sdk.DeviceClass | null;
  const saver = query.get("saver") === "1" || wantedSaver();
  const relayOnly = query.has("relay");
  return { ...(codec ? { codec } : {}), ...(device ? { device: { class: device } } : {}), saver, relayOnly };
}

// The room stays in the address, so that a reload comes back to it and the address can be shared.
function link(name: string): string {
  const u = new URL(location.href);
  if (!u.hash) u.searchParams.set("room", name);
  return u.href;
}

function showEnd(reason: sdk.EndReason, error: sdk.TolkynError | undefined, d: Decision): void {
  const again = h(
    "button",
    {
      type: "button",
      class: "primary",
      onclick: () => {
        again.disabled = other.disabled = true;
        join(d, wantedDevices()).catch((e) => {
          again.disabled = other.disabled = false;
          problem.textContent = explain(e);
        });
      },
    },
    say("rejoin"),
  );
  const other = h("button", { type: "button", class: "secondary", onclick: showPrejoin }, say("newRoom"));
  const problem = h("p", { class: "problem", role: "alert" }, explainEnd(reason, error));
  app.replaceChildren(
    h(
      "main",
      { class: "end" },
      wordmark(),
      h("h1", { tabindex: -1 }, say(reason === "left" ? "leftTitle" : "endedTitle")),
      problem,
      h("div", { class: "row" }, again, other),
    ),
  );
  app.querySelector("h1")?.focus();
}

start();
