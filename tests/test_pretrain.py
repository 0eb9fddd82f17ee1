"""The command that trains the shipped models: what it writes, going on after a kill, errors."""

import json
import os
import random
import re
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import helpers
import pytest
import torch

from course_utils.batching import join_documents
from course_utils.checkpoints import load_state
from course_utils.datasets.texts import load_texts
from course_utils.masking import MaskedWindows
from course_utils.models.bert import BERTOutput
from course_utils.models.gpt import GPT
from course_utils.pretrain import (
    END_TOKEN,
    BERTRecipe,
    GPTRecipe,
    bert,
    gpt,
    measure_masked,
    measure_text,
    pretrain_bert,
    pretrain_gpt,
)
from course_utils.pretrain import texts as pretrain_texts
from course_utils.pretrain.__main__ import main
from course_utils.pretrained import load_bert, load_gpt2
from course_utils.tokenizers import WORDPIECE_SPECIALS, WordPieceTokenizer
from course_utils.tokenizers.bpe import BPETokenizer

ROOT = Path(__file__).resolve().parents[1]
one_thread = helpers.one_thread
kill_needed = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
OPTIONS = {"vocab_size": 280, "block_size": 16, "num_layers": 1, "num_heads": 2, "d_model": 16}
# Without dropout: several processes draw other numbers than one.
OPTIONS |= {"batch_size": 4, "steps": 26, "warmup_steps": 4, "seed": 3, "dropout": 0.0}
OPTIONS |= {"learning_rate": 0.01}
SMALL = {"gpt": OPTIONS, "bert": OPTIONS | {"vocab_size": 56}}
RECIPES = {"gpt": GPTRecipe(**SMALL["gpt"]), "bert": BERTRecipe(**SMALL["bert"])}
PRETRAIN, MODULES = {"gpt": pretrain_gpt, "bert": pretrain_bert}, {"gpt": gpt, "bert": bert}
LOSS = {"gpt": "next_token_loss", "bert": "masked_loss"}
WORDS = {
    name: [f"--{option.replace('_', '-')}={value}" for option, value in options.items()]
    for name, options in SMALL.items()
}
both = pytest.mark.parametrize("name", ["gpt", "bert"])
# The five special tokens of WordPiece come first.
SPECIAL = {"cls_id": 2, "sep_id": 3, "mask_id": 4, "special_ids": range(5)}


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A folder of short texts in three parts, which a small model can learn a little of."""
    folder, rng = tmp_path_factory.mktemp("texts"), random.Random(0)
    names, verbs = ["The cat", "A dog", "My uncle"], ["sees", "likes", "has"]

    def lines(count):
        some = (
            f"{rng.choice(names)} {rng.choice(verbs)} {rng.choice(names).lower()}."
            for _ in range(count)
        )
        return "\n".join(f"{line}\n" if k % 20 == 19 else line for k, line in enumerate(some))

    for part, count in {"train": 1500, "valid": 120, "test": 200}.items():
        (folder / f"{part}.txt").write_text(lines(count))
    return folder


@pytest.fixture(scope="module")
def shipped(texts, tmp_path_factory):
    """Of each model a finished folder, its history and the lines that were said."""

    @cache
    def make(name):
        out, said = tmp_path_factory.mktemp("out") / name, []
        history = PRETRAIN[name](out, source=texts, recipe=RECIPES[name], say=said.append)
        return out, history, said

    return make


@both
def test_pretrain_writes_a_whole_folder_and_nothing_else(shipped, name):
    out, history, said = shipped(name)
    names = {"README.md", "config.json", "model.safetensors", "tokenizer.json"}
    assert {*os.listdir(out)} == names | ({"tokenizer_config.json"} if name == "bert" else set())
    assert len(history.losses) == 26 and history.losses[-1] < 0.7 * history.losses[0]
    rates = history.learning_rates  # a trapezoid
    assert rates[0] < rates[2] < rates[4] == rates[7] == 0.01
    assert rates[25] == pytest.approx(0.01 / (0.7 * 26))
    words = {"gpt": r"[\d.]+ bits per byte", "bert": r"[\d.]+ nats per .* token, accuracy [\d.]+"}
    assert re.search(rf"step 26 of 26, \d+ s: {words[name]} on validation", said[-2])
    assert re.fullmatch(rf"{re.escape(str(out))}: {words[name]} on the test documents", said[-1])


def tokens_of(out, documents):
    """Documents as BERT reads them, one after the other."""
    tokenizer = WordPieceTokenizer.load(out / "tokenizer.json")
    return join_documents(map(tokenizer.encode, documents), tokenizer.special_tokens["[SEP]"])


def test_pretrain_gpt_opens_in_transformers_with_equal_logits(shipped):
    from safetensors.torch import load_file
    from tokenizers import Tokenizer
    from transformers import GPT2LMHeadModel

    out = shipped("gpt")[0]
    ours, theirs = load_gpt2(out), GPT2LMHeadModel.from_pretrained(out, dtype=torch.float32)
    tokenizer = BPETokenizer.load(out / "tokenizer.json")
    text = "A dog sees the cat."
    ids = torch.tensor([tokenizer.encode(text)])
    assert ids[0].tolist() == Tokenizer.from_file(str(out / "tokenizer.json")).encode(text).ids
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs.eval()(ids).logits, atol=1e-4, rtol=0)
    assert isinstance(ours, GPT) and len(tokenizer) == ours.config.vocab_size == 280
    assert theirs.config.eos_token_id == tokenizer.special_tokens[END_TOKEN]
    assert {part.dtype for part in load_file(out / "model.safetensors").values()} == {torch.float16}


def test_pretrain_gpt_card_says_what_the_stored_weights_are_worth(shipped, texts):
    out, history, _ = shipped("gpt")
    card = (out / "README.md").read_text(encoding="utf-8")
    documents, tokenizer = load_texts(texts).test, BPETokenizer.load(out / "tokenizer.json")
    ids = join_documents(map(tokenizer.encode, documents), tokenizer.special_tokens[END_TOKEN])
    size = sum(len(document.encode()) for document in documents)
    found = measure_text(load_gpt2(out), ids, size, 16)
    assert f"| test | {size:,} | {len(ids):,} |" in card
    assert f"**{found['bits_per_byte']:.4f}**" in card
    assert found["bits_per_byte"] == pytest.approx(
        found["loss"] / 0.6931472 * (len(ids) - 1) / size, rel=1e-5
    )
    assert f"--out FOLDER --source {texts} --num-layers 1" in card
    assert "--vocab-size 280" in card and "--seed 3" in card
    assert f"{history.seconds:.0f} s" in card and f"step**: {history.best_step} of 26" in card


def test_pretrain_bert_opens_in_transformers_with_equal_logits(shipped, tmp_path):
    from safetensors.torch import load_file
    from transformers import BertForMaskedLM

    out = shipped("bert")[0]
    ours, theirs = load_bert(out, new_heads=True), BertForMaskedLM.from_pretrained(out)
    stored = load_file(out / "model.safetensors")
    assert {part.dtype for part in stored.values()} == {torch.float16}
    theirs.save_pretrained(tmp_path)
    assert stored.keys() == load_file(tmp_path / "model.safetensors").keys()
    ids = torch.randint(5, 56, (3, 16), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = theirs.float().eval()(ids).logits
        torch.testing.assert_close(ours(ids).mlm_logits, logits, atol=1e-4, rtol=0)
    assert theirs.config.architectures == ["BertForMaskedLM"] and theirs.config.pad_token_id == 0
    assert ours.config.vocab_size == 56 and logits.std() > 0.1


def test_pretrain_bert_tokenizer_is_the_same_in_transformers(shipped):
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer, BertTokenizerFast

    out = shipped("bert")[0]
    ours = WordPieceTokenizer.load(out / "tokenizer.json")
    examples = ["A dog [MASK] the cat.", "My uncle\tHAS  a Cát, thé 中文x ΣΊΣΥΦΟΣ?", ""]
    for kind in (AutoTokenizer, BertTokenizerFast):
        theirs = kind.from_pretrained(out)
        for text in examples:
            ids = ours.encode(text, allowed_special="all")
            assert theirs(text).input_ids == [2, *ids, 3]
            assert theirs(text, add_special_tokens=False).input_ids == ids
        special = (theirs.pad_token, theirs.unk_token, theirs.cls_token, theirs.sep_token)
        assert (*special, theirs.mask_token) == WORDPIECE_SPECIALS
        assert theirs.mask_token_id == 4 and theirs.model_max_length == 16
        assert theirs("a", "a").token_type_ids == [0, 0, 0, 1, 1]
    whole = Tokenizer.from_file(str(out / "tokenizer.json"))
    assert whole.encode(examples[0]).ids == ours.encode(examples[0], allowed_special="all")


def test_pretrain_bert_learns_its_tokens_from_the_training_part(shipped, texts):
    found = WordPieceTokenizer.load(shipped("bert")[0] / "tokenizer.json")
    documents = load_texts(texts).train
    again = WordPieceTokenizer.train(documents, 56, criterion="count", lower_case=True)
    assert found.vocab == again.vocab and found.lower_case


def test_pretrain_bert_fills_gaps_in_a_pipeline(shipped):
    from transformers import pipeline

    out = shipped("bert")[0]
    fill = pipeline("fill-mask", model=str(out), tokenizer=str(out), top_k=56)
    found = {answer["token"]: answer["score"] for answer in fill("My uncle [MASK] the cat.")}
    ours = WordPieceTokenizer.load(out / "tokenizer.json")
    ids = torch.tensor([[2, *ours.encode("My uncle [MASK] the cat.", allowed_special="all"), 3]])
    with torch.no_grad():
        wanted = load_bert(out, new_heads=True)(ids, places=ids == 4).mlm_logits[0].softmax(-1)
    assert len(found) == 56
    assert [found[index] for index in range(56)] == pytest.approx(wanted.tolist(), abs=5e-3)


def test_pretrain_bert_card_says_what_the_stored_weights_are_worth(shipped, texts):
    out, history, _ = shipped("bert")
    card = (out / "README.md").read_text(encoding="utf-8")
    data, stored = load_texts(texts), load_bert(out, new_heads=True)
    for part in ("validation", "test"):
        documents = getattr(data, part)
        ids = tokens_of(out, documents)
        found = measure_masked(stored, ids, block_size=16, vocab_size=56, **SPECIAL)
        row = f"| {part} | {len(documents)} | {len(ids):,} | {found['count']} | "
        assert row + f"{found['loss']:.4f} | **{found['accuracy']:.4f}** |" in card
    tokens = tokens_of(out, data.train)
    size = sum(len(document.encode()) for document in data.train)
    assert f"{size:,} bytes,\n  {len(tokens):,} tokens" in card
    assert f"; {26 * 4 * 14 / len(tokens):.1f} epochs" in card
    assert f"pretrain bert --out FOLDER --source {texts} --num-layers 1" in card
    assert "--vocab-size 56" in card
    assert "--share" not in card and "share 0.3; " in card and "15% of them masked" in card
    assert f"{history.seconds:.0f} s" in card and f"step**: {history.best_step} of 26" in card


def test_pretrain_bert_measures_validation_documents_while_it_trains(shipped, texts):
    out, history, _ = shipped("bert")
    ids = tokens_of(out, load_texts(texts).validation)
    windows = MaskedWindows(ids, 16, 16, seed=3, share=0.15, vocab_size=56, **SPECIAL)
    model, losses, right = load_bert(out, new_heads=True), [], []
    for batch in windows:
        with torch.no_grad():
            logits = model(batch.ids).mlm_logits[batch.places]
        target = batch.target[batch.places]
        losses += torch.nn.functional.cross_entropy(logits, target, reduction="none").tolist()
        right += (logits.argmax(-1) == target).tolist()
    (best,) = [e for e in history.evaluations if e["step"] == history.best_step]
    assert best.keys() == {"step", "seconds", "loss", "accuracy"}
    assert best["loss"] == pytest.approx(sum(losses) / len(losses), abs=5e-3)
    assert best["accuracy"] == pytest.approx(sum(right) / len(right), abs=0.02)


def test_pretrain_bert_masks_the_share_of_the_recipe(texts, tmp_path, monkeypatch):
    shares, loss = [], bert.masked_loss

    def looking(model, batch):
        shares.append(batch.places.sum() / (batch.target > 4).sum())
        return loss(model, batch)

    monkeypatch.setattr(bert, "masked_loss", looking)
    recipe = BERTRecipe(**SMALL["bert"] | {"share": 0.5, "block_size": 64, "steps": 8})
    pretrain_bert(tmp_path / "bert", source=texts, recipe=recipe, say=lambda line: None)
    assert len(shares) == 8 and torch.stack(shares).mean().item() == pytest.approx(0.5, abs=0.05)
    card = (tmp_path / "bert" / "README.md").read_text(encoding="utf-8")
    assert "--share 0.5" in card and "share 0.5;" in card and "15% of them masked" in card


class KnowsOneWord(torch.nn.Module):
    """Says token 7 with the probability 1/2 and each of the 8 others with 1/16; remembers."""

    def __init__(self):
        super().__init__()
        scores = torch.full((9,), 1 / 16).index_fill(0, torch.tensor([7]), 0.5).log()
        self.scores, self.seen = torch.nn.Parameter(scores), []

    def forward(self, ids, *, places):
        self.seen.append((ids, places))
        hidden = torch.zeros(*ids.shape, 1)
        return BERTOutput(hidden, self.scores.expand(int(places.sum()), 9), hidden[:, :2, 0])


def test_measure_masked_hand_worked():
    ids, choices = torch.tensor([7, 7, 7, 8] * 500), {"vocab_size": 9, **SPECIAL}
    model = KnowsOneWord()
    found = measure_masked(model, ids, block_size=10, seed=5, **choices)
    read, places = (torch.cat(parts) for parts in zip(*model.seen, strict=True))
    assert read.shape == (249, 10)  # 8 words each; with the one that comes next 1,993 of 2,000
    assert {len(rows) for rows, _ in model.seen} == {16, 9}
    assert found["count"] == places.sum() and found["accuracy"] == pytest.approx(0.75, abs=0.06)
    wrong = 1 - found["accuracy"]
    assert found["loss"] == pytest.approx(0.693147 * (1 + 3 * wrong), rel=1e-5)
    assert found["count"] / (249 * 8) == pytest.approx(0.15, abs=0.03)
    assert (read[places] == 4).float().mean().item() == pytest.approx(0.8, abs=0.1)
    assert set(read[:, 0].tolist()) == {2} and set(read[:, -1].tolist()) == {3}
    assert found == measure_masked(KnowsOneWord(), ids, block_size=10, seed=5, **choices)
    other = KnowsOneWord()
    more = measure_masked(other, ids, block_size=10, seed=6, share=0.6, **choices)
    assert more["count"] / (249 * 8) == pytest.approx(0.6, abs=0.04)


@pytest.mark.parametrize(
    ("ids", "block_size", "message"),
    [([7] * 5, 10, "a text of 5 tokens gives no"), ([7] * 50, 2, "3 or more, got 2")],
)
def test_measure_masked_of_too_little_is_an_error(ids, block_size, message):
    with helpers.as_a_reader(), pytest.raises(ValueError, match=message):
        measure_masked(
            KnowsOneWord(), torch.tensor(ids), block_size=block_size, vocab_size=9, **SPECIAL
        )


@both
def test_recipe_seed_decides_the_first_weights_and_nothing_else_does(name):
    def first(seed, disturb):
        torch.manual_seed(disturb)
        before = torch.get_rng_state()
        model = type(RECIPES[name])(**SMALL[name] | {"seed": seed}).model()
        assert torch.equal(before, torch.get_rng_state())
        return torch.cat([part.flatten() for part in model.parameters()])

    assert torch.equal(first(0, 1), first(0, 2)) and not torch.equal(first(0, 1), first(1, 1))


def test_recipe_of_bert_is_the_one_of_the_shipped_model_and_looks_at_neighbours():
    recipe = BERTRecipe()
    model = recipe.model().eval()
    before, after = model.attentions(torch.arange(5, 25)[None])[0, 0, :2]
    assert before[9].argmax() == 8 and after[9].argmax() == 10
    sizes = {"vocab_size": 4096, "block_size": 128, "num_layers": 4, "num_heads": 6, "d_model": 192}
    steps = {"batch_size": 16, "steps": 12000, "warmup_steps": 50, "seed": 0, "share": 0.3}
    rates = {"learning_rate": 0.005, "adamw_learning_rate": 0.01, "weight_decay": 0.1}
    assert asdict(recipe) == sizes | steps | rates | {"dropout": 0.0, "start": ""}


def test_pretrain_bert_learns_on_from_a_finished_folder(shipped, texts, tmp_path):
    start, history, _ = shipped("bert")
    more = SMALL["bert"] | {"start": str(start), "steps": 10, "learning_rate": 1e-4}
    again = pretrain_bert(
        tmp_path / "more", source=texts, recipe=BERTRecipe(**more, adamw_learning_rate=1e-4)
    )
    assert abs(again.losses[0] - history.losses[-1]) < 0.4 < history.losses[0] - again.losses[0]
    old, new = ((folder / "tokenizer.json").read_bytes() for folder in (start, tmp_path / "more"))
    assert old == new
    one, two = (load_bert(folder, new_heads=True) for folder in (start, tmp_path / "more"))
    moved = (one.encoder.words.weight - two.encoder.words.weight).abs().max().item()
    assert 0 < moved < 0.01
    card = (tmp_path / "more" / "README.md").read_text()
    assert card.count("python -m course_utils.pretrain bert") == 2
    assert "**Begun with**: the model of `python" in card and f"--start {start}" in card


def test_pretrain_bert_learns_on_with_the_sizes_that_it_has(shipped, texts, tmp_path):
    other = SMALL["bert"] | {"start": str(shipped("bert")[0]), "d_model": 32}
    with pytest.raises(ValueError, match="has d_model 16, the recipe 32: give --d-model 16"):
        pretrain_bert(tmp_path / "more", source=texts, recipe=BERTRecipe(**other))


class Stop(Exception):
    """What ends a training in the middle."""


def stopped(name, out, texts, monkeypatch, after):
    """Begin a training and stop it after some steps."""
    loss, calls = getattr(MODULES[name], LOSS[name]), []

    def stopping(model, batch):
        calls.append(1)
        if len(calls) > after:
            raise Stop
        return loss(model, batch)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(MODULES[name], LOSS[name], stopping)
        PRETRAIN[name](out, source=texts, recipe=RECIPES[name], say=lambda line: None)


@both
def test_pretrain_goes_on_to_the_same_file_without_reading_the_text_again(
    shipped, texts, tmp_path, monkeypatch, name
):
    out, said, whole = tmp_path / name, [], shipped(name)[0]
    stopped(name, out, texts, monkeypatch, after=17)
    assert os.listdir(out) == ["training"]
    assert load_state(out / "training" / "state.safetensors")["at"]["step"] == 17
    monkeypatch.setattr(pretrain_texts, "load_texts", lambda source: pytest.fail("read again"))
    PRETRAIN[name](out, source=texts, recipe=RECIPES[name], say=said.append)
    assert said[0] == f"going on with the training in {out}"
    for file in {*os.listdir(out)} - {"README.md"}:
        assert (out / file).read_bytes() == (whole / file).read_bytes(), file


def test_pretrain_bert_keeps_the_text_as_tokens_while_it_trains(texts, tmp_path, monkeypatch):
    stopped("bert", tmp_path / "bert", texts, monkeypatch, after=1)
    work, data = tmp_path / "bert" / "training", load_texts(texts)
    kept = load_state(work / "data.safetensors")
    for part in ("train", "validation", "test"):
        documents = getattr(data, part)
        assert torch.equal(kept[part], tokens_of(work, documents))
        assert kept["documents"][part] == len(documents)
    assert kept["begun with"] == {"source": str(texts), **asdict(RECIPES["bert"])}


@both
def test_pretrain_with_other_options_does_not_go_on(texts, tmp_path, monkeypatch, name):
    stopped(name, tmp_path / name, texts, monkeypatch, after=1)
    for option, was, value in (("batch_size", 4, 5), ("seed", 3, 4)):
        other = replace(RECIPES[name], **{option: value})
        message = f"was begun with {option} {was}, now {value}: give the same options"
        with pytest.raises(ValueError, match=message):
            PRETRAIN[name](tmp_path / name, source=texts, recipe=other, say=lambda line: None)


def test_pretrain_refuses_a_folder_of_something_else(shipped, texts, tmp_path, capsys):
    (tmp_path / "notes.txt").touch()
    wrong = {
        tmp_path: "holds notes.txt and no training: delete it, or give another folder",
        tmp_path / "notes.txt": "is a file: give a folder",
    } | {shipped(name)[0]: "holds a finished model: delete it" for name in PRETRAIN}
    for out, message in wrong.items():
        for name, words in WORDS.items():
            assert main([name, f"--out={out}", f"--source={texts}", *words]) == 1
            assert f"{out} {message}" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["notes.txt"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("gpt --source=/no/such/folder", "there is no file or folder /no/such/folder"),
        ("gpt --block-size=9000", "tokens gives no batch of 4 windows of 9000"),
        ("gpt --d-model=15", "d_model is a multiple of num_heads"),
        ("gpt --steps=0", "nothing to train: 0 steps"),
        ("gpt --vocab-size=100", "100"),
        ("bert --source=/no/such/folder", "there is no file or folder /no/such/folder"),
        ("bert --block-size=9000", "tokens gives no batch of 4 windows of 8998"),
        ("bert --block-size=2", "3 or more, got 2"),
        ("bert --d-model=18", "a head has an even number of dimensions, got 9"),
        ("bert --steps=0", "nothing to train: 0 steps"),
        ("bert --share=0", "share is above 0 and 1 at most, got 0.0"),
        ("bert --vocab-size=30", "vocab_size 30 is too small"),
        ("bert --vocab-size=4096", "pieces, not 4096: give more text"),
    ],
)
def test_pretrain_wrong_options_are_one_line(texts, tmp_path, capsys, words, message):
    name, word = words.split()
    command = [name, f"--out={tmp_path / 'out'}", f"--source={texts}", *WORDS[name], word]
    with helpers.as_a_reader():
        status = main(command)
    errors = capsys.readouterr().err
    assert status == 1 and message in errors and errors.count("\n") == 1


def test_pretrain_unknown_model_is_an_error(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["gtp", f"--out={tmp_path}"])
    assert re.search(r"invalid choice: '?gtp", capsys.readouterr().err)


# ---- as a program


KILLED = """
import os, signal, sys
from course_utils.pretrain import __main__ as program, {name}
loss, calls = {name}.{loss}, []
def dying(model, batch):
    calls.append(1)
    if len(calls) == 23:
        os.kill(os.getpid(), signal.SIGKILL)
    return loss(model, batch)
{name}.{loss} = dying
program.main(sys.argv[1:])
"""


def program(*words):
    environ = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300)


@kill_needed
@pytest.mark.slow
@both
def test_pretrain_killed_goes_on_to_the_same_file(shipped, texts, tmp_path, name):
    words = [name, f"--out={tmp_path / 'out'}", f"--source={texts}", *WORDS[name]]
    dying = KILLED.format(name=name, loss=LOSS[name])
    assert program("-c", dying, *words).returncode == -signal.SIGKILL
    step = load_state(tmp_path / "out" / "training" / "state.safetensors")["at"]["step"]
    assert 15 <= step <= 22
    run = program("-m", "course_utils.pretrain", *words)
    assert run.returncode == 0 and "going on" in run.stdout, run.stderr
    whole, again = (out / "model.safetensors" for out in (shipped(name)[0], tmp_path / "out"))
    assert again.read_bytes() == whole.read_bytes()


@pytest.mark.slow
@both
def test_pretrain_on_two_processes_gives_nearly_the_same_model(shipped, texts, tmp_path, name):
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [name, f"--out={tmp_path / 'out'}", f"--source={texts}", *WORDS[name]]
    run = program(*torchrun, "-m", "course_utils.pretrain", *words)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("reading texts") == run.stdout.count("step 26 of 26") == 1
    assert sorted(os.listdir(tmp_path / "out")) == sorted(os.listdir(shipped(name)[0]))

    def worth(out):  # bits per byte; nats per masked token
        number = {"gpt": r"\*\*(.+)\*\*", "bert": r" (\S+) \| \*\*"}[name]
        return float(re.search(rf"\| test .*{number}", (out / "README.md").read_text())[1])

    # A masked token counts as much as its process says, which has more of them or fewer.
    room = {"gpt": 2e-3, "bert": 5e-2}[name]
    assert worth(tmp_path / "out") == pytest.approx(worth(shipped(name)[0]), abs=room)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == [{"gpt": "GPT2LMHeadModel", "bert": "BertForMaskedLM"}[name]]
