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
    /** @type {Promise<void> | null} */
    this.renewing = null;
  }

  /** A token that is young enough to outlive the request it is put on. */
  async fresh() {
    // The clock on the wall, not a timer: a sleeping computer stops timers but not lifetimes.
    const age = (Date.now() - this.born) / 1000;
    if (this.value === "" || (this.lifetime !== null && age > this.lifetime / 2)) await this.renew();
    return this.value;
  }

  /** Fetches a new token; where that fails the old one stays, and the server's answer tells the rest. */
  renew() {
    this.renewing ??= this.fetch().finally(() => {
      this.renewing = null;
    });
    return this.renewing;
  }

  async fetch() {
    try {
      const answer = await fetch(this.url, {
        headers: { Accept: "application/json", "X-Requested-With": "XMLHttpRequest" },
        cache: "no-store",
        credentials: "same-origin",
      });
      const body = answer.ok ? await answer.json() : null;
      if (typeof body?.csrf_token !== "string") return;
      this.value = body.csrf_token;
      this.born = Date.now();
    } catch {
      return;
    }
  }
}
