"""What an `s3://` URL may say, before any store is asked."""

import subprocess
import sys
from pathlib import Path

import pytest
from core import make_app

from dropzone_app import SettingError
from dropzone_app.storage import Storage, open_storage
from dropzone_app.storage.s3 import S3Storage


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


def opened(url: str, tmp_path: Path) -> S3Storage:
    storage = open_storage(url, staging=tmp_path)
    assert isinstance(storage, S3Storage) and isinstance(storage, Storage)
    return storage


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("s3://bucket", "a.txt"),
        ("s3://bucket/", "a.txt"),
        ("s3://bucket/some/prefix/", "some/prefix/a.txt"),
        ("s3://bucket/%D0%A4?region=eu-central-1", "Ф/a.txt"),
    ],
)
def test_files_lie_below_the_prefix(tmp_path: Path, url: str, name: str) -> None:
    assert opened(url, tmp_path).name_of("a.txt") == name


def test_nothing_is_asked_of_the_store_at_the_start(tmp_path: Path) -> None:
    storage = opened("s3://bucket?endpoint_url=http://127.0.0.1:9", tmp_path)
    staged = storage.stage()
    staged.write(b"x")
    staged.close()


@pytest.mark.parametrize(
    ("url", "addressed"),
    [
        ("s3://bucket?region=eu-central-1", "https://bucket.s3.eu-central-1.amazonaws.com/a.txt"),
        ("s3://a.bucket?region=eu-central-1", "https://s3.eu-central-1.amazonaws.com/a.bucket/a.txt"),
        ("s3://bucket?endpoint_url=http://store:9000", "http://store:9000/bucket/a.txt"),
        ("s3://bucket?endpoint_url=http://store:9000&addressing=virtual", "http://bucket.store:9000/a.txt"),
    ],
)
def test_the_bucket_is_addressed_as_the_store_has_it(tmp_path: Path, url: str, addressed: str) -> None:
    storage = opened(f"{url}&presigned=true", tmp_path)
    presigned = storage.url("a.txt", disposition="attachment", media_type="text/plain", expires=60)
    assert presigned and presigned.startswith(f"{addressed}?")
    # What a browser sends straight there is signed for the very place that the page's policy names.
    part = storage.presigned("upload_part", 60, Key="a.txt", UploadId="u", PartNumber=1, ContentLength=9)
    assert part.startswith(f"{addressed}?") and part.startswith(f"{storage.direct.origin}/")
    assert "SignedHeaders=content-length%3Bcontent-type%3Bhost" in part


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("s3:", "must name a bucket"),
        ("s3:///prefix", "must name a bucket"),
        ("s3://b/../c", "must be a URL such as"),
        ("s3://bucket?endpoint=x", "'endpoint' is no option of s3://; did you mean endpoint_url?"),
        ("s3://bucket?presigned=perhaps", "presigned must be true or false"),
        ("s3://bucket?timeout=0", "timeout must be the seconds"),
        ("s3://bucket?timeout=soon", "timeout must be the seconds"),
        ("s3://bucket?addressing=both", "addressing must be path or virtual"),
        ("s3://bucket?endpoint_url=nowhere", "boto3 cannot use it"),
        ("s4://bucket", "must be a URL such as 'file:uploads'"),
    ],
)
def test_a_url_that_cannot_be_used_stops_the_start(tmp_path: Path, url: str, sentence: str) -> None:
    with pytest.raises(SettingError) as error:
        make_app(tmp_path, UPLOADS_STORAGE=url, UPLOADS_STAGING=str(tmp_path))
    assert str(error.value).startswith("UPLOADS_STORAGE")
    assert sentence in str(error.value)


def test_keys_in_the_url_are_refused_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="AWS_ACCESS_KEY_ID") as error:
        open_storage("s3://AKIA:topsecret@bucket", staging=tmp_path)
    assert "topsecret" not in str(error.value)


def test_without_credentials_the_start_says_where_they_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    # Nobody's own files, and no question to a machine of Amazon's.
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(
        SettingError, match=r"^UPLOADS_STORAGE is s3://, and there are no credentials; set AWS_ACCESS_KEY_ID"
    ):
        open_storage("s3://bucket", staging=tmp_path)


def test_a_staging_folder_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match=r"UPLOADS_STAGING: .*/file/below cannot be written"):
        open_storage("s3://bucket", staging=tmp_path / "file" / "below")


_WITHOUT_BOTO3 = """
import sys
sys.modules["boto3"] = None
from dropzone_app import SettingError
from dropzone_app.storage import open_storage
open_storage("file:uploads")
try:
    open_storage("s3://bucket")
except SettingError as error:
    print(error)
"""


def test_where_boto3_is_not_installed_the_start_says_how_to_get_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_BOTO3], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        "UPLOADS_STORAGE is s3:, and boto3 is not installed; run `pip install 'dropzone_app[s3]'`.\n"
    )
