"""`nas replay`: a trial trained again as it was, and held against its record."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from nas.cli.output import print_json, print_table
from nas.cli.read import open_networks
from nas.errors import NasError, StudyError
from nas.report.quantities import plural
from nas.search.replay import Compared, reasons, replay, replayable
from nas.search.request import SearchRequest
from nas.search.setup import join
from nas.training.loop import Progress


def replay_command(
    name: str, number: int, rung: int | None, results: Path, storage: str | None, *, as_json: bool
) -> None:
    """Train a trial again and print what was recorded beside what came out; NasError where a bit differs."""
    study = open_networks(name, results, storage)
    record = next((each for each in study.records() if each.number == number), None)
    if record is None:
        raise StudyError(f"study {name!r}: no trial {number}; it has {len(study.records())}, numbered from 0")
    measurements = replayable(study.config, record, rung)
    prepared = join(SearchRequest(results=results, storage=storage, study=name, checkpoint_disk="0"), _say)

    def tell(rung: int, progress: Progress) -> None:
        _say(f"trial {number}, rung {rung}: epoch {progress.epoch}/{progress.epochs}")

    try:
        found = list(replay(study.config, prepared.evaluator, record, measurements, tell))
    except KeyboardInterrupt:
        _say("stopped; the study is as it was.")
        raise
    different = [each for each in found if not each.is_equal]
    why = reasons(study.config, prepared.folder) if different else []
    _print(name, number, found, why, as_json=as_json)
    if different:
        cause = "; ".join(why) or "no version or machine that was recorded is another one"
        raise NasError(f"trial {number} of study {name}: {len(different)} of {len(found)} values differ: {cause}")


def _print(name: str, number: int, found: Sequence[Compared], why: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        values = [{**vars(each), "equal": each.is_equal} for each in found]
        is_equal = all(each.is_equal for each in found)
        print_json({"study": name, "trial": number, "equal": is_equal, "values": values, "reasons": list(why)})
        return
    rows = [[each.rung, each.metric, _number(each.recorded), _number(each.now), _difference(each)] for each in found]
    print_table(["rung", "metric", "recorded", "now", ""], rows, title=f"trial {number} of study {name}")
    if all(each.is_equal for each in found):
        rungs = len({each.rung for each in found})
        print(f"equal to the bit: {plural(len(found), 'value')} of {plural(rungs, 'rung')}")


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.9g}"


def _difference(each: Compared) -> str:
    if each.is_equal:
        return "equal"
    return "missing" if each.recorded is None or each.now is None else f"{each.now - each.recorded:+.3g}"


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
