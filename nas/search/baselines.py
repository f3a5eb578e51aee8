"""Baselines of a search: studies of their own, the same as it but for their sampler, and without finalists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from nas.errors import InputError, StudyError, unknown
from nas.records import StudyConfig
from nas.results import StudyFolder
from nas.search.catalogue import read_config, study_names
from nas.search.changes import FREE
from nas.search.request import SearchRequest
from nas.search.samplers.named import DEFAULT_SAMPLER, SAMPLERS
from nas.search.setup import Prepared
from nas.search.storage import open_storage, sqlite_path, sqlite_url
from nas.search.study import Study
from nas.training.checkpoint import Checkpoints

WORDS = {"schema_version", "space_name", "data", "pace"}
"""What two studies that are the same may call differently, or have measured differently."""


def baseline_config(config: StudyConfig, sampler: str) -> StudyConfig:
    """Return the configuration of a baseline: the search's, but for its name, its sampler and its finalists."""
    return config.model_copy(update={"name": f"{config.name}-{sampler}", "sampler": sampler, "finalists": 0})


def check_baselines(request: SearchRequest, samplers: Sequence[str]) -> None:
    """Refuse, before anything is written, what cannot run beside the search of a request.

    InputError for an unknown or repeated sampler and the search's own; StudyError where a baseline's name is taken.
    """
    main = _config(request, request.name) if samplers else None
    own = main.sampler if main else request.sampler or DEFAULT_SAMPLER
    for sampler in samplers:
        if sampler not in SAMPLERS:
            raise InputError(f"--baseline: {unknown('sampler', sampler, SAMPLERS)}")
        if sampler == own:
            raise InputError(f"--baseline: {sampler} is the sampler of the search itself; name others")
    if len(set(samplers)) < len(samplers):
        raise InputError(f"--baseline: name each sampler once, got {', '.join(samplers)}")
    for sampler in samplers:
        _check_name(request, sampler, main)


def prepare_baselines(
    request: SearchRequest, prepared: Prepared, samplers: Sequence[str], tell: Callable[[str], None]
) -> tuple[Prepared, ...]:
    """Return the baselines of a search that is ready, opened or newly made; `check_baselines` has to have passed.

    They run by the search's plan, on its images in memory, to its trials and hours.
    """
    return tuple(_prepare(request, prepared, sampler, tell) for sampler in samplers)


def _prepare(request: SearchRequest, prepared: Prepared, sampler: str, tell: Callable[[str], None]) -> Prepared:
    main, config = prepared.study, baseline_config(prepared.study.config, sampler)
    folder, url = _place(request, config.name)
    folder.prepare()
    trials, storage = main.n_trials - len(main.taken_over), open_storage(url, create=True)
    if config.name in study_names(storage):
        study = Study.open(storage, config.name, results=request.results)
        study.extend(trials, main.max_hours)
    else:
        study = Study.create(storage, config, trials, main.max_hours, results=request.results)
    folder.write(study.config)
    checkpoints = Checkpoints(
        folder.checkpoints, tell, request.checkpoint_bytes, others=prepared.evaluator.checkpoints.others
    )
    evaluator = replace(prepared.evaluator, checkpoints=checkpoints)
    return replace(prepared, study=study, evaluator=evaluator, folder=folder, url=url, choice=None, notes=())


def _place(request: SearchRequest, name: str) -> tuple[StudyFolder, str]:
    folder = StudyFolder(request.results / name)
    return folder, request.storage or sqlite_url(folder.database)


def _config(request: SearchRequest, name: str) -> StudyConfig | None:
    """Return what the study of this name was started with, where the request would have it; None for no study."""
    _, url = _place(request, name)
    path = sqlite_path(url)
    if path is not None and not path.is_file():
        return None
    storage = open_storage(url)
    try:
        if name not in study_names(storage):
            return None
        return read_config(name, storage.get_study_user_attrs(storage.get_study_id_from_name(name)))
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _check_name(request: SearchRequest, sampler: str, main: StudyConfig | None) -> None:
    """Raise StudyError where the name of a baseline is that of a study that is another one."""
    name = f"{request.name}-{sampler}"
    found = _config(request, name)
    if found is not None and main is None:
        raise StudyError(f"study {name!r} exists, but not the study {request.name!r} that it would be held against")
    if found is not None and main is not None:
        _refuse_other(found, baseline_config(main, sampler), main.name)


def _refuse_other(has: StudyConfig, wanted: StudyConfig, main: str) -> None:
    """Raise StudyError where a study is not the baseline that it would have to be."""
    for field in StudyConfig.model_fields:
        if field not in WORDS and _kept(has, field) != _kept(wanted, field):
            raise StudyError(
                f"study {has.name!r} exists with a different {field} than a baseline of {main!r} has"
                f"{_difference(_kept(has, field), _kept(wanted, field))}; give another --study name"
            )


def _kept(config: StudyConfig, field: str) -> object:
    """Return a field, less what may differ from run to run."""
    return config.plan.model_dump(exclude=FREE) if field == "plan" else getattr(config, field)


def _difference(has: object, wanted: object) -> str:
    short = all(isinstance(each, str | int | float) and len(str(each)) < 40 for each in (has, wanted))
    return f" ({has}, not {wanted})" if short else ""
