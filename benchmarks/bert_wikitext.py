"""Lesson 5's BERT and the seed course's learn to fill gaps in WikiText-2: loss by tokens read.

Same sizes: 2 layers, width 128, 30,522 pieces. The runs take turns, by the share of their work that
is done, so that all meet the same other load of the machine.
- "seed": `transformers`' BertForMaskedLM as that course trained it. One line = one row, cut or
  PADDED to 128, empty lines too; 32 rows; AdamW at 5e-5, linearly to 0 in 5 epochs; 15 % masked.
  The library scores all positions, here the masked ones only: the same loss, but fewer minutes.
- "ours": the same BERT, its heads set to look at neighbours; "ours, rotary" has rotary
  positions instead. Packed windows; a trapezoid; AdamW at 0.01, Muon at 0.005 (rotary: 0.01). As
  the rate falls, masked words go from 40 to 20 %, and dropout from 0 to 0.1 (Morerio et al. 2017,
  Curriculum Dropout). In training 3,000 random words stand, with a weight, for all that are neither
  frequent nor asked for (Jean et al. 2015, On Using Very Large Target Vocabulary): a third of the
  time.
Measured with 15 % masked, always the same masks, over all 30,522. Positions are all that a model
reads, padding too: so are the seed's own 4.9e9 (149,000 steps of 256 x 128). Minutes are CPU time
of the training steps alone.

WikiText-2's <unk> is [UNK] here and never asked for: spelt out, it would be three easy pieces. The
seed's 4.07 is a loss on its TRAINING text, raw, with bert-base-uncased's vocabulary. To compare:
its plateau, of who knows only how frequent words are, was 7.04; that of this text is printed.

    COURSE_DATA_DIR=... python benchmarks/bert_wikitext.py [--positions 5e6] [--out curve.svg]

Needs `wikitext-2` in the folder that COURSE_DATA_DIR names.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.batching import join_documents, pad
from course_utils.datasets.texts import load_texts
from course_utils.masking import MaskedBatch, MaskedWindows, mask_tokens
from course_utils.models.bert import BERT, BERTConfig
from course_utils.models.neighbours import look_at_neighbours
from course_utils.optimizers import muon_and_adamw
from course_utils.reproducibility import environment, parameter_count, seed_everything
from course_utils.schedules import schedule_factor
from course_utils.show import table
from course_utils.tokenizers import WORDPIECE_SPECIALS

VOCAB, LENGTH, BATCH = 30_522, 128, 32
SIZES = {"vocab_size": VOCAB, "block_size": LENGTH, "num_layers": 2, "num_heads": 4, "d_model": 128}
PAD, UNK, CLS, SEP, MASK = range(len(WORDPIECE_SPECIALS))
MASKING = {"mask_id": MASK, "vocab_size": VOCAB, "special_ids": range(len(WORDPIECE_SPECIALS))}
FREQUENT, OTHERS = 1000, 3000
SEED_POSITIONS, SEED_LOSS = 4.9e9, 4.07
OWN = f"the seed's own, training, after {SEED_POSITIONS:.1e}"
NAMES = {"learned": "ours", "rotary": "ours, rotary"}
Texts = dict[str, list[MaskedBatch]]  # what is measured on


class Text(NamedTuple):
    """A part of the data: as one stream, and as rows of one padded line each."""

    stream: Tensor
    rows: Tensor


@dataclass
class Run:
    """A model in training; `history` holds its losses by positions read."""

    model: nn.Module
    score: Callable[[MaskedBatch], Tensor]  # logits of the masked words, "N V"
    loss: Callable[[MaskedBatch], Tensor]
    optimizer: torch.optim.Optimizer
    batches: Iterator[MaskedBatch]
    steps: int
    factor: Callable[[int], float]  # of the learning rate
    adapt: Callable[[float], None] = lambda factor: None
    reads: Sequence[str] = ("held-out", "training")  # what it is measured on
    seconds: float = 0.0
    done: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.peaks = [group["lr"] for group in self.optimizer.param_groups]

    def step(self) -> None:
        """Train once, and count the time."""
        start, factor = time.process_time(), self.factor(self.done)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor
        self.adapt(factor)
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(next(self.batches)).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.done += 1
        self.seconds += time.process_time() - start

    @torch.no_grad()
    def measure(self, texts: Texts) -> dict[str, float]:
        """Its losses as they are now."""
        self.model.eval()
        row = {"positions": self.done * BATCH * LENGTH, "minutes": self.seconds / 60}
        for name in self.reads:
            answers = [batch.target[batch.places] for batch in texts[name]]
            pairs = zip(texts[name], answers, strict=True)
            sums = [F.cross_entropy(self.score(b), words, reduction="sum") for b, words in pairs]
            row[name] = (sum(sums) / sum(map(len, answers))).item()
        self.model.train()
        return row

    def reached(self, text: str, goal: float) -> dict[str, Any]:
        """Where a loss was reached, straight between two measurements; "-" for never."""
        found, below = ["-"] * 3, [k for k, row in enumerate(self.history) if row[text] <= goal]
        if below:
            old, new = self.history[below[0] - 1 : below[0] + 1]
            part = (old[text] - goal) / (old[text] - new[text])
            read, minutes = (old[k] + part * (new[k] - old[k]) for k in ("positions", "minutes"))
            found = [f"{read:,.0f}", round(minutes, 1), f"{100 * read / SEED_POSITIONS:.3f}"]
        return dict(zip(("positions", "minutes", "% of the seed's positions"), found, strict=True))


def windows(text: Text, seed: int) -> MaskedWindows:
    """Packed windows, 15 % masked."""
    return MaskedWindows(text.stream, LENGTH, BATCH, seed=seed, cls_id=CLS, sep_id=SEP, **MASKING)


def endless(batches: MaskedWindows) -> Iterator[MaskedBatch]:
    """Epoch after epoch."""
    for epoch in count():
        batches.set_epoch(epoch)
        yield from batches


def padded_lines(rows: Tensor, seed: int) -> Iterator[MaskedBatch]:
    """The seed's batches, epoch after epoch."""
    random = torch.Generator().manual_seed(seed)
    while True:
        for some in torch.randperm(len(rows), generator=random).split(BATCH):
            ids, places = mask_tokens(rows[some], **MASKING, generator=random)
            yield MaskedBatch(ids, places, rows[some], padding_mask=rows[some] != PAD)


