"""What gets BERT off the plateau of word frequencies, and what each number of its masking does.

A BERT of two layers learns the embedded text. The first table starts from the recipe with which a
well-known tutorial pattern stalls (one paragraph a row, padded; 5e-5, the `Trainer`'s learning
rate; 15 % hidden) and changes one thing at a time; each row keeps the changes above it, except for
those that begin with "instead". The second table changes one number of the masking of the best
recipe. Every row gets the same number of token positions, padding counted, and is measured on the
same held-out windows: loss and accuracy at gaps, where [MASK] stands for every hidden word (so that
frequencies alone give the plateau exactly: where the word itself stands, it can be copied), and the
accuracy at places where another word stands, or the word itself, as 80/10/10 makes them.

    python benchmarks/bert_plateau.py [--positions 1200000] [--out data/measurements]

Writes `bert_plateau.json`, which lesson 5 shows.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from course_utils.batching import join_documents
from course_utils.datasets import load_texts
from course_utils.files import data_path
from course_utils.losses import masked_loss
from course_utils.masking import MaskedBatch, MaskedWindows, mask_tokens
from course_utils.models.bert import BERT, BERTConfig
from course_utils.models.neighbours import look_at_neighbours
from course_utils.optimizers import muon_and_adamw
from course_utils.reproducibility import seed_everything
from course_utils.show import table
from course_utils.tokenizers import WORDPIECE_SPECIALS, WordPieceTokenizer
from course_utils.training import fit

SIZES = {"block_size": 128, "num_layers": 2, "num_heads": 4, "d_model": 128, "dropout": 0.0}
CLS, SEP, MASK, PAD = map(WORDPIECE_SPECIALS.index, ("[CLS]", "[SEP]", "[MASK]", "[PAD]"))
SPECIAL = range(len(WORDPIECE_SPECIALS))
HELD_OUT = 20  # batches of 16 windows


@dataclass(frozen=True)
class Recipe:
    """How one row is trained."""

    packed: bool = False
    rate: float = 5e-5
    schedule: str = "linear"
    warmup: int = 0
    batch: int = 32
    length: int = 128
    muon: bool = False
    share: float = 0.15
    mask_share: float = 0.8
    random_share: float = 0.1
    start: str = "learned"  # or "neighbours", "rotary"


def recipes() -> tuple[dict[str, Recipe], dict[str, Recipe]]:
    """Rows of the two tables."""
    first = {"padded rows, rate 0.00005": (row := Recipe())}
    first["packed windows"] = (row := replace(row, packed=True))
    warm = {"rate": 1e-3, "schedule": "trapezoid", "warmup": 30}
    first["rate 0.001 with warm-up"] = (row := replace(row, **warm))
    first["30 % masked"] = (row := replace(row, share=0.3))
    first["batches of 16, not 32"] = (row := replace(row, batch=16))
    first["Muon for the matrices"] = (row := replace(row, muon=True, rate=0.005))
    first["windows of 32 tokens"] = replace(row, length=32, batch=64)
    first["positions that start large"] = (row := replace(row, start="neighbours"))
    first["instead: rotary positions"] = replace(row, start="rotary")
    second = {f"{share:.0%} masked": replace(row, share=share) for share in (0.05, 0.15, 0.3, 0.5)}
    row = replace(row, share=0.15)
    second["15 %, always [MASK]"] = replace(row, mask_share=1.0, random_share=0.0)
    second["15 %, 80/0/20"] = replace(row, random_share=0.0)
    second["15 %, 80/20/0"] = replace(row, random_share=0.2)
    return first, second


class PaddedRows:
    """Batches as the tutorial pattern makes them: a paragraph, cut at 128 tokens or padded."""

    def __init__(self, paragraphs: list[list[int]], recipe: Recipe, **masking: object) -> None:
        rows = [torch.tensor([CLS, *ids[: recipe.length - 2], SEP]) for ids in paragraphs]
        self.rows = torch.stack([F.pad(ids, (0, recipe.length - len(ids))) for ids in rows])
        self.batch, self.masking, self.epoch = recipe.batch, masking, 0

    def set_epoch(self, epoch: int) -> None:
        """Another order and other masks."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.rows) // self.batch

    def __iter__(self) -> Iterator[MaskedBatch]:
        draw = torch.Generator().manual_seed(self.epoch)
        order = torch.randperm(len(self.rows), generator=draw)
        for chosen in order[: len(self) * self.batch].split(self.batch):
            target = self.rows[chosen]
            ids, places = mask_tokens(target, generator=draw, **self.masking)
            yield MaskedBatch(ids, places, target, padding_mask=target != PAD)


