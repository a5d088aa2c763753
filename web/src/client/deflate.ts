import { TolkynError } from "./errors";

/** The server refuses more than this inflated, and so do we. */
const maxInflated = 256 * 1024;

/** A session description as raw DEFLATE (RFC 1951), the way it travels in Sdp messages. */
export async function deflate(text: string): Promise<Uint8Array> {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The reverse. Throws "bad-sdp" for broken data and for more than 256 KiB. */
export async function inflate(data: Uint8Array): Promise<string> {
  const stream = new Blob([data as BlobPart]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const decoder = new TextDecoder();
  let text = "";
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return text + decoder.decode();
      text += decoder.decode(value, { stream: true });
      if (text.length > maxInflated) throw new Error("longer than 256 KiB");
    }
  } catch (e) {
    throw new TolkynError("bad-sdp", "the server's description cannot be inflated", { cause: e });
  } finally {
    void reader.cancel().catch(() => {});
  }
}
