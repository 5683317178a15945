"""Numbers for Prometheus: what was stored and refused, what is on its way, what waits, what was swept.

Each process counts by itself. Where ``PROMETHEUS_MULTIPROC_DIR`` names a folder, all processes that have it write
their numbers there, and whichever of them is asked answers with the sum; those of a process that has died still count,
but for its uploads in flight. What waits on the disk is looked at when it is asked for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .config import SettingError
from .errors import MESSAGES
from .processes import runs
from .storage.keys import STAGING
from .uploads import Site

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """The numbers of one app. SettingError without the library that counts."""

    def __init__(self, site: Site) -> None:
        try:
            from prometheus_client import CollectorRegistry, Counter, Gauge
        except ImportError as error:
            raise SettingError(
                "UPLOADS_METRICS_TOKEN needs prometheus-client: pip install 'dropzone_app[metrics]'."
            ) from error
        self._site = site
        self._own = CollectorRegistry()
        self._bytes = Counter(
            "uploads_bytes", "Bytes of files that were stored.", ["set"], registry=self._own
        )
        self._parts = Counter("uploads_parts", "Parts by verdict.", ["set", "verdict"], registry=self._own)
        self._refused = Counter(
            "uploads_requests_refused",
            "Uploads refused as a whole, by reason.",
            ["reason"],
            registry=self._own,
        )
        self.in_flight = Gauge(
            "uploads_in_flight",
            "Uploads that are being received.",
            registry=self._own,
            multiprocess_mode="livesum",
        )
        self._sweeps = Counter("uploads_sweeps", "Sweeps by a server.", registry=self._own)
        self._swept = Counter("uploads_swept", "What they removed.", registry=self._own)
        self._swept_bytes = Counter("uploads_swept_bytes", "Bytes they removed.", registry=self._own)

    def batch(self, upload_set: str, codes: Mapping[str, int], size: int) -> None:
        """Count what became of the parts of a request."""
        for code, count in codes.items():
            self._parts.labels(upload_set, _known(code)).inc(count)
        self._bytes.labels(upload_set).inc(size)

    def refused(self, code: str) -> None:
        self._refused.labels(_known(code)).inc()

    def swept(self, things: int, size: int) -> None:
        """Count a sweep that has removed so much."""
        self._sweeps.inc()
        self._swept.inc(things)
        self._swept_bytes.inc(size)

    def text(self) -> tuple[bytes, str]:
        """All numbers in Prometheus' own format, and its media type."""
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, multiprocess

        registry = self._own
        if folder := os.environ.get(_FOLDER):
            for path in Path(folder).glob("gauge_live*_*.db"):
                pid = re.search(r"_(\d+)\.db$", path.name)
                if pid and not runs(int(pid[1])):
                    multiprocess.mark_process_dead(int(pid[1]), folder)  # type: ignore[no-untyped-call]
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
        looked_at = CollectorRegistry()
        looked_at.register(_Staging(self._site))
        return generate_latest(registry) + generate_latest(looked_at), CONTENT_TYPE_LATEST


class _Staging:
    """Bytes on the disk of what is unfinished; files that have no name yet are not among them."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import GaugeMetricFamily

        folders = {
            Path(getattr(storage, "root", None) or self._site.settings.staging) / STAGING
            for storage in self._site.storages.values()
        }
        size = sum(_size(folder) for folder in folders)
        yield GaugeMetricFamily(
            "uploads_staging_bytes", "Bytes on the disk of unfinished uploads.", value=size
        )


def _size(folder: Path) -> int:
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                # Of a file with holes only what is written.
                size += os.lstat(os.path.join(place, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return size


def _known(code: str) -> str:
    """A label: each is kept for ever, and a host may make up codes without end."""
    return code if code in MESSAGES or code in {"stored", "repeated"} else "custom"
