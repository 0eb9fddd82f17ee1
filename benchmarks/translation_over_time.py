"""The transformer against lesson 1's models on real sentences, over training times.

Each row is a new model whose schedule is made for its time: a short trial measures the seconds of
a step, then as many steps as fit are trained, and the learning rate falls to zero at their end.
Times are CPU seconds of this process in training alone (building batches, forward, backward,
optimizer), so that other programs on the machine count little; with more than one thread the
seconds of all threads add up. Scores are of the weights after the last step, greedy, on the test
part. The transformer's settings were chosen on a part of the training pairs that was held out.

    COURSE_DATA_DIR=... python benchmarks/translation_over_time.py [--times 15 30] [--seed 1]

Needs `tatoeba_eng_fra/statement_task` in the folder that COURSE_DATA_DIR names.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from _real_pairs import (
    LOSS,
    SEQ2SEQ_BATCH,
    SEQ2SEQ_RATES,
    SEQ2SEQ_WARMUP,
    RealPairs,
    load_real_pairs,
    seq2seq,
)
from torch import nn

from course_utils.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from course_utils.reproducibility import environment, parameter_count, seed_everything
from course_utils.show import table
from course_utils.training import fit
from course_utils.translator import Translator, length_batches

TIMES = (15, 30, 60, 120, 240)
TRIAL_STEPS = 50
TRANSFORMER = {"d_model": 120, "d_ff": 240, "dropout": 0.0}


class Recipe(NamedTuple):
    """How one of the models is made and trained."""

    build: Callable[[RealPairs], nn.Module]
    batch_size: int
    rates: dict[str, Any]


def transformer(pairs: RealPairs, **choices: Any) -> EncoderDecoder:
    """A new transformer with about as many parameters as lesson 1's models."""
    source, target = map(len, pairs.tokenizers)
    config = EncoderDecoderConfig(source_vocab=source, target_vocab=target, **choices)
    return EncoderDecoder(config)


RECIPES = {
    "transformer": Recipe(partial(transformer, **TRANSFORMER), 64, {"learning_rate": 5e-3}),
    "bahdanau": Recipe(partial(seq2seq, order="bahdanau"), SEQ2SEQ_BATCH, SEQ2SEQ_RATES),
    "luong": Recipe(partial(seq2seq, order="luong"), SEQ2SEQ_BATCH, SEQ2SEQ_RATES),
}


def train(recipe: Recipe, pairs: RealPairs, batches, steps: int, seed: int):
    """A new model after so many steps, and the CPU seconds that they took."""
    seed_everything(seed)
    model = recipe.build(pairs)
    start = time.process_time()
    warmup = min(SEQ2SEQ_WARMUP, steps // 5)
    choices = {"warmup_steps": warmup, "seed": seed, "progress": False}
    fit(model, batches, LOSS, steps=steps, **choices, **recipe.rates)
    return model, time.process_time() - start


def measure(recipe: Recipe, pairs: RealPairs, seconds: float, seed: int) -> dict[str, Any]:
    """Train for about so many seconds, and score."""
    batches = length_batches(pairs.train, *pairs.tokenizers, recipe.batch_size, seed=seed)
    _, trial = train(recipe, pairs, batches, TRIAL_STEPS, seed)
    steps = max(1, round(seconds * TRIAL_STEPS / trial))
    model, spent = train(recipe, pairs, batches, steps, seed)
    score = Translator(model, *pairs.tokenizers).score(pairs.test)
    return {
        "time": seconds,
        "CPU s": round(spent, 1),
        "steps": steps,
        "epochs": round(steps / len(batches), 1),
        "BLEU": round(score["bleu"], 1),
        "exact": round(score["exact"], 3),
        "parameters": parameter_count(model),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=float, nargs="+", default=TIMES, metavar="SECONDS")
    parser.add_argument("--models", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if min(options.times) <= 0:
        parser.error(f"--times are seconds above 0, got {options.times}")
    torch.set_num_threads(options.threads)
    pairs = load_real_pairs()
    print(environment() | {"seed": options.seed, "pairs": len(pairs.train)})
    measure(RECIPES[options.models[0]], pairs, 0.1, options.seed)  # what only the first one pays
    rows = []
    for seconds in options.times:
        for name in options.models:  # in turn: all meet the same other load of the machine
            row = measure(RECIPES[name], pairs, seconds, options.seed)
            rows.append({"model": name} | row)
            print(rows[-1], flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
