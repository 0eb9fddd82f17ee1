"""Train a model for longer than a lesson waits, and write it as the folder that is shipped.

    python -m course_utils.pretrain gpt --out build/gpt
    torchrun --nproc-per-node 2 -m course_utils.pretrain gpt --out build/gpt

A training that was stopped goes on when the same command is given again. The folder holds
`model.safetensors` and `config.json`, which `pretrained.load_gpt2` opens and `GPT2LMHeadModel` of
`transformers` too, `tokenizer.json`, and a card, `README.md`. (`accelerate launch` with `--cpu`
starts one process only, whatever number it is given: use `torchrun`.)
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from course_utils.batching import TokenWindows, join_documents
from course_utils.checkpoints import load_state, save_state
from course_utils.datasets.texts import TextData, load_texts
from course_utils.files import atomic_write
from course_utils.history import History
from course_utils.losses import next_token_loss, token_log_probs
from course_utils.metrics import bits_per_byte, perplexity
from course_utils.models.gpt import GPT, GPTConfig
from course_utils.optimizers import muon_and_adamw
from course_utils.pretrained import load_gpt2, to_gpt2
from course_utils.reproducibility import choose_device, parameter_count
from course_utils.tokenizers.bpe import BPETokenizer
from course_utils.training import fit

END_TOKEN = "<|endoftext|>"
WORK = "training"  # folder inside the result, while it is being made
EVALUATIONS = 25


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a GPT is trained; each field is an option of the command line.

    Parameters
    ----------
    vocab_size, block_size, num_layers, num_heads, d_model, dropout
        See `GPTConfig`.
    batch_size, steps : int
        Windows of `block_size` tokens in a step (of all processes together), and steps.
    learning_rate, adamw_learning_rate, weight_decay : float
        See `muon_and_adamw`.
    warmup_steps : int
        Of the schedule "trapezoid".
    seed : int
        Of weights, order and dropout.
    """

    vocab_size: int = 8192
    block_size: int = 256
    num_layers: int = 4
    num_heads: int = 4
    d_model: int = 192
    dropout: float = 0.1
    batch_size: int = 8
    steps: int = 8000
    learning_rate: float = 0.01
    adamw_learning_rate: float = 0.01
    weight_decay: float = 0.1
    warmup_steps: int = 50
    seed: int = 0

    def model(self) -> GPT:
        """A GPT with its first weights."""
        names = {field.name for field in fields(GPTConfig)} & {f.name for f in fields(self)}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return GPT(GPTConfig(**{name: getattr(self, name) for name in names}))


@dataclass(frozen=True)
class _Tokens:
    """The text as tokens: the streams of the three parts, and the bytes of their documents."""

    train: Tensor
    validation: Tensor
    test: Tensor
    bytes: dict[str, int]
    origin: str


