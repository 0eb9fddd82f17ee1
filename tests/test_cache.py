"""The cache of keys and values: what is appended comes back, in order, in its row."""

import helpers
import pytest
import torch
from helpers import as_a_reader

from course_utils.cache import KeyValueCache
from course_utils.decoding import select_rows

one_thread = helpers.one_thread


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("sizes", [[1] * 40, [5, 1, 30, 2], [0, 3, 0], [100]])
def test_cache_gives_back_everything_in_order(sizes, fixed):
    cache, keys, values = KeyValueCache(fixed=fixed), [], []
    for number, size in enumerate(sizes):
        keys.append(draw(2, 3, size, 4, seed=number))
        values.append(draw(2, 3, size, 4, seed=number + 100))
        found = cache.append(keys[-1], values[-1])
        wanted = torch.cat(keys, dim=2), torch.cat(values, dim=2)
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
        assert all(torch.equal(a, b) for a, b in zip(cache.read(), wanted, strict=True))
    assert cache.length == sum(sizes)


def test_cache_hardly_ever_moves_what_it_holds():
    cache, places = KeyValueCache(), set()
    for _ in range(512):
        keys, _ = cache.append(draw(1, 1, 1, 2), draw(1, 1, 1, 2))
        places.add(keys.data_ptr())
    assert len(places) <= 6  # 16, 32, 64, 128, 256, 512


def test_cache_selects_rows_into_a_cache_of_its_own():
    cache = KeyValueCache()
    cache.append(draw(3, 2, 5, 4), draw(3, 2, 5, 4, seed=1))
    before = [part.clone() for part in cache.read()]
    state = select_rows({"nested": [(cache, torch.arange(3))]}, torch.tensor([2, 0, 2, 2]))
    chosen, numbers = state["nested"][0]
    assert numbers.tolist() == [2, 0, 2, 2]
    assert all(torch.equal(a, b[[2, 0, 2, 2]]) for a, b in zip(chosen.read(), before, strict=True))
    chosen.append(draw(4, 2, 1, 4), draw(4, 2, 1, 4))
    assert (cache.length, chosen.length) == (5, 6)
    assert all(torch.equal(a, b) for a, b in zip(cache.read(), before, strict=True))


def test_cache_is_complete_when_it_is_fixed_and_filled():
    growing, fixed = KeyValueCache(), KeyValueCache(fixed=True)
    assert not growing.complete and not fixed.complete
    for cache in (growing, fixed):
        cache.append(draw(1, 1, 2, 2), draw(1, 1, 2, 2))
    assert fixed.complete and not growing.complete
    assert fixed.select_rows(torch.tensor([0, 0])).complete


def test_cache_of_other_rows_or_empty_is_an_error():
    cache = KeyValueCache()
    with as_a_reader(), pytest.raises(ValueError, match="the cache is empty"):
        cache.read()
    assert cache.select_rows(torch.tensor([0])).length == 0
    cache.append(draw(2, 3, 1, 4), draw(2, 3, 1, 4))
    with as_a_reader(), pytest.raises(ValueError, match=r"2 rows with 3 heads.*\(4, 3, 1, 4\)"):
        cache.append(draw(4, 3, 1, 4), draw(4, 3, 1, 4))
    assert cache.length == 1
