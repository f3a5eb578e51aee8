"""The studies that a browser has open: read once, then only what a short query says has changed."""

from __future__ import annotations

import gzip
import json
import shlex
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from nas.errors import StudyError, unknown
from nas.report.browse.panels import Where
from nas.report.dataset import baseline, dataset, retrained
from nas.report.search_figures import Hours, Studies
from nas.search.curve import own_hours
from nas.search.glance import Glance, Span, Stamp, glances, spans, stamp
from nas.search.read_only import ReadOnlyStorage, open_read_only, reachable
from nas.search.samplers.named import SAMPLERS
from nas.search.storage import shown, sqlite_url
from nas.search.study import Study
from nas.view import StudyView

MOST_SPANS = 2_000
"""Trainings of the timeline of workers, the latest."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A study as it was at its stamp."""

    version: str
    view: StudyView
    folder: Path

    @cached_property
    def packed(self) -> bytes:
        """The columns of the study, as gzipped JSON."""
        content = dataset(self.view, more=retrained(self.folder, self.view))
        return gzip.compress(json.dumps(content, separators=(",", ":")).encode(), compresslevel=1)

    @cached_property
    def environment(self) -> dict[str, Any]:
        """What `study.json` says of the machine and the packages; nothing where there is none."""
        try:
            return dict(json.loads((self.folder / "study.json").read_text(encoding="utf-8"))["environment"])
        except (OSError, ValueError, KeyError, TypeError):
            return {}


@dataclass(eq=False)
class Session:
    """One study that is open. Threads take turns."""

    url: str
    name: str
    folder: Path
    where: Where
    lock: threading.RLock = field(default_factory=threading.RLock)
    _storage: ReadOnlyStorage | None = None
    _study: Study | None = None
    _stamp: Stamp | None = None
    _snapshot: Snapshot | None = None

    def snapshot(self) -> Snapshot:
        """Return the study as it is: one short query, and more only where that says so; StudyError when unreachable."""
        with self.lock, reachable(self.url):
            try:
                return self._read()
            except Exception:
                self._close()  # a database that comes back may be another one
                raise

    def _read(self) -> Snapshot:
        self._storage = self._storage or open_read_only(self.url)
        now = stamp(self._storage, self.name)
        if self._snapshot is None or now != self._stamp:
            self._study = self._study or Study.open(self._storage, self.name)
            self._snapshot = Snapshot(f"{abs(hash(now)):x}", self._study.view(), self.folder)
            self._stamp = now
        return self._snapshot

    def warm(self) -> None:
        """Read the study, and pack what a page of it needs."""
        with self.lock:
            _ = self.snapshot().packed

    def hours(self) -> Any:
        """Return at which hour each training ended."""
        with self.lock, reachable(self.url):
            return own_hours(self._study) if self._study else {}

    def spans(self) -> list[Span]:
        """Return what the workers did."""
        with self.lock, reachable(self.url):
            return spans(self._storage, self.name, MOST_SPANS) if self._storage else []

    def _close(self) -> None:
        if self._storage is not None:
            self._storage.engine.dispose()
        self._storage = self._study = self._stamp = None
        self._snapshot = None


class Sessions:
    """The studies of a database, or of a folder of results; `verbs` are the commands that there are."""

    def __init__(self, results: Path, storage: str | None, verbs: frozenset[str] = frozenset()) -> None:
        self.results, self.storage, self._verbs = results, storage, verbs
        self._open: dict[str, Session] = {}
        self._storages: dict[str, ReadOnlyStorage] = {}
        self._lock = threading.Lock()

    @property
    def words(self) -> str:
        """Where the studies are."""
        return f"storage {shown(self.storage)}" if self.storage else f"results folder {self.results}"

    def glances(self) -> Iterator[tuple[str, Glance | str]]:
        """Yield (url, study at first sight), or (url, why a database cannot be read)."""
        for url in self._urls():
            try:
                with self._lock, reachable(url):
                    if url not in self._storages:
                        self._storages[url] = open_read_only(url)
                    found = glances(self._storages[url])
            except StudyError as error:
                self._storages.pop(url, None)
                yield url, str(error)
                continue
            yield from ((url, each) for each in found)

    def session(self, name: str) -> Session:
        """Return the study called `name`; StudyError with the names there are."""
        if name in self._open:
            return self._open[name]
        found = list(self.glances())
        known = {each.config.name: url for url, each in reversed(found) if isinstance(each, Glance)}
        if name not in known:
            faults = [each for _, each in found if isinstance(each, str)]
            raise StudyError(
                unknown("study", name, list(known), where=self.words)
                if known
                else "; ".join(faults) or f"{self.words}: holds no study"
            )
        self._open[name] = Session(known[name], name, self.results / name, Where(name, self._options(), self._verbs))
        return self._open[name]

    def warm(self) -> None:
        """Read the study with the latest result, before anybody asks for it; what is wrong with it is said then."""
        found = [each for _, each in self.glances() if isinstance(each, Glance) and each.last is not None]
        if found:
            newest = max(found, key=lambda each: each.last or datetime.min)
            with suppress(StudyError):
                self.session(newest.config.name).warm()

    def studies(self, name: str) -> tuple[Studies, Hours]:
        """Return a study and those of its baselines that can be read, with the hours of each."""
        names = [name, *(f"{name}-{sampler}" for sampler in SAMPLERS)]
        known = {each.config.name for _, each in self.glances() if isinstance(each, Glance)}
        opened = [self.session(each) for each in names if each in known]
        studies = [(each.name, each.snapshot().view) for each in opened]
        space = studies[0][1].config.space_text
        same = [pair for pair in studies if pair[1].config.space_text == space]
        return same, {each.name: each.hours() for each in opened}

    def baselines(self, name: str) -> list[dict[str, Any]]:
        """Return the fronts of the baselines of a study."""
        return [baseline(each, view) for each, view in self.studies(name)[0][1:]]

    def _urls(self) -> list[str]:
        if self.storage is not None:
            return [self.storage]
        return [sqlite_url(path) for path in sorted(self.results.glob("*/study.db"))]

    def _options(self) -> str:
        given = f"--storage {shlex.quote(shown(self.storage))}" if self.storage else ""
        return given or ("" if str(self.results) == "results" else f"--results {shlex.quote(str(self.results))}")
