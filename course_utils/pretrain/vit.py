"""A vision transformer that learns to read printed type, in the folder of the library's ViT.

No photograph is needed, and no file: type is drawn anew while the model learns. What it is worth is
measured on real handwriting, which it has never seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from course_utils.datasets.glyphs import GLYPHS, draw_glyphs
from course_utils.datasets.labelled_pictures import Pictures, load_pictures
from course_utils.files import atomic_write
from course_utils.history import History
from course_utils.label_curves import label_curve
from course_utils.models.vit import ViT, ViTConfig
from course_utils.picture_tuning import (
    PictureBatch,
    PictureBatches,
    picture_loss,
    picture_ways,
    read_pictures,
    score_by_names,
)
from course_utils.pictures import Preprocessing
from course_utils.pretrain.runs import Recipe, Run
from course_utils.pretrained import load_vit, to_vit
from course_utils.reproducibility import choose_device, parameter_count

WORTH = "{loss:.4f} nats per picture, accuracy {accuracy:.4f}"
HELD_OUT = {"validation": 2000, "test": 5000}  # pictures
PER_CLASS, DRAWS = (1, 5, 10, 20), 5  # of the card's table
WAYS = ("SVM on pixels", "linear probe", "all layers")
# Of the mean picture: the share of ink, and its spread.
MEAN, STD = 0.3, 0.4


@dataclass(frozen=True, kw_only=True)
class ViTRecipe(Recipe):
    """How a vision transformer is trained: see `Recipe`.

    Parameters
    ----------
    image_size, patch_size
        See `ViTConfig`. Type is drawn with the 8 x 8 pixels of the handwritten digits, and
        stretched to `image_size`.
    warp : float
        See `draw_glyphs`.
    chunk, passes : int
        Pictures that are drawn at once, and how often they are read before others are drawn:
        drawing takes as long as reading once or twice.
    """

    image_size: int = 16
    patch_size: int = 4
    num_heads: int = 4
    d_model: int = 64
    batch_size: int = 128
    steps: int = 12000
    adamw_learning_rate: float = 0.005
    warp: float = 1.0
    chunk: int = 20_000
    passes: int = 5

    SIZES = (*Recipe.SIZES, "image_size", "patch_size")

    @property
    def preprocessing(self) -> Preprocessing:
        """What is done to a picture before the model reads it."""
        return Preprocessing(size=self.image_size, channels=1, mean=MEAN, std=STD)

    def _build(self, sizes: dict[str, Any]) -> ViT:
        return ViT(ViTConfig(channels=1, num_classes=len(GLYPHS), **sizes))


def pretrain_vit(
    out: str | Path,
    *,
    recipe: ViTRecipe | None = None,
    say: Callable[[str], None] = print,
) -> History:
    """Train a vision transformer on printed type, and write it into a folder.

    Parameters
    ----------
    out, say
        As in `pretrain_gpt`.
    recipe : ViTRecipe, optional

    Returns
    -------
    History

    Raises
    ------
    FileExistsError, ValueError, OSError
        As in `pretrain_gpt`.
    """
    recipe = recipe or ViTRecipe()
    run = Run("vit", out, recipe, say)
    model = recipe.model().to(choose_device())
    held_out = run.kept(lambda: _held_out(run))
    validation, prepare = Pictures(*held_out["validation"]), recipe.preprocessing

    def measure(model: nn.Module) -> dict[str, float]:
        return measure_pictures(model, validation, prepare)

    batches = FreshType(recipe)
    history = run.train(model, run.optimizer(model), batches, picture_loss, measure, WORTH)
    if run.is_main and not history.interrupted:
        _write(run, model.cpu(), Pictures(*held_out["test"]), history)
    return history


class FreshType:
    """Batches of printed type; each epoch draws other pictures.

    Parameters
    ----------
    recipe : ViTRecipe
    """

    def __init__(self, recipe: ViTRecipe) -> None:
        if min(recipe.chunk, recipe.passes) < 1:
            raise ValueError(
                f"chunk and passes are 1 or more, got {recipe.chunk} and {recipe.passes}"
            )
        self.recipe, self.epoch = recipe, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the pictures of the next epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.recipe.chunk // self.recipe.batch_size) * self.recipe.passes

    def __iter__(self) -> Iterator[PictureBatch]:
        r = self.recipe
        seed = _seed(r, 2 + self.epoch)
        drawn = draw_glyphs(r.chunk, seed, warp=r.warp)
        batches = PictureBatches(drawn, r.preprocessing, r.batch_size, seed)
        for k in range(r.passes):
            batches.set_epoch(k)
            yield from batches


def _seed(recipe: ViTRecipe, part: int) -> int:
    """A seed for each part of the pictures: validation 0, test 1, then those of each epoch."""
    return recipe.seed * 1_000_003 + part


def _held_out(run: Run) -> dict[str, Any]:
    run.say("drawing pictures to measure with")
    drawn = {}
    for k, (part, count) in enumerate(HELD_OUT.items()):
        drawn[part] = list(draw_glyphs(count, _seed(run.recipe, k), warp=run.recipe.warp))
    return drawn


def measure_pictures(
    model: nn.Module, labelled: Pictures, preprocessing: Preprocessing
) -> dict[str, float]:
    """Loss (nats per picture) and accuracy of a model in evaluation mode."""
    logits = read_pictures(model, labelled, preprocessing)
    loss = nn.functional.cross_entropy(logits, labelled.labels).item()
    return {
        "loss": loss,
        "accuracy": (logits.argmax(1) == labelled.labels).float().mean().item(),
    }


# ---- the result


def _write(run: Run, model: ViT, test: Pictures, history: History) -> None:
    """The result, and what the stored weights are worth."""
    prepare = run.recipe.preprocessing
    run.store_model(to_vit(model, tuple(GLYPHS)))
    _write_preprocessing(prepare, run.out)
    stored, data = load_vit(run.out), load_pictures()
    found = measure_pictures(stored, test, prepare)
    capital = torch.tensor([GLYPHS.index(glyph.upper()) for glyph in GLYPHS])
    said = read_pictures(stored, test, prepare).argmax(1)
    caseless = (capital[said] == capital[test.labels]).float().mean().item()
    names = {"known": GLYPHS, "wanted": data.label_names}
    zero = score_by_names(stored, data.test, prepare, **names)
    run.say(f"learning real handwriting from {PER_CLASS} pictures of each digit, {DRAWS} draws")
    ways = {k: way for k, way in picture_ways(stored, data, prepare).items() if k in WAYS}
    points = label_curve(ways, PER_CLASS, DRAWS)
    rows = [
        f"| {way} | "
        + " | ".join(f"{p.mean:.3f} ({p.low:.3f}-{p.high:.3f})" for p in points if p.way == way)
        + " |"
        for way in WAYS
    ]
    heads = " | ".join(f"{count} a class" for count in PER_CLASS)
    table = "\n".join([f"| labels | {heads} |", "|---" * (len(PER_CLASS) + 1) + "|", *rows])
    r = run.recipe
    seen = r.steps * r.batch_size
    drawn = -(-r.steps // len(FreshType(r))) * r.chunk
    data_line = (
        "printed type in the fonts that matplotlib ships, warped: `datasets.glyphs.draw_glyphs`.\n"
        f"  {len(GLYPHS)} classes, {drawn:,} pictures. None of them is a photograph or handwriting"
    )
    card = f"""# A small vision transformer that reads printed type

