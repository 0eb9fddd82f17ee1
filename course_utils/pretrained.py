"""Checkpoints of the `transformers` library in the course's models, and the way back.

Only safetensors files are read: nothing is unpickled. The names in the reference's GPT-2 and ours,

    wte, wpe                       embedding, positions
    h.0.ln_1, h.0.ln_2             blocks.0.around_attention.norm, blocks.0.around_feed_forward.norm
    h.0.attn.c_attn, .c_proj       blocks.0.attention: query, key and value side by side; output
    h.0.mlp.c_fc, .c_proj          blocks.0.feed_forward: inner, outer
    ln_f                           norm

Its matrices are "in x out", those of `torch.nn.Linear` are "out x in": they are turned.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.hub import from_hub
from course_utils.models.gpt import GPT, GPTConfig
from course_utils.tokenizers.bpe import BPETokenizer

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
# Of GPT-2 and its relatives, where the vocabulary has them.
SPECIAL_TOKENS = ("<|endoftext|>", "<s>", "</s>", "<pad>", "<unk>", "<mask>")
INDEX = f"{WEIGHTS}.index.json"  # of weights in several files
# What a GPT-2 may be and `GPT` is not: the setting, what it has to be, and what it is by default.
FIXED = {
    "model_type": (("gpt2",), None),
    "activation_function": (("gelu_new", "gelu_pytorch_tanh"), "gelu_new"),
    "scale_attn_weights": ((True,), True),
    "scale_attn_by_inverse_layer_idx": ((False,), False),
    "add_cross_attention": ((False,), False),
    "tie_word_embeddings": ((True,), True),
}
# Their parts of a block, and ours; query, key and value are apart.
PARTS = {
    "ln_1": "around_attention.norm",
    "ln_2": "around_feed_forward.norm",
    "attn.c_proj": "attention.output",
    "mlp.c_fc": "feed_forward.inner",
    "mlp.c_proj": "feed_forward.outer",
}
ENDS = {"wte": "embedding", "wpe": "positions", "ln_f": "norm"}
PROJECTIONS = ("attention.query", "attention.key", "attention.value")
# Masks that old files hold, which are no weights.
BUFFER = re.compile(r"h\.\d+\.attn\.(masked_)?bias")


def load_gpt2(name_or_path: str | Path) -> GPT:
    """Open a checkpoint of the GPT-2 architecture, in evaluation mode and single precision.

    Parameters
    ----------
    name_or_path : str or path
        A folder with `config.json` and `model.safetensors` (or several files and their index), as
        `save_pretrained` writes it; or a name on the hub.

    Returns
    -------
    GPT

    Raises
    ------
    FileNotFoundError
        When the folder lacks a file.
    ConnectionError
        When the hub does not give it: see `course_utils.hub.from_hub`.
    ValueError
        When it is another architecture, or the file is cut off or lacks a tensor.

    Examples
    --------
    >>> from course_utils.files import data_path
    >>> model = load_gpt2(data_path("checkpoints", "gpt"))  # or "openai-community/gpt2"
    >>> model.config.num_layers, model.config.d_model
    (4, 192)
    """
    place = str(name_or_path)
    find = _finder(place)
    config = _config(find(CONFIG), place)
    weights = _as_ours(_tensors(find, place), config, place)
    with torch.device("meta"):  # the weights that it would draw are never used
        model = GPT(config)
    model.load_state_dict(weights, assign=True)
    return model.eval()


def load_gpt2_tokenizer(name_or_path: str | Path) -> BPETokenizer:
    """Open the tokenizer that lies beside a checkpoint of the GPT-2 architecture.

    Parameters
    ----------
    name_or_path : str or path
        As in `load_gpt2`; with `tokenizer.json`, or with `vocab.json` and `merges.txt`.

    Raises
    ------
    FileNotFoundError
        When there is none of them.
    ConnectionError
        When the hub does not give it.
    ValueError
        When a file is broken or of another kind of tokenizer.
    """
    place = str(name_or_path)
    find = _finder(place)
    if whole := find(TOKENIZER):
        return BPETokenizer.load(whole)
    if (vocab := find("vocab.json")) and (merges := find("merges.txt")):
        known = _json(vocab, place)
        specials = [token for token in SPECIAL_TOKENS if token in known]
        return BPETokenizer.from_gpt2_files(vocab, merges, special_tokens=specials)
    raise FileNotFoundError(f"{place} has no {TOKENIZER}, nor vocab.json with merges.txt")


def to_gpt2(model: GPT, *, eos_id: int | None = None) -> nn.Module:
    """Give the reference library's model with the same weights.

    Parameters
    ----------
    model : GPT
    eos_id : int, optional
        Token at which its `generate` ends a text, and with which it pads.

    Returns
    -------
    transformers.GPT2LMHeadModel
        Its `save_pretrained(folder)` writes what `load_gpt2` and others read.

    Examples
    --------
    >>> model = GPT(GPTConfig(vocab_size=9, block_size=4, num_layers=1, num_heads=2, d_model=8))
    >>> to_gpt2(model).num_parameters() == model.config.parameter_count()
    True
    """
    from transformers import GPT2Config, GPT2LMHeadModel

    c = model.config
    sizes = {"vocab_size": c.vocab_size, "n_positions": c.block_size, "n_layer": c.num_layers}
    sizes |= {"n_head": c.num_heads, "n_embd": c.d_model, "n_inner": c.d_ff}
    rates = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), c.dropout)
    special = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), eos_id)
    config = GPT2Config(**sizes, **rates, **special, layer_norm_epsilon=c.norm_eps)
    theirs = GPT2LMHeadModel(config)
    weights = {f"transformer.{name}": tensor for name, tensor in _as_theirs(model).items()}
    weights["lm_head.weight"] = weights["transformer.wte.weight"]
    theirs.load_state_dict(weights)
    return theirs.to(model.norm.weight).train(model.training)


# ---- finding the files

Find = Callable[[str], Path | None]


def _finder(place: str) -> Find:
    return _in_folder(Path(place)) if Path(place).is_dir() else _on_hub(place)


def _in_folder(folder: Path) -> Find:
    return lambda file: path if (path := folder / file).is_file() else None


def _on_hub(name: str) -> Find:
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise FileNotFoundError(f"there is no folder {name!r}, and it is no name on the hub")

    def find(file: str) -> Path | None:
        return from_hub(
            lambda: _download(name, file),
            wanted=f"{file} of the model {name}",
            instead="give load_gpt2 the folder of a copy",
        )

    return find


def _download(name: str, file: str) -> Path | None:
    """A file of a repository, through the cache; None when the repository has no such file."""
    from huggingface_hub import _CACHED_NO_EXIST, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.utils import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(name, file))
    except EntryNotFoundError as error:
        asked = not isinstance(error, LocalEntryNotFoundError)
        if asked or try_to_load_from_cache(name, file) is _CACHED_NO_EXIST:
            return None
        raise


# ---- reading them


def _config(file: Path | None, place: str) -> GPTConfig:
    """The sizes, out of a configuration that is a GPT-2's."""
    if file is None:
        raise FileNotFoundError(f"{place} has no {CONFIG}: it is no checkpoint of `transformers`")
    found = _json(file, place)
    for name, (wanted, usual) in FIXED.items():
        if (got := found.get(name, usual)) not in wanted:
            known = " or ".join(map(repr, wanted))
            raise ValueError(
                f"{place} is no GPT-2 as GPT builds it: {name} is {known}, got {got!r}"
            )
    rates = {name: found.get(name, 0.1) for name in ("resid_pdrop", "embd_pdrop", "attn_pdrop")}
    if len(set(rates.values())) > 1:
        raise ValueError(f"GPT has one rate of dropout, {place} has {rates}: edit its {CONFIG}")
    try:
        return GPTConfig(
            vocab_size=found["vocab_size"],
            block_size=found["n_positions"],
            num_layers=found["n_layer"],
            num_heads=found["n_head"],
            d_model=found["n_embd"],
            d_ff=found.get("n_inner"),
            dropout=rates["resid_pdrop"],
            norm_eps=found.get("layer_norm_epsilon", 1e-5),
        )
    except KeyError as error:
        raise ValueError(f"{CONFIG} of {place} lacks {error}") from error


