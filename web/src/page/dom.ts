type Attributes = Record<string, string | number | boolean | undefined | ((e: never) => void)>;

/** Makes an element: h("button", {class: "big", onclick: f}, "Text"). Text is never read as HTML. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string | undefined)[]
): HTMLElementTagNameMap[K] {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") e.addEventListener(name.slice(2), value as EventListener);
    else set(e, name, value);
  }
  e.append(...children.filter((c) => c !== undefined));
  return e;
}

/** Sets or takes away an attribute; touches the document only when something changes. */
export function set(e: Element, name: string, value: string | number | boolean | undefined): void {
  if (value === undefined || value === false) e.removeAttribute(name);
  else if (e.getAttribute(name) !== (value === true ? "" : String(value))) {
    e.setAttribute(name, value === true ? "" : String(value));
  }
}

/** Sets an element's text; touches the document only when it changes. */
export function text(e: Element, value: string): void {
  if (e.textContent !== value) e.textContent = value;
}