def pretrain_gpt(
    out: str | Path,
    *,
    source: str | Path = "embedded",
    recipe: Recipe | None = None,
    say: Callable[[str], None] = print,
) -> History:
    """Train a tokenizer and a GPT, and write them into a folder.

    Parameters
    ----------
    out : path
        A folder that is new, empty, or of the same training that was stopped.
    source : str or path
        Of the text: see `load_texts`.
    recipe : Recipe, optional
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
    recipe, out = recipe or Recipe(), Path(out)
    _check_folder(out)
    main = os.environ.get("RANK", "0") == "0"
    say = say if main else (lambda line: None)
    model = recipe.model().to(choose_device())
    tokens = _one_after_another(lambda: _prepare(out, source, recipe, say))
    optimizer = muon_and_adamw(
        model,
        recipe.learning_rate,
        adamw_learning_rate=recipe.adamw_learning_rate,
        weight_decay=recipe.weight_decay,
    )
    say(f"{parameter_count(model):,} parameters, {recipe.steps} steps")
    history = fit(
        model,
        TokenWindows(tokens.train, recipe.block_size, recipe.batch_size, seed=recipe.seed),
        next_token_loss,
        steps=recipe.steps,
        optimizer=optimizer,
        schedule="trapezoid",
        warmup_steps=recipe.warmup_steps,
        evaluate=_Evaluation(tokens, recipe, optimizer, say),
        evaluate_every=max(1, recipe.steps // EVALUATIONS),
        checkpoint=out / WORK / "state.safetensors",
        checkpoint_every=max(1, recipe.steps // (4 * EVALUATIONS)),
        seed=recipe.seed,
        description="gpt",
    )
    if main and not history.interrupted:
        _write(out, model.cpu(), tokens, recipe, history, source, say)
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


class _Evaluation:
    """Measures on the validation part, in windows side by side (quick), and says it."""

    def __init__(self, tokens: _Tokens, recipe: Recipe, optimizer, say) -> None:
        self.tokens, self.recipe, self.optimizer, self.say = tokens, recipe, optimizer, say
        self.start = time.perf_counter()

    def __call__(self, model: nn.Module) -> dict[str, float]:
        ids, num_bytes = self.tokens.validation, self.tokens.bytes["validation"]
        logs = token_log_probs(model, ids, self.recipe.block_size)
        numbers = {"loss": -logs.double().mean().item()}
        numbers["bits_per_byte"] = bits_per_byte(logs, num_bytes)
        step = max(state.get("step", 0) for state in self.optimizer.state.values())
        self.say(
            f"step {step} of {self.recipe.steps}, {time.perf_counter() - self.start:.0f} s: "
            f"{numbers['bits_per_byte']:.4f} bits per byte on validation documents"
        )
        return numbers


# ---- the text


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file: give a folder")
    held = sorted(entry.name for entry in out.iterdir()) if out.exists() else []
    if held and WORK not in held:
        kind = "a finished model" if "model.safetensors" in held else f"{held[0]} and no training"
        raise FileExistsError(f"{out} holds {kind}: delete it, or give another folder")


def _one_after_another(make: Callable[[], _Tokens]) -> _Tokens:
    """First in one process of this host, which leaves a file; then in the others, which read it."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return make()
    from accelerate import PartialState

    with PartialState(cpu=not torch.cuda.is_available()).local_main_process_first():
        return make()


