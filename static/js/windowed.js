import { Heights } from "./heights.js";

/** So few stand in the document all of them: the browser's search and people's scripts find them there. */
const WHOLE = 64;
/** Never more than these, however small they are and however high the window. */
const MOST = 100;
/** What is ready above and below what is seen. */
const MARGIN_PX = 400;
const USUAL_PX = 69;

/** What the keys of a list do to the place of the row with the focus. @type {Record<string, (index: number, last: number) => number>} */
const KEYS = {
  ArrowDown: (index) => index + 1,
  ArrowUp: (index) => index - 1,
  PageDown: (index) => index + 10,
  PageUp: (index) => index - 10,
  Home: () => 0,
  End: (_, last) => last,
};

/**
 * A list of which only what is seen stands in the document, and the row with the focus wherever it is: elements,
 * memory and layout do not grow with it. It scrolls with whatever it lies in. Rows may differ in height.
 *
 * @template {object} T
 */
export class Windowed {
  /**
   * @param {HTMLElement} element a list
   * @param {(item: T) => HTMLElement} build makes the row of an item that comes into the window
   * @param {(item: T) => void} [left] the row of this item has been taken out
   */
  constructor(element, build, left = () => {}) {
    this.element = element;
    this.build = build;
    this.left = left;
    /** @type {readonly T[]} */
    this.items = [];
    this.heights = new Heights(USUAL_PX);
    /** @type {WeakMap<T, number>} */
    this.measured = new WeakMap();
    /** What stands in the document. @type {Map<T, {row: HTMLElement, index: number}>} */
    this.shown = new Map();
    /** @type {WeakMap<Element, T>} */
    this.itemOf = new WeakMap();
    /** @type {HTMLElement[]} */
    this.gaps = [];
    this.frame = 0;
    this.width = 0;
    this.gauged = false;
    /** What is usual has changed: all sums are made anew with the next frame. */
    this.outdated = false;
    this.resizes = new ResizeObserver((entries) => this.resized(entries));
    this.resizes.observe(element);
    // What moves the list without scrolling anything is seen by this.
    this.watcher = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.drawSoon());
    const moved = () => this.items.length > WHOLE && this.drawSoon();
    document.addEventListener("scroll", moved, { capture: true, passive: true });
    window.addEventListener("resize", moved, { passive: true });
    // At once: the next press of a key must find the next row.
    element.addEventListener("focusin", () => this.items.length > WHOLE && this.draw());
    element.addEventListener("focusout", moved);
    element.addEventListener("keydown", (event) => this.pressed(event));
  }

  /**
   * Takes a row in; one that stands in the document already may be handed over before its item is shown.
   *
   * @param {T} item
   * @param {HTMLElement} row
   * @param {number} [index]
   */
  adopt(item, row, index = -1) {
    this.shown.set(item, { row, index });
    this.itemOf.set(row, item);
    this.resizes.observe(row);
  }

  /**
   * Shows these, in this order.
   *
   * @param {readonly T[]} items
   */
  show(items) {
    this.items = items;
    this.outdated = false;
    this.heights = new Heights(this.heights.usual);
    for (const place of this.shown.values()) place.index = -1;
    items.forEach((item, index) => {
      this.heights.push(this.measured.get(item));
      const place = this.shown.get(item);
      if (place) place.index = index;
    });
    this.draw();
  }

  /** One more was put at the end of what is shown. */
  grown() {
    this.heights.push();
    // A script that is told of a file looks for its row.
    if (this.items.length <= WHOLE) this.draw();
    else this.drawSoon();
  }

  /**
   * @param {T} item
   * @returns {HTMLElement | undefined} its row, where it is in the window
   */
  rowOf(item) {
    return this.shown.get(item)?.row;
  }

  drawSoon() {
    this.frame ||= requestAnimationFrame(() => (this.outdated ? this.show(this.items) : this.draw()));
  }

  /** @param {number} [beside] the place of a row that is needed, wherever it is */
  draw(beside = this.focused()) {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    const wanted = this.wanted(beside);
    const kept = new Set(wanted.map((index) => this.items[index]));
    for (const [item, { row }] of this.shown) if (!kept.has(item)) this.take(item, row);
    this.place(wanted);
  }

  /** @param {number} beside */
  wanted(beside) {
    const { length } = this.items;
    if (length <= WHOLE) return range(0, length);
    const { top } = this.element.getBoundingClientRect();
    const first = this.heights.at(-top - MARGIN_PX);
    const last = Math.min(this.heights.at(innerHeight - top + MARGIN_PX) + 1, first + MOST);
    if (beside < 0) return range(first, last);
    // The rows beside it too, for the key that leads there.
    const near = range(Math.max(0, beside - 1), Math.min(length, beside + 2));
    return [...new Set([...near, ...range(first, last)])].sort((one, other) => one - other);
  }

  /** The place of the row that has the focus, or -1. */
  focused() {
    const { activeElement } = /** @type {Document | ShadowRoot} */ (this.element.getRootNode());
    return activeElement ? this.placeOf(activeElement) : -1;
  }

  /** @param {Element} element */
  placeOf(element) {
    let row = /** @type {Element | null} */ (element);
    while (row && row.parentElement !== this.element) row = row.parentElement;
    const item = row && this.itemOf.get(row);
    return (item && this.shown.get(item)?.index) ?? -1;
  }

  /**
   * @param {T} item
   * @param {HTMLElement} row
   */
  take(item, row) {
    this.shown.delete(item);
    this.resizes.unobserve(row);
    row.remove();
    this.left(item);
  }

  /**
   * Puts the rows of these places into the document, and gaps where rows are left out. Rows that stay are not moved:
   * that would cost them the focus.
   *
   * @param {number[]} wanted
   */
  place(wanted) {
    const { element, items, heights } = this;
    for (const gap of this.gaps) gap.remove();
    let gaps = 0;
    let next = 0;
    let cursor = element.firstElementChild;
    const skip = (/** @type {number} */ to) => {
      if (to > next) element.insertBefore(this.gap(gaps++, heights.before(to) - heights.before(next)), cursor);
    };
    for (const index of wanted) {
      skip(index);
      next = index + 1;
      const row = this.rowAt(index);
      if (row === cursor) cursor = cursor.nextElementSibling;
      else element.insertBefore(row, cursor);
      mark(row, "aria-posinset", next);
      mark(row, "aria-setsize", items.length);
    }
    skip(items.length);
  }

  /** @param {number} index */
  rowAt(index) {
    const item = this.items[index];
    const known = this.shown.get(item);
    if (known) return known.row;
    const row = this.build(item);
    this.adopt(item, row, index);
    return row;
  }

  /**
   * @param {number} number
   * @param {number} height
   */
  gap(number, height) {
    let gap = this.gaps[number];
    if (!gap) {
      gap = this.gaps[number] = document.createElement("li");
      gap.className = "uploads-gap";
      gap.setAttribute("aria-hidden", "true");
      this.watcher.observe(gap);
    }
    gap.style.height = `${height}px`;
    return gap;
  }

  /** @param {ResizeObserverEntry[]} entries */
  resized(entries) {
    for (const { target, borderBoxSize } of entries) {
      const [{ blockSize: height, inlineSize: width }] = borderBoxSize;
      // It does not stand on the page now, or no more.
      if (height === 0) continue;
      if (target === this.element) this.widened(width);
      else this.measure(target, height);
    }
  }

  /** @param {number} width */
  widened(width) {
    if (this.width !== 0 && width !== this.width) {
      // Sentences break elsewhere now.
      this.measured = new WeakMap();
      for (const [item, { row }] of this.shown) this.measured.set(item, row.offsetHeight);
      const [first] = this.shown.values();
      if (first) this.heights.usual = first.row.offsetHeight;
      this.outdated = true;
      this.drawSoon();
    }
    this.width = width;
  }

  /**
   * @param {Element} row
   * @param {number} height
   */
  measure(row, height) {
    const item = this.itemOf.get(row);
    const place = item && this.shown.get(item);
    if (!place || this.measured.get(item) === height) return;
    this.measured.set(item, height);
    if (!this.gauged) {
      this.gauged = true;
      this.heights.usual = height;
      this.outdated = true;
    }
    if (!this.outdated) this.heights.set(place.index, height);
    if (this.items.length > WHOLE) this.drawSoon();
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    const from = this.focused();
    const { altKey, ctrlKey, metaKey, shiftKey, key, target } = event;
    if (from < 0 || !KEYS[key] || altKey || ctrlKey || metaKey || shiftKey || target instanceof HTMLInputElement) return;
    event.preventDefault();
    const last = this.items.length - 1;
    const to = Math.max(0, Math.min(KEYS[key](from, last), last));
    const controls = focusables(/** @type {HTMLElement} */ (this.rowOf(this.items[from])));
    this.focus(to, controls.indexOf(/** @type {HTMLElement} */ (target)));
  }

  /**
   * Leads to a row: to its control of this number, or the last it has, or to the row itself.
   *
   * @param {number} index
   * @param {number} [control]
   */
  focus(index, control = 0) {
    this.draw(index);
    const row = this.rowOf(this.items[index]);
    if (!row) return;
    const controls = focusables(row);
    const target = controls[Math.min(Math.max(control, 0), controls.length - 1)] ?? row;
    if (target === row) row.tabIndex = -1;
    target.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }
}

/** @param {HTMLElement} row */
function focusables(row) {
  return /** @type {HTMLElement[]} */ ([...row.querySelectorAll("a[href], button, [tabindex]")]).filter(
    (control) => control.tabIndex >= 0 && !control.hidden,
  );
}

/**
 * @param {number} first
 * @param {number} end
 */
function range(first, end) {
  return Array.from({ length: Math.max(0, end - first) }, (_, step) => first + step);
}

/**
 * @param {HTMLElement} row
 * @param {string} name
 * @param {number} value
 */
function mark(row, name, value) {
  if (row.getAttribute(name) !== String(value)) row.setAttribute(name, String(value));
}
