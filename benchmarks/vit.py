"""Lesson 6's vision transformer: a training step beside transformers' `ViTForImageClassification`.

One thread; CPU seconds, so that other programs on the machine count little. Both have the same
sizes and the same weights; their steps (forward, loss, backward) are interleaved, medians.

    python benchmarks/vit.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from _timing import interleaved
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.models.vit import ViT, ViTConfig
from course_utils.pretrained import to_vit
from course_utils.reproducibility import environment, seed_everything
from course_utils.show import table

# Name: sizes of the model, batch.
STEPS = {
    "digits, 8 x 8": (
        {"image_size": 8, "patch_size": 2, "channels": 1, "d_model": 64, "num_layers": 4},
        64,
    ),
    "CIFAR-10, 32 x 32": ({"image_size": 32, "patch_size": 4, "d_model": 96, "num_layers": 4}, 64),
    "DeiT tiny, 224 x 224": (
        {"image_size": 224, "patch_size": 16, "d_model": 192, "num_layers": 12, "num_heads": 3},
        4,
    ),
}


def step_of(
    model: nn.Module, answer: Callable[[Tensor], Tensor], pictures: Tensor, labels: Tensor
) -> Callable[[], None]:
    """One training step without the optimizer, which is the same for both."""

    def step() -> None:
        F.cross_entropy(answer(pictures), labels).backward()
        model.zero_grad(set_to_none=True)

    return step


def training_steps(rounds: int) -> list[dict]:
    """Ours beside the library's, in three sizes, without and with dropout."""
    rows = []
    for name, (sizes, batch) in STEPS.items():
        for dropout in (0.0, 0.1):
            seed_everything(0)
            config = {"num_classes": 10, "num_heads": 4, "dropout": dropout} | sizes
            ours = ViT(ViTConfig(**config)).train()
            theirs = to_vit(ours)
            channels, side = ours.config.channels, ours.config.image_size
            data = torch.randn(batch, channels, side, side), torch.randint(10, (batch,))
            calls = {
                "ours": step_of(ours, ours, *data),
                "library": step_of(theirs, lambda x, theirs=theirs: theirs(x).logits, *data),
            }
            seconds = interleaved(calls, rounds, time.process_time)
            rows.append(
                {"step": f"{name}, dropout {dropout}"}
                | {f"{key}, pictures/s": round(batch / s) for key, s in seconds.items()}
                | {"ratio": seconds["library"] / seconds["ours"]}
            )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(environment())
    print(table(training_steps(options.rounds)), flush=True)


if __name__ == "__main__":
    main()
