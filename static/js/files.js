import { CsrfToken } from "./csrf.js";
import { humanSize, relativeTime, splitName } from "./format.js";
import { icon, iconFor, learnIcons } from "./icons.js";
import { sentence, word } from "./messages.js";
import { listFiles } from "./receipts.js";

/** @typedef {import("./types.js").StoredFile} StoredFile */

const PICTURE = /^image\/(jpeg|png|gif|webp|avif|bmp)$/;
const SMALL_PICTURE = 2_000_000;
const CLOCK_MS = 30_000;
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
    /** @type {Map<string, HTMLElement>} */
    this.items = new Map();
    /** @type {StoredFile[]} */
    this.arrived = [];

    for (const item of this.list.children) this.adopt(/** @type {HTMLElement} */ (item));
    this.more?.addEventListener("click", (event) => {
      event.preventDefault();
      this.showMore();
    });
    document.addEventListener("batchuploader:stored", (event) => {
      this.arrive(/** @type {CustomEvent<{file: StoredFile}>} */ (event).detail.file);
    });
    document.addEventListener("batchuploader:deleted", (event) => {
      const { id } = /** @type {CustomEvent<{file: StoredFile | null}>} */ (event).detail.file ?? {};
      this.items.get(id ?? "")?.remove();
      this.items.delete(id ?? "");
      this.drawEmpty();
    });
    setInterval(() => this.drawTimes(this.list), CLOCK_MS);
  }

  /** @param {HTMLElement} item */
  adopt(item) {
    this.items.set(item.dataset.fileId ?? "", item);
    this.drawTimes(item);
    const image = item.querySelector("img");
    if (image) watch(image);
    const remove = item.querySelector("[data-uploads-delete]");
    if (remove instanceof HTMLButtonElement) {
      remove.hidden = false;
      remove.addEventListener("click", () => this.ask(item, remove));
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

  /** Gathers what arrives within a frame, so that a batch costs one layout. @param {StoredFile} file */
  arrive(file) {
    if (this.items.has(file.id)) return;
    if (this.arrived.push(file) > 1) return;
    requestAnimationFrame(() => {
      const fresh = this.arrived.filter(({ id }) => !this.items.has(id)).reverse();
      this.arrived = [];
      this.list.prepend(...fresh.map((one) => this.build(one)));
      this.drawEmpty();
    });
  }

  /** @param {StoredFile} file */
  build(file) {
    const copy = /** @type {DocumentFragment} */ (this.template.content.cloneNode(true));
    const item = /** @type {HTMLElement} */ (copy.firstElementChild);
    item.dataset.fileId = file.id;
    for (const link of item.querySelectorAll("a")) link.href = file.url;
    for (const name of item.querySelectorAll("[data-file-name]")) name.textContent = file.filename;
    const shown = /** @type {HTMLElement} */ (item.querySelector(".uploads-name"));
    shown.title = file.filename;
    splitName(file.filename).forEach((piece, index) => (shown.children[index].textContent = piece));
    const fill = (/** @type {string} */ key, /** @type {string} */ text) => {
      const slot = /** @type {HTMLElement} */ (item.querySelector(`[data-file-${key}]`));
      slot.textContent = text;
      slot.hidden = text === "";
    };
    fill("size", humanSize(file.size));
    fill("path", file.path ?? "");
    const time = /** @type {HTMLTimeElement} */ (item.querySelector("time"));
    time.dateTime = file.created;
    /** @type {HTMLElement} */ (item.querySelector("[data-file-picture]")).replaceChildren(...pictureOf(file));
    this.adopt(item);
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
    const fresh = page.files.filter(({ id }) => !this.items.has(id)).map((file) => this.build(file));
    this.list.append(...fresh);
    fresh[0]?.querySelector("a")?.focus({ preventScroll: true });
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
   * @param {HTMLElement} item
   * @param {HTMLButtonElement} button
   */
  ask(item, button) {
    const name = item.querySelector("[data-file-name]")?.textContent ?? "";
    const question = document.createElement("div");
    question.className = "uploads-question";
    question.setAttribute("role", "group");
    question.setAttribute("aria-label", word("delete_this", { name }));
    const words = document.createElement("span");
    words.textContent = word("delete_question");
    const yes = choice(word("delete"), "uploads-button uploads-danger");
    const no = choice(word("keep"), "uploads-button");
    question.append(words, yes, no);
    item.append(question);
    item.dataset.asking = "";
    yes.focus();
    const close = () => {
      question.remove();
      delete item.dataset.asking;
      button.focus();
    };
    no.addEventListener("click", close);
    question.addEventListener("keydown", (event) => event.key === "Escape" && close());
    yes.addEventListener("click", async () => {
      yes.disabled = no.disabled = true;
      const problem = await this.delete(item.dataset.fileId ?? "");
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
   * @param {HTMLElement} item
   * @param {string} name
   */
  gone(item, name) {
    const next = item.nextElementSibling ?? item.previousElementSibling;
    this.items.delete(item.dataset.fileId ?? "");
    item.remove();
    this.drawEmpty();
    this.say(word("was_deleted", { name }));
    const target = next?.querySelector("a") ?? this.element.querySelector("h2");
    if (target instanceof HTMLElement) target.focus();
  }

  drawEmpty() {
    this.empty.hidden = this.items.size > 0;
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
    if (wait === null) image.remove();
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
