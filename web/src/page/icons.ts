// Line icons on a 24 × 24 grid, drawn for this page.
const paths = {
  mic: `<rect x="9" y="3" width="6" height="11" rx="3"/><path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3"/>`,
  micOff: `<path d="M9 9.5V6a3 3 0 0 1 6 0v5.5M9 11.5a3 3 0 0 0 4 2.3M5.5 11.5a6.5 6.5 0 0 0 10 5.5M18.5 11.5a6.5 6.5 0 0 1-.7 3M12 18v3M4 4l16 16"/>`,
  camera: `<rect x="3" y="6.5" width="12" height="11" rx="3"/><path d="m15 11 5-3v8l-5-3"/>`,
  cameraOff: `<path d="M7.5 6.5H12a3 3 0 0 1 3 3V14M15 17a3 3 0 0 1-1.5.5H6a3 3 0 0 1-3-3v-5a3 3 0 0 1 2-2.8M15 11l5-3v8l-2.2-1.3M4 4l16 16"/>`,
  screen: `<rect x="3" y="4.5" width="18" height="12" rx="2.5"/><path d="M8.5 20.5h7M12 13.5v-6m-2.5 2.3L12 7.3l2.5 2.5"/>`,
  leave: `<path d="M3.5 14.2c0 1 .7 1.6 1.7 1.4l2.2-.4c.8-.2 1.3-.7 1.3-1.5l.1-1.7a9.5 9.5 0 0 1 6.4 0l.1 1.7c0 .8.5 1.3 1.3 1.5l2.2.4c1 .2 1.7-.4 1.7-1.4 0-3.2-3.8-5.6-8.5-5.6s-8.5 2.4-8.5 5.6Z"/>`,
  settings: `<path d="M4 7.5h8m5 0h3M4 16.5h3m5 0h8"/><circle cx="14.5" cy="7.5" r="2.5"/><circle cx="9.5" cy="16.5" r="2.5"/>`,
  soundOff: `<path d="M4 9.5v5h3.5l4.5 4v-13l-4.5 4H4ZM16 9.8l4.5 4.4M20.5 9.8 16 14.2"/>`,
  auto: `<rect x="3" y="4.5" width="18" height="15" rx="2.5"/><path d="m8.8 15.5 3.2-7.3 3.2 7.3M9.9 13h4.2"/>`,
  grid: `<rect x="3.5" y="4.5" width="7.5" height="6.5" rx="1.8"/><rect x="13" y="4.5" width="7.5" height="6.5" rx="1.8"/><rect x="3.5" y="13" width="7.5" height="6.5" rx="1.8"/><rect x="13" y="13" width="7.5" height="6.5" rx="1.8"/>`,
  stage: `<rect x="3" y="4.5" width="12.5" height="15" rx="2.2"/><rect x="17.5" y="4.5" width="3.5" height="4" rx="1.2"/><rect x="17.5" y="10" width="3.5" height="4" rx="1.2"/><rect x="17.5" y="15.5" width="3.5" height="4" rx="1.2"/>`,
  before: `<path d="m14.5 5.5-6.5 6.5 6.5 6.5"/>`,
  after: `<path d="m9.5 5.5 6.5 6.5-6.5 6.5"/>`,
  link: `<path d="M10 13.5a4 4 0 0 0 6 .4l2.8-2.8a4 4 0 0 0-5.7-5.7l-1.2 1.2M14 10.5a4 4 0 0 0-6-.4l-2.8 2.8a4 4 0 0 0 5.7 5.7l1.2-1.2"/>`,
  people: `<circle cx="9" cy="8" r="3.2"/><path d="M3 19a6 6 0 0 1 12 0M15.5 5.2a3.2 3.2 0 0 1 0 5.6M17.5 14a6 6 0 0 1 3.5 5"/>`,
  close: `<path d="M6 6l12 12M18 6 6 18"/>`,
  sound: `<path d="M4 9.5v5h3.5l4.5 4v-13l-4.5 4H4ZM15.5 9a4.2 4.2 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11"/>`,
  keyboard: `<rect x="2.5" y="6" width="19" height="12" rx="2.5"/><path d="M6.5 10h.01M10.2 10h.01M13.9 10h.01M17.5 10h.01M8 14h8"/>`,
} as const;

export type Icon = keyof typeof paths;

/** An icon as an SVG element, hidden from screen readers: the button around it has the words. */
export function icon(name: Icon): SVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.innerHTML = paths[name];
  return svg;
}

/** The wordmark: two waves and the name. */
export function wordmark(): HTMLElement {
  const mark = document.createElement("span");
  mark.className = "wordmark";
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 32 24");
  svg.setAttribute("aria-hidden", "true");
  svg.innerHTML = `<path d="M2 9c4.7-6.5 9.3-6.5 14 0s9.3 6.5 14 0"/><path class="deep" d="M2 18c4.7-6.5 9.3-6.5 14 0s9.3 6.5 14 0"/>`;
  mark.append(svg, "Tolkyn");
  return mark;
}

/** Bars like a phone's reception: level 0 to 3. */
export function bars(): SVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 18 16");
  svg.setAttribute("class", "bars");
  svg.setAttribute("aria-hidden", "true");
  svg.innerHTML = `<rect x="1" y="10" width="4" height="5" rx="1.5"/><rect x="7" y="6" width="4" height="9" rx="1.5"/><rect x="13" y="2" width="4" height="13" rx="1.5"/>`;
  return svg;
}
