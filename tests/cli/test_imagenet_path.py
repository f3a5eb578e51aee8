"""The documented path from a folder of images to predictions runs, as a user types it, on a very small ImageNet."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "imagenet_path.sh"
CLASSES = ("n01443537", "n01629819", "n02123045")
SMALL = {"SIDE": "24", "RESOLUTION": "16", "TRIALS": "2", "EPOCHS": "1", "RETRAIN_EPOCHS": "1", "SEEDS": "1"}
PLAN = "precision=float32,channels_last=no,threads=1,workers=1,batch_size=16"  # the rest is not worth measuring here


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Give class folders of JPEG files, larger than the store and not square."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 20), ("val", 4)):
        for name in CLASSES:
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                noise = generator.integers(0, 256, (32, 40, 3), dtype=np.uint8)
                Image.fromarray(noise).save(folder / f"{name}_{i}.JPEG")
    return tmp_path / "data"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_whole_path_runs(data: Path, tmp_path: Path) -> None:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = os.environ | SMALL | {"PLAN": PLAN, "PATH": path, "NAS_CACHE": str(tmp_path / "cache")}
    results = tmp_path / "results"
    done = subprocess.run(
        ["bash", SCRIPT, data, results], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "on the test split of imagenet:" in done.stdout
    (metrics,) = (results / "imagenet_path" / "retrain").glob("*/tiny/0/metrics.json")
    assert "test" in json.loads(metrics.read_text())
    rows = list(csv.DictReader((results / "predictions.csv").read_text().splitlines()))
    assert len(rows) == 12
    assert {row["class_1"] for row in rows} <= set(CLASSES)
    stores = [path.name for path in (tmp_path / "cache" / "stores").glob("*.safetensors")]
    assert all("-built" in name or "px" in name for name in stores)
