/** @typedef {import("./line.js").Reached} Reached */

/** A question as small as this is answered by then, or by nobody. */
const PATIENCE_MS = 10_000;

/** The token that every POST and DELETE carries, renewed by itself while a page stays open. */
export class CsrfToken {
  /**
   * @param {{token: string, url: string, header?: string, lifetime?: number | null}} options
   *   `lifetime` in seconds; without one a token never grows old
   */
  constructor({ token, url, header = "X-CSRFToken", lifetime = null }) {
    this.header = header;
    this.value = token;
    this.url = url;
    this.lifetime = lifetime;
    this.born = Date.now();
    /** @type {Promise<Reached> | null} */
    this.renewing = null;
  }

  /** A token that is young enough to outlive the request it is put on. */
  async fresh() {
    // The clock on the wall, not a timer: a sleeping computer stops timers but not lifetimes.
    const age = (Date.now() - this.born) / 1000;
    if (this.value === "" || (this.lifetime !== null && age > this.lifetime / 2)) await this.renew();
    return this.value;
  }

  /**
   * Fetches a new token, and tells by the way whether the server is there and knows the person. Where it does
   * not give one the old one stays, and its answer to the next request tells the rest.
   */
  renew() {
    this.renewing ??= this.fetch().finally(() => {
      this.renewing = null;
    });
    return this.renewing;
  }

  /** @returns {Promise<Reached>} */
  async fetch() {
    if (!this.url) return "ok";
    try {
      const answer = await fetch(this.url, {
        headers: { Accept: "application/json", "X-Requested-With": "XMLHttpRequest" },
        cache: "no-store",
        credentials: "same-origin",
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      if (answer.status >= 500 || answer.status === 429) return "unreachable";
      if (!answer.ok) return answer.status === 401 || answer.status === 403 ? "signed_out" : "ok";
      const body = await answer.json().catch(() => null);
      // Else it is the page where one signs in.
      if (typeof body?.csrf_token !== "string") return "signed_out";
      this.value = body.csrf_token;
      this.born = Date.now();
      return "ok";
    } catch {
      return "unreachable";
    }
  }
}
