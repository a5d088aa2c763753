import { views, type View } from "./layout";
import { languages, type Language } from "./words";

export type Theme = "auto" | "dark" | "light";

/** Sound that costs little: as the network is, always, never. */
export const saverChoices = ["auto", "on", "off"] as const;
export type SaverChoice = (typeof saverChoices)[number];

/** What this browser remembers between calls. */
export interface Preferences {
  name: string;
  language: Language | "";
  theme: Theme;
  view: View;
  microphone: string; // device id, "" for the system's default
  camera: string;
  speaker: string;
  microphoneOn: boolean;
  cameraOn: boolean;
  saver: SaverChoice;
}

const key = "tolkyn.preferences";
const defaults: Preferences = {
  name: "",
  language: "",
  theme: "auto",
  view: "auto",
  microphone: "",
  camera: "",
  speaker: "",
  microphoneOn: true,
  cameraOn: true,
  saver: "auto",
};

export const preferences: Preferences = load();

function load(): Preferences {
  const p = { ...defaults };
  try {
    const stored = JSON.parse(localStorage.getItem(key) ?? "{}") as Record<string, unknown>;
    for (const k of Object.keys(defaults) as (keyof Preferences)[]) {
      if (typeof stored[k] === typeof defaults[k]) (p as Record<string, unknown>)[k] = stored[k];
    }
  } catch {
    // Storage forbidden or broken: the defaults serve.
  }
  if (p.language && !languages.includes(p.language)) p.language = "";
  if (!views.includes(p.view)) p.view = "auto";
  if (!saverChoices.includes(p.saver)) p.saver = "auto";
  return p;
}

/** As the room is told. */
export function wantedSaver(): boolean | "auto" {
  return preferences.saver === "auto" ? "auto" : preferences.saver === "on";
}

/** Changes and remembers. */
export function prefer(change: Partial<Preferences>): void {
  Object.assign(preferences, change);
  try {
    localStorage.setItem(key, JSON.stringify(preferences));
  } catch {
    // Not remembered, then.
  }
}

/** Sets the theme on the document; the style sheet does the rest. */
export function showTheme(): void {
  if (preferences.theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = preferences.theme;
}
