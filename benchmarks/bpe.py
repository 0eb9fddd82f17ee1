"""Lesson 3's byte-pair encoding beside the library `tokenizers`, and beside the plain algorithm.

One thread each; CPU seconds, so that other programs on the machine count little. On the embedded
documentation, and on WikiText-2 where COURSE_DATA_DIR names the folder of the real data sets. All
tables come from one run, medians of interleaved measurements:
- training: 8,000 tokens; the plain algorithm (`tokenizers/naive.py`: count all pairs, merge, count
  again) is measured for a few merges at the beginning and a few at the end, and extrapolated;
- encoding: the first megabyte, by a tokenizer that has seen no text (cold), and again (warm);
- growth: training on 1/8, 1/4, 1/2 and all of the text, and the exponent fitted to it;
- memory: the most that a process takes which trains on 100 MB of varied text, given as a stream.

    python benchmarks/bpe.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import gzip
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# The library reads these when it starts its first work.
os.environ |= {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from course_utils.datasets import load_texts
from course_utils.reproducibility import environment
from course_utils.show import table
from course_utils.tokenizers import BPETokenizer
from course_utils.tokenizers.merging import learn_merges
from course_utils.tokenizers.naive import count_pairs, merge_pair
from course_utils.tokenizers.pretokens import count_pretokens

VOCAB_SIZE, MEGABYTE = 8_000, 1_000_000
NAIVE_MERGES, VARIED_MEGABYTES = 5, 100


def corpora() -> dict[str, list[str]]:
    """The texts to measure on, by name."""
    texts = {"embedded": load_texts("embedded").train}
    if folder := os.environ.get("COURSE_DATA_DIR"):
        path = Path(folder) / "wikitext-2" / "train.txt.gz"
        with gzip.open(path, "rt", encoding="utf-8") as file:
            texts["WikiText-2"] = file.read().split("\n")
    return texts


def megabytes(texts: list[str]) -> float:
    """Size in UTF-8."""
    return sum(len(text.encode()) for text in texts) / MEGABYTE


def train_ours(texts: list[str]) -> BPETokenizer:
    """Our tokenizer."""
    return BPETokenizer.train(texts, VOCAB_SIZE, progress=False)


def train_library(texts: list[str]) -> Tokenizer:
    """The library's, with the same merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def interleaved(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each call; all of them in every round."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.process_time()
            call()
            seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def naive_seconds(texts: list[str], tokenizer: BPETokenizer) -> float:
    """Extrapolated: the mean of the first merges and of the last ones, for all of them."""
    start = time.process_time()
    counts = count_pretokens(texts)
    counting = time.process_time() - start
    seconds = []
    for first in (0, len(tokenizer.merges) - NAIVE_MERGES):
        early = BPETokenizer(tokenizer.vocab, tokenizer.merges[:first])
        words = {tuple(early.token_bytes(early._merge(w))): n for w, n in decoded(counts).items()}
        for _ in range(NAIVE_MERGES):
            start = time.process_time()
            pairs = count_pairs(words)
            best = max(pairs, key=pairs.get)
            words = {merge_pair(word, best): count for word, count in words.items()}
            seconds.append(time.process_time() - start)
    return counting + statistics.mean(seconds) * len(tokenizer.merges)


def decoded(counts: dict[bytes, int]) -> dict[str, int]:
    """Counts of pre-tokens as text."""
    return {word.decode(): count for word, count in counts.items()}


def same(ours: BPETokenizer, library: Tokenizer, texts: list[str]) -> bool:
    """Whether both give the same ids for all texts."""
    return all(ours.encode(text) == library.encode(text).ids for text in texts)


