/** Loudness of a local microphone, 0 to 1, by WebAudio: before a call there is nothing else to ask. */
export class Level {
  readonly #context = new AudioContext();
  readonly #analyser = this.#context.createAnalyser();
  readonly #samples = new Float32Array(512);
  #source: MediaStreamAudioSourceNode | undefined;
  #track: MediaStreamTrack | undefined;

  constructor() {
    this.#analyser.fftSize = this.#samples.length;
  }

  /** Listens to this track from now on; undefined for none. */
  follow(track: MediaStreamTrack | undefined): void {
    if (track === this.#track) return;
    this.#track = track;
    this.#source?.disconnect();
    this.#source = undefined;
    if (!track) return;
    this.#source = this.#context.createMediaStreamSource(new MediaStream([track]));
    this.#source.connect(this.#analyser);
    void this.#context.resume().catch(() => {});
  }

  /** Root mean square of the last 10 ms, stretched so that speech fills the scale. */
  read(): number {
    if (!this.#source || !this.#track?.enabled) return 0;
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let sum = 0;
    for (const s of this.#samples) sum += s * s;
    return loudness(Math.sqrt(sum / this.#samples.length));
  }

  close(): void {
    this.follow(undefined);
    void this.#context.close();
  }
}

/** Linear level to what the ear makes of it: −60 dB is 0, −10 dB is 1. */
export function loudness(level: number): number {
  if (level <= 0) return 0;
  return Math.max(0, Math.min(1, (20 * Math.log10(level) + 60) / 50));
}
