import { CsrfToken } from "./csrf.js";
import { humanSize, relativeTime, splitName } from "./format.js";
import { icon, iconFor, learnIcons } from "./icons.js";
import { sentence, word } from "./messages.js";
import { listFiles } from "./receipts.js";
import { Windowed } from "./windowed.js";

/**
 * @typedef {import("./types.js").StoredFile} StoredFile
 *
 * @typedef {object} Item
 * @property {string} id
 * @property {StoredFile | null} file null where the server itself has made the row
 * @property {HTMLElement | null} row kept while it is out of sight: the server's, and one that asks a question
 */

const PICTURE = /^image\/(jpeg|png|gif|webp|avif|bmp)$/;
const SMALL_PICTURE = 2_000_000;
const CLOCK_MS = 30_000;
/** What is stored comes to the list together, */
const GATHER_MS = 400;
/** and so often at most: each time costs a window full of rows, and their thumbnails, which the server makes beside uploads. */
const EVERY_MS = 1500;
const TRIES = 8;

/** "Your files": what the server listed, brought to life, and what was stored since, put on top. */
export class Files {
  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
    const find = (/** @type {string} */ name) =>
      /** @type {HTMLElement} */ (element.querySelector(`[data-uploads-${name}]`));
    this.list = find("files-list");
    this.empty = find("files-empty");
    this.more = /** @type {HTMLAnchorElement | null} */ (find("more"));
    this.live = find("files-live");
    this.template = /** @type {HTMLTemplateElement} */ (element.querySelector("template"));
    this.url = element.dataset.filesUrl ?? "";
    learnIcons(JSON.parse(element.dataset.icons ?? "{}"));
    const meta = document.querySelector("meta[name=csrf-token]");
    this.token = new CsrfToken({
      token: meta?.getAttribute("content") ?? "",
      url: element.dataset.csrfUrl ?? "",
      header: element.dataset.csrfHeader,
    });
    /** @type {Map<string, Item>} */
    this.known = new Map();
    /** Newest first. @type {Item[]} */
    this.items = [];
    /** @type {StoredFile[]} */
    this.arrived = [];
    this.gathered = -Infinity;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.drawing = undefined;
    this.windowed = new Windowed(this.list, (/** @type {Item} */ item) => this.rowOf(item));

