import { Profile } from "../wire/tolkyn_pb";

// Not in every browser: https://wicg.github.io/netinfo/
interface NetworkInformation extends EventTarget {
  readonly saveData?: boolean;
  readonly effectiveType?: string;
}

/** What the browser knows of the network; undefined where it does not tell. */
export function network(): NetworkInformation | undefined {
  return (navigator as { connection?: NetworkInformation }).connection;
}

/** Whether each byte counts on this network: the user has said so, or it is one of the second generation. */
export function networkSaves(): boolean {
  const { saveData, effectiveType } = network() ?? {};
  return saveData === true || effectiveType === "slow-2g" || effectiveType === "2g";
}

/** As it travels with an offer. */
export function wireProfile(saver: boolean): Profile {
  return saver ? Profile.SAVER : Profile.FULL;
}
