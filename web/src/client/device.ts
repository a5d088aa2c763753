import { create } from "@bufbuild/protobuf";
import { Device_Class, Device_Thermal, DeviceSchema, type Device as WireDevice } from "../wire/tolkyn_pb";
import { codecOf, videoCodecs, type VideoCodec } from "./codecs";

/** "low" publishes one picture of 360 lines and receives at most two. */
export type DeviceClass = "low" | "normal" | "high";

/** What this machine can do. Where the browser does not tell, the field is 0, false or empty. */
export interface Device {
  class: DeviceClass;
  /** Videos it decodes at once. */
  decoders: number;
  /** Processor cores. */
  cores: number;
  /** On a battery that is low. */
  savingPower: boolean;
  /** The operating system's word for how hot it is. */
  thermal: "" | "nominal" | "fair" | "serious" | "critical";
  /** Encoded in hardware. */
  hardwareEncoders: readonly VideoCodec[];
}

const patience = 150; // ms for the browser's answers: joining waits for none of them longer
const lowBattery = 0.2; // of a full one: where telephones and laptops offer to save power

// What the class is concluded from. Two cores alone say little (virtual machines, good laptops of ten years ago); with no more
// than 2 GB, or on a telephone, they are an old device.
const fewCores = 2;
const littleMemory = 2; // GB, as the Device Memory API rounds it
const manyCores = 8;

/** Finds out what this machine can do; what the application knows better stands. */
export async function describeDevice(known: Partial<Device> = {}): Promise<Device> {
  const hints = navigator as {
    deviceMemory?: number; // only Chromium, at most 8 before version 147
    userAgentData?: { mobile: boolean };
    getBattery?: () => Promise<{ level: number; charging: boolean }>;
  };
  const cores = known.cores ?? navigator.hardwareConcurrency ?? 0;
  const [battery, hardwareEncoders] = await Promise.all([
    within(patience, () => hints.getBattery?.()),
    known.hardwareEncoders ?? (hardwareAsked ??= hardware()),
  ]);
  const savingPower = known.savingPower ?? (battery !== undefined && !battery.charging && battery.level <= lowBattery);
  const thermal = known.thermal ?? "";
  const hot = thermal === "serious" || thermal === "critical";
  const mobile = hints.userAgentData?.mobile ?? /Mobi|Android/i.test(navigator.userAgent);
  const small = cores > 0 && cores <= fewCores && (mobile || (hints.deviceMemory ?? Infinity) <= littleMemory);
  let concluded: DeviceClass = "normal";
  if (savingPower || hot || small) concluded = "low";
  else if (cores >= manyCores && !mobile) concluded = "high";
  return {
    class: known.class ?? concluded,
    decoders: known.decoders ?? 0,
    cores,
    savingPower,
    thermal,
    hardwareEncoders,
  };
}

let hardwareAsked: Promise<VideoCodec[]> | undefined; // it does not change

// "Power efficient" is the browser's word for an encoder in hardware (W3C Media Capabilities).
async function hardware(): Promise<VideoCodec[]> {
  const asked = videoCodecs.map(async (codec) => {
    const video = { contentType: `video/${codec}`, width: 1280, height: 720, bitrate: 1_500_000, framerate: 30 };
    const info = await within(patience, () => navigator.mediaCapabilities?.encodingInfo({ type: "webrtc", video }));
    return info?.supported && info.powerEfficient ? [codec] : [];
  });
  return (await Promise.all(asked)).flat();
}

/** The answer, undefined when there is none in time, or none at all. */
async function within<T>(ms: number, ask: () => Promise<T> | undefined): Promise<T | undefined> {
  const late = new Promise<undefined>((done) => setTimeout(() => done(undefined), ms));
  try {
    return await Promise.race([ask(), late]);
  } catch {
    return undefined; // not for this page
  }
}

const classes: Record<DeviceClass, Device_Class> = {
  low: Device_Class.LOW,
  normal: Device_Class.NORMAL,
  high: Device_Class.HIGH,
};
const thermals: Record<Device["thermal"], Device_Thermal> = {
  "": Device_Thermal.THERMAL_UNSPECIFIED,
  nominal: Device_Thermal.NOMINAL,
  fair: Device_Thermal.FAIR,
  serious: Device_Thermal.SERIOUS,
  critical: Device_Thermal.CRITICAL,
};

/** As it travels in Join. */
export function wireDevice(d: Device): WireDevice {
  return create(DeviceSchema, {
    class: classes[d.class],
    decoders: d.decoders,
    cores: d.cores,
    savingPower: d.savingPower,
    thermal: thermals[d.thermal],
    hardwareEncoders: d.hardwareEncoders.filter((c) => codecOf(c)).map((c) => c.toUpperCase()),
  });
}
