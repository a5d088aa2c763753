/** How large a tile is, and how many stand in a row. */
export interface Layout {
  columns: number;
  width: number;
  height: number;
}

// A camera's picture is wide: cut off at the sides it shows a face, but on a wide screen that looks like a mistake. On a
// phone held upright it is what everybody expects.
const widest = 16 / 9;
const tallest = { wide: 4 / 3, upright: 4 / 5 };

/** The largest equal tiles that fit n times into width × height pixels. */
export function tiles(n: number, width: number, height: number, gap: number): Layout {
  let best: Layout = { columns: 1, width: 0, height: 0 };
  const least = width > height ? tallest.wide : tallest.upright;
  for (let columns = 1; columns <= Math.max(1, n); columns++) {
    const rows = Math.ceil(n / columns);
    const w = (width - gap * (columns - 1)) / columns;
    const h = (height - gap * (rows - 1)) / rows;
    if (w <= 0 || h <= 0) continue;
    const ratio = Math.max(least, Math.min(widest, w / h));
    const fit = { columns, width: Math.floor(Math.min(w, h * ratio)), height: Math.floor(Math.min(h, w / ratio)) };
    if (fit.width * fit.height > best.width * best.height) best = fit;
  }
  return best;
}

// Below this a face says nothing: rather one more page.
const smallest = { width: 150, height: 96 };

/** How many tiles fit on one page of a grid, from 1 to most. */
export function gridCapacity(most: number, width: number, height: number, gap: number): number {
  for (let n = most; n > 1; n--) {
    const fit = tiles(n, width, height, gap);
    if (fit.width >= smallest.width && fit.height >= smallest.height) return n;
  }
  return 1;
}

/** How many tiles the strip beside (below, on an upright screen) the stage has place for. */
export function stripCapacity(width: number, height: number): number {
  return isWide(width, height) ? Math.max(2, Math.floor(height / 130)) : Math.max(3, Math.floor(width / 150));
}

/** Whether the strip stands beside the stage, and not below it. */
export function isWide(width: number, height: number): boolean {
  return width > height * 1.2;
}

/** What the user wants to see large. */
export type View = "auto" | "grid" | "speaker" | "screen";
export const views: readonly View[] = ["auto", "grid", "speaker", "screen"];

/** Above so many in the room a grid is a crowd: who speaks takes the stage, unless the user chose a grid. */
const crowd = 9;

/** What goes on the stage: a shared screen, who speaks, or nothing: then all are equal. */
export function staged(view: View, size: number, isScreenShared: boolean): "screen" | "speaker" | "nothing" {
  switch (view) {
    case "grid":
      return "nothing";
    case "speaker":
      return "speaker";
    case "screen":
      return isScreenShared ? "screen" : "nothing";
    case "auto":
      return isScreenShared ? "screen" : size > crowd ? "speaker" : "nothing";
  }
}

/** One page of a list, from 0; a page behind the last is the last. */
export function pageOf<T>(list: readonly T[], page: number, capacity: number): { shown: T[]; page: number; pages: number } {
  const pages = Math.max(1, Math.ceil(list.length / capacity));
  const at = Math.min(Math.max(0, page), pages - 1);
  return { shown: list.slice(at * capacity, (at + 1) * capacity), page: at, pages };
}
