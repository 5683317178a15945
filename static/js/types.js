/**
 * The shapes that pass between the modules. Types only: nothing here runs.
 *
 * @typedef {object} StoredFile what the server tells about a file it keeps
 * @property {string} id
 * @property {string} uuid
 * @property {string} filename
 * @property {string} [path]
 * @property {number} size
 * @property {string} [type]
 * @property {string} created
 * @property {string} url
 * @property {string | null} [thumbnail]
 *
 * @typedef {object} Upload a file of which not all has arrived
 * @property {string} uuid
 * @property {string} filename
 * @property {string} path
 * @property {string} set
 * @property {number} size
 * @property {number} chunk_size
 * @property {[number, number][]} ranges that are there: half-open, in order
 * @property {string} created
 *
 * @typedef {object} ZoneOptions what the server puts into `data-uploads-zone`
 * @property {string} url
 * @property {string} [set] the upload set's name
 * @property {string} [field] the name of the file field; "file"
 * @property {string} [accept]
 * @property {string} [accepted]
 * @property {number | null} [maxFileSize]
 * @property {string[] | null} [extensions]
 * @property {number | null} [maxFiles]
 * @property {number | null} [maxParts]
 * @property {number | null} [maxTotalSize]
 * @property {number | null} [maxContentLength]
 * @property {number | null} [chunkSize] larger files go in chunks of so much; null: not here
 * @property {string | null} [directUrl] where files that go in chunks are signed for, which then go straight to the store
 * @property {boolean} [directDigest] such a file is announced with its SHA-256
 * @property {string} [checkUrl] where a list of files is asked about before they are sent
 * @property {boolean} [ownView] a view of the host's takes the files, and alone knows which of them it refuses
 * @property {string} [uploadsUrl] below it stands what became of each file, by its uuid
 * @property {boolean} [digests] the set tells duplicates by their SHA-256
 * @property {Record<string, string>} [icons] drawing → the extensions that it stands for
 * @property {string} [owner] what tells one person from another in this browser
 * @property {string} [csrfUrl]
 * @property {string} [csrfHeader]
 * @property {string} [csrfToken]
 * @property {number | null} [csrfLifetime]
 * @property {string} [filesUrl]
 * @property {number | null} [partsPerRequest] files of one request, where the host wants it so
 * @property {number} [parallelRequests]
 * @property {boolean} [onClick] files wait for a click on `button`
 * @property {string} [button] the id of an element of the host's page
 * @property {boolean} [inForm] the zone belongs to a form of the host's, which waits for it
 * @property {string | null} [redirect] where to go when something was stored
 * @property {Record<string, string>} [messages]
 * @property {Record<string, any>} [dropzone]
 *
 * @typedef {"waiting" | "paused" | "sending" | "checking" | "stored" | "refused" | "failed" | "cancelled" |
 *   "deleted"} State
 *
 * @typedef {object} Verdict what became of one file
 * @property {"stored" | "refused" | "failed"} state `failed` is not the file's fault: retrying can cure it
 * @property {string} [sentence]
 * @property {StoredFile} [file]
 * @property {boolean} [altered] what arrived was not what was announced
 * @property {boolean} [busy] another request is just storing it: it need not be told anybody yet
 * @property {boolean} [later] the server could not look at it just now, and its sentence says why
 *
 * @typedef {object} Answer what came back for one request
 * @property {"answer" | "network" | "timeout" | "aborted"} kind
 * @property {number} status
 * @property {string} text
 * @property {string} type the Content-Type, in lower case
 * @property {string} code the `Upload-Error` header
 * @property {string} codes the `Upload-Codes` header: why which parts were refused
 * @property {string} retryAfter the `Retry-After` header
 * @property {boolean} perPart the header `Upload-Verdicts: per-part` was there
 * @property {boolean} redirected the answer came from another address than the one asked
 *
 * @typedef {object} Part one file of one request
 * @property {string} key
 * @property {string} uuid
 * @property {string} name
 *
 * @typedef {File & {upload: {uuid: string, filename: string, progress: number, total: number,
 *   bytesSent: number}, status: string, accepted?: boolean, fullPath?: string, xhr?: XMLHttpRequest,
 *   previewElement?: HTMLElement}} DropzoneFile
 *
 * @typedef {object} Entry one file of this drop
 * @property {DropzoneFile} file
 * @property {string} uuid "" until its turn to be added has come; what it weighs is not known before either
 * @property {string} name
 * @property {string} path
 * @property {number} size
 * @property {State} state
 * @property {number} progress 0 to 1, the most that was ever sent of it
 * @property {number} current 0 to 1, of the request it is in now
 * @property {number} lost how many requests with it were lost while the server was there
 * @property {boolean} left whether bytes of it may have left before
 * @property {boolean} sent whether this page has begun to send it under its uuid
 * @property {boolean} doubted whether what is on the server may be of another file: its digest decides
 * @property {boolean} paused whether a person wants this one to wait
 * @property {string} sentence
 * @property {string} code what the sentence is about, where the browser itself said it
 * @property {StoredFile | null} stored
 *
 * @typedef {{files: number, stored: number, refused: number, failed: number, cancelled: number,
 *   deleted: number, open: number}} Counts
 */

export {};
