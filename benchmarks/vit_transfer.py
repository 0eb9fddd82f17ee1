"""Lesson 6's transfer: what pre-training without a photograph gives, with few labels and with many.

Digits: the shipped model, or one that learns for a minute here, and six ways to learn from few
labels. CIFAR-10 (5,000 training pictures, out of COURSE_DATA_DIR): from scratch beside pre-trained
on fractals and on printed type; the same steps of fine-tuning for all, means and 95 % confidence
intervals over the seeds. Rates and steps were chosen on a part of the training pictures.

    python benchmarks/vit_transfer.py [digits] [lesson] [cifar] [--out data/measurements]

With `--out` it writes `vit_transfer.json`, which lesson 6 shows.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from course_utils.datasets.fractals import draw_fractals
from course_utils.datasets.glyphs import GLYPHS, draw_glyphs
from course_utils.datasets.labelled_pictures import PictureData, Pictures, load_pictures, split
from course_utils.files import data_path
from course_utils.label_curves import confidence_interval, label_curve
from course_utils.models.vit import ViT, ViTConfig
from course_utils.optimizers import muon_and_adamw
from course_utils.picture_tuning import (
    PictureBatches,
    picture_loss,
    picture_ways,
    score_by_names,
    score_pictures,
    train_on_pictures,
    with_new_head,
)
from course_utils.pictures import Preprocessing
from course_utils.pretrain import ViTRecipe
from course_utils.pretrained import load_vit
from course_utils.reproducibility import environment, seed_everything
from course_utils.show import table
from course_utils.training import fit

LABELS = (1, 5, 10, 20)
COLOURS = Preprocessing(size=32, mean=(0.49, 0.48, 0.45), std=0.25)
CIFAR = {"image_size": 32, "patch_size": 8, "d_model": 64, "num_layers": 4, "num_heads": 4}
PRE_STEPS, EPOCHS = 1000, 10
# Rate and layer decay: the best of those tried for "from scratch" serves all.
TRIED, CHOSEN = ((1e-3, 1.0), (3e-3, 1.0), (3e-3, 0.75)), ((3e-3, 1.0),)


def pre_train(model: ViT, labelled: Pictures, prepare: Preprocessing, steps: int) -> float:
    """Learn the labels of drawn pictures; gives the seconds."""
    batches = PictureBatches(labelled, prepare, 128, seed=0)
    optimizer = muon_and_adamw(model, adamw_learning_rate=0.005)
    rates = {"schedule": "trapezoid", "warmup_steps": 50, "progress": False}
    return fit(model, batches, picture_loss, steps=steps, optimizer=optimizer, **rates).seconds


def digits(vit: ViT, draws: int, names_of_ways: Sequence[str] = ()) -> list[dict]:
    """Ways to learn the handwritten digits, all six by default: a row for each way and size."""
    data, prepare = load_pictures(), ViTRecipe().preprocessing
    names = {"known": GLYPHS, "wanted": data.label_names}
    print(f"without a label: {score_by_names(vit, data.test, prepare, **names):.3f}")
    ways, rows = picture_ways(vit, data, prepare), []
    for name in names_of_ways or ways:
        way, start = ways[name], time.process_time()
        points = label_curve({name: way}, LABELS, draws)
        row = {f"{p.size} a class": f"{p.mean:.3f} ({p.low:.3f}-{p.high:.3f})" for p in points}
        spent = (time.process_time() - start) / len(LABELS) / draws
        print(table([{"way": name} | row | {"CPU s each": round(spent, 1)}]), flush=True)
        rows += [{k: getattr(p, k) for k in ("way", "size", "mean", "low", "high")} for p in points]
    return rows


def lesson(draws: int) -> None:
    """A minute of drawing and learning, then the same."""
    seed_everything(0)
    recipe, start, spent = ViTRecipe(), time.perf_counter(), time.process_time()
    model = recipe.model()
    pre_train(model, draw_glyphs(20_000), recipe.preprocessing, steps=800)
    cpu = time.process_time() - spent
    print(f"drawn and learned in {time.perf_counter() - start:.0f} s ({cpu:.0f} s of CPU)")
    digits(model, draws, ("linear probe", "head only", "last blocks", "all layers"))


def coloured_type(count: int, seed: int = 0) -> Pictures:
    """Printed type in a random colour on another one."""
    grey, labels = draw_glyphs(count, seed, size=32)
    chance = torch.Generator().manual_seed(seed)
    ink, paper = torch.rand(2, count, 3, 1, 1, generator=chance) * 255
    share = grey.float() / 255
    return Pictures((share * ink + (1 - share) * paper).to(torch.uint8), labels)


def cifar(folder: Path, draws: int, choose: bool) -> list[dict]:
    """From scratch beside pre-trained, at equal steps of fine-tuning: a row for each.

    `choose` tries the rates instead, on a part of the training pictures.
    """
    data = load_pictures(folder)
    if choose:
        train, test = split(data.train, 0.2, seed=1)
        data = replace(data, train=train, test=test)
    rows = []
    for name, start in starting_points().items():
        for rate, decay in TRIED if choose else CHOSEN:
            how = {"epochs": EPOCHS, "learning_rate": rate, "layer_decay": decay}
            scores, spent = [], time.process_time()
            for seed in range(draws):
                scores.append(fine_tuned(data, start, seed, how))
            mean, low, high = confidence_interval(scores)
            row = {"begins with": name, "rate": rate, "layer decay": decay}
            row |= {"mean": mean, "low": low, "high": high}
            rows.append(row | {"CPU s each": round((time.process_time() - spent) / draws)})
            print(rows[-1], flush=True)
    print(table(rows))
    return rows


def starting_points() -> dict[str, ViT | None]:
    """A pre-trained model for each kind of drawn pictures, and none for "from scratch"."""
    seed_everything(0)
    fractals, letters = draw_fractals(60_000, size=32, channels=3), coloured_type(20_000)
    found: dict[str, ViT | None] = {"from scratch": None}
    for name, drawn in {"fractals": fractals, "printed type": letters}.items():
        classes = int(drawn.labels.max()) + 1
        found[name] = model = ViT(ViTConfig(**CIFAR, num_classes=classes))
        seconds = pre_train(model, drawn, COLOURS, PRE_STEPS)
        share = score_pictures(model, drawn.take(torch.arange(2000)), COLOURS)
        print(f"{name}: {seconds:.0f} s of pre-training, {share:.3f} of its pictures named right")
    return found


def fine_tuned(data: PictureData, start: ViT | None, seed: int, how: dict) -> float:
    """Accuracy after training on all pictures."""
    seed_everything(seed)
    start = start or ViT(ViTConfig(**CIFAR, num_classes=10))
    model = with_new_head(start, len(data.label_names))
    batches = PictureBatches(data.train, COLOURS, 64, seed, shifts=4, mirrored=True)
    train_on_pictures(model, batches, seed=seed, **how)
    return score_pictures(model, data.test, COLOURS)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help="digits, lesson, cifar; all by default")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="folder for vit_transfer.json")
    parser.add_argument("--choose", action="store_true", help="cifar: try rates")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(environment())
    parts = options.parts or ["digits", "lesson", "cifar"]
    found = {"draws": options.draws}
    if "digits" in parts:
        found["digits"] = digits(load_vit(data_path("checkpoints", "vit")), options.draws)
    if "lesson" in parts:
        lesson(options.draws)
    if "cifar" in parts:
        if not (folder := os.environ.get("COURSE_DATA_DIR")):
            print("cifar: set COURSE_DATA_DIR to the folder that holds cifar10/")
            return
        found["cifar"] = cifar(Path(folder) / "cifar10", options.draws, options.choose)
    if options.out:
        text = json.dumps(found, indent=1)
        Path(options.out, "vit_transfer.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
