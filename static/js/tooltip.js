let last = 0;

const LEAVE_MS = 120;

/**
 * A tooltip of our own on an element: by hover, by focus and by tap; Escape closes it, and the pointer may
 * move onto it. It stays in the document, so that `aria-describedby` is true also while it is closed.
 *
 * @param {HTMLElement} anchor
 * @param {HTMLElement} parent where the tooltip is put
 * @param {string} text
 * @returns {() => void} takes it away again
 */
export function addTooltip(anchor, parent, text) {
  last += 1;
  const tip = document.createElement("div");
  tip.className = "uploads-tooltip";
  tip.id = `uploads-tooltip-${last}`;
  tip.setAttribute("role", "tooltip");
  tip.textContent = text;
  tip.hidden = true;
  parent.append(tip);
  anchor.setAttribute("aria-describedby", tip.id);

  const gone = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let leaving;
  const show = () => {
    clearTimeout(leaving);
    tip.hidden = false;
    document.addEventListener("keydown", escape, { signal: gone.signal });
  };
  const hide = () => {
    clearTimeout(leaving);
    tip.hidden = true;
    document.removeEventListener("keydown", escape);
  };
  const leave = () => {
    clearTimeout(leaving);
    leaving = setTimeout(() => document.activeElement !== anchor && hide(), LEAVE_MS);
  };
  const escape = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape") hide();
  };

  const on = (
    /** @type {HTMLElement} */ element,
    /** @type {string} */ type,
    /** @type {() => void} */ act,
  ) => element.addEventListener(type, act, { signal: gone.signal });
  // Not on entering: what moves under a pointer that rests would open it, over whatever stands there.
  on(anchor, "pointermove", show);
  on(anchor, "pointerleave", leave);
  on(tip, "pointerenter", show);
  on(tip, "pointerleave", leave);
  on(anchor, "focus", show);
  on(anchor, "blur", hide);
  on(anchor, "click", show);

  return () => {
    hide();
    gone.abort();
    tip.remove();
    anchor.removeAttribute("aria-describedby");
  };
}
