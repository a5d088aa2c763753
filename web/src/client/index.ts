/**
 * @tolkyn/client: calls through a Tolkyn server, from a browser.
 *
 *   connect(url, token) -> Client        Session: one connection at a time, resumed when it breaks:
 *      |                                 race between WebTransport and WebSocket (Ways, Connection)
 *      client.join({name, camera, …})
 *         -> Room                        who is there, what flows where, what we send
 *              Media                     one RTCPeerConnection: 2 send m-lines, 3 + 9 receive slots
 *                 Outgoing               one picture we send: codec, encodings, what of them is watched
 */
import { describeDevice } from "./device";
import { TolkynError } from "./errors";
import { Room, type JoinOptions } from "./room";
import { Session, type SessionOptions, type TokenSource } from "./session";

export { TolkynError, type EndReason, type ErrorCode } from "./errors";
export { Backoff } from "./backoff";
export type { Transport } from "./connection";
export type { SlotCounts, Source } from "./media";
export { open, type MediaInput } from "./capture";
export { type VideoCodec } from "./codecs";
export { describeDevice, type Device, type DeviceClass } from "./device";
export {
  Room,
  type JoinOptions,
  type Limit,
  type Participant,
  type Publication,
  type RemoteTrack,
  type RoomEvents,
  type RoomState,
  type RosterPage,
  type Slot,
  type SlotLayers,
  type Wish,
} from "./room";
export { Session, type SessionEvents, type SessionOptions, type SessionState, type TokenSource } from "./session";
export { Meter, type CallStats, type EncodingStats, type SendStats, type SlotStats } from "./stats";

/** A connected client: it has shown its token and may join the token's room. */
export class Client {
  readonly session: Session;
  /** Devices that could not be opened at the last join; the join went on without them. */
  failedDevices: readonly TolkynError[] = [];

  constructor(session: Session) {
    this.session = session;
  }

  /** Joins the token's room. Throws "room-full", "busy", "forbidden", "bad-sdp", … */
  async join(options: JoinOptions): Promise<Room> {
    const { room, failed } = await Room.join(this.session, options);
    this.failedDevices = failed;
    return room;
  }

  /** Ends the session without having joined. */
  leave(): Promise<void> {
    return this.session.leave();
  }
}

/**
 * Connects to a server. url: its page ("https://call.example.org"), or the WebSocket itself ("wss://…/v1/ws").
 * A token function is asked again when a new session has to be opened later.
 */
export async function connect(url: string, token: TokenSource, options?: SessionOptions): Promise<Client> {
  void describeDevice(); // the browser's answers are there, then, when they are needed to join
  return new Client(await Session.open(url, token, options));
}
