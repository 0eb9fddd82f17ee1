"""A GPT that learns to say which token comes next, in the folder of a `GPT2LMHeadModel`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from course_utils.batching import TokenWindows
from course_utils.history import History
from course_utils.losses import next_token_loss, token_log_probs
from course_utils.metrics import bits_per_byte, perplexity
from course_utils.models.gpt import GPT, GPTConfig
from course_utils.pretrain.texts import HELD_OUT, TOKENIZER, TextRecipe, TextRun, Tokens
from course_utils.pretrained import load_gpt2, to_gpt2
from course_utils.reproducibility import parameter_count
from course_utils.tokenizers.bpe import BPETokenizer

END_TOKEN = "<|endoftext|>"
WORTH = "{bits_per_byte:.4f} bits per byte"


@dataclass(frozen=True, kw_only=True)
class GPTRecipe(TextRecipe):
    """How a GPT is trained: see `TextRecipe`."""

    vocab_size: int = 8192
    block_size: int = 256
    num_heads: int = 4
    batch_size: int = 8
    steps: int = 8000

    def _build(self, sizes: dict[str, Any]) -> GPT:
        return GPT(GPTConfig(**sizes))


def pretrain_gpt(
    out: str | Path,
    *,
    source: str | Path = "embedded",
    recipe: GPTRecipe | None = None,
    say: Callable[[str], None] = print,
) -> History:
    """Train a tokenizer and a GPT, and write them into a folder.

    Parameters
    ----------
    out : path
        A folder that is new, empty, or of the same training that was stopped.
    source : str or path
        Of the text: see `load_texts`.
    recipe : GPTRecipe, optional
    say : callable
        Gets a line of text now and then, in the main process.

    Returns
    -------
    History

    Raises
    ------
    FileExistsError
        When the folder holds a finished model, or something else.
    ValueError, OSError
        When the text is too short, or a file cannot be read or written; or when the training that
        was stopped is another one.
    """
    recipe = recipe or GPTRecipe()
    run = TextRun("gpt", out, source, recipe, say)
    model, tokens = run.prepare(_learn_tokens)

    def measure(model: nn.Module) -> dict[str, float]:
        """In windows side by side, which is quick."""
        logs = token_log_probs(model, tokens.validation, recipe.block_size)
        bits = bits_per_byte(logs, tokens.bytes["validation"])
        return {"loss": -logs.double().mean().item(), "bits_per_byte": bits}

    batches = TokenWindows(tokens.train, recipe.block_size, recipe.batch_size, seed=recipe.seed)
    history = run.train(model, run.optimizer(model), batches, next_token_loss, measure, WORTH)
    if run.is_main and not history.interrupted:
        _write(run, model.cpu(), tokens, history)
    return history


def measure_text(
    model: nn.Module, ids: Tensor, num_bytes: int, block_size: int
) -> dict[str, float]:
    """Loss (nats per token), perplexity and bits per byte of a text that was not trained on.

    Each token but the first ones is predicted from half a block of earlier ones or more. The end
    tokens between documents count as tokens, but are no bytes.

    Parameters
    ----------
    model : nn.Module
    ids : Int "N"
        The documents' tokens, joined by `join_documents`.
    num_bytes : int
        Length of the documents in UTF-8.
    block_size : int
    """
    logs = token_log_probs(model, ids, block_size, stride=max(1, block_size // 2))
    numbers = {"loss": -logs.double().mean().item(), "perplexity": perplexity(logs)}
    return numbers | {"bits_per_byte": bits_per_byte(logs, num_bytes)}


def _learn_tokens(documents: Sequence[str], vocab_size: int) -> tuple[BPETokenizer, int]:
    tokenizer = BPETokenizer.train(
        documents, vocab_size, special_tokens=[END_TOKEN], progress=False
    )
    return tokenizer, tokenizer.special_tokens[END_TOKEN]


def _write(run: TextRun, model: GPT, tokens: Tokens, history: History) -> None:
    """The result, and what the stored weights are worth."""
    tokenizer = BPETokenizer.load(run.work / TOKENIZER)
    run.store(to_gpt2(model, eos_id=tokenizer.special_tokens[END_TOKEN]), tokenizer)
    stored, block_size = load_gpt2(run.out), run.recipe.block_size
    results = {
        part: measure_text(stored, getattr(tokens, part), tokens.bytes[part], block_size)
        for part in HELD_OUT
    }
    table = "\n".join(
        f"| {part} | {tokens.bytes[part]:,} | {len(getattr(tokens, part)):,} | {r['loss']:.4f} | "
        f"{r['perplexity']:.2f} | **{r['bits_per_byte']:.4f}** |"
        for part, r in results.items()
    )
    card = f"""# A small GPT-2

The architecture of GPT-2 with {parameter_count(stored):,} parameters, stored in half precision.
`course_utils.pretrained.load_gpt2(folder)` opens it, and so does
`transformers.GPT2LMHeadModel.from_pretrained(folder)`.

| held-out documents | bytes | tokens | nats per token | perplexity | bits per byte |
|---|---|---|---|---|---|
{table}

Measured from the stored file, in windows of {block_size} tokens that overlap by half.

{run.facts(tokens, history, block_size)}
- **Use**: it writes sentences that look like documentation. What they say is made up.
"""
    run.finish(card, WORTH.format(**results["test"]))
