"""Checkpoints of ViT and DeiT in our `ViT`, and the way back. Names in their files, and ours,

vit.embeddings (or deit.embeddings)    class_token, teacher_token, positions, patches.projection
vit.encoder.layer.0 ...                blocks.0
vit.layernorm                          norm
classifier, or cls_classifier          classifier
distillation_classifier                teacher_classifier

Recent versions of the library have shorter names in memory, and still write those of old.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.models.vit import ViT, ViTConfig
from course_utils.pretrained.files import (
    Find,
    check_tensors,
    finder,
    one_rate,
    read_config,
    read_tensors,
)

# What a ViT may be and `ViT` is not: the setting, what it has to be, and what it is by default.
FIXED = {
    "model_type": (("vit", "deit"), None),
    "hidden_act": (("gelu",), "gelu"),
    "qkv_bias": ((True,), True),
}
# Their names of sizes, and ours.
SIZES = {
    "image_size": "image_size",
    "patch_size": "patch_size",
    "num_channels": "channels",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "hidden_size": "d_model",
    "intermediate_size": "inner",
    "layer_norm_eps": "norm_eps",
}
RATES = ("hidden_dropout_prob", "attention_probs_dropout_prob")
# Our parts of a block; theirs in files, and in the memory of recent versions.
PARTS = {
    "attention.query": ("attention.attention.query", "attention.q_proj"),
    "attention.key": ("attention.attention.key", "attention.k_proj"),
    "attention.value": ("attention.attention.value", "attention.v_proj"),
    "attention.output": ("attention.output.dense", "attention.o_proj"),
    "around_attention.norm": ("layernorm_before", "layernorm_before"),
    "feed_forward.inner": ("intermediate.dense", "mlp.fc1"),
    "feed_forward.outer": ("output.dense", "mlp.fc2"),
    "around_feed_forward.norm": ("layernorm_after", "layernorm_after"),
}
RECENT = dict(PARTS.values())
# Our parts outside of the blocks, and theirs behind "vit." or "deit.".
ENDS = {
    "class_token": "embeddings.cls_token",
    "teacher_token": "embeddings.distillation_token",
    "positions": "embeddings.position_embeddings",
    "patches.projection": "embeddings.patch_embeddings.projection",
    "norm": "layernorm",
}
_BARE = ("embeddings.", "encoder.", "layers.", "layernorm.", "pooler.")  # as the headless models


def load_vit(name_or_path: str | Path, *, num_classes: int | None = None) -> ViT:
    """Open a checkpoint of the ViT or DeiT architecture, in evaluation mode, single precision.

    Parameters
    ----------
    name_or_path : str or path
        A folder with `config.json` and `model.safetensors` (or several files and their index), as
        `save_pretrained` of `ViTForImageClassification`, `DeiTForImageClassification`,
        `DeiTForImageClassificationWithTeacher`, `ViTModel` or `DeiTModel` writes it; or a name on
        the hub.
    num_classes : int, optional
        For fine-tuning: a new classifier for so many classes, which begins at zero. Without it
        the checkpoint's own is taken. A second classifier, of DeiT's teacher, is dropped.

    Returns
    -------
    ViT

    Raises
    ------
    FileNotFoundError
        When the folder lacks a file.
    ConnectionError
        When the hub does not give it: see `course_utils.hub.from_hub`.
    ValueError
        When it is another architecture, the file is cut off or lacks a tensor, or it has no
        classifier and none is asked for.

    Examples
    --------
    >>> model = load_vit("facebook/deit-tiny-patch16-224", num_classes=10)  # doctest: +SKIP
    """
    place = str(name_or_path)
    find = finder(place, "load_vit")
    found = _read_settings(find, place)
    kind = found["model_type"]
    tensors = _with_usual_names(read_tensors(find, place, "ViTForImageClassification"), kind)
    config = _config(found, tensors, place)
    if num_classes is not None:
        tensors = {name: t for name, t in tensors.items() if "classifier." not in name}
        config = replace(config, num_classes=num_classes, teacher_head=False)
    elif config.num_classes == 1 and not _classes(tensors):
        raise ValueError(f"{place} has no classifier: say how many classes, load_vit(num_classes=)")
    with torch.device("meta"):  # nothing is drawn
        model = ViT(config)
    names = {_their_name(our, config): our for our in model.state_dict()}
    if num_classes is not None:
        for kind_of in ("weight", "bias"):
            size = (num_classes, config.d_model) if kind_of == "weight" else (num_classes,)
            tensors[f"classifier.{kind_of}"] = torch.zeros(size)
    wanted = {their: model.state_dict()[our] for their, our in names.items()}
    check_tensors(tensors, wanted, place)
    model.load_state_dict({names[t]: part.clone() for t, part in tensors.items()}, assign=True)
    return model.eval()


def to_vit(model: ViT, label_names: tuple[str, ...] | list[str] | None = None) -> nn.Module:
    """Give the reference library's model with the same weights.

    Parameters
    ----------
    model : ViT
        It becomes `ViTForImageClassification`; or, distilled,
        `DeiTForImageClassificationWithTeacher`, and `DeiTForImageClassification` where the teacher
        has no classifier.
    label_names : sequence of str, optional
        Names of the classes, for the library's configuration.

    Returns
    -------
    transformers.PreTrainedModel
        Its `save_pretrained(folder)` writes what `load_vit` and others read.

    Raises
    ------
    ValueError
        When patches are averaged, which the library's models do not, or names do not fit.

    Examples
    --------
    >>> sizes = {"image_size": 8, "patch_size": 2, "num_classes": 3, "d_model": 8}
    >>> model = ViT(ViTConfig(**sizes, num_layers=1, num_heads=2))
    >>> to_vit(model).num_parameters() == model.config.parameter_count()
    True
    """
    import transformers

    c = model.config
    if c.pool == "mean":
        raise ValueError('the library\'s models read a class token, this one has pool="mean"')
    if label_names is not None and len(label_names) != c.num_classes:
        raise ValueError(f"{c.num_classes} classes have as many names, got {len(label_names)}")
    family = "DeiT" if c.distilled else "ViT"
    sizes: dict[str, Any] = {theirs: getattr(c, ours) for theirs, ours in SIZES.items()}
    sizes |= dict.fromkeys(RATES, c.dropout)
    if label_names is None:
        sizes["num_labels"] = c.num_classes
    else:
        sizes["id2label"] = dict(enumerate(label_names))
        sizes["label2id"] = {name: k for k, name in enumerate(label_names)}
    config = getattr(transformers, f"{family}Config")(**sizes)
    ending = "WithTeacher" if c.classifiers == 2 else ""
    theirs = getattr(transformers, f"{family}ForImageClassification{ending}")(config)
    weights = {_their_name(our, c): tensor for our, tensor in model.state_dict().items()}
    if not weights.keys() <= theirs.state_dict().keys():
        weights = {_recent_name(name): tensor for name, tensor in weights.items()}
    theirs.load_state_dict(weights)
    return theirs.to(model.positions).train(model.training)


# ---- names and shapes


def _their_name(our: str, config: ViTConfig) -> str:
    """The reference's name of one of our weights, as it is in files."""
    module, _, kind = our.rpartition(".")
    if module == "classifier" and config.classifiers == 2:
        return f"cls_classifier.{kind}"
    if module == "teacher_classifier":
        return f"distillation_classifier.{kind}"
    if module == "classifier":
        return our
    family = "deit" if config.distilled else "vit"
    if our in ENDS:
        return f"{family}.{ENDS[our]}"
    if block := re.fullmatch(r"blocks\.(\d+)\.(.+)", module):
        return f"{family}.encoder.layer.{block[1]}.{PARTS[block[2]][0]}.{kind}"
    return f"{family}.{ENDS[module]}.{kind}"


