"""The command that trains the shipped models: what it writes, going on after a kill, errors."""

import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import helpers
import pytest
import torch

from course_utils import pretrain
from course_utils.checkpoints import load_state
from course_utils.models.gpt import GPT
from course_utils.pretrain import Recipe, main, measure_text, pretrain_gpt
from course_utils.pretrained import load_gpt2
from course_utils.tokenizers.bpe import BPETokenizer

ROOT = Path(__file__).resolve().parents[1]
one_thread = helpers.one_thread
kill_needed = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
OPTIONS = {"vocab_size": 280, "block_size": 16, "num_layers": 1, "num_heads": 2, "d_model": 16}
# Without dropout: several processes draw other numbers than one.
OPTIONS |= {"batch_size": 4, "steps": 40, "warmup_steps": 4, "seed": 3, "dropout": 0.0}
SMALL = Recipe(**OPTIONS)
WORDS = [f"--{name.replace('_', '-')}={value}" for name, value in OPTIONS.items()]


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

    for part, count in {"train": 1500, "valid": 200, "test": 200}.items():
        (folder / f"{part}.txt").write_text(lines(count))
    return folder


@pytest.fixture(scope="module")
def shipped(texts, tmp_path_factory):
    """A finished folder, its history and the lines that were said."""
    out, said = tmp_path_factory.mktemp("out") / "gpt", []
    history = pretrain_gpt(out, source=texts, recipe=SMALL, say=said.append)
    return out, history, said


def test_pretrain_writes_a_whole_folder_and_nothing_else(shipped):
    out, history, said = shipped
    names = ["README.md", "config.json", "model.safetensors", "tokenizer.json"]
    assert sorted(os.listdir(out)) == names
    assert len(history.losses) == 40 and history.losses[-1] < 0.7 * history.losses[0]
    assert "step 40 of 40" in "".join(said) and "bits per byte on the test" in said[-1]


def test_pretrain_weights_open_in_transformers_with_equal_logits(shipped):
    from safetensors.torch import load_file
    from tokenizers import Tokenizer
    from transformers import GPT2LMHeadModel

    out = shipped[0]
    ours, theirs = load_gpt2(out), GPT2LMHeadModel.from_pretrained(out, dtype=torch.float32)
    tokenizer = BPETokenizer.load(out / "tokenizer.json")
    text = "A dog sees the cat."
    ids = torch.tensor([tokenizer.encode(text)])
    assert ids[0].tolist() == Tokenizer.from_file(str(out / "tokenizer.json")).encode(text).ids
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs.eval()(ids).logits, atol=1e-4, rtol=0)
    assert isinstance(ours, GPT) and len(tokenizer) == ours.config.vocab_size == 280
    assert theirs.config.eos_token_id == tokenizer.special_tokens[pretrain.END_TOKEN]
    assert {part.dtype for part in load_file(out / "model.safetensors").values()} == {torch.float16}


def test_pretrain_card_says_what_the_stored_weights_are_worth(shipped, texts):
    from course_utils.batching import join_documents
    from course_utils.datasets.texts import load_texts

    out, history, _ = shipped
    card = (out / "README.md").read_text(encoding="utf-8")
    documents, tokenizer = load_texts(texts).test, BPETokenizer.load(out / "tokenizer.json")
    ids = join_documents(
        map(tokenizer.encode, documents), tokenizer.special_tokens[pretrain.END_TOKEN]
    )
    size = sum(len(document.encode()) for document in documents)
    found = measure_text(load_gpt2(out), ids, size, SMALL.block_size)
    assert f"| test | {size:,} | {len(ids):,} |" in card
    assert f"**{found['bits_per_byte']:.4f}**" in card
    assert found["bits_per_byte"] == pytest.approx(
        found["loss"] / 0.6931472 * (len(ids) - 1) / size, rel=1e-5
    )
    assert f"--out FOLDER --source {texts} --vocab-size 280" in card and "--seed 3" in card
    assert f"{history.seconds:.0f} s" in card and f"step**: {history.best_step} of 40" in card


def test_recipe_seed_decides_the_first_weights_and_nothing_else_does():
    def first(seed, disturb):
        torch.manual_seed(disturb)
        before = torch.get_rng_state()
        model = Recipe(**OPTIONS | {"seed": seed}).model()
        assert torch.equal(before, torch.get_rng_state())
        return model.embedding.weight

    assert torch.equal(first(0, 1), first(0, 2)) and not torch.equal(first(0, 1), first(1, 1))


class Stop(Exception):
    """What ends a training in the middle."""