The architecture of ViT with {parameter_count(stored):,} parameters, stored in half precision.
`course_utils.pretrained.load_vit(folder)` opens it, and so does
`transformers.ViTForImageClassification.from_pretrained(folder)`.

Held-out type, {len(test.labels):,} pictures of {len(GLYPHS)} classes: accuracy
**{found["accuracy"]:.4f}**, {found["loss"]:.4f} nats per picture. Fitted to their box, c and C look
alike, as other letters do: where small and large ones count as the same, it is {caseless:.4f}.

Real handwriting: the {len(data.test.labels)} test pictures of scikit-learn's digits. Without one
label, the most probable of the ten digits: **{zero:.3f}**. With a few labels a class, {DRAWS} draws
of them, and in brackets the 95 % confidence interval of the mean:

{table}

Measured from the stored file. Interval and mean are about the draws, and not about the test
pictures, which are the same.

{run.origin(data_line, history, f"; {seen:,} pictures read")}
- **Use**: features for grey pictures of single letters and digits, white on black, fitted to their
  box. It knows nothing of photographs.
"""
    run.finish(card, WORTH.format(**found))


def _write_preprocessing(prepare: Preprocessing, out: Path) -> None:
    """What the library's image processors, and `preprocessing_of`, read."""
    size = {"height": prepare.size, "width": prepare.size}
    settings = {"image_processor_type": "ViTImageProcessor", "do_resize": True, "size": size}
    settings |= {"resample": 2, "do_rescale": True, "rescale_factor": 1 / 255}
    settings |= {"do_normalize": True, "image_mean": [prepare.mean], "image_std": [prepare.std]}
    with atomic_write(out / "preprocessor_config.json") as file:
        file.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