def _json(file: Path, place: str) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file.name} of {place} is broken ({error}): fetch it again") from error


def _tensors(find: Find, place: str) -> dict[str, Tensor]:
    """All tensors of a checkpoint, of one file or of several, in single precision."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    files = {WEIGHTS: find(WEIGHTS)}
    if files[WEIGHTS] is None and (index := find(INDEX)) is not None:
        names = _json(index, place).get("weight_map", {}).values()
        files = {name: find(name) for name in sorted(set(names))}
    tensors: dict[str, Tensor] = {}
    for name, file in files.items():
        if file is None:
            raise FileNotFoundError(
                f"{place} has no {name}. Where there is another format only, convert it: "
                "GPT2LMHeadModel.from_pretrained(...).save_pretrained(folder) of `transformers`"
            )
        try:
            tensors |= load_file(file)
        except SafetensorError as error:
            raise ValueError(
                f"{name} of {place} is cut off or broken ({error}): fetch it again"
            ) from error
    return {name.removeprefix("transformer."): part.float() for name, part in tensors.items()}


# ---- names and shapes


def _as_theirs(model: GPT) -> dict[str, Tensor]:
    """Our weights under the reference's names, without the prefix."""
    ours, theirs = model.state_dict(), {}
    for their, our in _modules(model.config).items():
        for kind in ("weight", "bias"):
            parts = [ours[f"{name}.{kind}"] for name in our if f"{name}.{kind}" in ours]
            if parts:
                theirs[f"{their}.{kind}"] = _turned(their, torch.cat(parts))
    return theirs


