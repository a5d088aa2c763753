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