def load_data() -> tuple[Text, Text]:
    """Training and validation part of WikiText-2 as ids; the vocabulary is learned on the first."""
    from tokenizers import BertWordPieceTokenizer

    path = Path(os.environ.get("COURSE_DATA_DIR", "")) / "wikitext-2"
    if not path.is_dir():
        raise SystemExit(f"COURSE_DATA_DIR names a folder that has wikitext-2; there is no {path}")
    data, tokenizer = load_texts(path), BertWordPieceTokenizer(lowercase=True)
    parts = [[t.replace("<unk>", "[UNK]") for t in part] for part in (data.train, data.validation)]
    tokenizer.train_from_iterator(parts[0], VOCAB, min_frequency=1, show_progress=False)
    assert tokenizer.get_vocab_size() == VOCAB and tokenizer.token_to_id("[MASK]") == MASK

    def ids(texts: list[str]) -> list[list[int]]:
        return [found.ids for found in tokenizer.encode_batch(texts, add_special_tokens=False)]

    def text(documents: list[str]) -> Text:
        lines = ids([line for document in documents for line in document.split("\n")])
        rows, _ = pad([[CLS, *line[: LENGTH - 2], SEP] for line in lines], PAD)
        return Text(join_documents(ids(documents), SEP), rows)

    return text(parts[0]), text(parts[1])


