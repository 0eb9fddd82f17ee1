"""What the trainings on texts share: a tokenizer, and the text as tokens, made once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from course_utils.batching import join_documents
from course_utils.datasets.texts import load_texts
from course_utils.history import History
from course_utils.pretrain.runs import Recipe, Run, Say
from course_utils.reproducibility import choose_device

TOKENIZER = "tokenizer.json"
HELD_OUT = ("validation", "test")
# Takes documents and a size: a tokenizer, and the token that stands between documents.
LearnTokens = Callable[[Sequence[str], int], tuple[Any, int]]


@dataclass(frozen=True, kw_only=True)
class TextRecipe(Recipe):
    """How a model of texts is trained: see `Recipe`.

    Parameters
    ----------
    vocab_size, block_size
        See `GPTConfig` and `BERTConfig`. A row of a batch is a window of `block_size` tokens.
    """

    vocab_size: int
    block_size: int
    d_model: int = 192
    dropout: float = 0.1

    SIZES = (*Recipe.SIZES, "vocab_size", "block_size")


@dataclass(frozen=True)
class Tokens:
    """The text as tokens: the streams of the three parts; bytes and number of their documents."""

    train: Tensor
    validation: Tensor
    test: Tensor
    bytes: dict[str, int]
    documents: dict[str, int]
    origin: str


class TextRun(Run):
    """One training on texts: see `Run`.

    Parameters
    ----------
    source : str or path
        Of the text: see `load_texts`.
    """

    held_out = "documents"

    def __init__(
        self, name: str, out: str | Path, source: str | Path, recipe: TextRecipe, say: Say
    ) -> None:
        super().__init__(name, out, recipe, say)
        self.source = source
        self.options = {"source": str(source)} | self.options

    def prepare(self, learn: LearnTokens, hint: str = "") -> tuple[nn.Module, Tokens]:
        """The new model, and the text: of several processes one makes it and the others read it.

        Parameters
        ----------
        learn : callable
        hint : str
            How long `learn` takes, where a reader would wonder.
        """
        model = self.recipe.model().to(choose_device())
        return model, Tokens(**self.kept(lambda: self._tokens(learn, hint)))

    def _tokens(self, learn: LearnTokens, hint: str) -> dict[str, Any]:
        self.say(f"reading texts ({self.source})")
        data, size = load_texts(self.source), self.recipe.vocab_size
        parts = {name: getattr(data, name) for name in ("train", *HELD_OUT)}
        self.say(f"making a tokenizer of {size} tokens on {len(data.train)} documents{hint}")
        tokenizer, between = learn(data.train, size)
        state = {
            k: join_documents(map(tokenizer.encode, part), between) for k, part in parts.items()
        }
        state["bytes"] = {k: sum(len(text.encode()) for text in part) for k, part in parts.items()}
        state["documents"] = {k: len(part) for k, part in parts.items()}
        state["origin"] = f"{data.name}: {data.origin}"
        self.work.mkdir(parents=True, exist_ok=True)
        tokenizer.save(self.work / TOKENIZER)
        return state

    def store(self, theirs: nn.Module, tokenizer: Any) -> None:
        """Write a model of `transformers`, and its tokenizer."""
        self.store_model(theirs)
        tokenizer.save(self.out / TOKENIZER)

    def facts(self, tokens: Tokens, history: History, width: int) -> str:
        """The part of a card that says where the weights come from.

        Parameters
        ----------
        tokens, history
        width : int
            Tokens of the text in a window.
        """
        r = self.recipe
        epochs = r.steps * r.batch_size * width / len(tokens.train)
        data = (
            f"{tokens.origin}. Training part: {tokens.bytes['train']:,} bytes,\n"
            f"  {len(tokens.train):,} tokens. The documents' authors are those of the packages or "
            "of the data set."
        )
        return self.origin(data, history, f"; {epochs:.1f} epochs")
