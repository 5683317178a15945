/**
 * @typedef {import("./types.js").Entry} Entry
 * @typedef {import("./types.js").Upload} Upload
 */

/** What the server has begun to receive of this person, as it said when it was asked last. */
export class Begun {
  /**
   * @param {Pick<import("./types.js").ZoneOptions, "uploadsUrl" | "chunkSize" | "set">} options
   * @param {Pick<import("./transport.js").Transport, "request">} transport
   */
  constructor({ uploadsUrl, chunkSize, set }, transport) {
    this.url = chunkSize ? uploadsUrl : undefined;
    this.set = set;
    this.transport = transport;
    /** Newest first. @type {Upload[]} */
    this.uploads = [];
    /** What a person has said a file to be. @type {WeakMap<File, Upload>} */
    this.meant = new WeakMap();
  }

  /** Asks anew; where there is no answer, what was known stays. */
  async ask() {
    const { uploads } = await this.get("");
    if (!uploads) return;
    this.uploads = Object.entries(/** @type {Record<string, Upload>} */ (uploads))
      .map(([uuid, state]) => ({ ...state, uuid }))
      .filter(({ filename, set }) => filename !== undefined && (this.set === undefined || set === this.set))
      .sort((one, other) => (one.created < other.created ? 1 : -1));
  }

  /**
   * What the server has under a uuid; undefined where it does not tell.
   *
   * @param {string} uuid
   * @returns {Promise<import("./precheck.js").State | undefined>}
   */
  async stateOf(uuid) {
    const found = await this.get(`/${encodeURIComponent(uuid)}`);
    if (found.status === 404) return { state: "new" };
    return found.state && found;
  }

  /**
   * @param {string} below the list
   * @returns {Promise<any>} its JSON, or its status where there is none
   */
  async get(below) {
    if (!this.url) return {};
    const { status, text } = await this.transport.request({ method: "GET", url: this.url + below, timeout: 10_000 });
    try {
      return status === 200 ? JSON.parse(text) : { status };
    } catch {
      return {};
    }
  }

  /**
   * Gives a file that was begun elsewhere, or before it was touched, the uuid it was begun under: the same path, name
   * and size are reason enough to ask its digest.
   *
   * @param {Entry} entry
   */
  adopt(entry) {
    const upload =
      this.meant.get(entry.file) ??
      this.uploads.find(({ uuid }) => uuid === entry.uuid) ??
      this.uploads.find((one) => one.chunk_size > 0 && one.path === entry.path && isSame(entry, one));
    if (!upload || upload.uuid === entry.uuid) return;
    entry.file.upload.uuid = entry.uuid = upload.uuid;
    entry.left = entry.doubted = true;
  }

  /** @param {string} gone its uuid */
  forget(gone) {
    this.uploads = this.uploads.filter(({ uuid }) => uuid !== gone);
  }
}

/**
 * Whether a file can be the one that was begun; its bytes tell when all of them are there.
 *
 * @param {{name: string, size: number}} file
 * @param {Pick<Upload, "filename" | "size">} upload
 */
export function isSame({ name, size }, upload) {
  return size === upload.size && name.normalize() === upload.filename.normalize();
}
