"""The checkpoints that come with the course: what they weigh, say, and are worth."""

import re
from functools import partial

import pytest
import torch
from transformers import AutoTokenizer, GPT2LMHeadModel

from course_utils.batching import join_documents
from course_utils.datasets import load_texts
from course_utils.files import data_path
from course_utils.metrics import repetition
from course_utils.pretrain import END_TOKEN, measure_text
from course_utils.pretrained import load_gpt2, load_gpt2_tokenizer
from course_utils.sampling import sample

GPT = data_path("checkpoints", "gpt")


@pytest.fixture(scope="module")
def shipped():
    return load_gpt2(GPT), load_gpt2_tokenizer(GPT)


@pytest.fixture(scope="module")
def held_out(shipped):
    """Documents of modules that were held out, as one stream, and their bytes."""
    _, tokenizer = shipped
    texts = load_texts(max_bytes=200_000).test[::8]
    end = tokenizer.special_tokens[END_TOKEN]
    return join_documents(map(tokenizer.encode, texts), end), sum(len(t.encode()) for t in texts)


def test_gpt_is_small_and_its_folder_holds_what_is_needed():
    files = {file.name: file.stat().st_size for file in GPT.iterdir()}
    assert set(files) == {"README.md", "config.json", "model.safetensors", "tokenizer.json"}
    assert sum(files.values()) < 15e6


def test_card_of_gpt_says_data_command_time_and_loss():
    card = (GPT / "README.md").read_text(encoding="utf-8")
    for word in ("Data", "Command", "Recipe", "seed", "Time", "Versions", "bits per byte"):
        assert word in card
    assert "/tmp" not in card and "/home" not in card


def test_gpt_is_the_same_in_the_library(shipped, held_out):
    ours, tokenizer = shipped
    ids = held_out[0][None, :200]
    theirs = GPT2LMHeadModel.from_pretrained(GPT, dtype=torch.float32).eval()
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits, atol=1e-4, rtol=1e-4)
    text = "Return the number of elements.\n"
    assert AutoTokenizer.from_pretrained(GPT)(text).input_ids == tokenizer.encode(text)


def test_gpt_knows_held_out_text_as_well_as_its_card_says(shipped, held_out):
    ids, num_bytes = held_out
    found = measure_text(shipped[0], ids, num_bytes, 256)["bits_per_byte"]
    card = (GPT / "README.md").read_text(encoding="utf-8")
    said = float(re.search(r"\| test \|.*\*\*([\d.]+)\*\* \|", card)[1])
    assert found == pytest.approx(said, abs=0.15)  # other versions, a part of the documents


def test_gpt_writes_without_end_and_repeats_less_when_it_draws(shipped):
    model, tokenizer = shipped
    prompts = [tokenizer.encode(text) for text in ("The function returns", "Raises an error if")]
    draw = partial(sample, top_p=0.9, generator=torch.Generator().manual_seed(0))
    greedy, drawn = (model.generate(prompts, 100, strategy=how).ids for how in (None, draw))
    assert max(map(repetition, drawn)) < min(map(repetition, greedy))
