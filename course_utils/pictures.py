"""From picture files to the numbers that a vision model reads, with Pillow and torch only.

The steps are those of the library's image processors (`ViTImageProcessorPil`), to the last bit of
what is resized: red, green and blue (or grey); resize; cut out the middle; divide by 255; subtract
the mean and divide by the standard deviation of each channel.

Axis letters: B pictures, C channels, Y and X height and width.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

Resample = Literal["bilinear", "bicubic", "nearest"]
# Pillow's modes of more than 8 bits a channel, whose range is not known.
WIDE = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """What is done to a picture before a model reads it; call it with a list of pictures.

    Parameters
    ----------
    size : int
        Height and width after resizing; the picture is stretched to a square, as ViT's are.
    crop : int, optional
        Height and width of the middle that is cut out then; all of it by default.
    channels : int
        3 for colours, 1 for grey.
    mean, std : float
        Of each channel, on the scale from 0 to 1.
    resample : "bilinear", "bicubic" or "nearest"
        How pixels are mixed when resizing: ViT's "bilinear", DeiT's "bicubic".

    Raises
    ------
    ValueError
        When a number is out of range, or a choice is unknown.

    Examples
    --------
    >>> prepare = Preprocessing(size=224)
    >>> prepare([np.zeros((30, 20, 3), dtype=np.uint8)]).shape
    torch.Size([1, 3, 224, 224])
    """

    size: int = 224
    crop: int | None = None
    channels: int = 3
    mean: float | tuple[float, ...] = 0.5
    std: float | tuple[float, ...] = 0.5
    resample: Resample = "bilinear"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size is 1 or more, got {self.size}")
        if self.crop is not None and not 1 <= self.crop <= self.size:
            raise ValueError(f"crop is 1 to size={self.size}, got {self.crop}")
        if self.channels not in (1, 3):
            raise ValueError(f"channels are 3 (colours) or 1 (grey), got {self.channels}")
        if self.resample not in get_args(Resample):
            raise ValueError(f"resample is one of {[*get_args(Resample)]}, got {self.resample!r}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if isinstance(values, tuple) and len(values) != self.channels:
                raise ValueError(
                    f"{name} has one number, or one for each of {self.channels} channels, "
                    f"got {values}"
                )
            if name == "std" and np.min(values) <= 0:
                raise ValueError(f"std is above 0, got {values}")

    def __call__(self, pictures: Iterable[Any]) -> Float[Tensor, "B C Y X"]:
        """Prepare pictures: paths, Pillow's pictures, or arrays of bytes "Y X", "Y X C", "C Y X".

        Raises
        ------
        ValueError, TypeError, FileNotFoundError
            When there is none, a file is no picture, or an array is not one of these.
        """
        return self.normalise(self.resized(pictures))

    def resized(self, pictures: Iterable[Any]) -> UInt8[Tensor, "B C Y X"]:
        """The same, as bytes: a quarter of the memory of numbers."""
        side, ready = self.crop or self.size, []
        from PIL import Image

        for picture in pictures:
            picture = to_channels(as_pillow(picture), self.channels)
            how = Image.Resampling[self.resample.upper()]
            picture = picture.resize((self.size, self.size), how)
            start = (self.size - side) // 2
            picture = picture.crop((start, start, start + side, start + side))
            ready.append(to_bytes(picture))
        if not ready:
            raise ValueError("there is no picture to prepare: give a list of one or more")
        return torch.stack(ready)

    def normalise(self, pictures: UInt8[Tensor, "B C Y X"]) -> Float[Tensor, "B C Y X"]:
        """Bytes to numbers around 0; sizes stay what they are."""
        if pictures.ndim != 4 or pictures.shape[1] != self.channels:
            raise ValueError(
                f"pictures have {self.channels} channels here, and the axes B C Y X, "
                f"got {tuple(pictures.shape)}"
            )
        mean, std = (torch.tensor(v).float().view(-1, 1, 1) for v in (self.mean, self.std))
        return (pictures.float() / 255 - mean) / std


def read_picture(file: str | Path) -> Any:
    """Read a picture file, whole, and turn it as its camera says.

    Returns
    -------
    PIL.Image.Image

    Raises
    ------
    FileNotFoundError, ValueError
        When it is not there, cut off, or no picture.
    """
    from PIL import Image, ImageOps

    file = Path(file)
    try:
        with warnings.catch_warnings():  # a picture large enough to be an attack
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as picture:
                return ImageOps.exif_transpose(picture)  # reads all of it
    except FileNotFoundError:
        raise FileNotFoundError(
            f"there is no picture {file} (looked for from {Path.cwd()})"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{file} has too many pixels ({error}): make it smaller") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f"{file} is cut off or is no picture ({error}): fetch it again, or save it as PNG"
        ) from error


def as_pillow(picture: Any) -> Any:
    """Pillow's picture of a path, of one of its own, or of an array of bytes."""
    from PIL import Image

    if isinstance(picture, Image.Image):
        return picture
    if isinstance(picture, str | Path):
        return read_picture(picture)
    if isinstance(picture, Tensor):
        picture = picture.cpu().numpy()
    if not isinstance(picture, np.ndarray):
        raise TypeError(f"a picture is a path, Pillow's or an array, got {type(picture).__name__}")
    if picture.dtype != np.uint8:
        raise TypeError(f"an array of a picture holds bytes, 0 to 255, got {picture.dtype}")
    if picture.ndim == 3 and picture.shape[-1] not in (1, 3, 4) and len(picture) in (1, 3, 4):
        picture = np.moveaxis(picture, 0, -1)  # C Y X -> Y X C
    if picture.ndim == 3 and picture.shape[-1] == 1:
        picture = picture[..., 0]
    if 0 in picture.shape or not (
        picture.ndim == 2 or (picture.ndim == 3 and picture.shape[-1] in (3, 4))
    ):
        raise ValueError(
            "an array of a picture has the axes Y X, Y X C or C Y X with 1, 3 or 4 channels, "
            f"got {picture.shape}"
        )
    return Image.fromarray(np.ascontiguousarray(picture))


