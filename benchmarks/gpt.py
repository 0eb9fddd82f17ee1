"""Lesson 4's GPT beside `transformers`' GPT2LMHeadModel: training steps, and writing with a cache.

Both have the same weights and get the same ids. Two tables, each from one run whose measurements
are interleaved, medians:
- a training step (forward, loss, backward): tokens per second;
- greedy writing of NEW_TOKENS tokens after a prompt of PROMPT tokens, ours with `GPT.generate`,
  theirs with `generate`, both with their caches; ours without one, too, as a comparison. Both write
  the same ids, which is checked.

CPU seconds with one thread, so that other programs on the machine count little; with more threads
seconds of the clock.

    python benchmarks/gpt.py [--rounds 15] [--threads 1] [--large]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch
from _timing import interleaved
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.models.gpt import GPT, GPTConfig
from course_utils.pretrained import to_gpt2
from course_utils.reproducibility import environment, seed_everything
from course_utils.show import table

LESSON = {"vocab_size": 2048, "block_size": 128, "num_layers": 4, "num_heads": 6, "d_model": 192}
MIDDLE = {"vocab_size": 4096, "block_size": 256, "num_layers": 6, "num_heads": 6, "d_model": 384}
SMALL = {"vocab_size": 50257, "block_size": 1024, "num_layers": 12, "num_heads": 12, "d_model": 768}
# Name: sizes, dropout, batch, length.
STEPS = {
    "lesson": (LESSON, 0.0, 8, 128),
    "lesson, dropout 0.1": (LESSON, 0.1, 8, 128),
    "d 384, 6 layers": (MIDDLE, 0.0, 4, 256),
}
# Name: sizes, batches.
WRITING = {"lesson": (LESSON, (1, 16)), "d 384, 6 layers": (MIDDLE, (1, 16))}
PROMPT, NEW_TOKENS = 16, 64


def our_step(model: GPT, ids: Tensor) -> None:
    """Forward, loss, backward."""
    logits = model(ids[:, :-1])
    F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
    model.zero_grad(set_to_none=True)


def their_step(model: nn.Module, ids: Tensor) -> None:
    """The same, with the labels where the library wants them."""
    read, answers = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    model(read, shift_labels=answers, labels=answers, use_cache=False).loss.backward()
    model.zero_grad(set_to_none=True)


def training(rounds: int, clock: Callable[[], float]) -> list[dict]:
    """Tokens per second of training steps."""
    rows = []
    for name, (sizes, dropout, batch, length) in STEPS.items():
        seed_everything(0)
        model = GPT(GPTConfig(**sizes, dropout=dropout)).train()
        theirs, ids = to_gpt2(model), torch.randint(sizes["vocab_size"], (batch, length + 1))
        calls = {"ours": partial(our_step, model, ids), "theirs": partial(their_step, theirs, ids)}
        seconds = interleaved(calls, rounds, clock)
        speeds = {f"{key}, tokens/s": round(batch * length / s) for key, s in seconds.items()}
        rows.append({"training": name} | speeds | {"ratio": seconds["theirs"] / seconds["ours"]})
    return rows


def writing(rounds: int, clock: Callable[[], float]) -> list[dict]:
    """Tokens per second of greedy writing."""
    rows = []
    for name, (sizes, batches) in WRITING.items():
        seed_everything(0)
        model = GPT(GPTConfig(**sizes)).eval()
        theirs = to_gpt2(model)
        for batch in batches:
            prompts = torch.randint(sizes["vocab_size"], (batch, PROMPT))
            choices = {"do_sample": False, "max_new_tokens": NEW_TOKENS}
            choices["attention_mask"] = torch.ones_like(prompts)
            calls = {
                "ours": partial(model.generate, prompts, NEW_TOKENS),
                "theirs": partial(theirs.generate, prompts, **choices),
                "no cache": partial(model.generate, prompts, NEW_TOKENS, cached=False),
            }
            assert calls["ours"]().ids == calls["theirs"]()[:, PROMPT:].tolist()
            seconds = interleaved(calls, max(3, rounds // 3), clock)
            count = batch * NEW_TOKENS
            speeds = {f"{key}, tokens/s": round(count / s, 1) for key, s in seconds.items()}
            ratio = {"ratio": seconds["theirs"] / seconds["ours"]}
            rows.append({"writing": name, "batch": batch} | speeds | ratio)
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--large", action="store_true", help="GPT-2 small, too")
    options = parser.parse_args()
    if options.large:
        STEPS["GPT-2 small"] = (SMALL, 0.0, 1, 128)
        WRITING["GPT-2 small"] = (SMALL, (1,))
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.threads == 1 else time.perf_counter
    print(environment())
    print(table(training(options.rounds, clock)), flush=True)
    print(table(writing(options.rounds, clock)))


if __name__ == "__main__":
    main()