def _prepare(out: Path, source: str | Path, recipe: Recipe, say) -> _Tokens:
    """Tokens of the text, from the file that an earlier start left or else made now."""
    file = out / WORK / "tokens.safetensors"
    wanted = {"source": str(source), **asdict(recipe)}
    if file.exists():
        state = load_state(file)
        begun = state.pop("begun with")
        if other := [name for name, value in wanted.items() if begun.get(name) != value]:
            raise ValueError(
                f"the training in {out} was begun with {other[0]} {begun.get(other[0])}, now "
                f"{wanted[other[0]]}: give the same options, or another folder"
            )
        say(f"going on with the training in {out}")
        return _Tokens(**state)
    say(f"reading texts ({source})")
    data = load_texts(source)
    parts = {name: getattr(data, name) for name in ("train", "validation", "test")}
    say(f"training a tokenizer of {recipe.vocab_size} tokens on {len(data.train)} documents")
    tokenizer = BPETokenizer.train(
        data.train, recipe.vocab_size, special_tokens=[END_TOKEN], progress=False
    )
    end = tokenizer.special_tokens[END_TOKEN]
    ids = {name: join_documents(map(tokenizer.encode, part), end) for name, part in parts.items()}
    sizes = {name: sum(len(text.encode()) for text in part) for name, part in parts.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(out / WORK / "tokenizer.json")
    save_state(file, {**ids, "bytes": sizes, "origin": _origin(data), "begun with": wanted})
    return _Tokens(**ids, bytes=sizes, origin=_origin(data))


def _origin(data: TextData) -> str:
    return f"{data.name}: {data.origin}"


# ---- the result


def _write(out, model: GPT, tokens: _Tokens, recipe: Recipe, history: History, source, say) -> None:
    """Weights in half precision, and what the stored ones are worth."""
    from safetensors.torch import save_file

    tokenizer = BPETokenizer.load(out / WORK / "tokenizer.json")
    theirs = to_gpt2(model, eos_id=tokenizer.special_tokens[END_TOKEN]).half()
    weights = {k: v.contiguous() for k, v in theirs.state_dict().items() if k != "lm_head.weight"}
    with atomic_write(out / "model.safetensors") as file:
        save_file(weights, file, metadata={"format": "pt"})
    theirs.config.architectures = [type(theirs).__name__]
    theirs.config.save_pretrained(out)
    tokenizer.save(out / "tokenizer.json")
    stored = load_gpt2(out)
    results = {
        part: measure_text(stored, getattr(tokens, part), tokens.bytes[part], recipe.block_size)
        for part in ("validation", "test")
    }
    with atomic_write(out / "README.md") as file:
        file.write_text(_card(stored, tokens, recipe, history, source, results), encoding="utf-8")
    shutil.rmtree(out / WORK)
    say(f"{out}: {results['test']['bits_per_byte']:.4f} bits per byte on the test documents")


def _card(model: GPT, tokens: _Tokens, recipe: Recipe, history: History, source, results) -> str:
    """What a reader has to know about the weights."""
    options = {k: v for k, v in asdict(recipe).items() if v != getattr(Recipe(), k)}
    words = "".join(f" --{name.replace('_', '-')} {value}" for name, value in options.items())
    table = "\n".join(
        f"| {part} | {tokens.bytes[part]:,} | {len(getattr(tokens, part)):,} | {r['loss']:.4f} | "
        f"{r['perplexity']:.2f} | **{r['bits_per_byte']:.4f}** |"
        for part, r in results.items()
    )
    settings = ", ".join(f"{name} {value}" for name, value in asdict(recipe).items())
    processes = os.environ.get("WORLD_SIZE", "1")
    epochs = recipe.steps * recipe.batch_size * recipe.block_size / len(tokens.train)
    return f"""# A small GPT-2

The architecture of GPT-2 with {parameter_count(model):,} parameters, stored in half precision.
`course_utils.pretrained.load_gpt2(folder)` opens it, and so does
`transformers.GPT2LMHeadModel.from_pretrained(folder)`.

| held-out documents | bytes | tokens | nats per token | perplexity | bits per byte |
|---|---|---|---|---|---|
{table}

Measured from the stored file, in windows of {recipe.block_size} tokens that overlap by half.

- **Data**: {tokens.origin}. Training part: {tokens.bytes["train"]:,} bytes,
  {len(tokens.train):,} tokens. The documents' authors are those of the packages or of the data set.
- **Command**: `python -m course_utils.pretrain gpt --out FOLDER --source {source}{words}`
- **Recipe**: {settings}; {epochs:.1f} epochs
- **Best step**: {history.best_step} of {recipe.steps}, by the validation documents
- **Time**: {history.seconds:.0f} s on {processes} process(es) of {torch.get_num_threads()} \
thread(s), {platform.machine()}
- **Versions**: Python {platform.python_version()}, torch {version("torch")}
- **Use**: it writes sentences that look like documentation. What they say is made up.
"""


# ---- the command line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m course_utils.pretrain", description="Train a model and write its folder."
    )
    parser.add_argument("model", choices=["gpt"])
    parser.add_argument("--out", required=True, help="folder of the result")
    parser.add_argument("--source", default="embedded", help='"embedded", "hub", or a folder')
    for field in fields(Recipe):
        option = "--" + field.name.replace("_", "-")
        kind = type(field.default)
        parser.add_argument(option, type=kind, default=field.default, help=f"{field.default}")
    given = vars(parser.parse_args(arguments))
    recipe = Recipe(**{field.name: given[field.name] for field in fields(Recipe)})
    try:
        history = pretrain_gpt(
            given["out"],
            source=given["source"],
            recipe=recipe,
            say=lambda line: print(line, flush=True),
        )
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    return 130 if history.interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