def to_channels(picture: Any, channels: int = 3) -> Any:
    """A picture in colours (3) or in grey (1), whatever it was; what is transparent becomes white.

    Raises
    ------
    ValueError
        When it has more than 8 bits a channel, so that nobody knows what is white.
    """
    from PIL import Image

    if picture.mode in WIDE:
        raise ValueError(
            f"a picture of more than 8 bits a channel (mode {picture.mode!r}): save it with 8"
        )
    if "A" in picture.getbands() or picture.info.get("transparency") is not None:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("RGB" if channels == 3 else "L")


def to_bytes(picture: Any) -> UInt8[Tensor, "C Y X"]:
    """The pixels of one of Pillow's pictures."""
    pixels = torch.from_numpy(np.array(picture))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def preprocessing_of(file: str | Path) -> Preprocessing:
    """What a checkpoint's `preprocessor_config.json` asks for.

    Raises
    ------
    FileNotFoundError, ValueError
        When it is not there, or asks for another kind of preparation.
    """
    found = json.loads(Path(file).read_text(encoding="utf-8"))
    size, crop = (_side(found.get(name), name, file) for name in ("size", "crop_size"))
    if not found.get("do_resize", True) or size is None:
        raise ValueError(f"{file} does not resize pictures: ours are resized to a square")
    names = {0: "nearest", 2: "bilinear", 3: "bicubic"}
    if (resample := found.get("resample", 2)) not in names:
        raise ValueError(f"{file} resamples by {resample!r}: known are {names}")
    if found.get("rescale_factor", 1 / 255) != 1 / 255:
        raise ValueError(f"{file} rescales by {found['rescale_factor']}: ours by 1/255")
    keep = found.get("do_normalize", True)
    mean, std = (found.get(f"image_{name}", [0.5] * 3) for name in ("mean", "std"))
    return Preprocessing(
        size=size,
        crop=crop if found.get("do_center_crop", False) else None,
        channels=len(mean),
        mean=tuple(mean) if keep else 0.0,
        std=tuple(std) if keep else 1.0,
        resample=names[resample],
    )


def _side(found: Any, name: str, file: str | Path) -> int | None:
    """One side, of a number or of {"height": ..., "width": ...}."""
    sides = {found} if isinstance(found, int) else set((found or {}).values())
    if (isinstance(found, dict) and set(found) != {"height", "width"}) or len(sides) > 1:
        raise ValueError(f"{file} has {name}={found}: ours are squares, of equal height and width")
    return next(iter(sides), None)
