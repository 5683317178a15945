"""tuspy as a script uses it: ENDPOINT FILE STORE COOKIE [checksums]. Goes on with what STORE knows of FILE."""

import sys

from tusclient.client import TusClient
from tusclient.storage.filestorage import FileStorage

endpoint, file, store, cookie, *options = sys.argv[1:]
uploader = TusClient(endpoint, headers={"Cookie": cookie}).uploader(
    file,
    chunk_size=4_000_000,
    metadata={"filename": "big film.bin"},
    retries=10,
    retry_delay=0.2,  # type: ignore[arg-type]  # it sleeps so long
    store_url=True,
    url_storage=FileStorage(store),
    upload_checksum="checksums" in options,
)
uploader.upload()
assert uploader.request
print(uploader.request.response_headers["upload-file"])
