"""The checkpoints that come with the course: what they weigh, say, and are worth."""

import re
from functools import partial

import pytest
import torch
from transformers import AutoTokenizer, BertForMaskedLM, GPT2LMHeadModel

from course_utils.batching import join_documents
from course_utils.datasets import load_texts
from course_utils.files import data_path
from course_utils.metrics import repetition
from course_utils.pretrain import END_TOKEN, measure_masked, measure_text
from course_utils.pretrained import load_bert, load_gpt2, load_gpt2_tokenizer
from course_utils.sampling import sample
from course_utils.tokenizers import WORDPIECE_SPECIALS, WordPieceTokenizer

GPT, BERT = data_path("checkpoints", "gpt"), data_path("checkpoints", "bert")
FILES = {"README.md", "config.json", "model.safetensors", "tokenizer.json"}
# Gaps, and what is to be among the five most probable words for them.
GAPS = {
    "For more [MASK], see the documentation.": "information",
    "Returns an array of the same [MASK] as the input.": "shape",
    "The mean and the standard [MASK] of the data.": "deviation",
    "The learning [MASK] of the optimizer.": "rate",
    "The result is greater [MASK] or equal to zero.": "than",
    "This function can be [MASK] to read a file.": "used",
    "Returns True if x is a number, [MASK] otherwise.": "false",
    "Raises an error if the file does not [MASK].": "exist",
}


@pytest.fixture(scope="module")
def shipped():
    return load_gpt2(GPT), load_gpt2_tokenizer(GPT)


@pytest.fixture(scope="module")
def documents():
    """Of modules that were held out."""
    return load_texts(max_bytes=200_000).test


@pytest.fixture(scope="module")
def held_out(shipped, documents):
    """Some of the documents as one stream, and their bytes."""
    (_, tokenizer), texts = shipped, documents[::8]
    end = tokenizer.special_tokens[END_TOKEN]
    return join_documents(map(tokenizer.encode, texts), end), sum(len(t.encode()) for t in texts)


@pytest.mark.parametrize(
    ("folder", "names"), [(GPT, FILES), (BERT, FILES | {"tokenizer_config.json"})]
)
def test_model_is_small_and_its_folder_holds_what_is_needed(folder, names):
    files = {file.name: file.stat().st_size for file in folder.iterdir()}
    assert set(files) == names
    assert sum(files.values()) < 15e6


@pytest.mark.parametrize(
    ("folder", "worth"), [(GPT, "bits per byte"), (BERT, "nats per masked token | accuracy")]
)
def test_card_says_data_command_time_and_loss(folder, worth):
    card = (folder / "README.md").read_text(encoding="utf-8")
    for word in ("Data", "Command", "Recipe", "seed", "Time", "Versions", worth):
        assert word in card
    assert f"pretrain {folder.name} --out FOLDER --source embedded" in card
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


@pytest.fixture(scope="module")
def bert():
    return load_bert(BERT, new_heads=True), WordPieceTokenizer.load(BERT / "tokenizer.json")


def test_bert_is_the_same_in_the_library(bert, documents):
    ours, tokenizer = bert
    library = AutoTokenizer.from_pretrained(BERT)
    for text in (*documents[:20], *GAPS):
        ids = [2, *tokenizer.encode(text, allowed_special="all"), 3]
        assert library(text, verbose=False).input_ids == ids
    rows = torch.tensor([ids[:8] for ids in library([*GAPS]).input_ids])
    theirs = BertForMaskedLM.from_pretrained(BERT, dtype=torch.float32).eval()
    with torch.no_grad():
        found, wanted = ours(rows).mlm_logits, theirs(rows).logits
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_bert_fills_held_out_gaps_as_well_as_its_card_says(bert, documents):
    model, tokenizer = bert
    special = {name: tokenizer.special_tokens[name] for name in WORDPIECE_SPECIALS}
    choices = {"vocab_size": len(tokenizer), "special_ids": special.values()}
    choices |= {f"{name}_id": special[f"[{name.upper()}]"] for name in ("cls", "sep", "mask")}
    ids = join_documents(map(tokenizer.encode, documents[::3]), special["[SEP]"])
    found = measure_masked(model, ids, seed=1, **choices)
    card = (BERT / "README.md").read_text(encoding="utf-8")
    said = float(re.search(r"\| test \|.*\*\*([\d.]+)\*\* \|", card)[1])
    assert found["count"] > 2500
    assert found["accuracy"] == pytest.approx(said, abs=0.04)  # a part of the documents
    assert found["accuracy"] >= 0.45 - 0.02


@pytest.mark.parametrize(("text", "word"), GAPS.items())
def test_bert_has_the_right_word_among_its_first_five(bert, text, word):
    model, tokenizer = bert
    ids = torch.tensor([[2, *tokenizer.encode(text, allowed_special="all"), 3]])
    with torch.no_grad():
        (scores,) = model(ids, places=ids == tokenizer.special_tokens["[MASK]"]).mlm_logits
    found = [tokenizer.vocab[index] for index in scores.topk(5).indices.tolist()]
    assert word in found
