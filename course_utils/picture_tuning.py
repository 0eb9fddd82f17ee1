"""Fine-tuning of pictures: a vision transformer learns a task from a few labelled examples.

The same examples are used in six ways. "SVM on pixels" knows no network, and is what the others
have to beat. "from scratch" has new weights. The rest begins with pre-trained ones: "linear probe"
fits a linear layer to its features, exactly; "head only", "last blocks" and "all layers" train by
gradient, and move the pictures a little each time. `label_curves.label_curve` says how good each
way is with few examples and with many. And without a single one: `score_by_names`, where the
pre-training knew the classes already.

Sources: Dosovitskiy et al. 2021, An Image is Worth 16x16 Words, section 4.1 and appendix B (a new
head that begins at zero; fine-tuning beside the probe); Bao et al. 2022, BEiT, appendix H (learning
rates by layers).

Axis letters: B batch, N pictures, C channels, Y and X height and width, D model width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from course_utils.history import History
from course_utils.label_curves import linear_probe
from course_utils.models.vit import ViT
from course_utils.optimizers import layer_wise_groups, train_only
from course_utils.pictures import Preprocessing
from course_utils.training import fit

READ = 256  # pictures that are read at once, where nothing is learned
# What new weights need; as the defaults of `train_on_pictures`, found with half of the digits'
# training pictures, by the other half.
SCRATCH = {"learning_rate": 3e-3, "least_steps": 1000, "layer_decay": 1.0}


class PictureBatch(NamedTuple):
    """Pictures side by side.

    Attributes
    ----------
    pictures : Float "B C Y X"
        As a model reads them.
    target : Int "B"
        Classes.
    """

    pictures: Float[Tensor, "B C Y X"]
    target: Int[Tensor, " B"]


class PictureBatches:
    """Batches of labelled pictures.

    Parameters
    ----------
    labelled : Pictures
        Bytes "N C Y X" and labels "N".
    preprocessing : Preprocessing
        Resizes once, where pictures have another size than it says, and normalises.
    batch_size : int
        B; the last batch of a pass may be smaller.
    seed : int, optional
        Seeds the order and the shifts, others in each epoch. None: in order, as they are.
    shifts : int
        Each time a picture is read, it is moved by up to so many pixels, along both axes; what
        comes in is black. Needs a seed.
    mirrored : bool
        Each time, half of the pictures are mirrored, left to right. Needs a seed. For things, not
        for letters.

    Raises
    ------
    ValueError
        When there is no picture, one has no label, or a number is out of range.
    """

    def __init__(
        self,
        labelled: Any,
        preprocessing: Preprocessing,
        batch_size: int,
        seed: int | None = None,
        *,
        shifts: int = 0,
        mirrored: bool = False,
    ) -> None:
        count = len(labelled.labels)
        if not count or batch_size < 1 or shifts < 0:
            raise ValueError(
                "batches take a picture or more, a batch_size of 1 or more, and shifts of 0 or "
                f"more; got {count}, {batch_size} and {shifts}"
            )
        if len(labelled.pictures) != count:
            raise ValueError(f"{len(labelled.pictures)} pictures have as many labels, got {count}")
        if seed is None and (shifts or mirrored):
            raise ValueError("pictures are moved at random: give a seed, or leave them in place")
        fits = labelled.pictures.shape[2:] == (preprocessing.size,) * 2
        uncut = preprocessing.crop in (None, preprocessing.size)
        self.normalise, self.labels = preprocessing.normalise, labelled.labels
        # Bytes: 10,000 pictures of 224 x 224 take 1.4 GiB so, and four times that as numbers.
        ready = fits and uncut
        self.pictures = labelled.pictures if ready else preprocessing.resized(labelled.pictures)
        black = torch.zeros(1, preprocessing.channels, 1, 1, dtype=torch.uint8)
        self.black = preprocessing.normalise(black)
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0
        self.shifts, self.mirrored = shifts, mirrored

    def set_epoch(self, epoch: int) -> None:
        """Choose the order and the shifts of the next pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __iter__(self) -> Iterator[PictureBatch]:
        order, chance = torch.arange(len(self.labels)), torch.Generator()
        if self.seed is not None:
            chance.manual_seed(self.seed * 1_000_003 + self.epoch)
            order = torch.randperm(len(order), generator=chance)
        for places in order.split(self.batch_size):
            pictures = self.normalise(self.pictures[places])
            if self.shifts:
                pictures = shifted(pictures - self.black, self.shifts, chance) + self.black
            if self.mirrored:
                some = torch.rand(len(pictures), generator=chance) < 0.5
                pictures[some] = pictures[some].flip(3)
            yield PictureBatch(pictures, self.labels[places])


