"""What the trainings share: recipe, folder, steps, files of the result."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from course_utils.checkpoints import load_state, save_state
from course_utils.files import atomic_write
from course_utils.history import History
from course_utils.losses import Loss
from course_utils.optimizers import MuonAdamW, muon_and_adamw
from course_utils.reproducibility import parameter_count
from course_utils.training import fit

WORK = "training"  # folder inside the result, while it is being made
STATE, KEPT = "state.safetensors", "data.safetensors"
EVALUATIONS = 25
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained; each field is an option of the command line.

    Parameters
    ----------
    num_layers, num_heads, d_model, dropout
        See `GPTConfig`, `BERTConfig` and `ViTConfig`.
    batch_size, steps : int
        Rows of a batch (of all processes together), and steps.
    learning_rate, adamw_learning_rate, weight_decay : float
        See `muon_and_adamw`.
    warmup_steps : int
        Of the schedule "trapezoid".
    seed : int
        Of weights, order, dropout and masks.
    """

    num_layers: int = 4
    num_heads: int
    d_model: int
    dropout: float = 0.0
    batch_size: int
    steps: int
    learning_rate: float = 0.01
    adamw_learning_rate: float = 0.01
    weight_decay: float = 0.1
    warmup_steps: int = 50
    seed: int = 0

    SIZES: ClassVar[tuple[str, ...]] = ("num_layers", "num_heads", "d_model", "dropout")

    def model(self) -> nn.Module:
        """A model with its first weights; they depend on the seed only."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self._build({name: getattr(self, name) for name in self.SIZES})

    def _build(self, sizes: dict[str, Any]) -> nn.Module:
        raise NotImplementedError


class Run:
    """One training, and the folder that it fills.

    Parameters
    ----------
    name : str
        Of the model, as on the command line.
    out : path
        A folder that is new, empty, or of the same training that was stopped.
    recipe : Recipe
    say : callable
        Gets a line of text now and then, in the main process.

    Raises
    ------
    FileExistsError
        When the folder holds a finished model, or something else.
    """

    held_out = "pictures"  # what a model is measured on

    def __init__(self, name: str, out: str | Path, recipe: Recipe, say: Say) -> None:
        self.name, self.out, self.recipe, self.options = name, Path(out), recipe, asdict(recipe)
        _check_folder(self.out)
        self.work = self.out / WORK
        self.is_main = os.environ.get("RANK", "0") == "0"
        self.say = say if self.is_main else (lambda line: None)

    def kept(self, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `make` gives, from the file that an earlier start left or else made now.

        Of several processes one makes it and the others read it.

        Raises
        ------
        ValueError
            When the training in this folder was begun with other options.
        """
        return _one_after_another(lambda: self._kept(make))

    def _kept(self, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        file = self.work / KEPT
        if file.exists():
            state = load_state(file)
            begun = state.pop("begun with")
            if other := [k for k, value in self.options.items() if begun.get(k) != value]:
                raise ValueError(
                    f"the training in {self.out} was begun with {other[0]} {begun.get(other[0])}, "
                    f"now {self.options[other[0]]}: give the same options, or another folder"
                )
            self.say(f"going on with the training in {self.out}")
            return state
        state = make()
        save_state(file, {**state, "begun with": self.options})
        return state

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
            `measure(model)` -> numbers on what is held out, with "loss" among them.
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
                f"{words.format(**numbers)} on validation {self.held_out}"
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

    def store_model(self, theirs: nn.Module) -> None:
        """Write a model of `transformers` in half precision, each tensor once."""
        from safetensors.torch import save_file

        found = theirs.half().state_dict()
        first = {tensor.data_ptr(): name for name, tensor in reversed(found.items())}
        weights = {name: found[name].contiguous() for name in first.values()}  # tied ones once
        with atomic_write(self.out / "model.safetensors") as file:
            save_file(weights, file, metadata={"format": "pt"})
        theirs.config.architectures = [type(theirs).__name__]
        theirs.config.save_pretrained(self.out)

    def origin(self, data: str, history: History, amount: str) -> str:
        """The part of a card that says where the weights come from.

        Parameters
        ----------
        data : str
            What was trained on.
        history
        amount : str
            How often, behind the recipe.
        """
        r, usual = self.recipe, asdict(type(self.recipe)())
        options = {k: v for k, v in self.options.items() if v != usual.get(k)}
        words = "".join(f" --{name.replace('_', '-')} {value}" for name, value in options.items())
        settings = ", ".join(f"{k} {v}" for k, v in asdict(r).items() if v != "")
        processes = os.environ.get("WORLD_SIZE", "1")
        about = {
            "Data": data,
            "Command": f"`python -m course_utils.pretrain {self.name} --out FOLDER{words}`",
            "Recipe": f"{settings}{amount}",
            "Best step": f"{history.best_step} of {r.steps}, by the validation {self.held_out}",
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
        self.say(f"{self.out}: {worth} on the test {self.held_out}")


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file: give a folder")
    held = sorted(entry.name for entry in out.iterdir()) if out.exists() else []
    if held and WORK not in held:
        kind = "a finished model" if "model.safetensors" in held else f"{held[0]} and no training"
        raise FileExistsError(f"{out} holds {kind}: delete it, or give another folder")


def _one_after_another(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """First in one process of this host, which leaves a file; then in the others, which read it."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return make()
    from accelerate import PartialState

    with PartialState(cpu=not torch.cuda.is_available()).local_main_process_first():
        return make()