def training(name: str, texts: list[str], rounds: int) -> dict:
    """Seconds to train: ours, the library's, and the plain algorithm's."""
    calls = {"ours": lambda: train_ours(texts), "library": lambda: train_library(texts)}
    seconds = interleaved(calls, rounds)
    ours, library = train_ours(texts), train_library(texts)
    naive = naive_seconds(texts, ours)
    return {
        "training": name,
        "MB": megabytes(texts),
        "ours, s": seconds["ours"],
        "library, s": seconds["library"],
        "ours / library": seconds["ours"] / seconds["library"],
        "plain, s (extrapolated)": round(naive),
        "plain / ours": round(naive / seconds["ours"]),
        "same ids": same(ours, library, texts[:2000]),
    }


def encoding(name: str, texts: list[str], rounds: int) -> dict:
    """Seconds to encode a megabyte in one piece, without and with what a first time leaves."""
    ours, library = train_ours(texts), train_library(texts)
    text = "\n".join(texts).encode()[:MEGABYTE].decode(errors="ignore")
    seconds: dict[str, list[float]] = {}
    for _ in range(rounds):
        pair = {
            "ours": BPETokenizer(ours.vocab, ours.merges),
            "library": Tokenizer.from_str(library.to_str()),
        }
        for state in ("cold", "warm"):
            once = {key: lambda new=new: new.encode(text) for key, new in pair.items()}
            for key, value in interleaved(once, 1).items():
                seconds.setdefault(f"{key}, {state}, s", []).append(value)
    medians = {key: statistics.median(values) for key, values in seconds.items()}
    ratio = medians["ours, cold, s"] / medians["library, cold, s"]
    return {"encoding 1 MB": name} | medians | {"ours / library, cold": ratio}


def growth(name: str, texts: list[str], rounds: int) -> dict:
    """Seconds to train on growing parts of the texts, and how the seconds grow."""
    row: dict = {"growth": name}
    sizes = [texts[: len(texts) * part // 8] for part in (1, 2, 4, 8)]
    for key, train in {"ours": train_ours, "library": train_library}.items():
        calls = {f"{megabytes(part):.2f} MB": lambda p=part, t=train: t(p) for part in sizes}
        seconds = interleaved(calls, rounds)
        bytes_of = [megabytes(part) for part in sizes]
        exponent = np.polyfit(np.log(bytes_of), np.log(list(seconds.values())), 1)[0]
        row |= {f"{key}, {size}, s": value for size, value in seconds.items()}
        row[f"{key}, exponent"] = float(exponent)
    return row


def varied(texts: list[str]) -> Iterator[str]:
    """The texts again and again, one word in ten misspelt in a way of its own, up to 100 MB."""
    rng, size = random.Random(0), 0
    while True:
        for text in texts:
            words = text.split(" ")
            for _ in range(len(words) // 10):
                place = rng.randrange(len(words))
                words[place] += rng.choice("aeiou") + rng.choice("nrst")
            changed = " ".join(words)
            size += len(changed.encode())
            if size > VARIED_MEGABYTES * MEGABYTE:
                return
            yield changed


def measure_memory(name: str) -> None:
    """Train on the varied texts and print megabytes; run in a process of its own."""
    import resource

    texts = corpora()[name]
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    start = time.process_time()
    counts = count_pretokens(varied(texts))
    counted = time.process_time() - start
    merged = time.process_time()
    learn_merges(counts, VOCAB_SIZE)
    merged = time.process_time() - merged
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    print(before, peak, len(counts), counted, merged)


def memory(name: str) -> dict:
    """The most memory of a process that trains on 100 MB."""
    command = [sys.executable, __file__, "--memory-of", name]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    before, peak, distinct, counted, merged = map(float, printed.split())
    return {
        f"memory, {VARIED_MEGABYTES} MB of": name,
        "distinct pre-tokens": round(distinct),
        "peak, MB": round(peak),
        "of that before training": round(before),
        "making and counting, s": counted,
        "merging, s": merged,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        measure_memory(options.memory_of)
        return
    print(environment())
    texts = corpora()
    for measure in (training, encoding, growth):
        for name in texts:
            print(table([measure(name, texts[name], options.rounds)]), flush=True)
    print(table([memory(name) for name in texts]))


if __name__ == "__main__":
    main()