def shifted(
    pictures: Shaped[Tensor, "B C Y X"], most: int, chance: torch.Generator
) -> Shaped[Tensor, "B C Y X"]:
    """Move each picture its own way, by up to `most` pixels along both axes; zeros come in.

    Examples
    --------
    >>> one = torch.tensor([[[[9, 0], [0, 0]]]])
    >>> shifted(one, 1, torch.Generator().manual_seed(7))[0, 0].tolist()
    [[0, 0], [9, 0]]
    """
    count, _, height, width = pictures.shape
    wide = nn.functional.pad(pictures, (most,) * 4)
    down, right = torch.randint(2 * most + 1, (2, count, 1), generator=chance)
    rows = (down + torch.arange(height))[:, None, :, None]
    columns = (right + torch.arange(width))[:, None, None, :]
    channels = torch.arange(pictures.shape[1])[:, None, None]
    return wide[torch.arange(count)[:, None, None, None], channels, rows, columns]


def picture_loss(model: nn.Module, batch: PictureBatch) -> Float[Tensor, ""]:
    """Mean cross-entropy, in nats."""
    return nn.functional.cross_entropy(model(batch.pictures), batch.target)


@torch.no_grad()
def read_pictures(
    read: Callable[[Tensor], Tensor], labelled: Any, preprocessing: Preprocessing
) -> Float[Tensor, "N K"]:
    """What `read` gives for all pictures: the logits of a model, or its `features`.

    A model is to be in evaluation mode.
    """
    batches = PictureBatches(labelled, preprocessing, READ)
    return torch.cat([read(batch.pictures) for batch in batches])


def score_pictures(model: nn.Module, labelled: Any, preprocessing: Preprocessing) -> float:
    """Share of pictures whose class a model says."""
    predicted = read_pictures(model.eval(), labelled, preprocessing).argmax(1)
    return _share(predicted == labelled.labels)


def score_by_names(
    model: nn.Module,
    labelled: Any,
    preprocessing: Preprocessing,
    *,
    known: Sequence[str],
    wanted: Sequence[str],
) -> float:
    """Share of pictures named rightly by a model that learned such names elsewhere.

    Not one of the labels is learned from: of the names that the model knows, those that are wanted
    are compared, and the most probable one is its answer.

    Parameters
    ----------
    model : ViT
    labelled : Pictures
        Labels are indices into `wanted`.
    preprocessing : Preprocessing
    known, wanted : sequence of str
        Names of the model's classes, and of the pictures'.

    Raises
    ------
    ValueError
        When a wanted name is not known.
    """
    if lacking := [name for name in wanted if name not in known]:
        raise ValueError(f"the model knows no {lacking[0]!r}: its names are {list(known)}")
    places = torch.tensor([list(known).index(name) for name in wanted])
    logits = read_pictures(model.eval(), labelled, preprocessing)
    return _share(logits[:, places].argmax(1) == labelled.labels)


def with_new_head(vit: ViT, num_classes: int) -> ViT:
    """A copy of a model, with a classifier for other classes, which begins at zero."""
    with torch.random.fork_rng(devices=[]):  # the first weights are replaced
        new = ViT(replace(vit.config, num_classes=num_classes, teacher_head=False))
    kept = {name: part for name, part in vit.state_dict().items() if "classifier" not in name}
    new.load_state_dict(new.state_dict() | kept)
    return new


