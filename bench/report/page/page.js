"use strict";
// The page works on its data alone: it asks nobody for anything. Names come from strangers and reach the page as text
// nodes only, never as markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const svgSpace = one("svg").namespaceURI;

  function put(node, attributes, ...children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return node;
  }
  const h = (name, attributes, ...children) => put(document.createElement(name), attributes, ...children);
  const s = (name, attributes, ...children) => put(document.createElementNS(svgSpace, name), attributes, ...children);
  const bdi = (text) => h("bdi", {}, text);

  /** A number with three digits that count, as the rest of the report writes it. */
  function figure(v) {
    if (v === null || v === undefined || !Number.isFinite(v)) return "–";
    const a = Math.abs(v);
    if (a === 0) return "0";
    if (a >= 99.95) return Math.round(v).toLocaleString("en-US");
    if (a >= 9.995) return v.toFixed(1);
    if (a >= 0.005) return v.toFixed(2);
    return v < 0 ? "-<0.01" : "<0.01";
  }
  const withUnit = (v, unit) => (v === null || v === undefined ? "–" : figure(v) + (unit ? " " + unit : ""));
  function clock(seconds) {
    if (seconds >= 3600) return Math.floor(seconds / 3600) + ":" + String(Math.floor((seconds % 3600) / 60)).padStart(2, "0") + " h";
    if (seconds >= 120) return Math.floor(seconds / 60) + ":" + String(Math.floor(seconds % 60)).padStart(2, "0") + " min";
    return Number(seconds.toFixed(1)) + " s";
  }
  /** Round numbers for an axis from low to high, about n of them. */
  function ticks(low, high, n) {
    const rough = (high - low) / n || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * power).find((m) => m >= rough);
    const out = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-6; i++) out.push(i * step);
    return out;
  }

  // Charts. Those of one group share zoom and crosshair.
  class Group {
    charts = [];
    range = null;
    at = null;
    zoom(range) {
      this.range = range;
      for (const chart of this.charts) chart.draw();
      this.changed?.(range);
    }
    point(at) {
      this.at = at;
      for (const chart of this.charts) chart.cross(at);
    }
  }

  const high = 170, left = 44, right = 14, above = 8, below = 20;
  class Chart {
    constructor(group, spec) {
      this.group = group;
      this.spec = spec;
      this.width = 560;
      const legend = h("div", { class: "legend" });
      this.values = spec.series.map((line) => {
        const value = h("b", {}, "");
        legend.append(h("span", {}, h("i", { class: line.dash || "", style: "--c:var(--" + line.colour + ")" }), line.name, " ", value));
        return value;
      });
      this.svg = s("svg", { role: "img", tabindex: "0", "aria-label": this.label() });
      this.node = h("div", { class: "card plot" },
        h("header", {}, h("h3", {}, spec.title, spec.unit ? h("small", {}, ", " + spec.unit) : null), legend), this.svg);
      group.charts.push(this);
      this.listen();
      new ResizeObserver(() => {
        const width = Math.round(this.svg.clientWidth);
        if (width > 40 && width !== this.width) {
          this.width = width;
          this.draw();
        }
      }).observe(this.node);
      this.draw();
    }
    label() {
      const parts = this.spec.series.map((line) => {
        const known = line.y.filter((v) => v !== null);
        return known.length ? line.name + " from " + figure(Math.min(...known)) + " to " + figure(Math.max(...known)) : line.name + ": no values";
      });
      return this.spec.title + (this.spec.unit ? " in " + this.spec.unit : "") + ". " + parts.join("; ") + ". Arrow keys read values, plus and minus zoom, Escape shows all.";
    }
    domain() {
      const x = this.spec.x;
      return this.group.range || [x[0] ?? 0, Math.max(x[x.length - 1] ?? 1, (x[0] ?? 0) + 1e-9)];
    }
    toX(v) {
      const [a, b] = this.domain();
      return left + ((v - a) / (b - a)) * (this.width - left - right);
    }
    fromX(pixel) {
      const [a, b] = this.domain();
      return a + ((pixel - left) / (this.width - left - right)) * (b - a);
    }
    draw() {
      const { x, series, bands } = this.spec;
      const [a, b] = this.domain();
      let top = 0;
      for (const line of series) line.y.forEach((v, i) => { if (v !== null && x[i] >= a && x[i] <= b) top = Math.max(top, v); });
      top = Math.max(top * 1.06, this.spec.least || 0) || 1;
      const toY = (v) => above + (1 - v / top) * (high - above - below);
      this.toY = toY;
      this.svg.setAttribute("viewBox", "0 0 " + this.width + " " + high);
      const parts = [];
      for (const v of ticks(0, top, 4)) {
        parts.push(s("line", { class: "grid", x1: left, x2: this.width - right, y1: toY(v), y2: toY(v) }));
        parts.push(s("text", { x: left - 6, y: toY(v) + 4, "text-anchor": "end" }, v >= 1000 ? Number((v / 1000).toFixed(2)) + " k" : String(Number(v.toFixed(4)))));
      }
      for (const v of ticks(a, b, Math.max(2, Math.floor(this.width / 75))))
        parts.push(s("text", { x: this.toX(v), y: high - 5, "text-anchor": this.toX(v) > this.width - 30 ? "end" : "middle" }, (this.spec.xText || clock)(v)));
      // A viewport of its own cuts off what lies outside the zoom.
      const inner = s("svg", { x: left, y: 0, width: this.width - left - right, height: high, viewBox: left + " 0 " + (this.width - left - right) + " " + high });
      parts.push(inner);
      const marks = [];
      for (const [n, line] of series.entries()) {
        let path = "", area = "", run = [];
        const end = () => {
          if (!run.length) return;
          const points = run.map(([px, py]) => px.toFixed(1) + " " + py.toFixed(1));
          if (run.length === 1) path += "M" + (run[0][0] - 1) + " " + run[0][1] + "h2";
          else path += "M" + points.join("L");
          area += "M" + run[0][0] + " " + toY(0) + "L" + points.join("L") + "L" + run[run.length - 1][0] + " " + toY(0) + "z";
          run = [];
        };
        line.y.forEach((v, i) => {
          const near = (x[i + 1] ?? x[i]) >= a && (x[i - 1] ?? x[i]) <= b;
          if (v === null || !near) return end();
          const px = this.toX(x[i]);
          if (this.spec.stairs && run.length) run.push([px, run[run.length - 1][1]]);
          run.push([px, toY(v)]);
        });
        end();
        if (n === (this.spec.fill ?? 0) && !this.spec.stairs) inner.append(s("path", { class: "area", d: area, style: "fill:var(--" + line.colour + ")" }));
        inner.append(s("path", {
          class: "series", d: path, style: "stroke:var(--" + line.colour + ")",
          "stroke-dasharray": line.dash === "dash" ? "6 4" : line.dash === "dot" ? "2 3" : null,
        }));
        line.marks?.forEach((text, i) => {
          if (line.y[i] !== null) marks.push(s("text", { x: this.toX(x[i]), y: Math.max(12, toY(line.y[i]) - 6), "text-anchor": "middle", style: "font-weight:700;fill:var(--" + (text === "✓" ? "good" : "poor") + ")" }, text));
        });
      }
      this.selection = s("rect", { class: "select", y: above, height: high - above - below, width: 0 });
      this.line = s("line", { class: "cross", y1: above, y2: high - below, visibility: "hidden" });
      this.dots = series.map((line) => s("circle", { r: 3.4, visibility: "hidden", style: "fill:var(--" + line.colour + ")" }));
      this.svg.replaceChildren(...parts, ...marks, this.selection, this.line, ...this.dots);
      this.cross(this.group.at);
    }
    nearest(at) {
      const x = this.spec.x;
      let best = -1;
      for (let i = 0; i < x.length; i++) if (best < 0 || Math.abs(x[i] - at) < Math.abs(x[best] - at)) best = i;
      return best;
    }
    cross(at) {
      const i = at === null ? -1 : this.nearest(at);
      const [a, b] = this.domain();
      const show = i >= 0 && this.spec.x[i] >= a - 1e-9 && this.spec.x[i] <= b + 1e-9;
      this.line.setAttribute("visibility", show ? "visible" : "hidden");
      if (show) put(this.line, { x1: this.toX(this.spec.x[i]), x2: this.toX(this.spec.x[i]) });
      this.spec.series.forEach((line, n) => {
        const v = show ? line.y[i] : null;
        this.values[n].textContent = show ? figure(v) : "";
        const dot = this.dots[n];
        dot.setAttribute("visibility", v === null ? "hidden" : "visible");
        if (v !== null) put(dot, { cx: this.toX(this.spec.x[i]), cy: this.toY(v) });
      });
    }
    listen() {
      const svg = this.svg, group = this.group;
      const place = (event) => {
        const box = svg.getBoundingClientRect();
        return this.fromX(((event.clientX - box.left) / box.width) * this.width);
      };
      let from = null;
      svg.addEventListener("pointerdown", (event) => {
        if (event.pointerType === "mouse" && event.button === 0 && !this.spec.still) {
          from = place(event);
          svg.setPointerCapture(event.pointerId);
        }
      });
      svg.addEventListener("pointermove", (event) => {
        const at = place(event);
        group.point(at);
        if (from !== null) {
          const [a, b] = [Math.min(from, at), Math.max(from, at)].map((v) => Math.min(Math.max(this.toX(v), left), this.width - right));
          put(this.selection, { x: a, width: b - a });
        }
      });
      svg.addEventListener("pointerup", (event) => {
        if (from === null) return;
        const [first, last] = this.domain();
        const a = Math.max(first, Math.min(from, place(event))), b = Math.min(last, Math.max(from, place(event)));
        from = null;
        put(this.selection, { width: 0 });
        if (this.toX(b) - this.toX(a) > 8) group.zoom([a, b]);
      });
      svg.addEventListener("pointercancel", () => { from = null; });
      svg.addEventListener("pointerleave", () => { if (from === null) group.point(null); });
      svg.addEventListener("dblclick", () => group.zoom(null));
      svg.addEventListener("blur", () => group.point(null));
      svg.addEventListener("keydown", (event) => {
        const x = this.spec.x;
        if (!x.length) return;
        const [a, b] = this.domain();
        const i = group.at === null ? this.nearest((a + b) / 2) : this.nearest(group.at);
        const middle = x[i], span = b - a;
        if (event.key === "ArrowRight" || event.key === "ArrowLeft")
          group.point(x[Math.min(x.length - 1, Math.max(0, i + (event.key === "ArrowRight" ? 1 : -1)))]);
        else if (event.key === "+" || event.key === "=") group.zoom([Math.max(x[0], middle - span / 4), Math.min(x[x.length - 1], middle + span / 4)]);
        else if (event.key === "-") group.zoom([Math.max(x[0], middle - span), Math.min(x[x.length - 1], middle + span)]);
        else if (event.key === "Escape" && group.range) group.zoom(null);
        else return;
        event.preventDefault();
      });
      if (this.spec.still) svg.classList.add("still");
    }
  }

  const some = (values) => values.some((v) => v !== null && v > 0);

  /** Bars of a histogram: not on the time axis, so without zoom. */
  function bars(title, unit, edges, groups) {
    const width = 560, top = Math.max(1, ...groups.flatMap((g) => g.counts));
    const inner = width - left - right, n = edges.length - 1;
    const toX = (v) => left + ((v - edges[0]) / (edges[n] - edges[0])) * inner;
    const toY = (v) => above + (1 - v / (top * 1.06)) * (high - above - below);
    const svg = s("svg", { viewBox: "0 0 " + width + " " + high, role: "img", class: "still", "aria-label": title + ": " + groups.map((g) => g.name + " " + g.counts.map((c, i) => c ? c + " at " + edges[i].toFixed(1) : "").filter(Boolean).join(", ")).join("; ") });
    for (const v of ticks(0, top * 1.06, 4).filter((v) => Number.isInteger(v))) svg.append(
      s("line", { class: "grid", x1: left, x2: width - right, y1: toY(v), y2: toY(v) }),
      s("text", { x: left - 6, y: toY(v) + 4, "text-anchor": "end" }, String(v)));
    for (const v of ticks(edges[0], edges[n], 8)) svg.append(s("text", { x: toX(v), y: high - 5, "text-anchor": "middle" }, String(Number(v.toFixed(2)))));
    groups.forEach((g, k) => g.counts.forEach((c, i) => {
      if (!c) return;
      const w = (toX(edges[i + 1]) - toX(edges[i])) / groups.length;
      svg.append(s("rect", { x: toX(edges[i]) + k * w + 0.5, y: toY(c), width: Math.max(1, w - 1), height: toY(0) - toY(c), rx: 1.5, style: "fill:var(--" + g.colour + ")" },
        s("title", {}, g.name + ": " + c + " from " + edges[i].toFixed(1) + " to " + edges[i + 1].toFixed(1))));
    }));
    const legend = h("div", { class: "legend" }, groups.map((g) => h("span", {}, h("i", { style: "--c:var(--" + g.colour + ")" }), g.name)));
    return h("div", { class: "card plot" }, h("header", {}, h("h3", {}, title, unit ? h("small", {}, ", " + unit) : null), legend), svg);
  }

  function spark(values, label) {
    const known = values.filter((v) => v !== null);
    if (!known.length) return null;
    const top = Math.max(...known, 1e-9);
    let path = "", pen = "M";
    values.forEach((v, i) => {
      if (v === null) { pen = "M"; return; }
      path += pen + ((i / Math.max(1, values.length - 1)) * 110).toFixed(1) + " " + (22 - (v / top) * 20).toFixed(1);
      pen = "L";
    });
    return s("svg", { class: "spark", viewBox: "0 0 110 24", role: "img", "aria-label": label + " up to " + figure(top) }, s("path", { d: path }));
  }

  // The timelines.
  function timelines(host, t, u) {
    const group = new Group();
    const add = (spec) => host.append(new Chart(group, spec).node);
    const line = (name, y, colour, dash) => ({ name, y, colour, dash });
    if (t && t.at.length) {
      add({ title: "Network delay", unit: "ms", x: t.at, fill: 1, series: [line("p50", t.p50, "c3"), line("p95", t.p95, "c1", "dash"), line("max", t.max, "c2", "dot")] });
      add({ title: "Loss after repair", unit: "% of packets", x: t.at, least: 1, series: [line("loss", t.loss, "c2")] });
      add({ title: "Bitrate", unit: "kbit/s, all streams", x: t.at, series: [line("received", t.kbps, "c1")] });
      add({ title: "Sound made up", unit: "% of samples", x: t.at, least: 1, series: [line("concealed", t.concealed, "c4")] });
      if (some(t.fps)) add({ title: "Frame rate", unit: "pictures/s", x: t.at, least: 10, series: [line("mean", t.fps, "c3")] });
      if (some(t.fps)) add({ title: "Picture frozen", unit: "% of the time", x: t.at, least: 1, series: [line("frozen", t.frozen, "c2")] });
    }
    if (u && u.at.length) {
      add({ title: "CPU", unit: "cores", x: u.at, least: 0.1, series: [
        ...(some(u.server) ? [line("server", u.server, "c1")] : []), line("bench", u.client, "c2", "dash"), line("kernel", u.kernel, "c4", "dot")] });
      add({ title: "Packets", unit: "a second", x: u.at, series: [line("received", u.received, "c1"), line("sent", u.sent, "c2", "dash")] });
      if (some(u.memory)) add({ title: "Server memory", unit: "MiB", x: u.at, series: [line("resident", u.memory, "c3")] });
      add({ title: "Callers in the call", x: u.at, series: [line("callers", u.callers, "c1")] });
    }
    const bar = one("#zoomed");
    group.changed = (range) => {
      bar.hidden = !range;
      if (range) one("output", bar).textContent = clock(range[0]) + " to " + clock(range[1]);
    };
    one("button", bar).addEventListener("click", () => group.zoom(null));
  }

  function distributions(host, d) {
    for (const c of d.curves) {
      const x = [...new Set(c.lines.flatMap((l) => l.values))].sort((p, q) => p - q);
      const series = c.lines.map((l) => {
        const sorted = l.values;
        let k = 0;
        return { name: l.name, colour: l.colour, dash: l.dash, y: x.map((v) => { while (k < sorted.length && sorted[k] <= v) k++; return (k / sorted.length) * 100; }) };
      });
      host.append(new Chart(new Group(), { title: c.title, unit: c.unit, x: [0, ...x], stairs: true, still: true, least: 100 / 1.0001, xText: (v) => Number(v.toFixed(3)).toLocaleString("en-US") + " ms",
        series: series.map((l) => ({ ...l, y: [0, ...l.y] })) }).node);
    }
    for (const b of d.bars) host.append(bars(b.title, b.unit, b.edges, b.groups));
  }

  /** A table that can be sorted, filtered and grows on demand. */
  function listing(host, { rows, columns, text, kinds, open, first, empty, noun }) {
    let shown = first, sort = null, down = true, filter = "", kind = "";
    const body = h("tbody", {}), more = h("button", { class: "button", type: "button" }), found = h("span", { class: "soft", role: "status" });
    const heads = columns.map((c) => h("th", { scope: "col", class: (c.num ? "num " : "") + (c.wide ? "wide" : "") },
      c.value ? h("button", { type: "button", onclick: () => { if (sort === c) down = !down; else { sort = c; down = c.down ?? !!c.num; } draw(); } }, c.name) : c.name));
    function draw() {
      const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
      let list = rows.filter((r) => (!kind || r.kind === kind) && words.every((w) => text(r).includes(w)));
      if (sort) list = list.slice().sort((a, b) => {
        const p = sort.value(a), q = sort.value(b);
        if (p === null || p === undefined) return 1;
        if (q === null || q === undefined) return -1;
        return (p < q ? -1 : p > q ? 1 : 0) * (down ? -1 : 1);
      });
      heads.forEach((th, i) => { if (columns[i] === sort) th.setAttribute("aria-sort", down ? "descending" : "ascending"); else th.removeAttribute("aria-sort"); });
      body.replaceChildren(...list.slice(0, shown).map((r) => h("tr", { class: open ? "row" : null, onclick: open ? () => open(r) : null },
        columns.map((c) => h("td", { class: (c.num ? "num " : "") + (c.wide ? "wide " : "") + (c.bad?.(r) ? "bad" : "") }, c.cell(r))))));
      if (!list.length) body.append(h("tr", {}, h("td", { colspan: columns.length, class: "soft" }, empty)));
      found.textContent = list.length === rows.length ? rows.length + " " + noun : list.length + " of " + rows.length + " " + noun;
      more.hidden = list.length <= shown;
      more.textContent = "Show " + Math.min(100, list.length - shown) + " more";
    }
    more.addEventListener("click", () => { shown += 100; draw(); });
    const tools = h("div", { class: "tools" }, h("input", { type: "search", placeholder: "Filter by name, room, track", "aria-label": "Filter " + noun, oninput: (event) => { filter = event.target.value; shown = first; draw(); } }));
    if (kinds) {
      const buttons = [["", "All"], ...kinds].map(([value, name]) => h("button", { type: "button", "aria-pressed": String(value === ""), onclick: (event) => {
        kind = value; shown = first;
        buttons.forEach((b) => b.setAttribute("aria-pressed", String(b === event.target)));
        draw();
      } }, name));
      tools.append(h("div", { class: "segments", role: "group", "aria-label": "Kind" }, buttons));
    }
    tools.append(found);
    host.append(tools, h("div", { class: "card" }, h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, heads)), body))), more);
    draw();
  }

  function streams(host, packed) {
    const names = packed.names;
    const rows = packed.rows.map((values) => {
      const r = {};
      packed.fields.forEach((field, i) => { r[field] = values[i]; });
      for (const field of ["room", "receiver", "sender", "track", "codec"]) r[field] = names[r[field]];
      r.kind = r.video ? "video" : "audio";
      r.text = [r.room, r.receiver, r.sender, r.track, r.kind, r.codec].join(" ").toLowerCase();
      r.bad = r.packets === 0 ? null : r.video ? r.frozen : r.concealed;
      return r;
    });
    const dialog = one("#detail");
    function open(r) {
      const inside = one(".inside", dialog);
      const facts = [["Received", withUnit(r.packets, "packets")], ["Bitrate", withUnit(r.kbps, "kbit/s")], ["Length", clock(r.seconds)],
        ["Network delay p50", withUnit(r.delay50, "ms")], ["Network delay p95", withUnit(r.delay95, "ms")], ["Network delay p99", withUnit(r.delay99, "ms")], ["Network delay max", withUnit(r.delayMax, "ms")],
        [r.video ? "Sent to shown p95" : "Sent to played p95", withUnit(r.played95, "ms")], ["Waited in the buffer p50", withUnit(r.buffered50, "ms")], ["Jitter", withUnit(r.jitter, "ms")],
        ["Loss before repair", withUnit(r.before, "%")], ["Loss after repair", withUnit(r.after, "%")], ["Repaired", figure(r.repaired)], ["Reordered", figure(r.reordered)], ["Duplicates", figure(r.duplicates)],
        ["Dropped by the bench", figure(r.dropped)], ["Wrong sender or track", figure(r.wrong)],
        ...(r.video ? [["Score", figure(r.score)], ["Frame rate", withUnit(r.fps, "fps")], ["Size", r.width + " × " + r.height], ["Freezes", figure(r.freezes)], ["Frozen", withUnit(r.frozen, "%")],
          ["Not decodable", withUnit(r.undecodable, "frames")], ["Keyframe wait p95", withUnit(r.keyframe95, "ms")], ["Layer switches", figure(r.switches)]]
          : [["MOS", figure(r.score)], ["R", figure(r.r)], ["Concealed", withUnit(r.concealed, "%")], ["In the worst 10 s", withUnit(r.concealed10, "%")], ["Longest hole", withUnit(r.hole, "ms")], ["Stretches of it", figure(r.events)],
            ["Sent again", withUnit(r.resent, "%")], ["By copies (RED)", withUnit(r.copied, "%")], ["By in-band FEC", withUnit(r.fec, "%")], ["Came too late", withUnit(r.late, "%")],
            ["Played faster", withUnit(r.accelerated, "%")], ["Played slower", withUnit(r.expanded, "%")], ["Sound behind picture p50", withUnit(r.lip50, "ms")]])];
      const plots = h("div", { class: "plots" }), group = new Group();
      if (r.spark) {
        const n = r.spark.d.length, x = Array.from({ length: n }, (_, i) => r.spark.from + ((i + 0.5) * r.spark.span) / n);
        const add = (title, unit, y, colour, least) => plots.append(new Chart(group, { title, unit, x, least, series: [{ name: "value", y, colour }] }).node);
        add("Delay p95", "ms", r.spark.d, "c1");
        add("Loss after repair", "%", r.spark.l, "c2", 1);
        add("Bitrate", "kbit/s", r.spark.k, "c3");
        add(r.video ? "Frame rate" : "Concealed", r.video ? "fps" : "%", r.spark.q, "c4", r.video ? 10 : 1);
      } else plots.append(h("p", { class: "soft" }, "This page has timelines of the worst streams only; the JSON report has all."));
      inside.replaceChildren(
        h("header", { class: "bar" }, h("div", {}, h("h2", {}, bdi(r.receiver), r.video ? " sees " : " hears ", bdi(r.sender)),
          h("p", { class: "soft" }, bdi(r.track), ", ", bdi(r.codec), ", room ", bdi(r.room))),
          h("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Close")),
        plots, h("dl", { class: "facts card" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
      dialog.showModal();
      dialog.scrollTop = 0;
    }
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    const number = (name, field, extra) => ({ name, num: true, value: (r) => r.packets === 0 ? null : r[field], cell: (r) => (r.packets === 0 ? "–" : figure(r[field])), ...extra });
    listing(host, {
      rows, first: 50, noun: "streams", empty: "No stream matches.", open, text: (r) => r.text, kinds: [["audio", "Audio"], ["video", "Video"]],
      columns: [
        { name: "Stream", value: (r) => r.receiver + " " + r.sender, cell: (r) => [
          h("button", { class: "name", type: "button" }, bdi(r.receiver), r.video ? " sees " : " hears ", bdi(r.sender)),
          h("span", { class: "sub" }, bdi(r.track), " · ", bdi(r.room), r.wrong > 0 ? " · wrong sender " + r.wrong + "×" : "", r.packets === 0 ? " · nothing came" : "")] },
        { name: "Delay over time", wide: true, cell: (r) => r.spark ? spark(r.spark.d, "Delay p95 in ms,") : "" },
        number("p50 ms", "delay50", { wide: true }),
        number("p95 ms", "delay95"),
        number("Played ms", "played95", { wide: true }),
        number("Loss %", "after", { bad: (r) => r.after >= 1 }),
        number("Concealed or frozen %", "bad", { wide: true, bad: (r) => r.bad >= 2 }),
        number("kbit/s", "kbps", { wide: true }),
        number("fps", "fps", { wide: true, cell: (r) => (r.video && r.packets ? figure(r.fps) : "–"), value: (r) => (r.video ? r.fps : null) }),
        number("Score", "score", { down: false, bad: (r) => r.packets > 0 && r.score < 3.6 }),
      ],
    });
  }

  function callers(host, packed) {
    const longest = Math.max(1, ...packed.rows.map((r) => r.total || 0));
    one("#stepkey")?.append(...packed.steps.map((name, i) => h("span", {}, h("i", { class: "s" + i }), name)));
    for (const r of packed.rows) r.text = [r.name, r.room, r.error, r.signal, r.path, r.kind].join(" ").toLowerCase();
    listing(host, {
      rows: packed.rows, first: 20, noun: "callers", empty: "No caller matches.", text: (r) => r.text,
      columns: [
        { name: "Caller", value: (r) => r.name, cell: (r) => [h("span", { class: "name" }, bdi(r.name)), h("span", { class: "sub" }, bdi(r.room), " · " + r.kind), r.error ? h("div", { class: "no" }, bdi("✗ " + r.error)) : ""] },
        { name: "Setting up", wide: true, cell: (r) => h("div", { class: "steps", role: "img", "aria-label": packed.steps.map((name, i) => (r.steps[i] === null ? "" : name + " " + figure(r.steps[i]) + " ms")).filter(Boolean).join(", ") },
          r.steps.map((v, i) => (v > 0 ? h("i", { class: "s" + i, style: "width:" + ((v / longest) * 100).toFixed(2) + "%", title: packed.steps[i] + " " + figure(v) + " ms" }) : null))) },
        { name: "Total ms", num: true, value: (r) => r.total, cell: (r) => figure(r.total) },
        { name: "Way", cell: (r) => [r.signal, r.path].filter(Boolean).join(", ") || "–" },
        { name: "RTT ms", num: true, wide: true, value: (r) => r.rtt, cell: (r) => figure(r.rtt) },
        { name: "Sent", num: true, wide: true, value: (r) => r.sent, cell: (r) => figure(r.sent) },
        { name: "Received", num: true, wide: true, value: (r) => r.received, cell: (r) => figure(r.received) },
        { name: "kB a minute up", num: true, value: (r) => r.up, cell: (r) => figure(r.up) },
        { name: "down", num: true, value: (r) => r.down, cell: (r) => figure(r.down) },
        { name: "Longest gap ms", num: true, wide: true, value: (r) => r.gap, cell: (r) => figure(r.gap) },
      ],
    });
  }

  function capacity(host, c) {
    const tries = c.tries.slice().sort((a, b) => a.load - b.load);
    const x = tries.map((t) => t.load), held = tries.map((t) => (t.held ? "✓" : "✗"));
    const add = (title, unit, series) => host.append(new Chart(new Group(), { title, unit, x, still: true, xText: (v) => v.toLocaleString("en-US"), fill: -1, series }).node);
    add("CPU by load", "cores; ✓ held, ✗ did not", [{ name: "server", y: tries.map((t) => t.server), colour: "c1", marks: held }, { name: "bench", y: tries.map((t) => t.client), colour: "c2", dash: "dash" }]);
    add("Server CPU a packet", "ns", [{ name: "server", y: tries.map((t) => t.packet), colour: "c3", marks: held }]);
  }

  function comparison(c) {
    const host = one("#overlay"), group = new Group();
    // Both runs on one clock: where they differ shows at the same place of the same axis.
    const at = [...new Set([...c.a.at, ...c.b.at])].sort((p, q) => p - q);
    const on = (side, field) => { const known = new Map(side.at.map((v, i) => [v, side[field][i]])); return at.map((v) => known.get(v) ?? null); };
    for (const [title, unit, field, least] of [["Network delay p95", "ms", "p95", 0], ["Loss after repair", "%", "loss", 1], ["Sound made up", "%", "concealed", 1], ["Frame rate", "pictures/s", "fps", 10], ["Bitrate", "kbit/s", "kbps", 0], ["Picture frozen", "%", "frozen", 1]])
      if (at.length) host.append(new Chart(group, { title, unit, x: at, least, fill: -1, series: [{ name: "A", y: on(c.a, field), colour: "c1" }, { name: "B", y: on(c.b, field), colour: "c2", dash: "dash" }] }).node);
    const bar = one("#zoomed");
    group.changed = (range) => { bar.hidden = !range; if (range) one("output", bar).textContent = clock(range[0]) + " to " + clock(range[1]); };
    one("button", bar).addEventListener("click", () => group.zoom(null));
    all("svg.dots").forEach((svg, n) => {
      const [va, vb] = c.dots[n], both = [...va, ...vb];
      const low = Math.min(...both), span = Math.max(...both) - low || 1;
      const toX = (v) => 8 + ((v - low) / span) * 174;
      svg.append(s("line", { x1: 4, x2: 186, y1: 15, y2: 15 }), ...va.map((v) => s("circle", { cx: toX(v), cy: 10, r: 4 })), ...vb.map((v) => s("rect", { x: toX(v) - 3.5, y: 16.5, width: 7, height: 7 })));
    });
  }

  /** Cases of a study: plots are drawn when a case is opened, for there are hundreds. */
  function study(cases) {
    for (const details of all("[data-study]")) details.addEventListener("toggle", () => {
      const inside = one(".inside", details);
      if (!details.open || one(".plots", inside)) return;
      const group = new Group();
      for (const row of cases[Number(details.dataset.study)].rows) {
        const host = h("div", { class: "plots" });
        inside.append(h("h3", {}, bdi(row.name)), host);
        for (const plot of row.plots) {
          const length = Math.max(1, ...plot.lines.map((line) => line.y.length));
          const x = Array.from({ length }, (_, i) => i * plot.step);
          host.append(new Chart(group, { title: plot.title, unit: plot.unit, x, least: 1, fill: plot.lines.length - 1,
            series: plot.lines.map((line) => ({ ...line, y: x.map((_, i) => line.y[i] ?? null) })) }).node);
        }
      }
    });
    const first = one("[data-study]");
    if (first) first.open = true;
  }

  // What can be clicked everywhere.
  one(".theme").addEventListener("click", () => {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark"
      || (getComputedStyle(document.documentElement).colorScheme === "light dark" && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.dataset.theme = dark ? "light" : "dark";
  });
  for (const button of all("[data-copy]")) button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      // No clipboard for pages of files in some browsers: the text is selected, so that Ctrl-C takes it.
      getSelection().selectAllChildren(source);
      document.execCommand("copy");
    }
    const was = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = was; }, 1500);
  });
  addEventListener("beforeprint", () => all("details").forEach((d) => { d.open = true; }));
  // Only one recording sounds at a time: two at once cannot be told apart.
  document.addEventListener("play", (event) => all("audio, video").forEach((m) => { if (m !== event.target) m.pause(); }), true);

  if (data.timeline || data.usage) timelines(one("#timelines"), data.timeline, data.usage);
  if (data.distributions) distributions(one("#curves"), data.distributions);
  if (data.streams) streams(one("#streamlist"), data.streams);
  if (data.callers) callers(one("#callerlist"), data.callers);
  if (data.capacity) capacity(one("#capacityplot"), data.capacity);
  if (data.comparison) comparison(data.comparison);
  if (data.study) study(data.study);
})();