    for (const row of /** @type {HTMLElement[]} */ ([...this.list.children])) {
      const item = { id: row.dataset.fileId ?? "", file: null, row };
      this.known.set(item.id, item);
      this.items.push(item);
      this.windowed.adopt(item, row);
      this.wake(item, row);
    }
    this.windowed.show(this.items);
    this.more?.addEventListener("click", (event) => {
      event.preventDefault();
      this.showMore();
    });
    document.addEventListener("batchuploader:stored", (event) => {
      this.arrive(/** @type {CustomEvent<{file: StoredFile}>} */ (event).detail.file);
    });
    document.addEventListener("batchuploader:deleted", (event) => {
      const { file } = /** @type {CustomEvent<{file: StoredFile | null}>} */ (event).detail;
      if (file) this.leave(file);
    });
    setInterval(() => this.drawTimes(this.list), CLOCK_MS);
  }

  /** @param {Item} item */
  rowOf(item) {
    if (item.row) {
      this.drawTimes(item.row);
      return item.row;
    }
    const row = this.build(/** @type {StoredFile} */ (item.file));
    this.wake(item, row);
    return row;
  }

  /**
   * @param {Item} item
   * @param {HTMLElement} row
   */
  wake(item, row) {
    this.drawTimes(row);
    const image = row.querySelector("img");
    if (image) watch(image);
    const remove = row.querySelector("[data-uploads-delete]");
    if (remove instanceof HTMLButtonElement) {
      remove.hidden = false;
      remove.addEventListener("click", () => this.ask(item, row, remove));
    }
  }

  /** @param {ParentNode} root */
  drawTimes(root) {
    const now = new Date();
    for (const time of root.querySelectorAll("time")) {
      const then = new Date(time.dateTime);
      time.title = then.toLocaleString();
      time.textContent = relativeTime(then, now);
    }
  }

  /** @param {StoredFile} file */
  arrive(file) {
    this.arrived.push(file);
    this.drawSoon();
  }

  /** @param {StoredFile} file which may have arrived a moment ago, and not stand in the list yet */
  leave({ id }) {
    this.arrived = this.arrived.filter((file) => file.id !== id);
    if (this.known.delete(id)) this.drawSoon();
  }

  drawSoon() {
    const wait = Math.max(GATHER_MS, this.gathered + EVERY_MS - performance.now());
    this.drawing ??= setTimeout(() => this.gather(), wait);
  }

  gather() {
    this.drawing = undefined;
    this.gathered = performance.now();
    const fresh = this.arrived.filter(({ id }) => !this.known.has(id)).reverse();
    this.arrived = [];
    this.show([...this.take(fresh), ...this.items.filter(({ id }) => this.known.has(id))]);
  }

  /**
   * @param {StoredFile[]} files
   * @returns {Item[]}
   */
  take(files) {
    const items = files.map((file) => ({ id: file.id, file, row: null }));
    for (const item of items) this.known.set(item.id, item);
    return items;
  }

  /** @param {Item[]} items */
  show(items) {
    this.items = items;
    this.windowed.show(items);
    this.empty.hidden = items.length > 0;
  }

  /** @param {StoredFile} file */
  build(file) {
    const copy = /** @type {DocumentFragment} */ (this.template.content.cloneNode(true));
    const item = /** @type {HTMLElement} */ (copy.firstElementChild);
    item.dataset.fileId = file.id;
    for (const link of item.querySelectorAll("a")) link.href = file.url;
    for (const control of item.querySelectorAll("[aria-label]")) {
      control.setAttribute("aria-label", `${control.getAttribute("title")} ${file.filename}`);
    }
    const shown = /** @type {HTMLElement} */ (item.querySelector(".uploads-name"));
    shown.title = file.filename;
    const [head, tail] = splitName(file.filename);
    shown.children[0].textContent = head;
    shown.append(tail);
    const fill = (/** @type {string} */ key, /** @type {string} */ text) => {
      const slot = /** @type {HTMLElement} */ (item.querySelector(`[data-file-${key}]`));
      if (text === "") slot.remove();
      slot.textContent = text;
    };
    fill("size", humanSize(file.size));
    fill("path", file.path ?? "");
    const time = /** @type {HTMLTimeElement} */ (item.querySelector("time"));
    time.dateTime = file.created;
    /** @type {HTMLElement} */ (item.querySelector("[data-file-picture]")).replaceChildren(...pictureOf(file));
    return item;
  }

  async showMore() {
    const { more } = this;
    if (!more || more.getAttribute("aria-busy") === "true") return;
    more.setAttribute("aria-busy", "true");
    const cursor = new URL(more.href).searchParams.get("cursor") ?? "";
    const page = await listFiles(this.url, cursor);
    more.removeAttribute("aria-busy");
    if (!page.ok) {
      this.say(word("list_failed"));
      return;
    }
    const first = this.items.length;
    this.show([...this.items, ...this.take(page.files.filter(({ id }) => !this.known.has(id)))]);
    if (this.items.length > first) this.windowed.focus(first);
    if (page.next === null) {
      more.remove();
      this.more = null;
    } else {
      const next = new URL(more.href);
      next.searchParams.set("cursor", page.next);
      more.href = next.href;
    }
  }

  /**
   * Deleting cannot be undone, so it asks first, in the place where the question arose.
   *
   * @param {Item} item
   * @param {HTMLElement} row
   * @param {HTMLButtonElement} button
   */
  ask(item, row, button) {
    const name = row.querySelector(".uploads-file-name")?.textContent ?? "";
    item.row = row;
    const question = document.createElement("div");
    question.className = "uploads-question";
    question.setAttribute("role", "group");
    question.setAttribute("aria-label", word("delete_this", { name }));
    const words = document.createElement("span");
    words.textContent = word("delete_question");
    const yes = choice(word("delete"), "uploads-button uploads-danger");
    const no = choice(word("keep"), "uploads-button");
    question.append(words, yes, no);
    row.append(question);
    row.dataset.asking = "";
    yes.focus();
    const close = () => {
      question.remove();
      delete row.dataset.asking;
      if (item.file) item.row = null;
      button.focus();
    };
    no.addEventListener("click", close);
    question.addEventListener("keydown", (event) => event.key === "Escape" && close());
    yes.addEventListener("click", async () => {
      yes.disabled = no.disabled = true;
      const problem = await this.delete(item.id);
      if (problem === "") {
        this.gone(item, name);
        return;
      }
      yes.disabled = no.disabled = false;
      words.textContent = problem;
      this.say(problem);
    });
  }

  /**
   * @param {string} id
   * @returns {Promise<string>} what went wrong, or ""
   */
  async delete(id) {
    const send = async () =>
      fetch(`${this.url.replace(/\/$/, "")}/${encodeURIComponent(id)}`, {
        method: "DELETE",
        headers: { [this.token.header]: await this.token.fresh(), "X-Requested-With": "XMLHttpRequest" },
        credentials: "same-origin",
      });
    try {
      let answer = await send();
      if ((answer.headers.get("Upload-Error") ?? "").startsWith("csrf_")) {
        await this.token.renew();
        answer = await send();
      }
      // Gone already is what was wanted.
      if (answer.status === 204 || answer.status === 404) return "";
      const plain = (answer.headers.get("Content-Type") ?? "").startsWith("text/plain");
      return (plain && (await answer.text()).trim()) || sentence({}, "not_deleted", { status: answer.status });
    } catch {
      return sentence({}, "not_reached");
    }
  }

  /**
   * @param {Item} item
   * @param {string} name
   */
  gone(item, name) {
    const place = this.items.indexOf(item);
    this.known.delete(item.id);
    this.show(this.items.filter((one) => one !== item));
    this.say(word("was_deleted", { name }));
    document.dispatchEvent(new CustomEvent("uploads:deleted", { detail: { id: item.id } }));
    if (this.items.length > 0) this.windowed.focus(Math.min(place, this.items.length - 1));
    else /** @type {HTMLElement} */ (this.element.querySelector("h2")).focus();
  }

  /** @param {string} words */
  say(words) {
    this.live.textContent = words;
  }
}