def train_on_pictures(
    model: nn.Module,
    batches: PictureBatches,
    *,
    last_blocks: int | None = None,
    epochs: int = 10,
    least_steps: int = 200,
    learning_rate: float = 2e-3,
    layer_decay: float = 0.75,
    weight_decay: float = 0.05,
    seed: int = 0,
    **options: Any,
) -> History:
    """Train a model on labelled pictures.

    The learning rate rises over a tenth of the steps, and goes straight down to 0.

    Parameters
    ----------
    model : ViT
        Trained in place.
    batches : PictureBatches
    last_blocks : int, optional
        What learns: 0 the head, K the last K blocks too, None (the default) all layers.
    epochs, least_steps : int
        How long: so many passes, or so many steps if that is more.
    learning_rate : float
        Peak of the head's, of AdamW.
    layer_decay, weight_decay : float
        See `layer_wise_groups`.
    seed : int
        Seeds dropout.
    **options
        Others of `fit`.
    """
    steps = max(least_steps, epochs * len(batches))
    train_only(model, last_blocks)
    decays = {"layer_decay": layer_decay, "weight_decay": weight_decay}
    optimizer = torch.optim.AdamW(layer_wise_groups(model, learning_rate, **decays))
    usual = {"schedule": "linear", "warmup_steps": steps // 10}
    usual |= {"progress": False, "description": "fine-tuning"}
    how = {"steps": steps, "optimizer": optimizer, "seed": seed}
    return fit(model, batches, picture_loss, **how, **(usual | options))


def picture_ways(
    vit: ViT,
    data: Any,
    preprocessing: Preprocessing,
    *,
    batch_size: int = 50,
    shifts: int = 1,
    mirrored: bool = False,
    last_blocks: int = 2,
    head_rate: float = 1e-2,
    scratch: Mapping[str, Any] = SCRATCH,
    **recipe: Any,
) -> dict[str, Callable[[int, int], float]]:
    """Six ways to learn from few labelled pictures: `train_and_score(per_class, seed)` of each.

    Parameters
    ----------
    vit : ViT
        Pre-trained; it stays as it is. "from scratch" has its sizes and new weights.
    data : PictureData
        `data.draw(per_class, seed)` gives the training pictures, the same ones for each way;
        `data.test` is scored.
    preprocessing : Preprocessing
        That of the pre-training.
    batch_size, shifts, mirrored
        Of the training: see `PictureBatches`.
    last_blocks : int
        Blocks that learn in "last blocks".
    head_rate : float
        Learning rate of "head only", which bears a higher one.
    scratch : mapping
        Of `train_on_pictures`, for "from scratch", on top of `recipe`: new weights need more steps
        than old ones, at a higher rate, the same in all layers.
    **recipe
        Of `train_on_pictures`.
    """
    kept: list[Tensor] = []  # features of the test pictures: the same for every draw

    def features(labelled: Any) -> Tensor:
        return read_pictures(vit.eval().features, labelled, preprocessing)

    def probe(per_class: int, seed: int) -> float:
        if not kept:
            kept.append(features(data.test))
        drawn = data.draw(per_class, seed)
        predicted = linear_probe((features(drawn), drawn.labels), (kept[0], data.test.labels))
        return _share(predicted == data.test.labels)

    def trained(per_class: int, seed: int, *, new: bool = False, **how: Any) -> float:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            start = ViT(vit.config) if new else vit
        model = with_new_head(start, len(data.label_names))
        moves = {"shifts": shifts, "mirrored": mirrored}
        drawn = data.draw(per_class, seed)
        batches = PictureBatches(drawn, preprocessing, batch_size, seed, **moves)
        train_on_pictures(model, batches, seed=seed, **(recipe | how))
        return score_pictures(model, data.test, preprocessing)

    def way(**how: Any) -> Callable[[int, int], float]:
        return lambda per_class, seed: trained(per_class, seed, **how)

    return {
        "SVM on pixels": lambda per_class, seed: score_svm(data, per_class, seed),
        "from scratch": way(new=True, **scratch),
        "linear probe": probe,
        "head only": way(last_blocks=0, learning_rate=head_rate),
        "last blocks": way(last_blocks=last_blocks),
        "all layers": way(),
    }


def score_svm(data: Any, per_class: int, seed: int) -> float:
    """Share of test pictures named rightly by scikit-learn's support vectors, on the pixels."""
    from sklearn.svm import SVC

    drawn = data.draw(per_class, seed)
    x, y = (part.pictures.flatten(1).float().numpy() / 255 for part in (drawn, data.test))
    return float(SVC(C=10.0).fit(x, drawn.labels.numpy()).score(y, data.test.labels.numpy()))


def _share(right: Tensor) -> float:
    return right.float().mean().item()
