"""Lesson 4's GPT and `transformers`' GPT2LMHeadModel learn WikiText-2: loss against time, one run.

Same sizes, first weights, batches in the same order, and validation windows. The runs take turns:
the one that has trained least makes the next step, so all meet the same other load of the machine.
- "ours" is trained as the course does: Muon and AdamW at 0.01, a trapezoid;
- "theirs" as the library's users do: AdamW (betas 0.9 and 0.95, weight decay 0.1, fused), warm-up
  and cosine. The Trainer's rate of 5e-5 is for fine-tuning and would be too weak here: each of
  `--rates` is tried for the whole time, and the one that ends best stands for the library (of
  0.001, 0.003 and 0.006 in 180 seconds the middle one, after as many steps as ours or more);
- "theirs, our optimizer" has what ours has, schedule and rates too. What is left between these two
  is the speed of the models, and that query, key and value are one matrix in theirs, which Muon
  makes even as a whole.

Each run gets the same seconds, and its schedule follows their share: the learning rate is near 0 at
their end, however many steps it made. Times are CPU seconds of the training steps alone (batch,
forward, backward, clipping, optimizer) with one thread, so that other programs count little;
measuring the validation loss takes none of them. Between measurements losses are interpolated.

    COURSE_DATA_DIR=... python benchmarks/gpt_wikitext.py [--seconds 180] [--out curve.svg]

Needs `wikitext-2` in the folder that COURSE_DATA_DIR names.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from course_utils.batching import TokenWindows, join_documents
from course_utils.datasets.texts import load_texts
from course_utils.losses import next_token_loss
from course_utils.models.gpt import GPT, GPTConfig
from course_utils.optimizers import muon_and_adamw
from course_utils.pretrained import to_gpt2
from course_utils.reproducibility import environment, parameter_count, seed_everything
from course_utils.schedules import Schedule, schedule_factor
from course_utils.show import table
from course_utils.tokenizers import BPETokenizer

SIZES = {"vocab_size": 4096, "block_size": 128, "num_layers": 4, "num_heads": 4, "d_model": 192}
BATCH, TOKENIZER_BYTES = 16, 2_000_000
VALIDATION_BATCHES, MEASUREMENTS = 10, 20
TICKS = 1000  # of a schedule
OURS, SAME = "ours", "theirs, our optimizer"


class Recipe(NamedTuple):
    """How a run is trained; `warmup` in ticks."""

    loss: Callable[[nn.Module, Tensor], Tensor]
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]
    schedule: Schedule
    warmup: int


def their_loss(model: nn.Module, ids: Tensor) -> Tensor:
    """`next_token_loss`, with the labels where the library wants them."""
    read, answers = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    return model(read, shift_labels=answers, labels=answers, use_cache=False).loss


def adamw(model: nn.Module, learning_rate: float) -> torch.optim.AdamW:
    """AdamW as for GPT-2 and GPT-3: no weight decay on biases and norms."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    groups = [{"params": matrices, "weight_decay": 0.1}]
    groups += [{"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95), fused=True)


def recipes(rates: list[float]) -> dict[str, Recipe]:
    """All runs by name."""
    course = partial(muon_and_adamw, learning_rate=0.01, adamw_learning_rate=0.01, weight_decay=0.1)
    found = {OURS: Recipe(next_token_loss, course, "trapezoid", 20)}
    for rate in rates:
        usual = partial(adamw, learning_rate=rate)
        found[f"theirs, AdamW {rate:g}"] = Recipe(their_loss, usual, "cosine", 50)
    return found | {SAME: Recipe(their_loss, course, "trapezoid", 20)}


class Run:
    """A model in training, and its losses over the seconds that it has had."""

    def __init__(
        self, name: str, model: nn.Module, recipe: Recipe, train: Tensor, seconds: float
    ) -> None:
        self.name, self.model, self.recipe, self.limit = name, model, recipe, seconds
        self.optimizer = recipe.optimizer(model)
        self.peaks = [group["lr"] for group in self.optimizer.param_groups]
        self.batches = endless(TokenWindows(train, SIZES["block_size"], BATCH))
        self.seconds, self.steps = 0.0, 0
        self.times: list[float] = []
        self.losses: list[float] = []

    def step(self) -> None:
        """Train once, and count the time."""
        start = time.process_time()
        tick = int(TICKS * self.seconds / self.limit)
        share = schedule_factor(self.recipe.schedule, tick, TICKS, self.recipe.warmup)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * share
        self.optimizer.zero_grad(set_to_none=True)
        self.recipe.loss(self.model, next(self.batches)).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.steps += 1
        self.seconds += time.process_time() - start

    @torch.no_grad()
    def measure(self, windows: list[Tensor]) -> None:
        """Add the validation loss as it is now."""
        self.model.eval()
        losses = [self.recipe.loss(self.model, ids).item() for ids in windows]
        self.model.train()
        self.times.append(self.seconds)
        self.losses.append(sum(losses) / len(losses))

    def is_due(self) -> bool:
        """Whether the next of MEASUREMENTS, even in time, has come; the last is after the end."""
        return self.seconds >= self.limit * len(self.times) / MEASUREMENTS


def endless(windows: TokenWindows) -> Iterator[Tensor]:
    """Epoch after epoch."""
    for epoch in count():
        windows.set_epoch(epoch)
        yield from windows


def load_tokens() -> tuple[Tensor, Tensor]:
    """Training and validation part of WikiText-2 as ids."""
    folder = os.environ.get("COURSE_DATA_DIR")
    if not folder:
        raise SystemExit("set COURSE_DATA_DIR to the folder of the real data sets")
    path, end = Path(folder) / "wikitext-2", "<|endoftext|>"
    if not path.is_dir():
        raise SystemExit(f"COURSE_DATA_DIR={folder} has no folder wikitext-2")
    first = load_texts(path, max_bytes=TOKENIZER_BYTES).train
    choices = {"special_tokens": [end], "progress": False}
    tokenizer = BPETokenizer.train(first, SIZES["vocab_size"], **choices)
    data = load_texts(path)
    train, validation = (
        join_documents(map(tokenizer.encode, part), tokenizer.special_tokens[end])
        for part in (data.train, data.validation)
    )
    return train, validation


def train_all(runs: dict[str, Run], windows: list[Tensor]) -> None:
    """In turns, to the end of everybody's time."""
    for run in runs.values():
        run.measure(windows)
    while unfinished := [run for run in runs.values() if run.seconds < run.limit]:
        run = min(unfinished, key=lambda run: run.seconds)
        run.step()
        if run.is_due():
            run.measure(windows)
            print(f"{run.seconds:7.1f} s  {run.losses[-1]:.4f}  {run.name}", flush=True)


def compare(runs: dict[str, Run], points: int = MEASUREMENTS) -> list[dict[str, Any]]:
    """A row for each of so many times: everybody's loss then."""
    end = min(run.times[-1] for run in runs.values())
    return [
        {"CPU s": float(at)}
        | {name: float(np.interp(at, run.times, run.losses)) for name, run in runs.items()}
        for at in np.linspace(0, end, points + 1)[1:]
    ]


def verdict(rows: list[dict[str, Any]], other: str) -> str:
    """Whether ours is lower at every time after the first tenth, and by how much."""
    start = rows[-1]["CPU s"] / 10
    gaps = {row["CPU s"]: row[other] - row[OURS] for row in rows if row["CPU s"] > start}
    lower = sum(gap > 0 for gap in gaps.values())
    closest = min(gaps, key=gaps.get)
    return (
        f"ours is lower than {other} at {lower} of {len(gaps)} times after the first tenth "
        f"({'ALL' if lower == len(gaps) else 'NOT all'}); smallest gap {gaps[closest]:+.4f} nats "
        f"at {closest:.1f} s, at the end {list(gaps.values())[-1]:+.4f}"
    )


def summary(name: str, run: Run, goal: float) -> dict[str, Any]:
    """What a run made of its time; `goal` is a loss."""
    below = [at for at, loss in zip(run.times, run.losses, strict=True) if loss <= goal]
    return {
        "run": name,
        "steps": run.steps,
        "ms per step": round(1000 * run.seconds / run.steps, 1),
        "last loss": run.losses[-1],
        "perplexity": round(math.exp(run.losses[-1]), 1),
        "s to their best": round(below[0], 1) if below else "-",
    }


def draw(runs: dict[str, Run], path: Path) -> None:
    """The curves; the first tenth of the time, when all fall, is left out."""
    from course_utils.plotting import curves

    lines = {}
    for name, run in runs.items():
        shown = [k for k, at in enumerate(run.times) if at > run.limit / 10]
        lines[name] = ([run.times[k] for k in shown], [run.losses[k] for k in shown])
    labels = {"x_label": "training time (CPU s, 1 thread)", "y_label": "validation loss (nats)"}
    curves(lines, title="WikiText-2, after the first tenth", **labels).figure.savefig(path)


def main() -> None:
    """Train, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=180.0, help="of each run")
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-3, 3e-3], metavar="RATE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="picture to write, .svg or .png")
    options = parser.parse_args()
    if options.seconds <= 0:
        parser.error(f"--seconds are above 0, got {options.seconds}")
    torch.set_num_threads(1)
    train, validation = load_tokens()
    windows = TokenWindows(validation, SIZES["block_size"], BATCH, seed=1)
    windows = list(islice(windows, VALIDATION_BATCHES))
    seed_everything(options.seed)
    ours = GPT(GPTConfig(**SIZES)).train()
    runs = {}
    for name, recipe in recipes(options.rates).items():
        model = copy.deepcopy(ours) if name == OURS else to_gpt2(ours)
        Run(name, copy.deepcopy(model), recipe, train, 1.0).step()  # what only a first step pays
        runs[name] = Run(name, model, recipe, train, options.seconds)
    print(environment() | {"seed": options.seed, "parameters": parameter_count(ours)} | SIZES)
    print(f"{len(train):,} training tokens, {sum(w.numel() for w in windows):,} measured on")

    train_all(runs, windows)
    best = min((n for n in runs if "AdamW" in n), key=lambda name: runs[name].losses[-1])
    rows = compare(runs)
    print(table(rows))
    print(table([summary(name, run, runs[best].losses[-1]) for name, run in runs.items()]))
    for name in (best, *(n for n in runs if n not in (OURS, best))):
        print(("theirs at its best: " if name == best else "") + verdict(rows, name))
    if options.out:
        draw({name: runs[name] for name in (OURS, best, SAME)}, options.out)


if __name__ == "__main__":
    main()
