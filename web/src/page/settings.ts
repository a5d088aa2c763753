import { canChooseSpeaker, deviceChoice } from "./devices";
import { h } from "./dom";
import { icon } from "./icons";
import { prefer, preferences, saverChoices, showTheme, type SaverChoice, type Theme } from "./preferences";
import { language, languageNames, languages, say, setLanguage, type Language, type Word } from "./words";

const savers: Record<SaverChoice, Word> = { auto: "saverAuto", on: "saverOn", off: "saverOff" };
const themes: Record<Theme, Word> = { auto: "themeAuto", dark: "themeDark", light: "themeLight" };

/** What a change of settings touches. */
export interface SettingsEvents {
  microphone: () => void;
  camera: () => void;
  speaker: () => void;
  language: () => void;
  saver: () => void;
}

/** Three buttons, one of them on. */
export function languageChoice(changed: () => void): HTMLElement {
  return h(
    "div",
    { class: "segments", role: "group", "aria-label": say("language") },
    ...languages.map((l) =>
      h(
        "button",
        {
          type: "button",
          lang: l,
          title: languageNames[l],
          "aria-label": languageNames[l],
          "aria-pressed": String(l === language()),
          onclick: () => {
            prefer({ language: l });
            setLanguage(l);
            changed();
          },
        },
        short[l],
      ),
    ),
  );
}
const short: Record<Language, string> = { kk: "ҚАЗ", ru: "РУС", en: "ENG" };

/** A list of the three themes. */
export function themeChoice(): HTMLElement {
  return choice("theme", Object.keys(themes) as Theme[], themes, preferences.theme, (theme) => {
    prefer({ theme });
    showTheme();
  });
}

function saverChoice(changed: () => void): HTMLElement {
  return choice("saver", saverChoices, savers, preferences.saver, (saver) => {
    prefer({ saver });
    changed();
  });
}

function choice<T extends string>(
  name: Word,
  values: readonly T[],
  words: Record<T, Word>,
  now: T,
  changed: (value: T) => void,
): HTMLElement {
  const select = h(
    "select",
    { onchange: () => changed(select.value as T) },
    ...values.map((v) => h("option", { value: v }, say(words[v]))),
  );
  select.value = now;
  return h("label", { class: "field choice" }, h("span", {}, say(name)), select);
}

/** Opens the settings; they are gone from the document once closed. */
export function showSettings(on: SettingsEvents): void {
  const devices = [deviceChoice("microphone", on.microphone), deviceChoice("camera", on.camera)];
  if (canChooseSpeaker) devices.push(deviceChoice("speaker", on.speaker));
  const dialog = sheet(
    say("settings"),
    ...devices.map((d) => d.element),
    h(
      "div",
      { class: "field" },
      h("span", {}, say("language")),
      languageChoice(() => {
        on.language();
        dialog.close();
        showSettings(on);
      }),
    ),
    themeChoice(),
    saverChoice(on.saver),
  );
}

/** Opens the list of shortcuts. */
export function showShortcuts(): void {
  const keys: [string, Word][] = [
    ["M", "keyMic"],
    ["V", "keyCamera"],
    ["S", "keyScreen"],
    ["G", "keyView"],
    ["P", "keyPeople"],
    ["← →", "keyPages"],
    ["I", "keyNumbers"],
    ["L", "keyLeave"],
    ["?", "keyHelp"],
  ];
  sheet(
    say("shortcuts"),
    h("dl", { class: "keys" }, ...keys.flatMap(([k, w]) => [h("dt", {}, h("kbd", {}, k)), h("dd", {}, say(w))])),
  );
}

/** Opens a dialog with a title; it is gone from the document once closed. */
export function sheet(title: string, ...content: Node[]): HTMLDialogElement {
  const close = h(
    "button",
    { type: "button", class: "plain", "aria-label": say("close"), onclick: () => dialog.close() },
    icon("close"),
  );
  const dialog = h(
    "dialog",
    {
      class: "sheet",
      "aria-label": title,
      onclose: () => dialog.remove(),
      onclick: (e: MouseEvent) => {
        if (e.target === dialog) dialog.close(); // beside the sheet
      },
    },
    h("div", { class: "content" }, h("header", {}, h("h2", {}, title), close), ...content),
  );
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
