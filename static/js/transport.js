/**
 * @typedef {import("./types.js").Answer} Answer
 *
 * @typedef {object} Hooks
 * @property {AbortSignal} [signal]
 * @property {(loaded: number, total: number) => void} [progress]
 * @property {() => void} [sent] all bytes have left; the answer has not come
 *
 * @typedef {object} Question
 * @property {string} method
 * @property {string} url
 * @property {string} [type] of the body; a form says its own
 * @property {(xhr: XMLHttpRequest) => FormData | Blob | string | null} [build] makes the body, when the request is open
 * @property {number} [timeout] milliseconds; 0 waits as long as bytes move
 * @property {Record<string, string>} [foreign] the headers of a request to somebody else, who gets no other one
 */

/** A connection over which nothing has moved for so long is dead, whatever the system says. */
const STALLED_MS = 60_000;
/** What the server may take to check, to store and to answer, once it has all bytes. */
const UNANSWERED_MS = 300_000;

/** Sends requests and tells what came back. It resolves always: a broken connection is an answer too. */
export class Transport {
  /**
   * @param {object} options
   * @param {string} options.url
   * @param {import("./csrf.js").CsrfToken} options.token
   * @param {number} [options.timeout] milliseconds; 0 waits as long as the connection lives
   * @param {Record<string, string>} [options.headers]
   */
  constructor({ url, token, timeout = 0, headers = {} }) {
    this.url = url;
    this.token = token;
    this.timeout = timeout;
    this.headers = headers;
  }

  /**
   * Posts a form of files.
   *
   * @param {(xhr: XMLHttpRequest) => FormData} build
   * @param {Hooks} [hooks]
   */
  post(build, hooks) {
    return this.request({ method: "POST", url: this.url, build, timeout: this.timeout }, hooks);
  }

  /**
   * Puts bytes at an address of somebody else's.
   *
   * @param {string} url
   * @param {Record<string, string>} headers
   * @param {Blob} content
   * @param {Hooks} [hooks]
   */
  put(url, headers, content, hooks = {}) {
    return this.once({ method: "PUT", url, build: () => content, foreign: headers }, "", hooks);
  }

  /**
   * Asks once, and once more with a new token where the server found the token wanting.
   *
   * @param {Question} question
   * @param {Hooks} [hooks]
   * @returns {Promise<Answer>}
   */
  async request(question, hooks = {}) {
    const answer = await this.once(question, await this.token.fresh(), hooks);
    if (!answer.code.startsWith("csrf_")) return answer;
    const before = this.token.value;
    await this.token.renew();
    return this.token.value === before ? answer : this.once(question, this.token.value, hooks);
  }

  /**
   * @param {Question} question
   * @param {string} token
   * @param {Hooks} hooks
   * @returns {Promise<Answer>}
   */
  once({ method, url, type, build, timeout = 0, foreign }, token, hooks) {
    return new Promise((resolve) => {
      const address = new URL(url, document.baseURI);
      const xhr = new XMLHttpRequest();
      /** @type {ReturnType<typeof setTimeout> | undefined} */
      let watch;
      const end = (/** @type {Answer["kind"]} */ kind) => {
        clearTimeout(watch);
        resolve(read(xhr, kind, address.href, Boolean(foreign)));
      };
      const within = (/** @type {number} */ wait) => {
        clearTimeout(watch);
        watch = setTimeout(() => {
          end("timeout");
          xhr.abort();
        }, wait);
      };
      if (hooks.signal?.aborted) return end("aborted");
      hooks.signal?.addEventListener("abort", () => xhr.abort());
      xhr.open(method, address);
      xhr.timeout = timeout;
      const ours = { Accept: "application/json", "X-Requested-With": "XMLHttpRequest", ...this.headers };
      if (type) xhr.setRequestHeader("Content-Type", type);
      for (const [name, value] of Object.entries(foreign ?? ours)) xhr.setRequestHeader(name, value);
      // The token is no other site's business.
      if (token && address.origin === location.origin) xhr.setRequestHeader(this.token.header, token);
      xhr.upload.onprogress = (event) => {
        within(STALLED_MS);
        hooks.progress?.(event.loaded, event.total);
      };
      xhr.upload.onload = () => {
        within(UNANSWERED_MS);
        hooks.sent?.();
      };
      xhr.onload = () => end("answer");
      xhr.onerror = () => end("network");
      xhr.ontimeout = () => end("timeout");
      xhr.onabort = () => end("aborted");
      within(STALLED_MS);
      xhr.send(build?.(xhr) ?? null);
    });
  }
}

/**
 * @param {XMLHttpRequest} xhr
 * @param {Answer["kind"]} kind
 * @param {string} url
 * @param {boolean} foreign whether the headers are none of ours to read
 * @returns {Answer}
 */
function read(xhr, kind, url, foreign) {
  const header = (/** @type {string} */ name) => (foreign ? "" : (xhr.getResponseHeader(name) ?? ""));
  if (kind !== "answer") {
    return { kind, status: 0, text: "", type: "", code: "", codes: "", retryAfter: "", perPart: false, redirected: false };
  }
  return {
    kind,
    status: xhr.status,
    text: xhr.responseText,
    type: header("Content-Type").toLowerCase(),
    code: header("Upload-Error"),
    codes: header("Upload-Codes"),
    retryAfter: header("Retry-After"),
    perPart: header("Upload-Verdicts").trim().toLowerCase() === "per-part",
    redirected: xhr.responseURL !== "" && xhr.responseURL.split("#")[0] !== url.split("#")[0],
  };
}
