"""The commands that train: their options and their help. Their work is imported when they run."""

from __future__ import annotations

from typing import Annotated

import typer

from nas.cli.options import (
    DEFAULT_RESULTS,
    Cap,
    CheckpointDisk,
    Download,
    Json,
    Results,
    SkipBroken,
    Storage,
    StudyName,
)


def search(
    space: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Search space. [default: digits]")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="KIND[:PATH]",
            help="digits, mnist, fashion_mnist, cifar10, cifar100, folder:PATH or imagenet:PATH. "
            "[default: the space's own]",
        ),
    ] = None,
    cap: Cap = None,
    trials: Annotated[
        int | None, typer.Option(metavar="N", help="Trials of the study in all, over every run of it. [default: 48]")
    ] = None,
    max_hours: Annotated[
        float | None,
        typer.Option(metavar="H", help="Hours of the study in all, over every run and worker. [default: no limit]"),
    ] = None,
    study: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the study. [default: the space's]")] = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", help="Epochs of the top rung; the first has a third. [default: 6]")
    ] = None,
    train_fraction: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Share of the train split used. [default: 10,000 images at most]"),
    ] = None,
    resolution: Annotated[
        int | None, typer.Option(metavar="PIXELS", help="Side of the images. [default: theirs]")
    ] = None,
    rungs: Annotated[
        str | None,
        typer.Option(
            metavar="LADDER", help="Epochs of each rung, @ its resolution, such as 1@16,3,9. [default: theirs]"
        ),
    ] = None,
    finalists: Annotated[
        int | None, typer.Option(metavar="N", help="Networks trained again at the end; 0: none. [default: 5]")
    ] = None,
    finalist_seeds: Annotated[
        int | None, typer.Option(metavar="N", help="Trainings of each finalist in all. [default: 3]")
    ] = None,
    objectives: Annotated[
        str | None,
        typer.Option(metavar="A,B,…", help="What to search for. [default: val_accuracy,params,interference]"),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="space|data", help="The task the cap is counted on. [default: space, as its file says]"),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What proposes: cap, evolution, local, tpe, gp, nsga2, nsga3 or random. [default: cap]",
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,…",
            help="Samplers to hold it against: a study NAME-SAMPLER for each, alike but for its finalists, which it "
            "has none of, run after the search; with --json, an object of `front` and `baselines`.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of the study. [default: 0]")] = None,
    device: Annotated[
        str | None, typer.Option(metavar="cpu|cuda:0,1", help="Where to train; several GPUs share it. [default: cpu]")
    ] = None,
    trials_per_gpu: Annotated[
        int | None, typer.Option(metavar="N", help="Trainings that share a GPU. [default: measured]")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Processes that train at once; with several, their timing decides what a proposal knows of, "
            "so that only 1 is reproducible. [default: measured]",
        ),
    ] = None,
    launcher: Annotated[
        str,
        typer.Option(metavar="local|slurm|ray", help="Where the workers run; the others need --workers and a server."),
    ] = "local",
    launch_option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Passed to Slurm or Ray, such as partition=gpu; may be given often."),
    ] = None,
    address: Annotated[
        str | None, typer.Option(metavar="auto|HOST:PORT", help="The Ray cluster. [default: auto, this machine's]")
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option(
            metavar="auto|NAME=VALUE,…",
            help="How training runs: precision, channels_last, threads, workers, batch_size, cuda_graphs, "
            "trials_per_device. [default: auto, all measured]",
        ),
    ] = None,
    suppress: Annotated[
        float | None,
        typer.Option(metavar="LAMBDA", help="Train with interference penalised, this strongly; 1 is moderate."),
    ] = None,
    suppress_to: Annotated[
        float | None,
        typer.Option(metavar="TARGET", help="Penalise interference until its excess is at most this, such as 0.02."),
    ] = None,
    warm_start: Annotated[
        str | None,
        typer.Option(
            metavar="STUDY[,STUDY]",
            help="Begin with what other studies have measured: what was trained alike is taken over and does not count "
            "as a trial, the rest only informs the sampler.",
        ),
    ] = None,
    checkpoint_disk: CheckpointDisk = None,
    lease: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="A worker that is silent for so long has lost its trial to another. [default: 90]"
        ),
    ] = None,
    download: Download = False,
    skip_broken: SkipBroken = False,
    results: Results = DEFAULT_RESULTS,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Search a space under a cap; the same command again goes on where it stopped."""
    from nas.cli.launch import Launch
    from nas.cli.search import search_command
    from nas.search.request import SearchRequest

    request = SearchRequest(
        results=results,
        storage=storage,
        study=study,
        space=space,
        data=data,
        cap=cap,
        trials=trials,
        max_hours=max_hours,
        epochs=epochs,
        train_fraction=train_fraction,
        resolution=resolution,
        rungs=rungs,
        finalists=finalists,
        finalist_seeds=finalist_seeds,
        objectives=tuple(name.strip() for name in objectives.split(",")) if objectives is not None else None,
        target=target,
        sampler=sampler,
        seed=seed,
        device=device,
        trials_per_gpu=trials_per_gpu,
        workers=workers,
        plan=plan,
        suppress=suppress,
        suppress_to=suppress_to,
        warm_start=tuple(name.strip() for name in warm_start.split(",")) if warm_start is not None else None,
        checkpoint_disk=checkpoint_disk,
        lease=lease,
        download=download,
        skip_broken=skip_broken,
    )
    names = [name.strip() for name in baseline.split(",")] if baseline is not None else []
    search_command(request, names, Launch(launcher, tuple(launch_option or ()), address), as_json=as_json)


def worker(
    study: StudyName,
    device: Annotated[
        str | None, typer.Option(metavar="cpu|cuda:N", help="Where to train. [default: the study's first device]")
    ] = None,
    trials_per_gpu: Annotated[
        int | None, typer.Option(metavar="N", help="Trainings that share the GPU. [default: the study's]")
    ] = None,
    checkpoint_disk: CheckpointDisk = None,
    results: Results = DEFAULT_RESULTS,
    storage: Storage = None,
    with_parent: Annotated[
        bool, typer.Option("--with-parent", hidden=True, help="End when standard input closes.")
    ] = False,
) -> None:
    """Train for a study that exists until nothing is left of it; any number of workers share it."""
    from nas.cli.worker import worker_command
    from nas.search.request import SearchRequest

    request = SearchRequest(
        results=results,
        storage=storage,
        study=study,
        device=device,
        trials_per_gpu=trials_per_gpu,
        checkpoint_disk=checkpoint_disk,
    )
    worker_command(request, with_parent=with_parent)


def compare(
    study: StudyName,
    references: Annotated[
        str,
        typer.Option(
            metavar="A,B,…", help="References; one without its size (mobilenetv2) is the largest of that name."
        ),
    ],
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Trainings of each; their mean is shown.")] = 1,
    results: Results = DEFAULT_RESULTS,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Train published networks, scaled to the study's cap, as its candidates were; `nas front` then shows them, too."""
    from nas.cli.compare import compare_command

    names = [name.strip() for name in references.split(",") if name.strip()]
    compare_command(study, names, seeds, results, storage, as_json=as_json)


