import { Bye_Reason, Error_Code, type Error as WireError } from "../wire/tolkyn_pb";

/** What went wrong. The first group is the server's word (signaling/wire/tolkyn.proto), the second the client's own. */
export type ErrorCode =
  | "protocol" | "unauthorized" | "forbidden" | "room-full" | "busy" | "rate" | "bad-sdp" | "unsupported-codec"
  | "too-large" | "not-found" | "resume-expired" | "internal"
  | "connection-failed" // the server cannot be reached, by any transport
  | "connection-lost" // it could, and no longer can; reconnecting was given up
  | "timeout" // a request was not answered in time
  | "ended" // the session is over: left, replaced by another tab, or closed by the server
  | "ice-failed" // signaling works, media does not: see TolkynError.addresses
  | "device-denied" | "device-missing" | "device-busy" | "device-lost"
  | "unsupported-browser";

/** TolkynError is the only error the SDK throws or emits; `code` is for programs, `message` (English) for logs. */
export class TolkynError extends Error {
  override readonly name = "TolkynError";
  readonly code: ErrorCode;
  /** Milliseconds to wait before trying again; 0 when the server did not say. */
  readonly retryAfter: number;
  /** For "ice-failed": the media addresses the server advertised, as "ip:port/udp". */
  readonly addresses: readonly string[];

  constructor(
    code: ErrorCode,
    message: string,
    more: { retryAfter?: number; addresses?: readonly string[]; cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    this.retryAfter = more.retryAfter ?? 0;
    this.addresses = more.addresses ?? [];
  }

  /** Whether trying the same again later may work. */
  get temporary(): boolean {
    return ["busy", "rate", "connection-failed", "timeout", "internal"].includes(this.code);
  }
}

const codes: Record<Error_Code, ErrorCode> = {
  [Error_Code.CODE_UNSPECIFIED]: "internal",
  [Error_Code.PROTOCOL]: "protocol",
  [Error_Code.UNAUTHORIZED]: "unauthorized",
  [Error_Code.FORBIDDEN]: "forbidden",
  [Error_Code.ROOM_FULL]: "room-full",
  [Error_Code.BUSY]: "busy",
  [Error_Code.RATE]: "rate",
  [Error_Code.BAD_SDP]: "bad-sdp",
  [Error_Code.UNSUPPORTED_CODEC]: "unsupported-codec",
  [Error_Code.TOO_LARGE]: "too-large",
  [Error_Code.NOT_FOUND]: "not-found",
  [Error_Code.RESUME_EXPIRED]: "resume-expired",
  [Error_Code.INTERNAL]: "internal",
};

/** The server's Error message as a TolkynError. */
export function fromWire(e: WireError): TolkynError {
  return new TolkynError(codes[e.code] ?? "internal", e.message || "the server gave no reason", {
    retryAfter: e.retryAfterMs,
  });
}

/** Why a session ended. */
export type EndReason =
  | "left" | "replaced" | "shutdown" | "timeout" | "kicked" | "protocol-error" | "internal-error" | "lost";

const reasons: Record<Bye_Reason, EndReason> = {
  [Bye_Reason.REASON_UNSPECIFIED]: "internal-error",
  [Bye_Reason.LEFT]: "left",
  [Bye_Reason.REPLACED]: "replaced",
  [Bye_Reason.SHUTDOWN]: "shutdown",
  [Bye_Reason.TIMEOUT]: "timeout",
  [Bye_Reason.KICKED]: "kicked",
  [Bye_Reason.PROTOCOL_ERROR]: "protocol-error",
  [Bye_Reason.INTERNAL_ERROR]: "internal-error",
};

/** The server's Bye reason as a word. */
export function endReason(r: Bye_Reason): EndReason {
  return reasons[r] ?? "internal-error";
}

/** What getUserMedia or getDisplayMedia threw, as a TolkynError. */
export function fromDevice(e: unknown): TolkynError {
  const name = e instanceof DOMException ? e.name : "";
  const message = e instanceof Error ? e.message : String(e);
  switch (name) {
    case "NotAllowedError":
    case "SecurityError":
      return new TolkynError("device-denied", `the browser or the user refused the device: ${message}`, { cause: e });
    case "NotFoundError":
    case "OverconstrainedError":
      return new TolkynError("device-missing", `no such device: ${message}`, { cause: e });
    default:
      return new TolkynError("device-busy", `the device cannot be opened: ${message}`, { cause: e });
  }
}
