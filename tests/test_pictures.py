"""Preprocessing: equal to the library's processors on odd pictures; clear errors on broken ones."""

import helpers
import numpy as np
import pytest
import torch
from helpers import as_a_reader
from PIL import Image

from course_utils.pictures import Preprocessing, preprocessing_of, read_picture, to_channels

one_thread = helpers.one_thread
SIZES = [(1, 1), (3, 7), (31, 17), (64, 1), (1, 50), (45, 45)]


def draw_picture(mode, size, seed=0):
    """A random picture of a mode; those with transparency have some of each kind."""
    draws = np.random.default_rng(seed)
    colours = Image.fromarray(draws.integers(0, 256, (*size, 4), dtype=np.uint8), "RGBA")
    if mode == "P with a transparent colour":
        picture = colours.convert("RGB").quantize(8)
        picture.info["transparency"] = 3
        return picture
    if mode == "P":
        return colours.convert("RGB").quantize(16)
    return colours if mode == "RGBA" else colours.convert("RGB").convert(mode)


MODES = ("RGB", "RGBA", "L", "LA", "P", "P with a transparent colour", "1", "CMYK", "YCbCr")
every_mode = pytest.mark.parametrize("mode", MODES)


def theirs(family="ViT", **choices):
    import transformers

    name = f"{family}ImageProcessorPil"
    return getattr(transformers, name)(do_convert_rgb=True, **choices)


def both(pictures, ours, processor):
    wanted = processor(pictures, return_tensors="pt")["pixel_values"]
    return ours(pictures), wanted


@every_mode
@pytest.mark.parametrize("size", SIZES)
def test_vit_s_pictures_equal_the_library(mode, size):
    picture = draw_picture(mode, size)
    sides = {"height": 24, "width": 24}
    found, wanted = both([picture, picture], Preprocessing(size=24), theirs(size=sides))
    assert found.shape == (2, 3, 24, 24)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-6)


@every_mode
@pytest.mark.parametrize(("size", "crop"), [(24, 20), (25, 20), (24, 17), (9, 9)])
def test_deit_s_pictures_equal_the_library(mode, size, crop):
    picture = draw_picture(mode, (31, 18))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    ours = Preprocessing(size=size, crop=crop, mean=mean, std=std, resample="bicubic")
    sides = {"size": {"height": size, "width": size}, "crop_size": {"height": crop, "width": crop}}
    processor = theirs("DeiT", image_mean=list(mean), image_std=list(std), **sides)
    found, wanted = both([picture], ours, processor)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_arrays_and_files_are_read_as_pictures_are(tmp_path):
    picture, prepare = draw_picture("RGB", (9, 12)), Preprocessing(size=8)
    pixels = np.array(picture)
    picture.save(tmp_path / "a.png")
    wanted = prepare([picture])
    for other in (pixels, np.moveaxis(pixels, -1, 0), torch.tensor(pixels), tmp_path / "a.png"):
        assert torch.equal(prepare([other]), wanted)
    assert torch.equal(prepare([str(tmp_path / "a.png")]), wanted)
    grey = prepare([pixels[..., 0]])
    assert torch.equal(grey, prepare([pixels[..., :1]])) and torch.equal(grey[:, 0], grey[:, 2])


def test_grey_has_one_channel_and_normalise_is_hand_worked():
    prepare = Preprocessing(size=4, channels=1, mean=0.2, std=0.4)
    found = prepare([np.full((4, 4), 153, dtype=np.uint8)])
    assert found.shape == (1, 1, 4, 4)
    torch.testing.assert_close(found, torch.ones(1, 1, 4, 4))  # (153 / 255 - 0.2) / 0.4
    assert prepare([draw_picture("RGBA", (3, 5))]).shape == (1, 1, 4, 4)


def test_transparent_becomes_white():
    nothing = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    assert np.array(to_channels(nothing)).min() == 255
    assert np.array(to_channels(nothing, 1)).min() == 255