def _as_ours(theirs: dict[str, Tensor], config: GPTConfig, place: str) -> dict[str, Tensor]:
    """The reference's weights under our names; they have to be there, all, and nothing else."""
    with torch.device("meta"):
        wanted = _as_theirs(GPT(config))
    head = theirs.pop("lm_head.weight", theirs.get("wte.weight"))
    theirs = {name: tensor for name, tensor in theirs.items() if not BUFFER.fullmatch(name)}
    missing, other = sorted(wanted.keys() - theirs), sorted(theirs.keys() - wanted)
    if missing or other:
        raise ValueError(
            f"the weights of {place} are not those of its {CONFIG}: {len(missing)} missing "
            f"{missing[:3]}, {len(other)} too many {other[:3]}"
        )
    for name, tensor in theirs.items():
        if tensor.shape != wanted[name].shape:
            raise ValueError(
                f"{name} of {place} has the shape {tuple(tensor.shape)}, its {CONFIG} says "
                f"{tuple(wanted[name].shape)}"
            )
    if not torch.equal(head, theirs["wte.weight"]):
        raise ValueError(f"{place} has an output layer of its own; that of GPT is the embedding")
    ours = {}
    for their, our in _modules(config).items():
        for kind in ("weight", "bias"):
            if f"{their}.{kind}" in theirs:
                parts = _turned(their, theirs[f"{their}.{kind}"]).chunk(len(our))
                ours |= {f"{name}.{kind}": part for name, part in zip(our, parts, strict=True)}
    return {name: part.clone(memory_format=torch.contiguous_format) for name, part in ours.items()}


def _modules(config: GPTConfig) -> dict[str, tuple[str, ...]]:
    """Each of their modules, and ours that stand for it."""
    found = {their: (our,) for their, our in ENDS.items()}
    for i in range(config.num_layers):
        found[f"h.{i}.attn.c_attn"] = tuple(f"blocks.{i}.{name}" for name in PROJECTIONS)
        found |= {f"h.{i}.{their}": (f"blocks.{i}.{our}",) for their, our in PARTS.items()}
    return found


def _turned(module: str, tensor: Tensor) -> Tensor:
    return tensor.T if tensor.ndim == 2 and ".c_" in module else tensor