/**
 * @param {string} word
 * @param {string} className
 */
function choice(word, className) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = className;
  button.textContent = word;
  return button;
}

/**
 * The icon and, on top of it, the picture; as the server's pages have them.
 *
 * @param {StoredFile} file
 */
function pictureOf(file) {
  const below = icon(iconFor(file.filename, file.type));
  const small = PICTURE.test(file.type ?? "") && file.size <= SMALL_PICTURE;
  const source = file.thumbnail ?? (small ? file.url : null);
  if (source === null) return [below];
  const image = document.createElement("img");
  image.alt = "";
  image.width = image.height = 48;
  image.loading = "lazy";
  if (file.thumbnail) image.dataset.thumbnail = "";
  image.src = source;
  return [below, image];
}

/**
 * Takes the icon away once its picture is there, and the picture where that never comes. A thumbnail that the server
 * has no time for yet is asked for again.
 *
 * @param {HTMLImageElement} image
 */
function watch(image) {
  let tries = 0;
  const shown = () => image.previousElementSibling?.remove();
  const failed = async () => {
    tries += 1;
    const wait = "thumbnail" in image.dataset && tries <= TRIES ? await secondsToWait(image.src) : null;
    // Out of sight it is of no use; coming back, its row is made anew.
    if (wait === null || !image.isConnected) image.remove();
    else setTimeout(() => (image.src = image.src), wait * tries * (1 + Math.random()) * 1000);
  };
  image.addEventListener("load", shown, { once: true });
  image.addEventListener("error", failed);
  // It may have come, or not, before this script did.
  if (image.complete && image.naturalWidth > 0) shown();
  else if (image.complete) failed();
}

/**
 * An image does not tell why it is not there; this asks.
 *
 * @param {string} url
 * @returns {Promise<number | null>} null where there is no use in waiting
 */
async function secondsToWait(url) {
  try {
    const answer = await fetch(url, { credentials: "same-origin" });
    if (answer.ok) return 0;
    return answer.status === 503 ? Number(answer.headers.get("Retry-After")) || 1 : null;
  } catch {
    return null;
  }
}