def scores(gaps: list[MaskedBatch], mixed: list[MaskedBatch]) -> Callable[[BERT], dict[str, float]]:
    """Loss and accuracy at gaps; accuracy where no [MASK] stands."""

    def answers(model: BERT, batch: MaskedBatch) -> tuple[Tensor, Tensor, Tensor]:
        logits = model(batch.ids, places=batch.places).mlm_logits
        return logits, batch.target[batch.places], batch.ids[batch.places]

    @torch.no_grad()
    def measure(model: BERT) -> dict[str, float]:
        found: dict[str, list[Tensor]] = {n: [] for n in ("loss", "accuracy", "swapped", "kept")}
        for logits, right, _ in (answers(model, batch) for batch in gaps):
            found["loss"].append(F.cross_entropy(logits, right, reduction="none"))
            found["accuracy"].append(logits.argmax(dim=-1) == right)
        for logits, right, read in (answers(model, batch) for batch in mixed):
            hit = logits.argmax(dim=-1) == right
            found["swapped"].append(hit[(read != MASK) & (read != right)])
            found["kept"].append(hit[read == right])
        return {name: torch.cat(part).float().mean().item() for name, part in found.items()}

    return measure


def train(recipe: Recipe, ids: dict[str, Tensor], paragraphs: list, vocab: int, positions: int):
    """A model by one recipe, and its measurements."""
    hidden = {"mask_id": MASK, "vocab_size": vocab, "special_ids": SPECIAL}
    shares = {name: getattr(recipe, name) for name in ("share", "mask_share", "random_share")}
    windows = {"cls_id": CLS, "sep_id": SEP, **hidden}
    always = {"mask_share": 1.0, "random_share": 0.0}
    gaps = [*MaskedWindows(ids["validation"], 128, 16, **windows, **always)][:HELD_OUT]
    mixed = [*MaskedWindows(ids["validation"], 128, 16, **windows)][:HELD_OUT]
    seed_everything(0)
    kind = "rotary" if recipe.start == "rotary" else "learned"
    model = BERT(BERTConfig(vocab_size=vocab, positions=kind, **SIZES))
    if recipe.start == "neighbours":
        look_at_neighbours(model, size=0.5)
    batches = (
        MaskedWindows(ids["train"], recipe.length, recipe.batch, **windows, **shares)
        if recipe.packed
        else PaddedRows(paragraphs, recipe, **hidden, **shares)
    )
    muon = muon_and_adamw(model, recipe.rate, adamw_learning_rate=2 * recipe.rate)
    steps = positions // (recipe.batch * recipe.length)
    history = fit(
        model,
        batches,
        masked_loss,
        steps=steps,
        learning_rate=recipe.rate,
        optimizer=muon if recipe.muon else None,
        schedule=recipe.schedule,
        warmup_steps=recipe.warmup,
        evaluate=scores(gaps, mixed),
        evaluate_every=max(1, steps // 4),
        progress=False,
    )
    return history


def plateau(train_ids: Tensor, held_out: Tensor, vocab: int) -> float:
    """Cross-entropy of held-out ordinary tokens under the frequencies of the training text."""
    counts = torch.bincount(train_ids, minlength=vocab).double() + 1
    counts[: len(SPECIAL)] = 0
    logs = (counts / counts.sum()).log()
    return -logs[held_out[held_out >= len(SPECIAL)]].mean().item()


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--positions", type=int, default=1_200_000)
    parser.add_argument("--tokenizer", default=None, help="folder")
    parser.add_argument("--out", default=None, help="folder of the result")
    given = parser.parse_args()
    place = given.tokenizer or data_path("checkpoints", "bert")
    tokenizer = WordPieceTokenizer.load(Path(place, "tokenizer.json"))
    texts = load_texts()
    parts = {
        name: [*map(tokenizer.encode, getattr(texts, name))] for name in ("train", "validation")
    }
    ids = {name: join_documents(part, SEP) for name, part in parts.items()}
    paragraphs = [tokenizer.encode(line) for text in texts.train for line in text.split("\n")]
    vocab = len(tokenizer)
    result = {"positions": given.positions, "words": vocab, "threads": torch.get_num_threads()}
    result["plateau"] = plateau(ids["train"], ids["validation"], vocab)
    print(f"plateau: {result['plateau']:.3f} nats", flush=True)
    for name, rows in zip(("changes", "masking"), recipes(), strict=True):
        result[name] = []
        for title, recipe in rows.items():
            history = train(recipe, ids, paragraphs, vocab, given.positions)
            best = min(history.evaluations, key=lambda row: row["loss"])
            row = {key: best[key] for key in ("loss", "accuracy", "swapped", "kept")}
            row = {"recipe": title} | row | {"seconds": history.seconds}
            result[name].append(row | {"settings": asdict(recipe)})
            print(row, flush=True)
            if given.out:
                text = json.dumps(result, indent=1)
                Path(given.out, "bert_plateau.json").write_text(text + "\n", encoding="utf-8")
    for name in ("changes", "masking"):
        print(table([{k: v for k, v in row.items() if k != "settings"} for row in result[name]]))


if __name__ == "__main__":
    main()