def sampled_loss(model: BERT, frequent: Tensor, batch: MaskedBatch) -> Tensor:
    """Loss of the masked words; the weight makes the mean of the sum that of the whole."""
    asked = batch.target[batch.places]
    exact = torch.zeros(VOCAB, dtype=torch.bool)
    exact[frequent] = exact[asked] = True
    sure, rest = exact.nonzero().flatten(), (~exact).nonzero().flatten()
    words = torch.cat([sure, rest[torch.randint(len(rest), (OTHERS,))]])
    weight = torch.zeros(len(words))
    weight[len(sure) :] = math.log(len(rest) / OTHERS)
    hidden = model.encoder(batch.ids)[batch.places]
    hidden = model.mlm_norm(F.gelu(model.mlm_dense(hidden)))
    logits = F.linear(hidden, model.encoder.words.weight[words], model.mlm_bias[words] + weight)
    return F.cross_entropy(logits, torch.searchsorted(sure, asked))


def our_run(kind: str, steps: int, train: Text) -> Run:
    """The course's recipe; `kind` is "learned" or "rotary"."""
    model = BERT(BERTConfig(**SIZES, dropout=0.0, positions=kind)).train()
    if kind == "learned":
        look_at_neighbours(model)
    batches, inner = windows(train, seed=0), ".feed_forward.dropout"  # BERT has none there
    dropouts = [m for n, m in model.named_modules() if n.endswith("dropout") and inner not in n]

    def score(batch: MaskedBatch) -> Tensor:
        return model(batch.ids, places=batch.places).mlm_logits

    def adapt(factor: float) -> None:
        batches.masking["share"] = 0.2 + 0.2 * factor
        for layer in dropouts:
            layer.p = 0.1 * (1 - factor)

    frequent = torch.bincount(train.stream, minlength=VOCAB).argsort(descending=True)[:FREQUENT]
    rate = 0.005 if kind == "learned" else 0.01  # at 0.01 upper heads lose their neighbours
    optimizer = muon_and_adamw(model, rate, adamw_learning_rate=0.01)
    loss = partial(sampled_loss, model, frequent)
    factor = partial(schedule_factor, "trapezoid", total_steps=steps, warmup_steps=min(30, steps))
    return Run(model, score, loss, optimizer, endless(batches), steps, factor, adapt)


def seed_run(steps: int, train: Text) -> Run:
    """The seed course's recipe."""
    from transformers import BertConfig, BertForMaskedLM

    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"intermediate_size": 512, "max_position_embeddings": LENGTH, "vocab_size": VOCAB}
    model = BertForMaskedLM(BertConfig(**sizes)).train()

    def score(batch: MaskedBatch) -> Tensor:
        mask = None if batch.padding_mask is None else batch.padding_mask.long()
        return model.cls(model.bert(batch.ids, mask).last_hidden_state[batch.places])

    def loss(batch: MaskedBatch) -> Tensor:
        return F.cross_entropy(score(batch), batch.target[batch.places])

    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.0)
    batches, reads = padded_lines(train.rows, 0), ("held-out", "training", "padded lines")
    factor = partial(schedule_factor, "linear", total_steps=5 * math.ceil(len(train.rows) / BATCH))
    return Run(model, score, loss, optimizer, batches, steps, factor, reads=reads)


def fixed_batches(train: Text, held_out: Text, number: int) -> Texts:
    """What is measured on: always the same masks."""
    sources = {"held-out": windows(held_out, 1), "training": windows(train, 1)}
    sources["padded lines"] = padded_lines(held_out.rows, 1)
    return {text: list(islice(batches, number)) for text, batches in sources.items()}


def train_all(runs: dict[str, Run], texts: Texts) -> None:
    """In turns, to the end of everybody's steps, measuring now and then."""
    most = max(run.steps for run in runs.values()) * BATCH * LENGTH
    points = [1e6, 2e6, 4e6, 10e6, *np.geomspace(1e5, most, 22)]
    due = {math.ceil(point / (BATCH * LENGTH)) for point in points}
    for run in runs.values():
        run.history.append(run.measure(texts))
    while unfinished := [name for name, run in runs.items() if run.done < run.steps]:
        name = min(unfinished, key=lambda name: runs[name].done / runs[name].steps)
        run = runs[name]
        run.step()
        if run.done == run.steps or run.done in due:
            run.history.append(run.measure(texts))
            print(name, {k: round(v, 4) for k, v in run.history[-1].items()}, flush=True)


