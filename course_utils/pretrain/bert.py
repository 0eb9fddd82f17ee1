"""A BERT that learns to fill gaps, in the folder of a `BertForMaskedLM`.

Only the words' head is trained; pooler and pairs' head are not, and are not stored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from course_utils.batching import rows_of, to_device
from course_utils.files import atomic_write
from course_utils.history import History
from course_utils.losses import masked_loss
from course_utils.masking import MaskedBatch, MaskedWindows
from course_utils.models.bert import BERT, BERTConfig
from course_utils.models.neighbours import look_at_neighbours
from course_utils.pretrain.runs import HELD_OUT, TOKENIZER, Recipe, Run, Tokens
from course_utils.pretrained import load_bert, load_bert_tokenizer, to_bert
from course_utils.reproducibility import parameter_count
from course_utils.tokenizers.wordpiece import WordPieceTokenizer

WORTH = "{loss:.4f} nats per masked token, accuracy {accuracy:.4f}"
SHARE = 0.15  # masked while measuring, whatever is masked while training
HINT = ", which takes 80 s for the embedded ones"
ROWS = 16  # windows that are measured together


@dataclass(frozen=True, kw_only=True)
class BERTRecipe(Recipe):
    """How a BERT is trained: see `Recipe`.

    Parameters
    ----------
    share : float
        Masked ones among the tokens of the training; see `mask_tokens`.
    start : str
        Folder of a model of these sizes, which learns on, with its tokenizer. "": a new one.
    """

    vocab_size: int = 4096
    block_size: int = 128
    num_heads: int = 6
    dropout: float = 0.0
    batch_size: int = 16
    steps: int = 12000
    learning_rate: float = 0.005
    share: float = 0.3
    start: str = ""

    def _build(self, sizes: dict[str, Any]) -> BERT:
        model = BERT(BERTConfig(**sizes))
        if not self.start:
            look_at_neighbours(model)
            return model
        found = load_bert(self.start, new_heads=True)
        for name in (name for name in sizes if name != "dropout"):
            if (held := getattr(found.config, name)) != sizes[name]:
                raise ValueError(
                    f"the model in {self.start} has {name} {held}, the recipe {sizes[name]}: give "
                    f"--{name.replace('_', '-')} {held}"
                )
        model.load_state_dict(found.state_dict())
        return model


def pretrain_bert(
    out: str | Path,
    *,
    source: str | Path = "embedded",
    recipe: BERTRecipe | None = None,
    say: Callable[[str], None] = print,
) -> History:
    """Train a tokenizer and a BERT, and write them into a folder.

    Parameters
    ----------
    out, source, say
        As in `pretrain_gpt`.
    recipe : BERTRecipe, optional

    Returns
    -------
    History

    Raises
    ------
    FileExistsError, ValueError, OSError
        As in `pretrain_gpt`.
    """
    recipe = recipe or BERTRecipe()
    run = Run("bert", out, source, recipe, say)
    learn = partial(_learn_tokens, start=recipe.start)
    model, tokens = run.prepare(learn, hint="" if recipe.start else HINT)
    choices = {"seed": recipe.seed, **_special(WordPieceTokenizer.load(run.work / TOKENIZER))}
    sizes = recipe.block_size, recipe.batch_size
    batches = MaskedWindows(tokens.train, *sizes, share=recipe.share, **choices)
    rows = min(ROWS, _window_count(tokens.validation, recipe.block_size))
    held_out = [*MaskedWindows(tokens.validation, sizes[0], rows, share=SHARE, **choices)]

    def measure(model: nn.Module) -> dict[str, float]:
        found = _measure(model, held_out)
        return {name: found[name] for name in ("loss", "accuracy")}

    optimizer = run.optimizer(model)
    for part in (model.pooler, model.nsp):  # no gradient comes: several processes would wait for it
        part.requires_grad_(False)
    history = run.train(model, optimizer, batches, masked_loss, measure, WORTH)
    if run.is_main and not history.interrupted:
        _write(run, model.cpu(), tokens, history)
    return history


def measure_masked(
    model: nn.Module,
    ids: Int[Tensor, " N"],
    *,
    block_size: int = 128,
    share: float = SHARE,
    seed: int = 0,
    **tokens: Any,
) -> dict[str, float]:
    """How well a BERT fills gaps in a text that was not trained on.

    Of the masked tokens 80 % are hidden, 10 % are another token, and 10 % stand there as they are:
    see `mask_tokens`.

    Parameters
    ----------
    model : nn.Module
        A `BERT`, in evaluation mode.
    ids : Int "N"
        The documents' tokens, joined by `join_documents(documents, sep_id)`. All whole windows of
        `block_size` tokens are read.
    block_size, share, seed, **tokens
        As in `MaskedWindows`: `cls_id`, `sep_id`, `mask_id`, `vocab_size`, `special_ids`. The same
        seed masks the same tokens.

    Returns
    -------
    dict
        "loss": nats per masked token; "accuracy": share of the masked tokens whose most probable
        word is the right one; "count": masked tokens.

    Raises
    ------
    ValueError
        As in `MaskedWindows`.

    Examples
    --------
    >>> sizes = {"vocab_size": 9, "block_size": 8, "num_layers": 1, "num_heads": 2, "d_model": 8}
    >>> model = BERT(BERTConfig(**sizes)).eval()
    >>> special = {"cls_id": 2, "sep_id": 3, "mask_id": 4, "special_ids": range(5)}
    >>> found = measure_masked(model, torch.full((50,), 5), block_size=8, vocab_size=9, **special)
    >>> list(found), found["count"] > 0
    (['loss', 'accuracy', 'count'], True)
    """
    count = _window_count(ids, block_size)
    whole = MaskedWindows(ids, block_size, count, share=share, seed=seed, **tokens)  # one batch
    return _measure(
        model, (rows_of(b, slice(k, k + ROWS)) for b in whole for k in range(0, count, ROWS))
    )


def _window_count(ids: Tensor, block_size: int) -> int:
    """Whole windows; 1 at least, so that `MaskedWindows` says what the text lacks."""
    return max(1, (len(ids) - 1) // max(1, block_size - 2))


@torch.no_grad()
def _measure(model: nn.Module, batches: Iterable[MaskedBatch]) -> dict[str, float]:
    count = right = 0
    loss, device = 0.0, next(iter(model.parameters())).device
    for batch in batches:
        batch = to_device(batch, device)
        logits = model(batch.ids, places=batch.places).mlm_logits
        target = batch.target[batch.places]
        loss += nn.functional.cross_entropy(logits, target, reduction="sum").item()
        right += (logits.argmax(-1) == target).sum().item()
        count += len(target)
    return {"loss": loss / count, "accuracy": right / count, "count": count}


# ---- the text


def _learn_tokens(
    documents: Sequence[str], vocab_size: int, start: str = ""
) -> tuple[WordPieceTokenizer, int]:
    if start:
        known = load_bert_tokenizer(start)
        return known, known.special_tokens["[SEP]"]
    tokenizer = WordPieceTokenizer.train(documents, vocab_size, criterion="count", lower_case=True)
    return tokenizer, tokenizer.special_tokens["[SEP]"]


def _special(tokenizer: WordPieceTokenizer) -> dict[str, Any]:
    """What masking has to know about a tokenizer."""
    special = tokenizer.special_tokens
    ids = {f"{name}_id": special[f"[{name.upper()}]"] for name in ("cls", "sep", "mask")}
    return ids | {"vocab_size": len(tokenizer), "special_ids": [*special.values()]}


# ---- the result


def _write(run: Run, model: BERT, tokens: Tokens, history: History) -> None:
    """The result, and what the stored weights are worth."""
    tokenizer, block_size = WordPieceTokenizer.load(run.work / TOKENIZER), run.recipe.block_size
    theirs = to_bert(model, "masked", pad_id=tokenizer.special_tokens["[PAD]"])
    run.store(theirs, tokenizer)
    # With these the library cuts texts as `WordPieceTokenizer` does, and adds [CLS] and [SEP].
    settings = {"tokenizer_class": "BertTokenizer", "model_max_length": block_size}
    settings |= {"do_lower_case": True, "strip_accents": False, "tokenize_chinese_chars": False}
    with atomic_write(run.out / "tokenizer_config.json") as file:
        file.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    stored = load_bert(run.out, new_heads=True)
    choices = {"block_size": block_size, **_special(tokenizer)}
    results = {p: measure_masked(stored, getattr(tokens, p), **choices) for p in HELD_OUT}
    table = "\n".join(
        f"| {part} | {tokens.documents[part]:,} | {len(getattr(tokens, part)):,} | "
        f"{r['count']:,} | {r['loss']:.4f} | **{r['accuracy']:.4f}** |"
        for part, r in results.items()
    )
    card = f"""# A small BERT

