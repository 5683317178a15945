/**
 * @typedef {import("./types.js").DropzoneFile} DropzoneFile
 *
 * @typedef {object} Owner what Dropzone hands over to us
 * @property {(file: DropzoneFile) => void} listed it will be added when its turn has come
 * @property {(file: DropzoneFile) => boolean} awaited whether one that was listed is still wanted
 * @property {(file: DropzoneFile) => void} added
 * @property {(file: DropzoneFile) => string | null} check the sentence of a refusal, or null
 * @property {(file: DropzoneFile, refusal: string | null) => void} decided
 * @property {(file: DropzoneFile) => void} cancel
 * @property {(file: DropzoneFile) => void} removed
 * @property {() => void} sendAll sends what waits
 * @property {(fact: string, path: string) => void} told what in a drop became no file
 */

/** So many are added at once, as Dropzone does, for scripts that rely on it. */
const AT_ONCE = 25;
/** What the answers for files of a folder cost the browser comes in one piece, and then again what follows from them. */
const ASKED_AT_ONCE = 25;
/** Of so many things that are dropped the browser is asked what they are; each time it asks another process and waits. */
const LOOKED_AT = 400;
/** The first look at a file's size asks another process and waits: for thousands at once the page would stand still. */
const SLICE_MS = 12;

/**
 * A Dropzone that keeps what it is good at (drop, click, folders, events) and leaves the sending to `owner`:
 * its own queue paints a whole batch red for one bad part, believes a login page, and scans the list of all
 * files on every event.
 *
 * @param {new (...given: any[]) => any} Dropzone the constructor the page has loaded
 * @param {HTMLElement} element
 * @param {Record<string, any>} options
 * @param {Owner} owner
 * @returns {any} an instance of Dropzone
 */