def fidelity(
    study: StudyName,
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="Train for so long at most, such as 1h, 30m or 90s.")
    ] = None,
    networks: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Networks of the sample. [default: 30, or what --budget allows]"),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Trainings of each at the top rung. [default: 1; --gate: 3]")
    ] = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="Ask if interference may decide, over networks of one size bin.")
    ] = False,
    no_training: Annotated[bool, typer.Option("--no-training", help="Only read what was trained.")] = False,
    results: Results = DEFAULT_RESULTS,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Train a sample in full to say how well each score and each rung orders the networks of a study."""
    from nas.cli.fidelity import FidelityRequest, fidelity_command

    request = FidelityRequest(networks=networks, seeds=seeds, budget=budget, gate=gate, training=not no_training)
    fidelity_command(study, request, results, storage, as_json=as_json)


def confirm(
    study: StudyName,
    top: Annotated[
        int, typer.Option(metavar="N", min=1, help="Finalists: the front first, then the best of the rest.")
    ] = 10,
    seeds: Annotated[int, typer.Option(metavar="N", min=2, help="Trainings of each in all; their mean is shown.")] = 3,
    results: Results = DEFAULT_RESULTS,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Train the finalists from further seeds; the front shows means with intervals and which members are tied."""
    from nas.cli.confirm import confirm_command

    confirm_command(study, top, seeds, results, storage, as_json=as_json)


def replay(
    study: StudyName,
    trial: Annotated[int, typer.Argument(min=0, metavar="TRIAL", help="Number of a trial.")],
    rung: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only this rung, 1 is the lowest. [default: all it reached]")
    ] = None,
    results: Results = DEFAULT_RESULTS,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Train a trial again exactly as it was and compare all it measured: exit code 1 where a bit differs."""
    from nas.cli.replay import replay_command

    replay_command(study, trial, rung, results, storage, as_json=as_json)


def enqueue(
    study: StudyName,
    network: Annotated[
        str,
        typer.Argument(
            metavar="FILE|TRIAL",
            help="FILE of an architecture, as `nas scale --out` writes it, or of a value for each gene, "
            "as JSON; or the number of a trial of the study.",
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="GENE=VALUE", help="Change a gene, such as stage2.kernel=5; may be repeated."),
    ] = None,
    results: Results = DEFAULT_RESULTS,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Put an architecture of your own first: the next worker trains it, even if the study's trials are done."""
    from nas.cli.enqueue import enqueue_command

    enqueue_command(study, network, settings or [], results, storage, as_json=as_json)