def _recent_name(name: str) -> str:
    """A name of their files, as recent versions have it in memory."""
    if found := re.fullmatch(r"(\w+)\.encoder\.layer\.(\d+)\.(.+)\.(\w+)", name):
        return f"{found[1]}.layers.{found[2]}.{RECENT[found[3]]}.{found[4]}"
    return name


def _with_usual_names(tensors: Mapping[str, Tensor], family: str) -> dict[str, Tensor]:
    """The names of `...ForImageClassification` in files; the pooler, which it has not, is left."""
    old = {new: old for old, new in RECENT.items()}
    found = {}
    for name, tensor in tensors.items():
        name = f"{family}.{name}" if name.startswith(_BARE) else name
        if block := re.fullmatch(r"(\w+)\.layers\.(\d+)\.(.+)\.(\w+)", name):
            part = old.get(block[3], block[3])
            name = f"{family}.encoder.layer.{block[2]}.{part}.{block[4]}"
        if not name.startswith(f"{family}.pooler."):
            found[name] = tensor
    return found


def _classes(tensors: Mapping[str, Tensor]) -> int:
    """Rows of the classifier; 0 where there is none."""
    names = ("classifier.weight", "cls_classifier.weight")
    return next((len(tensors[name]) for name in names if name in tensors), 0)


def _read_settings(find: Find, place: str) -> dict[str, Any]:
    """The configuration, of a ViT or a DeiT, whose pictures and patches are squares."""
    sizes = [name for name in SIZES if name != "layer_norm_eps"]
    found = read_config(find, place, "ViT as ViT and DeiT build it", FIXED, sizes)
    for name in ("image_size", "patch_size"):
        sides = found[name] if isinstance(found[name], list) else [found[name]]
        if len(set(sides)) != 1:
            raise ValueError(f"{place} has {name}={sides}: ours are squares")
        found[name] = sides[0]
    return found


def _config(found: dict[str, Any], tensors: Mapping[str, Tensor], place: str) -> ViTConfig:
    """The sizes, out of a configuration, and the classes, out of the weights."""
    found = {"layer_norm_eps": 1e-12} | dict.fromkeys(RATES, 0.0) | found
    sizes = {ours: found[theirs] for theirs, ours in SIZES.items()}
    return ViTConfig(
        d_ff=sizes.pop("inner"),
        **sizes,
        num_classes=max(1, _classes(tensors)),
        dropout=one_rate(found, RATES, place, "ViT"),
        distilled=found["model_type"] == "deit",
        teacher_head=found["model_type"] == "vit" or "cls_classifier.weight" in tensors,
    )
