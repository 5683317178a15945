"""WTForms for Flask-WTF, made from an upload set: the same rules and the same sentences in a form of one's own.

class AlbumForm(FlaskForm):
    title = StringField("Title", [DataRequired()])
    photos = UploadField("Photos", photos)

if form.validate_on_submit():
    batch = photos.receive(request, field="photos")
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import IO, Any

from flask_wtf.file import MultipleFileField
from werkzeug.datastructures import FileStorage
from wtforms import ValidationError

from .checks import Rules, Screening, check_counts
from .config import SettingError
from .content import Opener
from .errors import Rejected
from .intake import Part
from .naming import display_name, shown
from .security import language
from .uploads import UploadSet
from .views.base import site_with

_CHUNK = 1 << 20


class UploadAllowed:
    """A validator: every file of the field meets the rules of ``upload_set``, by name, size and content.

    ValidationError holds one sentence for each file that does not. A field left empty is valid: that is for
    ``FileRequired`` to say. Checks of one's own run when the files are received.
    """

    def __init__(self, upload_set: UploadSet) -> None:
        if not isinstance(upload_set, UploadSet):
            raise SettingError(f"A field for uploads takes the upload set itself; it got {upload_set!r}.")
        self.upload_set = upload_set

    def __call__(self, form: Any, field: Any) -> None:
        rules = site_with(self.upload_set).rules[self.upload_set.name]
        files = field.data if isinstance(field.data, list | tuple) else [field.data]
        files = [file for file in files if isinstance(file, FileStorage) and file.filename]
        sentences, sizes, spoken = [], [], language()
        for file in files:
            size, rejected = _screened(rules, file)
            sizes.append(0 if rejected else size)
            if rejected:
                one = len(files) == 1
                sentences.append(
                    rejected.sentence_in(spoken)
                    if one
                    else f'"{shown(file.filename or "")}": {rejected.told(spoken)}'
                )
        try:
            check_counts(rules, sizes)
        except Rejected as rejected:
            sentences.append(rejected.sentence_in(spoken))
        if sentences:
            raise ValidationError(" ".join(sentences))


def _screened(rules: Rules, file: FileStorage) -> tuple[int, Rejected | None]:
    """Size and refusal of a file; one that was parsed by us has been looked at while it arrived."""
    if isinstance(file, Part):
        return file.size, file.rejected
    screening = Screening(rules, display_name(file.filename or ""))
    file.stream.seek(0)
    while data := file.stream.read(_CHUNK):
        screening.feed(data)
    rejected = screening.finish(_again(file.stream))
    file.stream.seek(0)
    return screening.size, rejected


def _again(stream: IO[bytes]) -> Opener:
    # Whoever made the stream closes it.
    return lambda: nullcontext(stream)


class UploadField(MultipleFileField):  # type: ignore[misc]  # Flask-WTF ships no types
    """A file field for the files of an upload set: its ``accept`` attribute and its validator come from the set."""

    def __init__(
        self, label: str | None, upload_set: UploadSet, validators: Sequence[Any] = (), **options: Any
    ) -> None:
        super().__init__(label, [*validators, UploadAllowed(upload_set)], **options)
        self.upload_set = upload_set

    def __call__(self, **attributes: Any) -> Any:
        """The input, with the extensions that the set accepts."""
        attributes.setdefault("accept", site_with(self.upload_set).rules[self.upload_set.name].accept)
        return super().__call__(**attributes)
