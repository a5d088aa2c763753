import type { DeviceClass } from "./device";
import { fromDevice, TolkynError } from "./errors";
import type { Source } from "./media";

/** What to send: true for the default device, constraints for a certain one, or a track of your own. */
export type MediaInput = boolean | MediaTrackConstraints | MediaStreamTrack;

/** Tracks that we opened are ours to stop; the application's own are not. */
export function ours(input: MediaInput): boolean {
  return !(input instanceof MediaStreamTrack);
}

/** Opens what a MediaInput names. Throws "device-…". */
export async function open(source: Source, input: MediaInput): Promise<MediaStreamTrack> {
  const { track, sound } = await openWithSound(source, input, "normal");
  sound?.stop();
  return track;
}

/** The same, and the sound of a shared screen where the browser and the user give it. */
export async function openWithSound(
  source: Source,
  input: MediaInput,
  device: DeviceClass,
): Promise<{ track: MediaStreamTrack; sound?: MediaStreamTrack }> {
  if (input instanceof MediaStreamTrack) return { track: input };
  if (!navigator.mediaDevices) {
    throw new TolkynError("device-denied", "browsers give cameras and microphones only to https pages and to localhost");
  }
  const wanted = typeof input === "object" ? input : {};
  try {
    const stream = await ask(source, wanted, device);
    const [video] = stream.getVideoTracks();
    const [audio] = stream.getAudioTracks();
    const track = source === "microphone" || source === "screen-audio" ? audio : video;
    if (!track) throw new DOMException("the browser gave no track", "NotFoundError");
    return source === "screen" && audio ? { track, sound: audio } : { track };
  } catch (e) {
    throw fromDevice(e);
  }
}

function ask(source: Source, wanted: MediaTrackConstraints, device: DeviceClass): Promise<MediaStream> {
  const { mediaDevices } = navigator;
  switch (source) {
    case "microphone":
      return mediaDevices.getUserMedia({
        audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, ...wanted },
      });
    case "camera": {
      const [width, height, frameRate] = device === "low" ? [640, 360, 24] : [1280, 720, 30];
      return mediaDevices.getUserMedia({
        video: { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: frameRate, max: frameRate }, ...wanted },
      });
    }
    case "screen": {
      // As it is: it may be music. Without what this page plays: the others would hear themselves.
      const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, restrictOwnAudio: true };
      const video = { frameRate: { max: 15 }, ...wanted };
      return mediaDevices.getDisplayMedia({ video, audio, systemAudio: "include" } as DisplayMediaStreamOptions);
    }
    case "screen-audio":
      throw new DOMException("a screen's sound comes with the screen, or as a track of your own", "NotFoundError");
  }
}
