/**
 * @typedef {import("./types.js").DropzoneFile} DropzoneFile
 *
 * @typedef {object} Owner what Dropzone hands over to us
 * @property {(file: DropzoneFile) => void} added
 * @property {(file: DropzoneFile) => string | null} check the sentence of a refusal, or null
 * @property {(file: DropzoneFile, refusal: string | null) => void} decided
 * @property {(file: DropzoneFile) => void} cancel
 * @property {(file: DropzoneFile) => void} removed
 * @property {() => void} sendAll sends what waits
 * @property {(fact: string, path: string) => void} told what in a drop became no file
 */

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
     * Walks a dropped folder as Dropzone does, and tells what it finds that is no file.
     *
     * @param {FileSystemDirectoryEntry} directory
     * @param {string} path
     * @returns {Promise<File[]>}
     */
    async _addFilesFromDirectory(directory, path) {
      /** @type {Promise<File[]>[]} */
      const found = [];
      let empty = true;
      try {
        for await (const entry of entriesOf(directory)) {
          empty = false;
          const below = `${path}/${entry.name}`;
          if (isDirectory(entry)) found.push(this._addFilesFromDirectory(entry, below));
          else found.push(this.addEntry(/** @type {FileSystemFileEntry} */ (entry), below));
        }
        if (empty) {
          owner.told("empty_folder", path);
          this.emit("emptyfolder", path);
        }
      } catch {
        owner.told("unreadable_folder", path);
      }
      return (await Promise.all(found)).flat();
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
    yield* entries;
  }
}

/**
 * @param {FileSystemEntry} entry
 * @returns {entry is FileSystemDirectoryEntry}
 */
function isDirectory(entry) {
  return entry.isDirectory;
}
