"""Labelled pictures: digits, folders, the hub's files; splits, draws, errors."""

import datasets as library
import helpers
import numpy as np
import pytest
import torch
from helpers import as_a_reader
from PIL import Image

from course_utils.datasets import labelled_pictures as module
from course_utils.datasets import load_pictures
from course_utils.datasets.labelled_pictures import Pictures, split

one_thread = helpers.one_thread


def draw(mode="RGB", size=(6, 5), seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def make_folder(folder, count=4, names=("cat", "dog"), **choices):
    """Class folders of pictures of which no two are equal."""
    for c, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for k in range(count):
            draw(seed=100 * c + k, **choices).save(folder / name / f"{k}.png")
    return folder


def as_set(pictures):
    return {bytes(picture.numpy()) for picture in pictures.pictures}


def test_digits_are_all_of_scikit_learn_s_and_split_once():
    from sklearn.datasets import load_digits

    data, again = load_pictures(), load_pictures()
    assert torch.equal(data.train.pictures, again.train.pictures)
    assert data.train.pictures.dtype == torch.uint8
    both = torch.cat([data.train.pictures, data.test.pictures]).view(-1, 64)
    counts, labels = load_digits(return_X_y=True)
    back = (both.double() * 16 / 255).round()
    both_labels = torch.cat([data.train.labels, data.test.labels])
    ours = torch.cat([back, both_labels[:, None]], dim=1).tolist()
    assert sorted(ours) == sorted(np.column_stack([counts, labels]).tolist())
    assert both.max() == 255 and data.label_names == tuple("0123456789")
    share = data.test.labels.bincount() / both_labels.bincount()
    assert (share - 0.3).abs().max() < 0.01


def test_split_takes_every_picture_once_and_the_labels_go_along():
    pictures = torch.arange(40, dtype=torch.uint8).view(40, 1, 1, 1)
    train, test = split(Pictures(pictures, torch.arange(40) % 4))
    assert sorted(torch.cat([train.pictures, test.pictures]).flatten().tolist()) == [*range(40)]
    for part in (train, test):
        assert torch.equal(part.pictures.flatten().long() % 4, part.labels)
    assert test.labels.bincount().tolist() == [3, 3, 3, 3]


def test_draw_is_even_without_repetition_and_by_seed():
    data = load_pictures()
    some = data.draw(5, seed=3)
    assert some.labels.bincount().tolist() == [5] * 10
    assert torch.equal(some.pictures, data.draw(5, seed=3).pictures)
    assert not torch.equal(some.pictures, data.draw(5, seed=4).pictures)
    assert as_set(some) <= as_set(data.train)
    for count in (0, 1000):
        with pytest.raises(ValueError, match=f"{count} pictures of '0' are asked for"):
            data.draw(count)


def test_folder_of_class_folders_is_split(tmp_path):
    data = load_pictures(make_folder(tmp_path / "pets", count=10))
    assert data.label_names == ("cat", "dog") and data.name == "pets"
    assert data.train.pictures.shape == (14, 3, 5, 6) and len(data.test.labels) == 6
    wanted = {bytes(np.moveaxis(np.array(draw(seed=100 + k)), -1, 0).copy()) for k in range(10)}
    dogs = [part.pictures[part.labels == 1] for part in (data.train, data.test)]
    assert {bytes(picture.numpy()) for picture in torch.cat(dogs)} == wanted


def test_folder_with_parts_keeps_them_and_grey_stays_grey(tmp_path):
    make_folder(tmp_path / "train", count=3, mode="L")
    make_folder(tmp_path / "val", count=2, mode="L")
    data = load_pictures(str(tmp_path))
    assert data.train.pictures.shape == (6, 1, 5, 6) and data.test.pictures.shape == (4, 1, 5, 6)
    assert data.test.labels.tolist() == [0, 0, 1, 1]


def test_pictures_of_several_sizes_are_stretched_when_asked(tmp_path):
    make_folder(tmp_path, count=3)
    draw(size=(9, 9)).save(tmp_path / "dog" / "z.jpg")
    with pytest.raises(ValueError, match=r"z\.jpg has 9 x 9 pixels, those before it 5 x 6: say si"):
        load_pictures(tmp_path)
    assert load_pictures(tmp_path, size=8).train.pictures.shape[1:] == (3, 8, 8)


def hub_rows(count, column="img", named=True, first=0):
    label = library.ClassLabel(names=["cat", "dog"]) if named else library.Value("int64")
    features = library.Features({column: library.Image(), "label": label})
    rows = {column: [draw(seed=first + k) for k in range(count)], "label": [0, 1] * (count // 2)}
    return library.Dataset.from_dict(rows, features=features)


@pytest.mark.parametrize("named", [True, False])
def test_hub_s_files_in_a_folder_are_read(named, tmp_path):
    hub_rows(6, named=named).to_parquet(tmp_path / "train.parquet")
    hub_rows(4, named=named, first=50).to_parquet(tmp_path / "test.parquet")
    data = load_pictures(tmp_path)
    assert data.label_names == (("cat", "dog") if named else ("0", "1"))
    assert data.train.labels.tolist() == [0, 1] * 3
    wanted = torch.from_numpy(np.array(draw(seed=52))).permute(2, 0, 1)
    assert torch.equal(data.test.pictures[2], wanted)


def test_hub_is_asked_and_the_test_part_comes_before_validation(monkeypatch):
    asked = []

    def ask(repository, configuration):
        asked.append((repository, configuration))
        parts = {"train": 6, "test": 4, "validation": 2}
        return library.DatasetDict({key: hub_rows(n, "image") for key, n in parts.items()})

    monkeypatch.setattr(module, "_ask_hub", ask)
    assert len(load_pictures("hub").test.labels) == 4
    load_pictures("hub", name="me/pets/small")
    assert asked == [("uoft-cs/cifar10", None), ("me/pets", "small")]


def test_hub_without_pictures_or_training_part_is_an_error(monkeypatch):
    rows = library.Dataset.from_dict({"text": ["a"]})
    for loaded, message in (
        ({"train": rows}, "columns found are 'text'; expected for the picture one of 'img'"),
        ({"test": rows}, "has no train part .found: test"),
    ):
        monkeypatch.setattr(module, "_ask_hub", lambda *_, loaded=loaded: loaded)
        with pytest.raises(ValueError, match=message):
            load_pictures("hub")


def test_labels_out_of_range_are_an_error(tmp_path):
    features = library.Features({"img": library.Image(), "label": library.Value("int64")})
    rows = {"img": [draw(), draw(seed=1)], "label": [0, -1]}
    library.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(ValueError, match=r"labels are 0 to 0, got -1 to 0"):
        load_pictures(tmp_path)


def test_broken_folders_are_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        load_pictures(tmp_path / "nothing")
    make_folder(tmp_path, names=("cat",))
    with pytest.raises(ValueError, match="has 1 folders of pictures: expected one for each class"):
        load_pictures(tmp_path)
    (tmp_path / "dog").mkdir()
    with pytest.raises(ValueError, match=r"dog has no picture: expected files in \.png"):
        load_pictures(tmp_path)
    (tmp_path / "dog" / "a.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"a\.png is cut off or is no picture"):
        load_pictures(tmp_path)


def test_parts_of_other_classes_are_an_error(tmp_path):
    make_folder(tmp_path / "train")
    make_folder(tmp_path / "test", names=("cat", "cow"))
    with pytest.raises(ValueError, match="the part test has no folder for dog"):
        load_pictures(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("",), TypeError, "'embedded', 'hub' or a path"),
        ((3,), TypeError, "got 3"),
        (("hub", "cifar"), ValueError, "'owner/name' or"),
        (("embedded", "a/b"), ValueError, "is a repository of source='hub'"),
        (("embedded", None, 9), ValueError, "size is 1 or more, for pictures of files"),
        (("hub", None, 0), ValueError, "got 0"),
    ],
)
def test_wrong_arguments_are_an_error(arguments, error, message):
    source, name, size = (*arguments, None, None)[:3]
    with as_a_reader(), pytest.raises(error, match=message):
        load_pictures(source, name=name, size=size)


@pytest.mark.data
def test_real_pictures_are_read(data_dir):
    data = load_pictures(data_dir / "cifar10")
    assert data.train.pictures.shape == (5000, 3, 32, 32)
    assert data.test.labels.bincount().tolist() == [100] * 10
    assert data.label_names[0] == "airplane"
