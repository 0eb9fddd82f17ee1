"""BERT's checkpoints in our `BERT`, and the way back. The names in the reference and ours,

bert.embeddings.word_embeddings ...    encoder.words, positions, segments, norm
bert.encoder.layer.0 ...               encoder.blocks.0
bert.pooler.dense                      pooler
cls.predictions.transform, .bias       mlm_dense, mlm_norm, mlm_bias
cls.seq_relationship                   nsp
classifier                             classifier, of BERTForSequences and BERTForTokens
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from course_utils.models.bert import BERT, BERTConfig
from course_utils.models.bert_heads import BERTForSequences, BERTForTokens
from course_utils.pretrained.files import (
    Find,
    check_tensors,
    finder,
    one_rate,
    read_config,
    read_tensors,
)

Kind = Literal["pretraining", "masked", "model"]
Model = TypeVar("Model", BERT, BERTForSequences, BERTForTokens)
# What a BERT may be and `BERT` is not: the setting, what it has to be, and what it is by default.
FIXED = {
    "model_type": (("bert",), None),
    "hidden_act": (("gelu",), "gelu"),
    "position_embedding_type": (("absolute",), "absolute"),
    "is_decoder": ((False,), False),
    "add_cross_attention": ((False,), False),
    "tie_word_embeddings": ((True,), True),
}
# Their names of sizes, and ours.
SIZES = {
    "vocab_size": "vocab_size",
    "max_position_embeddings": "block_size",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "hidden_size": "d_model",
    "intermediate_size": "inner",
}
CLASSES = {"pretraining": "BertForPreTraining", "masked": "BertForMaskedLM", "model": "BertModel"}
CLASSIFIERS = {
    BERTForSequences: "BertForSequenceClassification",
    BERTForTokens: "BertForTokenClassification",
}
# Our parts of a block, and theirs; then our parts outside of the blocks.
PARTS = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "around_attention.norm": "attention.output.LayerNorm",
    "feed_forward.inner": "intermediate.dense",
    "feed_forward.outer": "output.dense",
    "around_feed_forward.norm": "output.LayerNorm",
}
ENDS = {
    "encoder.words": "bert.embeddings.word_embeddings",
    "encoder.positions": "bert.embeddings.position_embeddings",
    "encoder.segments": "bert.embeddings.token_type_embeddings",
    "encoder.norm": "bert.embeddings.LayerNorm",
    "pooler": "bert.pooler.dense",
    "mlm_dense": "cls.predictions.transform.dense",
    "mlm_norm": "cls.predictions.transform.LayerNorm",
    "nsp": "cls.seq_relationship",
    "classifier": "classifier",
}
WORDS, BIAS = "bert.embeddings.word_embeddings.weight", "cls.predictions.bias"
# Parts that a checkpoint may lack, by the beginnings of their names.
HEADS = {"pooler": "bert.pooler.", "words' head": "cls.predictions.", "pairs' head": "cls.seq_"}


def load_bert(
    name_or_path: str | Path, into: type[Model] = BERT, *, new_heads: bool = False
) -> Model:
    """Open a checkpoint of the BERT architecture, in evaluation mode and single precision.

    Parameters
    ----------
    name_or_path : str or path
        A folder with `config.json` and `model.safetensors` (or several files and their index), as
        `save_pretrained` writes it; or a name on the hub.
    into : BERT, BERTForSequences or BERTForTokens
        For a checkpoint of `BertForPreTraining`, `BertForMaskedLM` or `BertModel`; of
        `BertForSequenceClassification`; of `BertForTokenClassification`.
    new_heads : bool
        `BertForMaskedLM` saves no pooler and no pairs' head, `BertModel` no head at all. What the
        checkpoint lacks is drawn at random, as for a new model, and says nothing until it is
        trained. A warning names these parts; True takes them without one.

    Returns
    -------
    BERT, BERTForSequences or BERTForTokens

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
    >>> model = load_bert("google-bert/bert-base-uncased")  # doctest: +SKIP
    """
    place = str(name_or_path)
    find = finder(place, "load_bert")
    config, theirs = _config(find, place), CLASSIFIERS.get(into, CLASSES["pretraining"])
    tensors = _with_usual_names(read_tensors(find, place, theirs), place)
    _check_kind(tensors, into, place)
    missing = _missing_heads(tensors) if into is BERT else []
    with torch.device("cpu" if missing else "meta"):  # where none is new, none is drawn
        model = _build(into, config, tensors)
    wanted = {_their_name(our): (our, part) for our, part in model.state_dict().items()}
    needed = {
        their: part
        for their, (_, part) in wanted.items()
        if not their.startswith(tuple(HEADS[name] for name in missing))
    }
    check_tensors(tensors, needed, place)
    ours = {wanted[their][0]: part.clone() for their, part in tensors.items()}
    model.load_state_dict(ours, assign=True, strict=not missing)
    if missing and not new_heads:
        warnings.warn(
            f"{place} has no {', no '.join(missing)}: a new one says nothing until it is trained",
            stacklevel=2,
        )
    return model.eval()


def to_bert(
    model: BERT | BERTForSequences | BERTForTokens,
    kind: Kind = "pretraining",
    *,
    pad_id: int | None = 0,
) -> nn.Module:
    """Give the reference library's model with the same weights.

    Parameters
    ----------
    model : BERT, BERTForSequences or BERTForTokens
        The latter two become `BertForSequenceClassification` and `BertForTokenClassification`.
    kind : "pretraining", "masked" or "model"
        Of a `BERT`: `BertForPreTraining`, `BertForMaskedLM` (no pooler, no pairs' head) or
        `BertModel` (no heads).
    pad_id : int, optional
        The token of the padding, which the library gives no gradient.

    Returns
    -------
    transformers.PreTrainedModel
        Its `save_pretrained(folder)` writes what `load_bert` and others read.

    Raises
    ------
    ValueError
        When the kind is unknown, or the positions are rotary, which the library's BERT has not.

    Examples
    --------
    >>> sizes = {"vocab_size": 9, "block_size": 4, "num_layers": 1, "num_heads": 2, "d_model": 8}
    >>> model = BERT(BERTConfig(**sizes))
    >>> to_bert(model).num_parameters() == model.config.parameter_count()
    True
    """
    import transformers

    c = model.config
    if kind not in CLASSES:
        raise ValueError(f"kind is one of {[*CLASSES]}, got {kind!r}")
    if c.positions != "learned":
        raise ValueError(f"the library's BERT has learned positions, this model {c.positions} ones")
    sizes = {theirs: getattr(c, ours) for theirs, ours in SIZES.items()}
    rates = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), c.dropout)
    choices: dict[str, Any] = {"type_vocab_size": c.num_segments, "layer_norm_eps": c.norm_eps}
    if isinstance(model, BERTForSequences | BERTForTokens):
        choices["num_labels"] = model.classifier.out_features
    config = transformers.BertConfig(**sizes, **rates, **choices, pad_token_id=pad_id)
    theirs = getattr(transformers, CLASSIFIERS.get(type(model), CLASSES[kind]))(config)
    weights = {_their_name(name): tensor for name, tensor in model.state_dict().items()}
    weights["cls.predictions.decoder.weight"] = weights[WORDS]
    weights["cls.predictions.decoder.bias"] = weights.get(BIAS)
    bare = "" if hasattr(theirs, "bert") else "bert."  # BertModel's own names lack it
    theirs.load_state_dict({name: weights[bare + name] for name in theirs.state_dict()})
    return theirs.to(weights[WORDS]).train(model.training)


# ---- names and shapes


def _their_name(our: str) -> str:
    """The reference's name of one of our weights."""
    if our == "mlm_bias":
        return BIAS
    module, _, kind = our.rpartition(".")
    if block := re.fullmatch(r"encoder\.blocks\.(\d+)\.(.+)", module):
        return f"bert.encoder.layer.{block[1]}.{PARTS[block[2]]}.{kind}"
    return f"{ENDS[module]}.{kind}"


def _config(find: Find, place: str) -> BERTConfig:
    """The sizes, out of a configuration that is a BERT's."""
    found = read_config(find, place, "BERT as BERT builds it", FIXED, SIZES)
    names = ["hidden_dropout_prob", "attention_probs_dropout_prob"]
    names += ["classifier_dropout"] if found.get("classifier_dropout") is not None else []
    sizes = {ours: found[theirs] for theirs, ours in SIZES.items()}
    return BERTConfig(
        d_ff=sizes.pop("inner"),
        **sizes,
        dropout=one_rate(found, names, place, "BERT"),
        num_segments=found.get("type_vocab_size", 2),
        norm_eps=found.get("layer_norm_eps", 1e-12),
    )


def _with_usual_names(tensors: dict[str, Tensor], place: str) -> dict[str, Tensor]:
    """The names of today, one for each tensor; Google's files have those of TensorFlow."""
    found = {}
    for name, tensor in tensors.items():
        name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
        name = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)
        bare = name.startswith(("embeddings.", "encoder.", "pooler."))
        found["bert." + name if bare else name] = tensor
    found.pop("bert.embeddings.position_ids", None)  # the numbers 0, 1, 2 ...: no weights
    for copy, name in (("weight", WORDS), ("bias", BIAS)):
        decoder = found.pop(f"cls.predictions.decoder.{copy}", None)
        if decoder is not None and not torch.equal(decoder, found.get(name, decoder)):
            raise ValueError(
                f"{place} has an output layer of its own; that of BERT is the embedding of words"
            )
    return found


def _check_kind(tensors: dict[str, Tensor], into: type, place: str) -> None:
    """A checkpoint with a classifier, or without one, is to be opened as what it is."""
    classifies = "classifier.weight" in tensors
    if classifies and into is BERT:
        raise ValueError(
            f"{place} has a classifier: open it with load_bert(..., into=BERTForSequences), or "
            "into=BERTForTokens"
        )
    if not classifies and into is not BERT:
        name = into.__name__
        raise ValueError(f"{place} has no classifier: {name}(load_bert(...), num_labels) adds one")


def _missing_heads(tensors: dict[str, Tensor]) -> list[str]:
    return [
        name
        for name, beginning in HEADS.items()
        if not any(tensor.startswith(beginning) for tensor in tensors)
    ]


def _build(into: type[Model], config: BERTConfig, tensors: dict[str, Tensor]) -> Model:
    model = BERT(config)
    return model if into is BERT else into(model, len(tensors["classifier.weight"]))
