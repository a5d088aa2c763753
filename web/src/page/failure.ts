import { TolkynError, type EndReason, type ErrorCode } from "../client";
import { say, type Word } from "./words";

const words: Partial<Record<ErrorCode, Word>> = {
  unauthorized: "errUnauthorized",
  forbidden: "errForbidden",
  "room-full": "errRoomFull",
  busy: "errBusy",
  rate: "errBusy",
  "connection-failed": "errConnection",
  "connection-lost": "errConnection",
  timeout: "errConnection",
  "unsupported-browser": "errBrowser",
  "device-denied": "deviceDenied",
  "device-missing": "deviceMissing",
  "device-busy": "deviceBusy",
  "device-lost": "deviceLost",
};

/** What went wrong, in the user's language and with what can be done about it. */
export function explain(e: unknown): string {
  if (!(e instanceof TolkynError)) return say("errOther", { message: String(e) });
  if (e.code === "ice-failed") {
    return say("errIce", { addresses: e.addresses.join(", ") || say("errNoAddress") });
  }
  if (e.code === "device-denied" && !isSecureContext) return say("errInsecure");
  const word = words[e.code];
  return word ? say(word) : say("errOther", { message: e.message });
}

const ends: Record<Exclude<EndReason, "left">, Word> = {
  replaced: "endReplaced",
  shutdown: "endShutdown",
  timeout: "endTimeout",
  kicked: "endKicked",
  lost: "endLost",
  "protocol-error": "endError",
  "internal-error": "endError",
};

/** Why the call is over; "" when the user left. */
export function explainEnd(reason: EndReason, error?: TolkynError): string {
  if (reason === "left") return "";
  if (error && error.code !== "connection-lost" && error.code !== "connection-failed") return explain(error);
  return say(ends[reason]);
}
