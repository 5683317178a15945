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

/** So many are added at once, as Dropzone does, and what calls it may rely on that. */
const AT_ONCE = 50;
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
     * Walks a dropped folder as Dropzone does, and tells what it finds that is no file. It asks for no more files at a
     * time than a folder tells at once: what thousands of answers cost the browser would come in one piece.
     *
     * @param {FileSystemDirectoryEntry} directory
     * @param {string} path
     * @returns {Promise<File[]>}
     */
    async _addFilesFromDirectory(directory, path) {
      /** @type {File[][]} */
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
     * @returns {Promise<File[]>}
     */
    async addEntry(entry, path) {
      if (this.options.ignoreHiddenFiles && entry.name.startsWith(".")) {
        owner.told("hidden_file", path);
        return [];
      }
      try {
        const file = await new Promise((...settle) => entry.file(...settle));
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

/** @param {FileSystemDirectoryEntry} directory */
async function* entriesOf(directory) {
  const reader = directory.createReader();
  // Each call gives some more of them, and in the end none.
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const entries = await new Promise((...settle) => reader.readEntries(...settle));
    if (entries.length === 0) return;
    yield entries;
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
