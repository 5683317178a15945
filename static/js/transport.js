/**
 * @typedef {import("./types.js").Answer} Answer
 *
 * @typedef {object} Hooks
 * @property {AbortSignal} [signal]
 * @property {(loaded: number, total: number) => void} [progress]
 * @property {() => void} [sent] all bytes have left; the answer has not come
 */

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
    this.url = new URL(url, document.baseURI).href;
    this.token = token;
    this.timeout = timeout;
    this.headers = headers;
  }

  /**
   * Posts once, and once more with a new token where the server found the token wanting.
   *
   * @param {(xhr: XMLHttpRequest) => FormData} build makes the body, when the request is open
   * @param {Hooks} [hooks]
   * @returns {Promise<Answer>}
   */
  async post(build, hooks = {}) {
    const answer = await this.once(build, await this.token.fresh(), hooks);
    if (!answer.code.startsWith("csrf_")) return answer;
    const before = this.token.value;
    await this.token.renew();
    return this.token.value === before ? answer : this.once(build, this.token.value, hooks);
  }

  /**
   * @param {(xhr: XMLHttpRequest) => FormData} build
   * @param {string} token
   * @param {Hooks} hooks
   * @returns {Promise<Answer>}
   */
  once(build, token, hooks) {
    return new Promise((resolve) => {
      const xhr = new XMLHttpRequest();
      const end = (/** @type {Answer["kind"]} */ kind) => resolve(read(xhr, kind, this.url));
      if (hooks.signal?.aborted) return end("aborted");
      hooks.signal?.addEventListener("abort", () => xhr.abort());
      xhr.open("POST", this.url);
      xhr.timeout = this.timeout;
      xhr.setRequestHeader("Accept", "application/json");
      xhr.setRequestHeader("X-Requested-With", "XMLHttpRequest");
      for (const [name, value] of Object.entries(this.headers)) xhr.setRequestHeader(name, value);
      // The token is no other site's business.
      if (token && new URL(this.url).origin === location.origin) xhr.setRequestHeader(this.token.header, token);
      xhr.upload.onprogress = (event) => hooks.progress?.(event.loaded, event.total);
      xhr.upload.onload = () => hooks.sent?.();
      xhr.onload = () => end("answer");
      xhr.onerror = () => end("network");
      xhr.ontimeout = () => end("timeout");
      xhr.onabort = () => end("aborted");
      xhr.send(build(xhr));
    });
  }
}

/**
 * @param {XMLHttpRequest} xhr
 * @param {Answer["kind"]} kind
 * @param {string} url
 * @returns {Answer}
 */
function read(xhr, kind, url) {
  const header = (/** @type {string} */ name) => xhr.getResponseHeader(name) ?? "";
  if (kind !== "answer") {
    return { kind, status: 0, text: "", type: "", code: "", perPart: false, redirected: false };
  }
  return {
    kind,
    status: xhr.status,
    text: xhr.responseText,
    type: header("Content-Type").toLowerCase(),
    code: header("Upload-Error"),
    perPart: header("Upload-Verdicts").trim().toLowerCase() === "per-part",
    redirected: xhr.responseURL !== "" && xhr.responseURL.split("#")[0] !== url.split("#")[0],
  };
}
