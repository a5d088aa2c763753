import { h } from "./dom";
import { prefer, preferences } from "./preferences";
import { say, type Word } from "./words";

export type DeviceKind = "microphone" | "camera" | "speaker";

const kinds: Record<DeviceKind, MediaDeviceKind> = {
  microphone: "audioinput",
  camera: "videoinput",
  speaker: "audiooutput",
};

/** Constraints for the device the user chose; the system's default when it is gone. */
export function chosen(kind: "microphone" | "camera"): MediaTrackConstraints | true {
  const id = preferences[kind];
  return id ? { deviceId: { ideal: id } } : true;
}

/** Whether this browser can play sound on a device of the user's choice. */
export const canChooseSpeaker = "setSinkId" in HTMLMediaElement.prototype;

/** A labelled list of devices; remembers the choice and tells `changed`. Fill it again when devices come and go. */
export function deviceChoice(kind: DeviceKind, changed: () => void): { element: HTMLElement; fill: () => Promise<void> } {
  const select = h("select", {
    onchange: () => {
      prefer({ [kind]: select.value });
      changed();
    },
  });
  const fill = async (): Promise<void> => {
    const all = await navigator.mediaDevices?.enumerateDevices().catch(() => []);
    const found = (all ?? []).filter((d) => d.kind === kinds[kind] && d.deviceId !== "" && d.deviceId !== "default");
    const none: Word = found.length > 0 || all?.some((d) => d.kind === kinds[kind]) ? "systemDefault" : "noDevice";
    select.replaceChildren(
      h("option", { value: "" }, say(none)),
      ...found.map((d, i) => h("option", { value: d.deviceId }, d.label || `${say(kind)} ${i + 1}`)),
    );
    select.value = found.some((d) => d.deviceId === preferences[kind]) ? preferences[kind] : "";
  };
  void fill();
  return { element: h("label", { class: "field choice" }, h("span", {}, say(kind)), select), fill };
}
