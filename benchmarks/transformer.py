"""Lesson 2's transformer: a training step beside torch.nn.Transformer, the cache, fused attention.

One thread; CPU seconds, so that other programs on the machine count little. Three tables, each
from one run whose measurements are interleaved, medians:
- a training step (forward, loss, backward) of `EncoderDecoder` and of `torch.nn.Transformer` with
  the same sizes, between the same embeddings and output layer: target words per second, and the
  most memory that tensors take during a step (CPU: from the profiler's allocations);
- greedy writing of 512 words, with and without the cache: time per word, early and late;
- attention with its weights and without (fused) at growing length: time and memory.

    python benchmarks/transformer.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from course_utils.attention import MultiHeadAttention
from course_utils.losses import masked_cross_entropy
from course_utils.masks import causal_mask
from course_utils.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from course_utils.reproducibility import environment, seed_everything
from course_utils.show import table

# Name: sizes of the model, batch, source and target length.
STEPS = {
    "lesson": ({"d_model": 64, "d_ff": 128}, 48, 9, 9),
    "d 256, 3+3 layers": (
        {"d_model": 256, "d_ff": 1024, "num_encoder_layers": 3, "num_decoder_layers": 3},
        16,
        48,
        48,
    ),
}
VOCAB, WRITTEN = 1000, 512


class TorchTranslator(EncoderDecoder):
    """Our embeddings, positions and output around torch.nn.Transformer."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__(config)
        c = config
        sizes = (c.d_model, c.num_heads, c.num_encoder_layers, c.num_decoder_layers, c.d_ff)
        self.core = nn.Transformer(*sizes, c.dropout, batch_first=True, norm_first=c.norm == "pre")
        del self.encoder, self.decoder, self.encoder_norm, self.decoder_norm

    def forward(self, source: Tensor, source_mask: Tensor, target_input: Tensor):
        """Logits, and no weights."""
        hidden = self.core(
            self._embed(source, self.source_embedding, self.source_positions),
            self._embed(target_input, self.target_embedding, self.target_positions),
            tgt_mask=~causal_mask(target_input.shape[1]),
            src_key_padding_mask=~source_mask,
            memory_key_padding_mask=~source_mask,
            tgt_is_causal=True,
        )
        return nn.functional.linear(hidden, self.target_embedding.weight), None


def interleaved(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each call; all of them in every round, after one round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for round_number in range(rounds + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            if round_number:
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def peak_megabytes(call: Callable[[], object]) -> float:
    """The most memory that a call's tensors hold at one time, beyond what was there before."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        call()
    held = peak = 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda e: e.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak / 1e6


def step_of(model: nn.Module, source: Tensor, mask: Tensor, target: Tensor) -> Callable[[], None]:
    """One training step without the optimizer, which is the same for both."""

    def step() -> None:
        logits, _ = model(source, mask, target)
        masked_cross_entropy(logits, target, torch.ones_like(target).bool(), 0.1).backward()
        model.zero_grad(set_to_none=True)

    return step


def training_steps(rounds: int) -> list[dict]:
    """Ours beside torch's, in two sizes, without and with dropout."""
    rows = []
    for name, (sizes, batch, source_length, target_length) in STEPS.items():
        for dropout in (0.0, 0.1):
            seed_everything(0)
            config = EncoderDecoderConfig(
                source_vocab=VOCAB, target_vocab=VOCAB, dropout=dropout, **sizes
            )
            source = torch.randint(3, VOCAB, (batch, source_length))
            target = torch.randint(3, VOCAB, (batch, target_length))
            mask = torch.ones_like(source).bool()
            mask[::2, -2:] = False
            models = {"ours": EncoderDecoder(config), "torch": TorchTranslator(config)}
            calls = {k: step_of(model.train(), source, mask, target) for k, model in models.items()}
            seconds = interleaved(calls, rounds)
            memory = {key: peak_megabytes(call) for key, call in calls.items()}
            rows.append(
                {"step": f"{name}, dropout {dropout}"}
                | {f"{key}, words/s": round(target.numel() / s) for key, s in seconds.items()}
                | {"ratio": seconds["torch"] / seconds["ours"]}
                | {f"{key}, MB": memory[key] for key in calls}
            )
    return rows


@torch.no_grad()
def writing() -> list[dict]:
    """Milliseconds per word of greedy writing, early and late."""
    seed_everything(0)
    sizes = {"source_vocab": VOCAB, "target_vocab": VOCAB, "d_model": 256, "d_ff": 1024}
    model = EncoderDecoder(EncoderDecoderConfig(**sizes, num_heads=8)).eval()
    source, rows = torch.randint(3, VOCAB, (1, 20)), []
    memory = model.encode(source, torch.ones_like(source).bool())
    words = torch.randint(3, VOCAB, (1, WRITTEN))
    for cached in (True, False):
        cache, seconds = model.new_cache() if cached else None, []
        for end in range(1, WRITTEN + 1):
            start = time.process_time()
            model.decode(words[:, end - 1 : end] if cached else words[:, :end], memory, cache)
            seconds.append(1e3 * (time.process_time() - start))
        early, late = statistics.median(seconds[16:48]), statistics.median(seconds[-32:])
        row = {"writing": "cached" if cached else "uncached", "ms/word, words 17-48": early}
        rows.append(row | {"last 32 words": late, "all words, s": sum(seconds) / 1e3})
    return rows


def attention_at_length(rounds: int) -> list[dict]:
    """Self-attention, forward and backward, with weights and fused."""
    attention, rows = MultiHeadAttention(128, 4), []
    for length in (64, 256, 1024, 2048):
        x = torch.randn(1, length, 128, requires_grad=True)

        def call(x: Tensor = x, need_weights: bool = True) -> None:
            attention(x, x, x, need_weights=need_weights)[0].sum().backward()

        calls = {"weights": call, "fused": lambda call=call: call(need_weights=False)}
        seconds = interleaved(calls, max(3, rounds // 3))
        row = {"length": length} | {f"{key}, ms": 1e3 * s for key, s in seconds.items()}
        rows.append(row | {f"{key}, MB": peak_megabytes(call) for key, call in calls.items()})
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(environment())
    print(table(training_steps(options.rounds)), flush=True)
    print(table(writing()), flush=True)
    print(table(attention_at_length(options.rounds)))


if __name__ == "__main__":
    main()
