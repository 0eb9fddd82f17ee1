"""What the trainings share: recipe, folder, the text as tokens, steps, files of the result."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.batching import join_documents
from course_utils.checkpoints import load_state, save_state
from course_utils.datasets.texts import load_texts
from course_utils.files import atomic_write
from course_utils.history import History
from course_utils.losses import Loss
from course_utils.optimizers import MuonAdamW, muon_and_adamw
from course_utils.reproducibility import choose_device, parameter_count
from course_utils.training import fit

WORK = "training"  # folder inside the result, while it is being made
STATE, TOKENS, TOKENIZER = "state.safetensors", "tokens.safetensors", "tokenizer.json"
EVALUATIONS = 25
HELD_OUT = ("validation", "test")
SIZES = ("vocab_size", "block_size", "num_layers", "num_heads", "d_model", "dropout")
Say = Callable[[str], None]
# Takes documents and a size: a tokenizer, and the token that stands between documents.
LearnTokens = Callable[[Sequence[str], int], tuple[Any, int]]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained; each field is an option of the command line.

    Parameters
    ----------
    vocab_size, block_size, num_layers, num_heads, d_model, dropout
        See `GPTConfig` and `BERTConfig`.
    batch_size, steps : int
        Windows of `block_size` tokens in a step (of all processes together), and steps.
    learning_rate, adamw_learning_rate, weight_decay : float
        See `muon_and_adamw`.
    warmup_steps : int
        Of the schedule "trapezoid".
    seed : int
        Of weights, order, dropout and masks.
    """

    vocab_size: int
    block_size: int
    num_layers: int = 4
    num_heads: int
    d_model: int = 192
    dropout: float = 0.1
    batch_size: int
    steps: int
    learning_rate: float = 0.01
    adamw_learning_rate: float = 0.01
    weight_decay: float = 0.1
    warmup_steps: int = 50
    seed: int = 0

    def model(self) -> nn.Module:
        """A model with its first weights; they depend on the seed only."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self._build({name: getattr(self, name) for name in SIZES})

    def _build(self, sizes: dict[str, Any]) -> nn.Module:
        raise NotImplementedError


@dataclass(frozen=True)
class Tokens:
    """The text as tokens: the streams of the three parts; bytes and number of their documents."""

    train: Tensor
    validation: Tensor
    test: Tensor
    bytes: dict[str, int]
    documents: dict[str, int]
    origin: str


class Run:
    """One training, and the folder that it fills.

    Parameters
    ----------
    name : str
        Of the model, as on the command line.
    out : path
        A folder that is new, empty, or of the same training that was stopped.
    source : str or path
        Of the text: see `load_texts`.
    recipe : Recipe
    say : callable
        Gets a line of text now and then, in the main process.

    Raises
    ------
    FileExistsError
        When the folder holds a finished model, or something else.
    """

    def __init__(
        self, name: str, out: str | Path, source: str | Path, recipe: Recipe, say: Say
    ) -> None:
        self.name, self.out, self.source, self.recipe = name, Path(out), source, recipe
        _check_folder(self.out)
        self.work = self.out / WORK
        self.is_main = os.environ.get("RANK", "0") == "0"
        self.say = say if self.is_main else (lambda line: None)

    def prepare(self, learn: LearnTokens, hint: str = "") -> tuple[nn.Module, Tokens]:
        """The new model, and the text: of several processes one makes it and the others read it.

        Parameters
        ----------
        learn : callable
        hint : str
            How long `learn` takes, where a reader would wonder.
        """
        model = self.recipe.model().to(choose_device())
        return model, _one_after_another(lambda: self._tokens(learn, hint))

    def _tokens(self, learn: LearnTokens, hint: str) -> Tokens:
        """From the file that an earlier start left or else made now."""
        file, recipe = self.work / TOKENS, self.recipe
        wanted = {"source": str(self.source), **asdict(recipe)}
        if file.exists():
            state = load_state(file)
            begun = state.pop("begun with")
            if other := [name for name, value in wanted.items() if begun.get(name) != value]:
                raise ValueError(
                    f"the training in {self.out} was begun with {other[0]} {begun.get(other[0])}, "
                    f"now {wanted[other[0]]}: give the same options, or another folder"
                )
            self.say(f"going on with the training in {self.out}")
            return Tokens(**state)
        self.say(f"reading texts ({self.source})")
        data = load_texts(self.source)
        parts = {name: getattr(data, name) for name in ("train", *HELD_OUT)}
        count = f"{recipe.vocab_size} tokens on {len(data.train)} documents"
        self.say(f"making a tokenizer of {count}{hint}")
        tokenizer, between = learn(data.train, recipe.vocab_size)
        state = {
            k: join_documents(map(tokenizer.encode, part), between) for k, part in parts.items()
        }
        state["bytes"] = {k: sum(len(text.encode()) for text in part) for k, part in parts.items()}
        state["documents"] = {k: len(part) for k, part in parts.items()}
        state["origin"] = f"{data.name}: {data.origin}"
        self.work.mkdir(parents=True, exist_ok=True)
        tokenizer.save(self.work / TOKENIZER)
        save_state(file, {**state, "begun with": wanted})
        return Tokens(**state)

    def optimizer(self, model: nn.Module) -> MuonAdamW:
        """Muon and AdamW with the recipe's settings, for all that may learn in the model."""
        recipe = self.recipe
        return muon_and_adamw(
            model,
            recipe.learning_rate,
            adamw_learning_rate=recipe.adamw_learning_rate,
            weight_decay=recipe.weight_decay,
        )

    def train(
        self,
        model: nn.Module,
        optimizer: MuonAdamW,
        batches: Iterable[Any],
        loss: Loss,
        measure: Callable[[nn.Module], Mapping[str, float]],
        words: str,
    ) -> History:
        """Train by the recipe, from where an earlier start came to.

        Parameters
        ----------
        model, optimizer, batches, loss
            See `fit`.
        measure : callable
            `measure(model)` -> numbers on validation documents, with "loss" among them.
        words : str
            A format, which makes words of these numbers.
        """
        recipe = self.recipe
        self.say(f"{parameter_count(model):,} parameters, {recipe.steps} steps")
        start = time.perf_counter()

        def evaluate(model: nn.Module) -> Mapping[str, float]:
            numbers = measure(model)
            step = max(state.get("step", 0) for state in optimizer.state.values())
            self.say(
                f"step {step} of {recipe.steps}, {time.perf_counter() - start:.0f} s: "
                f"{words.format(**numbers)} on validation documents"
            )
            return numbers

        return fit(
            model,
            batches,
            loss,
            steps=recipe.steps,
            optimizer=optimizer,
            schedule="trapezoid",
            warmup_steps=recipe.warmup_steps,
            evaluate=evaluate,
            evaluate_every=max(1, recipe.steps // EVALUATIONS),
            checkpoint=self.work / STATE,
            checkpoint_every=max(1, recipe.steps // (4 * EVALUATIONS)),
            seed=recipe.seed,
            description=self.name,
        )

    def store(self, theirs: nn.Module, tokenizer: Any) -> None:
        """Write a model of `transformers` in half precision, each tensor once, and a tokenizer."""
        from safetensors.torch import save_file

        found = theirs.half().state_dict()
        first = {tensor.data_ptr(): name for name, tensor in reversed(found.items())}
        weights = {name: found[name].contiguous() for name in first.values()}  # tied ones once
        with atomic_write(self.out / "model.safetensors") as file:
            save_file(weights, file, metadata={"format": "pt"})
        theirs.config.architectures = [type(theirs).__name__]
        theirs.config.save_pretrained(self.out)
        tokenizer.save(self.out / TOKENIZER)

    def facts(self, tokens: Tokens, history: History, width: int) -> str:
        """The part of a card that says where the weights come from.

        Parameters
        ----------
        tokens, history
        width : int
            Tokens of the text in a window.
        """
        r, usual = self.recipe, type(self.recipe)()
        options = {k: v for k, v in asdict(r).items() if v != getattr(usual, k)}
        words = "".join(f" --{name.replace('_', '-')} {value}" for name, value in options.items())
        settings = ", ".join(f"{k} {v}" for k, v in asdict(r).items() if v != "")
        epochs = r.steps * r.batch_size * width / len(tokens.train)
        processes = os.environ.get("WORLD_SIZE", "1")
        about = {
            "Data": f"{tokens.origin}. Training part: {tokens.bytes['train']:,} bytes,\n"
            f"  {len(tokens.train):,} tokens. The documents' authors are those of the packages or "
            "of the data set.",
            "Command": f"`python -m course_utils.pretrain {self.name} --out FOLDER "
            f"--source {self.source}{words}`",
            "Recipe": f"{settings}; {epochs:.1f} epochs",
            "Best step": f"{history.best_step} of {r.steps}, by the validation documents",
            "Time": f"{history.seconds:.0f} s on {processes} process(es) of "
            f"{torch.get_num_threads()} thread(s), {platform.machine()}",
            "Versions": f"Python {platform.python_version()}, torch {version('torch')}",
        }
        return "\n".join(f"- **{name}**: {text}" for name, text in about.items())

    def finish(self, card: str, worth: str) -> None:
        """Write the card, and remove what only a training needs."""
        with atomic_write(self.out / "README.md") as file:
            file.write_text(card, encoding="utf-8")
        shutil.rmtree(self.work)
        self.say(f"{self.out}: {worth} on the test documents")


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file: give a folder")
    held = sorted(entry.name for entry in out.iterdir()) if out.exists() else []
    if held and WORK not in held:
        kind = "a finished model" if "model.safetensors" in held else f"{held[0]} and no training"
        raise FileExistsError(f"{out} holds {kind}: delete it, or give another folder")


def _one_after_another(make: Callable[[], Tokens]) -> Tokens:
    """First in one process of this host, which leaves a file; then in the others, which read it."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return make()
    from accelerate import PartialState

    with PartialState(cpu=not torch.cuda.is_available()).local_main_process_first():
        return make()
