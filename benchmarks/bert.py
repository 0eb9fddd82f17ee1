"""Lesson 5's BERT beside `transformers`: training steps, and hiding words.

Each from one run whose measurements are interleaved, medians:
- a training step (forward, loss on the masked words, backward), tokens per second: `BERT` with the
  output layer at the masked places only, beside `BertForMaskedLM` with the same weights and the
  same batch; their losses are equal, which is checked;
- masking a million tokens: `mask_tokens` beside `DataCollatorForLanguageModeling`, as it is used
  (rows of ids; it finds the special tokens by itself), with the special tokens of each row marked
  beforehand, and with all that can be prepared (one tensor, marked): its `torch_mask_tokens` alone.

CPU seconds with one thread, so that other programs on the machine count little; with more threads
seconds of the clock.

    python benchmarks/bert.py [--rounds 15] [--threads 1] [--large]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from _timing import interleaved
from torch import Tensor, nn

from course_utils.losses import masked_loss
from course_utils.masking import MaskedBatch, mask_tokens
from course_utils.models.bert import BERT, BERTConfig
from course_utils.pretrained import to_bert
from course_utils.reproducibility import environment, seed_everything
from course_utils.show import table
from course_utils.tokenizers import WORDPIECE_SPECIALS

SPECIAL = range(len(WORDPIECE_SPECIALS))
PAD, MASK = WORDPIECE_SPECIALS.index("[PAD]"), WORDPIECE_SPECIALS.index("[MASK]")
LESSON = {"vocab_size": 4096, "block_size": 128, "num_layers": 2, "num_heads": 2, "d_model": 128}
SEED = LESSON | {"vocab_size": 30522}
MIDDLE = {"vocab_size": 8192, "block_size": 128, "num_layers": 6, "num_heads": 6, "d_model": 384}
BASE = {"vocab_size": 30522, "block_size": 512, "num_layers": 12, "num_heads": 12, "d_model": 768}
# Name: sizes, dropout, batch, length.
STEPS = {
    "lesson": (LESSON, 0.0, 8, 128),
    "lesson, dropout 0.1": (LESSON, 0.1, 8, 128),
    "seed course's sizes": (SEED, 0.0, 8, 128),
    "d 384, 6 layers": (MIDDLE, 0.0, 4, 128),
}
VOCAB, ROWS, LENGTH = 30522, 7813, 128  # a million tokens


def our_step(model: BERT, batch: MaskedBatch) -> float:
    """Forward, loss, backward."""
    loss = masked_loss(model, batch)
    loss.backward()
    model.zero_grad(set_to_none=True)
    return loss.item()


def their_step(model: nn.Module, ids: Tensor, labels: Tensor) -> float:
    """The same, with the labels as the library's collator makes them."""
    loss = model(input_ids=ids, labels=labels).loss
    loss.backward()
    model.zero_grad(set_to_none=True)
    return loss.item()


def training(rounds: int, clock: Callable[[], float]) -> list[dict]:
    """Tokens per second of training steps."""
    rows = []
    for name, (sizes, dropout, batch_size, length) in STEPS.items():
        seed_everything(0)
        model = BERT(BERTConfig(**sizes, dropout=dropout))
        theirs = to_bert(model, "masked")
        target = torch.randint(len(SPECIAL), sizes["vocab_size"], (batch_size, length))
        choices = {"mask_id": MASK, "vocab_size": sizes["vocab_size"], "special_ids": SPECIAL}
        ids, places = mask_tokens(target, **choices)
        ours = partial(our_step, model, MaskedBatch(ids, places, target))
        their = partial(their_step, theirs, ids, target.masked_fill(~places, -100))
        assert dropout or abs(ours() - their()) < 1e-4
        seconds = interleaved({"ours": ours, "theirs": their}, rounds, clock)
        count = batch_size * length
        speeds = {f"{key}, tokens/s": round(count / s) for key, s in seconds.items()}
        rows.append({"training": name} | speeds | {"ratio": seconds["theirs"] / seconds["ours"]})
    return rows


def tokenizer() -> object:
    """A tokenizer of the library that knows the special tokens and some thousand others."""
    from transformers import BertTokenizerFast

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vocab.txt"
        words = [f"w{index}" for index in range(VOCAB - len(SPECIAL))]
        file.write_text("\n".join([*WORDPIECE_SPECIALS, *words]), encoding="utf-8")
        return BertTokenizerFast.from_pretrained(folder)


def masking(rounds: int, clock: Callable[[], float]) -> list[dict]:
    """Milliseconds for a million tokens."""
    from transformers import DataCollatorForLanguageModeling

    seed_everything(0)
    knows = tokenizer()
    assert len(knows) == VOCAB and knows.mask_token_id == MASK
    collator = DataCollatorForLanguageModeling(knows, seed=0)
    ids = torch.randint(VOCAB, (ROWS, LENGTH))
    special = ids < len(SPECIAL)
    rows = [{"input_ids": row} for row in ids.tolist()]
    marked = [
        row | {"special_tokens_mask": marks.tolist()}
        for row, marks in zip(rows, special.long(), strict=True)
    ]
    choices = {"mask_id": MASK, "vocab_size": VOCAB, "special_ids": SPECIAL}
    collator.create_rng()
    calls = {
        "ours": partial(mask_tokens, ids, **choices, generator=torch.Generator()),
        "collator": partial(collator, rows),
        "collator, marked rows": partial(collator, marked),
        "collator, its masking alone": lambda: collator.torch_mask_tokens(ids.clone(), special),
    }
    seconds = interleaved(calls, rounds, clock)
    return [
        {"masking": name, "ms": 1000 * s, "times ours": s / seconds["ours"]}
        for name, s in seconds.items()
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--large", action="store_true", help="BERT base, too")
    options = parser.parse_args()
    if options.large:
        STEPS["BERT base"] = (BASE, 0.0, 1, 128)
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.threads == 1 else time.perf_counter
    print(environment())
    print(table(masking(options.rounds, clock)), flush=True)
    print(table(training(options.rounds, clock)))


if __name__ == "__main__":
    main()
