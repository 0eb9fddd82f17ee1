"""What the benchmarks on real sentences share: the pairs, and lesson 1's models as tuned for them.

Needs `tatoeba_eng_fra/statement_task` in the folder that COURSE_DATA_DIR names.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from course_utils.datasets.folder import read_pairs
from course_utils.datasets.pairs import TranslationPair
from course_utils.losses import translation_loss
from course_utils.models.seq2seq import Seq2Seq, Seq2SeqConfig
from course_utils.tokenizers import WordTokenizer

SCORES = {"bahdanau": "additive", "luong": "bilinear"}  # lesson 1's two orders
SEQ2SEQ_BATCH, SEQ2SEQ_WARMUP = 32, 100
SEQ2SEQ_RATES: dict[str, Any] = {"learning_rate": 4e-3, "learning_rate_scales": {"embedding": 5.0}}
LOSS = translation_loss(label_smoothing=0.1)


class RealPairs(NamedTuple):
    """French to English: the pairs to learn from, those to score on, and the vocabularies."""

    train: list[TranslationPair]
    test: list[TranslationPair]
    tokenizers: tuple[WordTokenizer, WordTokenizer]


def load_real_pairs() -> RealPairs:
    """Training and test part of the statement task, and a vocabulary of each language."""
    folder = os.environ.get("COURSE_DATA_DIR")
    if not folder:
        raise SystemExit("set COURSE_DATA_DIR to the folder of the real data sets")
    task = Path(folder) / "tatoeba_eng_fra" / "statement_task"
    return real_pairs(*(_read(task / f"{part}.tsv") for part in ("train", "test")))


def real_pairs(train: list[TranslationPair], test: list[TranslationPair]) -> RealPairs:
    """Two parts, and the vocabularies of the first."""
    source = WordTokenizer.train(pair.source for pair in train)
    return RealPairs(train, test, (source, WordTokenizer.train(pair.target for pair in train)))


def seq2seq(pairs: RealPairs, order: str) -> Seq2Seq:
    """A new model of lesson 1 in the sizes that did best on these pairs."""
    source, target = pairs.tokenizers
    config = Seq2SeqConfig(
        source_vocab=len(source),
        target_vocab=len(target),
        d_encoder=128,
        attention=SCORES[order],
        order=order,
        dropout=0.2,
    )
    return Seq2Seq(config)


def _read(path: Path) -> list[TranslationPair]:
    return [TranslationPair(source, target) for source, target in read_pairs(path, ("fr", "en"))]