The architecture of BERT with {parameter_count(theirs):,} parameters, stored in half precision. Its
pre-training was filling gaps only: there is no pooler and no pairs' head.
`course_utils.pretrained.load_bert(folder, new_heads=True)` opens it, and so does
`transformers.BertForMaskedLM.from_pretrained(folder)`.

| held-out part | documents | tokens | masked tokens | nats per masked token | accuracy |
|---|---|---|---|---|---|
{table}

Measured from the stored file, in windows of {block_size} tokens, {SHARE:.0%} of them masked.

{run.facts(tokens, history, block_size - 2)}{_before(run.recipe.start)}
- **Use**: it fills gaps in sentences that look like documentation, in small letters:
  `transformers.pipeline("fill-mask", model=folder, tokenizer=folder)`.
"""
    run.finish(card, WORTH.format(**results["test"]))


def _before(start: str) -> str:
    """How the model came about that was learned on from: the command in its own card."""
    card = Path(start, "README.md")
    if not start or not card.exists():
        return ""
    lines = card.read_text(encoding="utf-8").splitlines()
    told = [
        line.split(": ", 1)[1] for line in lines if line.startswith(("- **Command", "- **Begun"))
    ]
    return f"\n- **Begun with**: the model of {', '.join(told)}" if told else ""