def unigram_loss(train: Text, batches: list[MaskedBatch]) -> float:
    """Of who knows how often each word stands in the training text (one is added to each)."""
    counts = torch.bincount(train.stream, minlength=VOCAB)[MASK + 1 :] + 1.0
    surprise = F.pad(-(counts / counts.sum()).log(), (MASK + 1, 0))
    return surprise[torch.cat([b.target[b.places] for b in batches])].mean().item()


def draw(runs: dict[str, Run], plateau: float, path: Path) -> None:
    """Held-out losses over positions, and those on training text, dashed."""
    from course_utils.plotting import curves

    lines = {"held-out": {}, "training": {}}
    for text, found in lines.items():
        for name, run in runs.items():
            read = [row["positions"] / 1e6 for row in run.history[1:]]
            found[f"{name}, {text}"] = (read, [row[text] for row in run.history[1:]])
    labels = {"x_label": "token positions read (millions)", "y_label": "masked words' loss (nats)"}
    ax = curves(lines["held-out"], dashed=lines["training"], markers=False, **labels)
    ax.set_xscale("log")
    ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20]
    ax.set_xticks(ticks, map(str, ticks))
    ax.minorticks_off()
    for loss, text, side in ((plateau, "frequencies alone", "right"), (SEED_LOSS, OWN, "left")):
        ax.axhline(loss, color="grey", linestyle=":")
        ax.text({"left": 0.1, "right": 20}[side], loss, text, va="bottom", ha=side)
    ax.figure.savefig(path)


def main() -> None:
    """Train, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--positions", type=float, default=5e6, help="that each of ours reads")
    parser.add_argument("--seed-positions", type=float, default=1e6, help="that the seed's reads")
    parser.add_argument("--kinds", nargs="+", choices=NAMES, default=[*NAMES], help="of ours")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="picture to write, .svg or .png")
    options = parser.parse_args()
    if min(options.positions, options.seed_positions) <= 0:
        parser.error("--positions and --seed-positions are above 0")
    torch.set_num_threads(1)
    train, held_out = load_data()
    texts, last = fixed_batches(train, held_out, 15), fixed_batches(train, held_out, 60)
    seed_everything(options.seed)
    steps = math.ceil(options.positions / (BATCH * LENGTH))
    runs = {NAMES[kind]: our_run(kind, steps, train) for kind in options.kinds}
    runs["seed"] = seed_run(math.ceil(options.seed_positions / (BATCH * LENGTH)), train)
    print(environment() | vars(options) | SIZES)
    print({name: f"{parameter_count(run.model):,} parameters" for name, run in runs.items()})
    asked = {text: int(sum(b.places.sum() for b in found)) for text, found in last.items()}
    print(f"{len(train.stream):,} training tokens; masked tokens of the last measurement: {asked}")
    plateaus = {text: unigram_loss(train, batches) for text, batches in last.items()}
    print("frequencies alone:", {text: round(loss, 4) for text, loss in plateaus.items()})

    train_all(runs, texts)
    if options.out:
        draw(runs, plateaus["held-out"], options.out)
    for name, run in runs.items():
        print(name, "at last:", {k: round(v, 4) for k, v in run.measure(last).items()})
    rows = [
        {"run": name, "loss on": text, "goal": goal} | run.reached(text, goal)
        for name, run in runs.items()
        for text in run.reads
        for goal in (6.0, 5.0, SEED_LOSS)
    ]
    print(table(rows))
    print(f"{OWN}: {SEED_LOSS}")


if __name__ == "__main__":
    main()
