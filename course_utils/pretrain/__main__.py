"""Train a model for longer than a lesson waits, and write it as the folder that is shipped.

    python -m course_utils.pretrain gpt --out build/gpt
    python -m course_utils.pretrain bert --out build/bert
    python -m course_utils.pretrain vit --out build/vit
    torchrun --nproc-per-node 2 -m course_utils.pretrain gpt --out build/gpt

A training that was stopped goes on when the same command is given again. The folder holds
`model.safetensors` and `config.json`, which `pretrained.load_gpt2`, `load_bert` or `load_vit` opens
and `GPT2LMHeadModel`, `BertForMaskedLM` or `ViTForImageClassification` of `transformers` too; what
prepares texts or pictures, and a card, `README.md`. (`accelerate launch` with `--cpu` starts one
process only, whatever number it is given: use `torchrun`.)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields

import torch

from course_utils.pretrain import (
    BERTRecipe,
    GPTRecipe,
    ViTRecipe,
    pretrain_bert,
    pretrain_gpt,
    pretrain_vit,
)

MODELS = {
    "gpt": (pretrain_gpt, GPTRecipe),
    "bert": (pretrain_bert, BERTRecipe),
    "vit": (pretrain_vit, ViTRecipe),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m course_utils.pretrain", description="Train a model and write its folder."
    )
    commands = parser.add_subparsers(dest="model", required=True)
    for model, (_, recipe) in MODELS.items():
        options = commands.add_parser(model)
        options.add_argument("--out", required=True, help="folder of the result")
        if model != "vit":  # whose pictures are drawn
            text = '"embedded", "hub", or a folder'
            options.add_argument("--source", default="embedded", help=text)
        for field in fields(recipe):
            name, kind = "--" + field.name.replace("_", "-"), type(field.default)
            options.add_argument(name, type=kind, default=field.default, help=f"{field.default}")
    given = vars(parser.parse_args(arguments))
    pretrain, recipe = MODELS[given["model"]]
    try:
        history = pretrain(
            given["out"],
            **{name: given[name] for name in ("source",) if name in given},
            recipe=recipe(**{field.name: given[field.name] for field in fields(recipe)}),
            say=lambda line: print(line, flush=True),
        )
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    return 130 if history.interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