def test_picture_is_turned_as_its_camera_says(tmp_path):
    picture = draw_picture("RGB", (4, 6))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    picture.save(tmp_path / "a.png", exif=exif)
    turned = read_picture(tmp_path / "a.png")
    assert turned.size == (4, 6)
    assert np.array_equal(np.array(turned), np.rot90(np.array(picture), -1))


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"size": 224}, Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3)),
        (
            {
                "size": {"height": 256, "width": 256},
                "crop_size": {"height": 224, "width": 224},
                "do_center_crop": True,
                "resample": 3,
                "image_mean": [0.4, 0.5, 0.6],
            },
            Preprocessing(
                size=256, crop=224, mean=(0.4, 0.5, 0.6), std=(0.5,) * 3, resample="bicubic"
            ),
        ),
        (
            {"size": 9, "crop_size": 7, "do_normalize": False},
            Preprocessing(size=9, mean=0.0, std=1.0),
        ),
    ],
)
def test_settings_of_a_checkpoint_are_read(settings, wanted, tmp_path):
    import json

    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps(settings))
    assert preprocessing_of(file) == wanted


@pytest.mark.parametrize("family", ["ViT", "DeiT"])
def test_settings_that_the_library_writes_do_what_the_library_does(family, tmp_path):
    processor = theirs(family)
    processor.save_pretrained(tmp_path)
    picture = draw_picture("RGB", (50, 70))
    found, wanted = both(
        [picture], preprocessing_of(tmp_path / "preprocessor_config.json"), processor
    )
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


# ---- errors


def test_broken_files_are_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no picture .*a\.png"):
        read_picture(tmp_path / "a.png")
    draw_picture("RGB", (40, 40)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    for name, content in {
        "cut.png": whole[: len(whole) // 2],
        "text.png": b"this is no picture",
        "empty.png": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name} is cut off or is no picture"):
            read_picture(tmp_path / name)


@pytest.mark.parametrize(
    ("picture", "error", "message"),
    [
        (np.zeros((4, 4, 3)), TypeError, "holds bytes, 0 to 255, got float64"),
        (np.zeros((5, 4, 2), dtype=np.uint8), ValueError, r"1, 3 or 4 channels, got \(5, 4, 2\)"),
        (np.zeros((0, 4, 3), dtype=np.uint8), ValueError, r"got \(0, 4, 3\)"),
        (np.zeros(4, dtype=np.uint8), ValueError, r"got \(4,\)"),
        (7, TypeError, "a path, Pillow's or an array, got int"),
        (Image.new("I;16", (2, 2)), ValueError, "more than 8 bits a channel .*'I;16'"),
    ],
)
def test_what_is_no_picture_is_an_error(picture, error, message):
    with as_a_reader(), pytest.raises(error, match=message):
        Preprocessing(size=8)([picture])


def test_no_pictures_and_other_channels_are_an_error():
    prepare = Preprocessing(size=8)
    with pytest.raises(ValueError, match="there is no picture to prepare"):
        prepare([])
    with pytest.raises(ValueError, match=r"3 channels here.*got \(2, 1, 8, 8\)"):
        prepare.normalise(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"size": 0}, "size is 1 or more, got 0"),
        ({"size": 8, "crop": 9}, "crop is 1 to size=8, got 9"),
        ({"channels": 4}, "3 .colours. or 1 .grey., got 4"),
        ({"mean": (0.5, 0.5)}, "one for each of 3 channels, got"),
        ({"std": 0.0}, "std is above 0, got 0.0"),
        ({"resample": "magic"}, "resample is one of .*got 'magic'"),
    ],
)
def test_wrong_choices_are_an_error(choices, message):
    with as_a_reader(), pytest.raises(ValueError, match=message):
        Preprocessing(**choices)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ('{"size": {"shortest_edge": 224}}', "ours are squares"),
        ('{"size": {"height": 9, "width": 8}}', "ours are squares"),
        ('{"size": 9, "do_resize": false}', "does not resize"),
        ('{"size": 9, "resample": 1}', "resamples by 1"),
        ('{"size": 9, "rescale_factor": 0.1}', "rescales by 0.1"),
    ],
)
def test_other_settings_are_an_error(settings, message, tmp_path):
    (tmp_path / "p.json").write_text(settings)
    with pytest.raises(ValueError, match=message):
        preprocessing_of(tmp_path / "p.json")
