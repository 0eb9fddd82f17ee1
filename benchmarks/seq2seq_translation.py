"""Lesson 1's translator against a plain step-by-step one, on real sentences, in one run.

The plain one follows the procedure that most tutorials of this task share: sources filled up with
padding to 10 and read without a mask, a decoder that attends and steps ten times whatever the
length, a loss that counts the padding, batch 32, Adam at 1e-3 for 80 epochs. It is trained for
`--plain-epochs` epochs and its time for 80 is extrapolated from their median; with
`--plain-epochs 80` it is trained to its end and scored, once on sources without padding (as such
tutorials do) and once with the padding that it was trained on.

    COURSE_DATA_DIR=... python benchmarks/seq2seq_translation.py [--plain-epochs 80] [--threads 2]

Needs `tatoeba_eng_fra/statement_task` in the folder that COURSE_DATA_DIR names.
"""

from __future__ import annotations

import argparse
import statistics
import time

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
from torch import Tensor, nn

from course_utils.datasets.translation import references_by_source
from course_utils.metrics import bleu, exact_match
from course_utils.reproducibility import environment, parameter_count, seed_everything
from course_utils.show import table
from course_utils.tokenizers import BOS, EOS
from course_utils.training import fit
from course_utils.translator import Translator, encode_pairs, length_batches

LENGTH, WIDTH, PLAIN_TOTAL_EPOCHS = 10, 128, 80

# Name: order, epochs. The long runs show the quality, the
# short ones the time to the plain translator's BLEU.
OURS = {
    "Bahdanau, short": ("bahdanau", 3),
    "Bahdanau, long": ("bahdanau", 8),
    "Luong, short": ("luong", 3),
    "Luong, long": ("luong", 6),
}


class PlainTranslator(nn.Module):
    """GRU encoder, additive attention over all positions, one GRU step per target position."""

    def __init__(self, source_vocab: int, target_vocab: int) -> None:
        super().__init__()
        self.read_embedding = nn.Embedding(source_vocab, WIDTH)
        self.reader = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.write_embedding = nn.Embedding(target_vocab, WIDTH)
        self.from_state, self.from_memory = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.to_score = nn.Linear(WIDTH, 1)
        self.writer = nn.GRU(2 * WIDTH, WIDTH, batch_first=True)
        self.output = nn.Linear(WIDTH, target_vocab)
        self.dropout = nn.Dropout(0.1)

    def forward(self, source: Tensor, target: Tensor | None = None) -> Tensor:
        """Log-probabilities "B 10 V"; without a target it reads its own best words."""
        memory, state = self.reader(self.dropout(self.read_embedding(source)))
        word = torch.full((len(source), 1), BOS)
        steps = []
        for position in range(LENGTH):
            hidden = torch.tanh(self.from_state(state.transpose(0, 1)) + self.from_memory(memory))
            weights = self.to_score(hidden).transpose(1, 2).softmax(dim=-1)
            embedded = self.dropout(self.write_embedding(word))
            output, state = self.writer(torch.cat([embedded, weights @ memory], dim=2), state)
            steps.append(self.output(output))
            word = steps[-1].argmax(-1) if target is None else target[:, position : position + 1]
        return torch.cat(steps, dim=1).log_softmax(dim=-1)


def padded(rows: list[list[int]]) -> Tensor:
    """Rows with an end token, filled up to LENGTH with zeros."""
    return torch.tensor([[*row, EOS, *[0] * (LENGTH - 1 - len(row))] for row in rows])


def plain_epoch(model: PlainTranslator, optimizer, data: tuple[Tensor, Tensor]) -> float:
    """One epoch in random batches of 32; returns its seconds."""
    start = time.perf_counter()
    model.train()
    for rows in torch.randperm(len(data[0])).split(32):
        source, target = data[0][rows], data[1][rows]
        loss = nn.functional.nll_loss(model(source, target).flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - start


@torch.no_grad()
def plain_score(model, references, source_tokenizer, target_tokenizer, *, pad: bool) -> dict:
    """BLEU and exact match, with or without the padding of the training."""
    model.eval()
    found = []
    sentences, several = references
    for sentence in sentences:
        ids = source_tokenizer.encode(sentence)
        source = padded([ids]) if pad else torch.tensor([[*ids, EOS]])
        words = model(source)[0].argmax(-1).tolist()
        found.append(target_tokenizer.decode(words[: words.index(EOS)] if EOS in words else words))
    return {"bleu": bleu(found, several), "exact": exact_match(found, several)}


def train_ours(name: str, pairs: RealPairs, seed: int) -> dict:
    """Train one of OURS, scoring each epoch; seconds are those of training alone."""
    order, epochs = OURS[name]
    seed_everything(seed)
    model = seq2seq(pairs, order)
    translator = Translator(model, *pairs.tokenizers)
    history = fit(
        model,
        length_batches(pairs.train, *pairs.tokenizers, SEQ2SEQ_BATCH, seed=seed),
        LOSS,
        epochs=epochs,
        warmup_steps=SEQ2SEQ_WARMUP,
        evaluate=lambda _: translator.score(pairs.test),
        monitor="bleu",
        higher_is_better=True,
        seed=seed,
        description=name,
        **SEQ2SEQ_RATES,
    )
    last = history.evaluations[-1]
    return {"parameters": parameter_count(model), "epochs": epochs} | last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plain-epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pairs = load_real_pairs()
    train, test, tokenizers = pairs
    print(environment() | {"threads": options.threads, "pairs": len(train), "test": len(test)})

    encoded = encode_pairs(train, *tokenizers)
    data = padded([source for source, _ in encoded]), padded([target for _, target in encoded])
    seed_everything(options.seed)
    plain = PlainTranslator(len(tokenizers[0]), len(tokenizers[1]))
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-3)
    seconds = [plain_epoch(plain, optimizer, data)]
    results = {}
    for name in OURS:  # in turn with plain epochs: both meet the same other load of the machine
        results[name] = train_ours(name, pairs, options.seed)
        print(name, results[name], flush=True)
        if len(seconds) < options.plain_epochs:
            seconds.append(plain_epoch(plain, optimizer, data))
    while len(seconds) < options.plain_epochs:
        seconds.append(plain_epoch(plain, optimizer, data))
    epoch = statistics.median(seconds)
    whole = PLAIN_TOTAL_EPOCHS * epoch
    note = "measured" if options.plain_epochs >= PLAIN_TOTAL_EPOCHS else "extrapolated"
    print(f"plain: {epoch:.1f} s an epoch, {whole:.0f} s for {PLAIN_TOTAL_EPOCHS} ({note})")
    references = references_by_source(test)
    for pad in (False, True):
        score = plain_score(plain, references, *tokenizers, pad=pad)
        print(f"plain after {len(seconds)} epochs, padding when used: {pad}: {score}")
    rows = [
        {"run": name, **{k: r[k] for k in ("epochs", "seconds", "bleu", "exact")},
         "share of the plain time": r["seconds"] / whole}
        for name, r in results.items()
    ]  # fmt: skip
    print(table(rows))


if __name__ == "__main__":
    main()