export function createWidget(Dropzone, element, options, owner) {
  /** What is listed and not added yet. @type {Set<DropzoneFile>} */
  const unread = new Set();
  /** @type {(() => void)[]} */
  const afterwards = [];
  let inTask = 0;

  class Widget extends Dropzone {
    init() {
      const init = this.options.init;
      this.options.init = () => {};
      super.init();
      this.options.init = init;
      // Dropzone's own listeners of these three count the whole list for every file.
      for (const event of ["complete", "uploadprogress", "removedfile"]) this.off(event);
      // Before the default, which takes the row out of the page: whoever moves the focus needs it there.
      this.on("removedfile", owner.removed);
      for (const event of ["complete", "uploadprogress", "removedfile"]) this.on(event, this.options[event]);
      this.on("canceled", (/** @type {DropzoneFile} */ file) => this.emit("complete", file));
      this.on("addedfile", owner.added);
      return init.call(this);
    }

    /**
     * Adds the first of many at once; the others are listed, and added a slice at a time.
     *
     * @param {DropzoneFile} file
     */
    addFile(file) {
      if (inTask === 0) turn().then(() => (inTask = 0));
      inTask += 1;
      if (unread.size === 0 && inTask <= AT_ONCE) {
        super.addFile(file);
        return;
      }
      owner.listed(file);
      if (unread.add(file).size === 1) this.read();
    }

    async read() {
      await turn();
      let begun = performance.now();
      for (const file of unread) {
        if (owner.awaited(file)) super.addFile(file);
        unread.delete(file);
        if (performance.now() - begun < SLICE_MS) continue;
        await turn();
        begun = performance.now();
      }
      for (const tell of afterwards.splice(0)) tell();
    }

    /**
     * @param {string} event
     * @param {...any} given
     */
    emit(event, ...given) {
      // Those that it tells of come first.
      if (event === "addedfiles" && unread.size > 0) {
        afterwards.push(() => super.emit(event, ...given));
        return this;
      }
      return super.emit(event, ...given);
    }

    /**
     * @param {DropzoneFile} file
     * @param {(error?: string) => void} done
     */
    accept(file, done) {
      const decide = (/** @type {string | undefined} */ error) => {
        done(error);
        owner.decided(file, error ?? null);
      };
      const refusal = owner.check(file);
      if (refusal !== null) decide(refusal);
      else this.options.accept.call(this, file, decide);
    }

    /** @param {DropzoneFile} file */
    cancelUpload(file) {
      owner.cancel(file);
    }

    /**
     * Takes many out. Dropzone's own way walks the whole list for each of them.
     *
     * @param {DropzoneFile[]} files none of them under way
     */
    removeFiles(files) {
      const gone = new Set(files);
      this.files = this.files.filter((/** @type {DropzoneFile} */ file) => !gone.has(file));
      for (const file of files) this.emit("removedfile", file);
      if (this.files.length === 0) this.emit("reset");
    }

    /**
     * Tells folders from files, which can only be done while the event of the drop lasts. Beyond the first of many,
     * what has the type of a file is taken for one.
     *
     * @param {Iterable<DataTransferItem>} items
     * @returns {Promise<DropzoneFile[]>}
     */
    async _addFilesFromItems(items) {
      const files = [];
      const folders = [];
      let looked = 0;
      for (const item of items) {
        const file = /** @type {DropzoneFile | null} */ (item.getAsFile());
        const doubtful = !file?.type || (looked += 1) <= LOOKED_AT;
        const entry = doubtful ? item.webkitGetAsEntry?.() : null;
        if (entry && isDirectory(entry)) folders.push(this._addFilesFromDirectory(entry, entry.name));
        else if (file) {
          this.addFile(file);
          files.push(file);
        }
      }
      return files.concat(...(await Promise.all(folders)));
    }

    /**
     * Walks a dropped folder as Dropzone does, a few entries at a time, and tells what it finds that is no file.
     *
     * @param {FileSystemDirectoryEntry} directory
     * @param {string} path
     * @returns {Promise<DropzoneFile[]>}
     */
    async _addFilesFromDirectory(directory, path) {
      /** @type {DropzoneFile[][]} */
      const found = [];
      let empty = true;
      try {
        for await (const entries of entriesOf(directory)) {
          empty = false;
          const files = entries.filter((entry) => !isDirectory(entry));
          const added = files.map((entry) => this.addEntry(/** @type {FileSystemFileEntry} */ (entry), `${path}/${entry.name}`));
          found.push(...(await Promise.all(added)));
          for (const folder of entries.filter(isDirectory)) {
            found.push(await this._addFilesFromDirectory(folder, `${path}/${folder.name}`));
          }
        }
        if (empty) {
          owner.told("empty_folder", path);
          this.emit("emptyfolder", path);
        }
      } catch {
        owner.told("unreadable_folder", path);
      }
      return found.flat();
    }

    /**
     * @param {FileSystemFileEntry} entry
     * @param {string} path
     * @returns {Promise<DropzoneFile[]>}
     */
    async addEntry(entry, path) {
      if (this.options.ignoreHiddenFiles && entry.name.startsWith(".")) {
        owner.told("hidden_file", path);
        return [];
      }
      try {
        /** @type {DropzoneFile} */
        const file = await new Promise((give, fail) => entry.file((found) => give(/** @type {any} */ (found)), fail));
        file.fullPath = path;
        this.addFile(file);
        return [file];
      } catch {
        owner.told("unreadable_entry", path);
        return [];
      }
    }

    processQueue() {
      owner.sendAll();
    }

    updateTotalUploadProgress() {}

    _updateMaxFilesReachedClass() {}
  }

  return new Widget(element, {
    ...options,
    autoQueue: false,
    autoProcessQueue: false,
    uploadMultiple: false,
    chunking: false,
    createImageThumbnails: false,
    disablePreviews: true,
  });
}

/**
 * What is in a folder, a few at a time, each time in a task of its own.
 *
 * @param {FileSystemDirectoryEntry} directory
 */
async function* entriesOf(directory) {
  const reader = directory.createReader();
  // Each call gives some more of them, it may be all, and in the end none.
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const entries = await new Promise((...settle) => reader.readEntries(...settle));
    if (entries.length === 0) return;
    for (let at = 0; at < entries.length; at += ASKED_AT_ONCE) {
      yield entries.slice(at, at + ASKED_AT_ONCE);
      await turn();
    }
  }
}

/**
 * @param {FileSystemEntry} entry
 * @returns {entry is FileSystemDirectoryEntry}
 */
function isDirectory(entry) {
  return entry.isDirectory;
}

/** Resolves in a task of its own, after what a person did meanwhile; a timer would be held back when it is set often. */
function turn() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = resolve;
    port2.postMessage(null);
  });
}
