"""How soon does each sampler find the best network of a table, and of problems that are made to be hard?

    python benchmarks/tables.py run --macro PATH/nas-bench-macro_cifar10.json [--processes 2] [--share 0/2]
    python benchmarks/tables.py run --table FILE             (any other table, see table_problems.py)
    python benchmarks/tables.py report

NAS-Bench-Macro (6,561 rows; 1,339 different networks within 1.5M parameters) and the problems of `synthetic.py`, all of
them through `nas.search.problem.solve`, as a user's own problem would be. A query of the table gives the accuracy of
one of its three seeds, drawn by the seed of the evaluation; the truth is their mean. Each search is repeated with
another seed. One JSON for each search in `results/tables/`; what is there is not done again.

`report` writes `results/tables.json`: after 25, 50, 100 and 150 queries the mean over repeats, and its 95 % bootstrap
interval, of

- `found`: the optimum minus the best truth among the networks evaluated;
- `chosen`: the optimum minus the truth of the network that measured best;
- with several objectives, the shares of the hypervolume of the true front that the truths of all networks evaluated,
  and of those on the measured front, fill.

Of searches over the cap, or of a network twice, there are to be none; they are counted. `--figure` draws the means.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "tables"
REPEATS, QUERIES = 50, 150
SAMPLERS = ("cap", "random", "evolution", "local", "tpe", "nsga2", "nsga3", "gp")
MACRO = ("macro", "macro-params", "macro-params-flops")


@dataclass(frozen=True)
class Run:
    """One search to do."""

    case: str
    path: Path | None
    sampler: str
    repeat: int
    queries: int
    results: Path

    @property
    def file(self) -> Path:
        """Where its result is."""
        return self.results / self.name / f"{self.sampler}-{self.repeat:03}.json"

    @property
    def name(self) -> str:
        """What the problem is called in the results."""
        return self.path.stem if self.case == "file" and self.path else self.case

    @property
    def draw(self) -> int:
        """The table that is searched, where every repeat has one of its own."""
        from table_problems import FRESH

        return self.repeat if self.case in FRESH else 0

    @property
    def is_done(self) -> bool:
        """Whether there is a result of as many queries, or of all that there were."""
        if not self.file.is_file():
            return False
        content = json.loads(self.file.read_text())
        return content["asked"] >= self.queries or len(content["observed"]) < content["asked"]


def search(run: Run) -> dict[str, Any]:
    """Do one search; return what it evaluated, in order."""
    from table_problems import case

    from nas.search.problem import solve

    found = case(run.case, run.path, run.draw)
    started, used = time.perf_counter(), time.process_time()
    view = solve(found.problem, run.queries, sampler=run.sampler, seed=run.repeat)
    seconds, processor = time.perf_counter() - started, time.process_time() - used
    names = list(found.problem.objectives)
    truths = [found.truth(record.genotype) for record in view.records]
    members = found.problem.members
    times = Counter(members.key(record.genotype) for record in view.records)
    return {
        "asked": run.queries,
        "draw": run.draw,
        "objectives": dict(found.problem.objectives),
        "observed": [[round(record.metrics[name], 6) for name in names] for record in view.records],
        "truth": [[round(truth[name], 6) for name in names] for truth in truths],
        "over_cap": sum(members.load(record.genotype) > 1 for record in view.records),
        "repeated": sum(count - 1 for count in times.values()),
        "failed": sum(bool(record.error) for record in view.records),
        "seconds": round(seconds, 3),
        "processor_seconds": round(processor, 3),
    }


def work(run: Run) -> str:
    """Do one search and write its file; return the line that says so."""
    from nas.results import write_whole

    content = search(run)
    run.file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(run.file, json.dumps(content) + "\n")
    best = max(row[0] for row in content["truth"])
    return f"{run.name} {run.sampler} {run.repeat}: {best:.3f}, {content['processor_seconds']:.1f} s"


def runs(arguments: argparse.Namespace) -> list[Run]:
    """Return what is to be done, repeat by repeat, so that whatever is stopped early is whole for the first ones."""
    if arguments.table:
        cases: list[tuple[str, Path | None]] = [("file", arguments.table)]
    else:
        from table_problems import MADE_UP

        cases = [(name, arguments.macro) for name in MACRO if arguments.macro]
        cases += [(name, None) for name in MADE_UP]
    chosen = [each for each in cases if not arguments.only or each[0] in arguments.only]
    found = [
        Run(name, path, sampler, repeat, arguments.queries, arguments.results)
        for repeat, (name, path), sampler in product(range(arguments.repeats), chosen, arguments.samplers)
    ]
    index, count = map(int, arguments.share.split("/"))
    return found[index::count]


def run_all(todo: Sequence[Run], processes: int) -> int:
    """Do what has no file yet; return how many searches broke."""
    left, broken = [run for run in todo if not run.is_done], 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        for run, job in [(run, pool.submit(work, run)) for run in left]:
            try:
                print(job.result(), flush=True)
            except Exception as fault:  # noqa: BLE001 - one broken search must not end a night's run
                broken += 1
                print(f"{run.name} {run.sampler} {run.repeat}: {type(fault).__name__}: {fault}", file=sys.stderr)
    return broken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    running = parts.add_parser("run")
    running.add_argument("--macro", type=Path, metavar="FILE", help="nas-bench-macro_cifar10.json")
    running.add_argument("--table", type=Path, metavar="FILE", help="another table, alone")
    running.add_argument("--only", action="append", metavar="PROBLEM", help="some problems; may be repeated")
    running.add_argument("--samplers", type=lambda text: text.split(","), default=SAMPLERS, metavar="A,B")
    running.add_argument("--repeats", type=int, default=REPEATS)
    running.add_argument("--queries", type=int, default=QUERIES)
    running.add_argument("--processes", type=int, default=1)
    running.add_argument("--share", default="0/1", metavar="I/N", help="every n-th search, for n machines")
    running.add_argument("--results", type=Path, default=RESULTS)
    reporting = parts.add_parser("report")
    reporting.add_argument("--macro", type=Path, metavar="FILE", help="for the optimum of the table")
    reporting.add_argument("--table", type=Path, metavar="FILE", action="append", default=[])
    reporting.add_argument("--results", type=Path, default=RESULTS)
    reporting.add_argument("--out", type=Path, help="the summary [results/tables.json]")
    reporting.add_argument("--figure", type=Path, metavar="FILE.html|FILE.png", action="append", default=[])
    arguments = parser.parse_args()
    if arguments.part == "report":
        from tables_report import report

        tables = {path.stem: path for path in arguments.table}
        report(arguments.results, arguments.macro, tables, arguments.out, arguments.figure)
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before a worker imports numpy
    sys.exit(run_all(runs(arguments), arguments.processes) > 0)


if __name__ == "__main__":
    main()
