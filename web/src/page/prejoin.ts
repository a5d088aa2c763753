import { open } from "../client";
import { chosen, deviceChoice } from "./devices";
import { h, set } from "./dom";
import { explain } from "./failure";
import { icon, wordmark } from "./icons";
import { Level } from "./level";
import { prefer, preferences } from "./preferences";
import { languageChoice, themeChoice } from "./settings";
import { initials } from "./tile";
import { invite } from "./token";
import { say } from "./words";

/** What the user decided before joining. */
export interface Decision {
  name: string;
  room: string;
}

/** The page before the call: see yourself, choose devices, say who you are. */
export class Prejoin {
  readonly element = h("main", { class: "prejoin" });
  readonly #join: (d: Decision) => Promise<void>;
  readonly #video = h("video", { autoplay: true, playsinline: true, muted: true, class: "mirror" });
  readonly #avatar = h("div", { class: "avatar", "aria-hidden": "true" });
  readonly #meter = h("div", { class: "meter", role: "img" }, h("i"), h("i"), h("i"), h("i"), h("i"), h("i"), h("i"));
  readonly #problem = h("p", { class: "problem", role: "alert" });
  readonly #level = new Level();
  readonly #timer: ReturnType<typeof setInterval>;
  #camera: MediaStreamTrack | undefined;
  #microphone: MediaStreamTrack | undefined;
  #opening = { camera: 0, microphone: 0 }; // which attempt is the last: whoever clicks fast opens a device twice
  #closed = false;
  #fillDevices: () => void = () => {};
  #name: string;
  #room: string;

  constructor(room: string, join: (d: Decision) => Promise<void>) {
    this.#join = join;
    this.#name = preferences.name;
    this.#room = room;
    this.#video.muted = true;
    this.#timer = setInterval(() => this.#showLevel(), 60);
    this.#draw();
    navigator.mediaDevices?.addEventListener("devicechange", this.#onDevices);
    void this.#openCamera();
    void this.#openMicrophone();
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#level.close();
    this.#camera?.stop();
    this.#microphone?.stop();
    navigator.mediaDevices?.removeEventListener("devicechange", this.#onDevices);
    this.element.remove();
  }

  readonly #onDevices = (): void => this.#fillDevices();

  #draw(): void {
    const name = h("input", {
      name: "name",
      autocomplete: "name",
      maxlength: 40, // characters; 128 bytes is the protocol's bound
      required: true,
      placeholder: say("namePlaceholder"),
      value: this.#name,
      oninput: () => {
        this.#name = name.value;
        this.#avatar.textContent = initials(name.value);
      },
    });
    const room = h("input", {
      name: "room",
      maxlength: 60,
      required: true,
      autocapitalize: "none",
      spellcheck: "false",
      value: this.#room,
      oninput: () => (this.#room = room.value),
    });
    const microphone = deviceChoice("microphone", () => void this.#openMicrophone());
    const camera = deviceChoice("camera", () => void this.#openCamera());
    this.#fillDevices = () => {
      void microphone.fill();
      void camera.fill();
    };
    const button = h("button", { class: "primary", type: "submit" }, say("join"));
    const form = h(
      "form",
      {
        onsubmit: (e: Event) => {
          e.preventDefault();
          void this.#submit(button);
        },
      },
      h("div", {}, h("h1", {}, say("ready")), h("p", { class: "tagline" }, say("tagline"))),
      h("label", { class: "field" }, h("span", {}, say("name")), name),
      invite() ? undefined : h("label", { class: "field" }, h("span", {}, say("room")), room),
      h("div", { class: "pair" }, microphone.element, camera.element),
      this.#problem,
      button,
    );
    this.#avatar.textContent = initials(this.#name);
    set(this.#meter, "aria-label", say("micLevel"));
    this.element.replaceChildren(
      h("header", { class: "top" }, wordmark(), h("span", { class: "spring" }), languageChoice(() => this.#draw())),
      h(
        "div",
        { class: "card" },
        h(
          "div",
          { class: "preview" },
          this.#avatar,
          this.#video,
          h("div", { class: "overlay" }, this.#meter, this.#toggle("microphone"), this.#toggle("camera")),
        ),
        form,
      ),
      h("footer", {}, themeChoice()),
    );
    if (!this.#name) name.focus({ preventScroll: true });
  }

  #toggle(kind: "microphone" | "camera"): HTMLButtonElement {
    const isOn = (): boolean => (kind === "camera" ? preferences.cameraOn : preferences.microphoneOn);
    const button = h("button", { type: "button", class: "round" });
    const show = (): void => {
      const word = kind === "camera" ? (isOn() ? "cameraOff" : "cameraOn") : isOn() ? "muteMic" : "unmuteMic";
      button.replaceChildren(icon(kind === "camera" ? (isOn() ? "camera" : "cameraOff") : isOn() ? "mic" : "micOff"));
      set(button, "aria-label", say(word));
      set(button, "title", say(word));
      button.classList.toggle("off", !isOn());
    };
    button.addEventListener("click", () => {
      prefer(kind === "camera" ? { cameraOn: !isOn() } : { microphoneOn: !isOn() });
      show();
      void (kind === "camera" ? this.#openCamera() : this.#openMicrophone());
    });
    show();
    return button;
  }

  async #openCamera(): Promise<void> {
    this.#camera?.stop();
    this.#camera = undefined;
    this.#video.srcObject = null;
    this.element.classList.toggle("dark", true);
    const attempt = ++this.#opening.camera;
    if (!preferences.cameraOn) return;
    const track = await this.#try(() => open("camera", chosen("camera")));
    if (!track) return;
    if (this.#closed || attempt !== this.#opening.camera) return track.stop();
    this.#camera = track;
    this.#video.srcObject = new MediaStream([track]);
    this.element.classList.toggle("dark", false);
    this.#fillDevices(); // names are known once a device was allowed
  }

  async #openMicrophone(): Promise<void> {
    this.#microphone?.stop();
    this.#microphone = undefined;
    this.#level.follow(undefined);
    const attempt = ++this.#opening.microphone;
    if (!preferences.microphoneOn) return;
    const track = await this.#try(() => open("microphone", chosen("microphone")));
    if (!track) return;
    if (this.#closed || attempt !== this.#opening.microphone) return track.stop();
    this.#microphone = track;
    this.#level.follow(track);
    this.#fillDevices();
  }

  async #try(f: () => Promise<MediaStreamTrack>): Promise<MediaStreamTrack | undefined> {
    try {
      return await f();
    } catch (e) {
      this.#problem.textContent = explain(e);
      return undefined;
    }
  }

  #showLevel(): void {
    const level = this.#level.read();
    const bars = this.#meter.children;
    for (let i = 0; i < bars.length; i++) bars[i]!.classList.toggle("lit", level > (i + 0.5) / bars.length);
  }

  async #submit(button: HTMLButtonElement): Promise<void> {
    button.disabled = true;
    button.textContent = say("joining");
    this.#problem.textContent = "";
    prefer({ name: this.#name.trim() });
    try {
      await this.#join({ name: this.#name.trim(), room: this.#room.trim() });
    } catch (e) {
      this.#problem.textContent = explain(e);
      button.disabled = false;
      button.textContent = say("join");
    }
  }
}
