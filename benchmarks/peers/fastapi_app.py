"""FastAPI, as its documentation shows it: what the form has put aside is copied in a thread."""

import os
import shutil

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

app = FastAPI()


def save(f: UploadFile) -> None:
    with open(os.path.join(os.environ["UPLOAD_DIR"], os.path.basename(f.filename or "")), "wb") as out:
        shutil.copyfileobj(f.file, out, 1 << 20)


@app.post("/upload")
async def upload(request: Request) -> Response:
    async with request.form(max_files=1000) as form:
        for f in form.values():
            await run_in_threadpool(save, f)
    return Response(status_code=201)
