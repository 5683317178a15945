"""Django: files go to temporary ones on the same disk, and are renamed into place."""

import os

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse

settings.configure(
    SECRET_KEY="benchmark",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[],
    MEDIA_ROOT=os.environ["UPLOAD_DIR"],
    FILE_UPLOAD_HANDLERS=["django.core.files.uploadhandler.TemporaryFileUploadHandler"],
    FILE_UPLOAD_TEMP_DIR=os.environ["TMPDIR"],
)
django.setup()

from django.core.files.storage import FileSystemStorage  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import path  # noqa: E402

files = FileSystemStorage()


def upload(request: HttpRequest) -> HttpResponse:
    for f in request.FILES.values():
        files.save(f.name, f)
    return HttpResponse(status=201, headers={"Content-Length": "0"})


urlpatterns = [path("upload", upload)]
app = get_wsgi_application()