def stopped(out, texts, monkeypatch, after):
    """Begin a training and stop it after some steps."""
    loss, calls = pretrain.next_token_loss, []

    def stopping(model, batch):
        calls.append(1)
        if len(calls) > after:
            raise Stop
        return loss(model, batch)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(pretrain, "next_token_loss", stopping)
        pretrain_gpt(out, source=texts, recipe=SMALL, say=lambda line: None)


def test_pretrain_goes_on_to_the_same_file_without_reading_the_text_again(
    shipped, texts, tmp_path, monkeypatch
):
    out, said = tmp_path / "gpt", []
    stopped(out, texts, monkeypatch, after=17)
    assert os.listdir(out) == ["training"]
    monkeypatch.setattr(pretrain, "load_texts", lambda source: pytest.fail("read again"))
    pretrain_gpt(out, source=texts, recipe=SMALL, say=said.append)
    assert said[0] == f"going on with the training in {out}"
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (out / name).read_bytes() == (shipped[0] / name).read_bytes(), name


def test_pretrain_with_other_options_does_not_go_on(texts, tmp_path, monkeypatch):
    stopped(tmp_path / "gpt", texts, monkeypatch, after=1)
    other = Recipe(**OPTIONS | {"batch_size": 5})
    with pytest.raises(ValueError, match="was begun with batch_size 4, now 5: give the same"):
        pretrain_gpt(tmp_path / "gpt", source=texts, recipe=other, say=lambda line: None)


def test_pretrain_refuses_a_folder_of_something_else(shipped, texts, tmp_path, capsys):
    (tmp_path / "notes.txt").touch()
    wrong = {
        tmp_path: "holds notes.txt and no training: delete it, or give another folder",
        tmp_path / "notes.txt": "is a file: give a folder",
        shipped[0]: "holds a finished model: delete it",
    }
    for out, message in wrong.items():
        assert main(["gpt", f"--out={out}", f"--source={texts}", *WORDS]) == 1
        assert f"{out} {message}" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["notes.txt"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--source=/no/such/folder"], "there is no file or folder /no/such/folder"),
        (["--block-size=9000"], "tokens gives no batch of 4 windows of 9000"),
        (["--d-model=15"], "d_model is a multiple of num_heads"),
        (["--steps=0"], "nothing to train: 0 steps"),
        (["--vocab-size=100"], "100"),
    ],
)
def test_pretrain_wrong_options_are_one_line(texts, tmp_path, capsys, words, message):
    with helpers.as_a_reader():
        status = main(["gpt", f"--out={tmp_path / 'gpt'}", f"--source={texts}", *WORDS, *words])
    errors = capsys.readouterr().err
    assert status == 1 and message in errors and errors.count("\n") == 1


def test_pretrain_unknown_model_is_an_error(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["gtp", f"--out={tmp_path}"])
    assert re.search(r"invalid choice: '?gtp", capsys.readouterr().err)


# ---- as a program


KILLED = """
import os, signal, sys
from course_utils import pretrain
loss, calls = pretrain.next_token_loss, []
def dying(model, batch):
    calls.append(1)
    if len(calls) == 23:
        os.kill(os.getpid(), signal.SIGKILL)
    return loss(model, batch)
pretrain.next_token_loss = dying
pretrain.main(sys.argv[1:])
"""


def program(*words):
    environ = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300)


@kill_needed
@pytest.mark.slow
def test_pretrain_killed_goes_on_to_the_same_file(shipped, texts, tmp_path):
    words = ["gpt", f"--out={tmp_path / 'gpt'}", f"--source={texts}", *WORDS]
    assert program("-c", KILLED, *words).returncode == -signal.SIGKILL
    step = load_state(tmp_path / "gpt" / "training" / "state.safetensors")["at"]["step"]
    assert 15 <= step <= 22
    run = program("-m", "course_utils.pretrain", *words)
    assert run.returncode == 0 and "going on" in run.stdout, run.stderr
    whole, again = (folder / "model.safetensors" for folder in (shipped[0], tmp_path / "gpt"))
    assert again.read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_pretrain_on_two_processes_gives_nearly_the_same_model(shipped, texts, tmp_path):
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = ["gpt", f"--out={tmp_path / 'gpt'}", f"--source={texts}", *WORDS]
    run = program(*torchrun, "-m", "course_utils.pretrain", *words)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("reading texts") == run.stdout.count("step 40 of 40") == 1
    assert sorted(os.listdir(tmp_path / "gpt")) == sorted(os.listdir(shipped[0]))

    def worth(out):
        return float(re.search(r"test .*\*\*(.+)\*\*", (out / "README.md").read_text())[1])

    assert worth(tmp_path / "gpt") == pytest.approx(worth(shipped[0]), abs=2e-3)
    config = json.loads((tmp_path / "gpt" / "config.json").read_text())
    assert config["architectures"] == ["GPT2LMHeadModel"]
