"""Every way in which the hub can fail, and what a reader then sees: against a stand-in server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hub_server import HubServer, git_hash
from huggingface_hub import constants, file_download
from huggingface_hub.utils import get_session

from course_utils import hub

ROOT = Path(__file__).resolve().parents[1]
PYTHONPATH = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))


def settings() -> list:
    """All that `from_hub` changes in the libraries while it works."""
    from datasets import config

    return [
        *(constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE, constants.HF_HUB_DOWNLOAD_TIMEOUT),
        *(constants.HF_HUB_DISABLE_XET, file_download._chmod_and_move),
        *get_session().event_hooks["request"],
    ]


def ask_in_vain(load: Callable[[], object]) -> str:
    with pytest.raises(ConnectionError) as caught:
        hub.from_hub(load, wanted="the thing", instead="take another")
    message = str(caught.value)
    assert message.startswith(f"could not load the thing from {constants.ENDPOINT}: ")
    assert message.endswith("; take another") and "\n" not in message
    assert caught.value.__cause__ is not None
    return message


def refuse() -> None:
    raise OSError("first line\nand a page of details")


# ---- in this process, without a server


@pytest.mark.parametrize("answer", [200, 404, 503, OSError("refused"), TimeoutError()])
def test_settings_are_there_for_the_load_and_then_as_before(monkeypatch, answer):
    monkeypatch.setattr(hub, "_knock", lambda endpoint: answer)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.delenv("HF_HUB_DOWNLOAD_TIMEOUT", raising=False)
    usual = settings()
    offline, datasets_offline, silence, no_xet, move, *hooks = hub.from_hub(
        settings, wanted="the thing", instead="take another"
    )
    away = answer not in (200, 404)
    assert offline == datasets_offline == away
    assert silence == (usual[2] if away else hub.SILENCE_SECONDS)
    assert (no_xet, move is not usual[4], len(hooks) == len(usual[5:]) + 1) == (not away,) * 3
    assert settings() == usual
    ask_in_vain(refuse)
    assert settings() == usual


def test_datasets_imported_while_offline_is_online_afterwards(monkeypatch):
    from datasets import config

    modules = {name: module for name, module in sys.modules.items() if name != "datasets.config"}
    monkeypatch.setattr(hub, "_knock", lambda endpoint: OSError("refused"))
    monkeypatch.setattr(sys, "modules", modules)

    def load() -> bool:
        config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE  # what its import does
        modules["datasets.config"] = config
        return config.HF_HUB_OFFLINE

    assert hub.from_hub(load, wanted="", instead="") is True
    assert config.HF_HUB_OFFLINE is False and constants.HF_HUB_OFFLINE is False


def test_offline_variable_is_obeyed(monkeypatch):
    from datasets import config

    for module in (constants, config):  # both have read the variable
        monkeypatch.setattr(module, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "_knock", lambda endpoint: pytest.fail("it was asked"))
    assert hub.from_hub(lambda: "cached", wanted="", instead="") == "cached"
    assert "HF_HUB_OFFLINE forbids" in ask_in_vain(refuse)
    assert constants.HF_HUB_OFFLINE is config.HF_HUB_OFFLINE is True


def test_busy_hub_is_asked_again_after_growing_waits(monkeypatch):
    answers, waits = [503, 502, 200], []
    monkeypatch.setattr(hub, "_knock", lambda endpoint: answers.pop(0))
    monkeypatch.setattr(time, "sleep", waits.append)
    assert hub.from_hub(lambda: "loaded", wanted="", instead="") == "loaded"
    assert waits == [1, 2] and not answers
    monkeypatch.setattr(hub, "_knock", lambda endpoint: 503)
    assert "out of order (status 503), and the cache holds no copy" in ask_in_vain(refuse)
    assert waits == [1, 2, 1, 2, 4, 0]


@pytest.mark.parametrize("answer", [200, OSError("refused")])
def test_interrupt_is_passed_on(monkeypatch, answer):
    def interrupt() -> None:
        raise KeyboardInterrupt

    usual = settings()
    monkeypatch.setattr(hub, "_knock", lambda endpoint: answer)
    with pytest.raises(KeyboardInterrupt):
        hub.from_hub(interrupt, wanted="", instead="")
    assert settings() == usual


def test_other_errors_are_neither_repeated_nor_several_lines(monkeypatch):
    calls = []

    def load() -> None:
        calls.append(1)
        refuse()

    monkeypatch.setattr(hub, "_knock", lambda endpoint: 200)
    assert "OSError: first line; " in ask_in_vain(load)
    assert len(calls) == 1


def test_checksum_is_git_s_or_sha256(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"hello\n")
    # The first is what `git hash-object` prints for it, the second what `sha256sum` does.
    for known in (
        "ce013625030ba8dba906f756967f9e9ca394464a",
        "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
    ):
        assert hub._checksum(file, known) == hub._checksum(file, known[::-1]) == known
    assert git_hash(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert hub._checksum(file, "model.safetensors") == ""


def test_unknown_library_version_warns_that_nothing_is_checked(monkeypatch):
    monkeypatch.setattr(hub, "_knock", lambda endpoint: 200)
    monkeypatch.delattr(file_download, "_chmod_and_move")
    with pytest.warns(UserWarning, match="checksums are not checked"):
        assert hub.from_hub(lambda: "loaded", wanted="", instead="") == "loaded"


# ---- in fresh processes

START = """
import json, os, signal, socket, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from course_utils.hub import from_hub

def ask(name, load):
    begin = time.perf_counter()
    try:
        result = from_hub(load, wanted=f"the thing {name}", instead="take another")
    except ConnectionError as error:
        result = str(error)
    print(json.dumps([name, result, time.perf_counter() - begin]), flush=True)
"""

LOAD_DATA = """
import datasets
for name in sys.argv[1:]:
    ask(name, lambda: datasets.load_dataset(name)["train"]["text"][-1])
"""

LOAD_MODEL = """
def load():
    from transformers import BertModel
    return sorted(BertModel.from_pretrained(name).state_dict())[0]

for name in sys.argv[1:]:
    ask(name, load)
"""

LOOK_AROUND = """
from huggingface_hub import close_session, constants
closed, silent = sys.argv[1:]

def ask_at(name, endpoint):
    constants.ENDPOINT = endpoint
    close_session()
    ask(name, load)

def load():
    assert constants.HF_HUB_OFFLINE
    from huggingface_hub import hf_hub_download
    return hf_hub_download("data/good", "train.parquet", repo_type="dataset")

ask_at("closed", closed)
ask_at("silent", silent)
ask_at("no such name", "http://hub.invalid")
ask_at("packets dropped", "https://10.255.255.1")
os.environ["http_proxy"] = closed
ask_at("dead proxy", "http://hub.invalid")
del os.environ["http_proxy"]
socket.getaddrinfo = lambda *arguments, **keywords: time.sleep(20)
ask_at("slow names", "http://hub.example")
"""


def start(text: str, url: str, cache: Path, *names: str, **environment: str) -> subprocess.Popen:
    """Run a program with a hub and a cache of its own, free of what this machine has set."""
    usual = {k: v for k, v in os.environ.items() if not re.match(r"HF_|.*_proxy$", k, re.I)}
    own = {"HF_ENDPOINT": url, "HF_HOME": str(cache), "PYTHONPATH": PYTHONPATH}
    own |= {"HF_HUB_DOWNLOAD_TIMEOUT": "1", "PYTHONIOENCODING": "utf-8", **environment}
    return subprocess.Popen(
        [sys.executable, "-c", START + text, *names],
        env={**usual, **own},
        cwd=cache.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def answers(process: subprocess.Popen) -> dict[str, tuple[str, float]]:
    """What each thing came to, and after how many seconds."""
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return {name: (result, seconds) for name, result, seconds in map(json.loads, out.splitlines())}


def make_data(root: Path, *names: str) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for name in names:
        folder = root / "data" / name
        folder.mkdir(parents=True)
        rows = pa.table({"text": [f"{name} {number**3}" for number in range(2000)]})
        parquet.write_table(rows, folder / "train.parquet")


def last_text(name: str) -> str:
    return f"{name} {1999**3}"


@pytest.mark.slow
def test_unreachable_hub_is_noticed_within_five_seconds(tmp_path):
    with HubServer(tmp_path) as closed:
        pass
    with HubServer(tmp_path) as silent:
        silent.fail("silent")
        found = answers(start(LOOK_AROUND, closed.url, tmp_path / "cache", closed.url, silent.url))
    assert len(found) == 6
    for name, (message, seconds) in found.items():
        assert seconds < 5, (name, seconds)
        pattern = (
            rf"could not load the thing {name} from https?://\S+: no (connection \(.+\)|answer "
        )
        pattern += r"within 4 seconds), and the cache holds no copy; take another"
        assert re.fullmatch(pattern, message), message
    assert "no answer" in found["silent"][0] and "no answer" in found["slow names"][0]
    assert "no connection" in found["closed"][0] and "no connection" in found["dead proxy"][0]


FAULTS = {
    "good": ("", "", 0),
    "cut": ("cut", "GET .*parquet", 2),
    "reset": ("reset", "GET .*parquet", 1),
    "busy": ("busy", "GET .*parquet", 2),
    "busy-head": ("busy", "HEAD .*parquet", 2),
    "always-cut": ("cut", "GET .*parquet", 1000),
    "always-busy": ("busy", "GET .*parquet", 1000),
    "damage": ("damage", "GET .*parquet", 1),
    "mute": ("silent", "GET /api/datasets/data/mute", 1000),
    "stall": ("stall", "GET .*parquet", 1000),
}
SENTENCES = {
    "always-cut": "the connection broke in the middle of a file, try again",
    "always-busy": r"the server is out of order \(status 503\)",
    "damage": r"a file came damaged and was thrown away \(checksum \w{12}..., expected .*try again",
    "mute": "the connection stood still, try again later",
    "stall": "the connection stood still, try again later",
    "none": "there is no such repository or file, or it is not open to everyone",
}


@pytest.mark.slow
def test_faults_of_a_download_pass_or_end_in_a_sentence(tmp_path):
    pytest.importorskip("datasets")
    cache, names = tmp_path / "cache", [*FAULTS, "none"]
    make_data(tmp_path / "hub", *FAULTS)
    with HubServer(tmp_path / "hub") as server:
        for name, (how, where, times) in FAULTS.items():
            server.fail(how, f"(?=.*data/{name}/|.*data/{name}$){where}", times)

        def ask(*names: str, **environment: str) -> dict[str, tuple[str, float]]:
            names = [f"data/{name}" for name in names]
            found = answers(start(LOAD_DATA, server.url, cache, *names, **environment))
            return {name.removeprefix("data/"): answer for name, answer in found.items()}

        with ThreadPoolExecutor() as pool:  # most of the time is waiting
            first = {}
            for found in pool.map(lambda group: ask(*group), (names[:6], names[6:9], names[9:])):
                first |= found
        assert set(first) == set(names)
        for name, (result, seconds) in first.items():
            if name not in SENTENCES:
                assert result == last_text(name)
                continue
            beginning = f"could not load the thing data/{name} from {server.url}: "
            assert re.fullmatch(f"{beginning}{SENTENCES[name]}; take another", result), result
            # Six times one second of silence, and one between them; see HF_HUB_DOWNLOAD_TIMEOUT.
            assert seconds < {"stall": 20, "always-busy": 20, "none": 3, "damage": 3}.get(name, 12)
        assert not list(cache.rglob("*.incomplete"))
        for blob in (cache / "hub").glob("*/blobs/*"):
            assert hub._checksum(blob, blob.name) == blob.name

        # The next try starts clean, whatever went wrong in the first.
        server.faults.clear()
        server.requests.clear()
        second = ask(*names)
        assert {name: second[name][0] for name in FAULTS} == {n: last_text(n) for n in FAULTS}
        fetched = {r.split("/")[3] for r in server.requests if re.match("GET .*parquet", r)}
        assert fetched == set(SENTENCES) - {"none"}  # and what came well comes no second time
        # Through a proxy that alone can find the hub: a full round trip.
        other = start(
            LOAD_DATA,
            "http://hub.invalid",
            tmp_path / "other",
            "data/good",
            http_proxy=server.url,
        )
        assert answers(other)["data/good"][0] == last_text("good")
    # With the hub gone all is there, but what never was.
    third = ask(*names)
    assert {name: third[name][0] for name in FAULTS} == {n: last_text(n) for n in FAULTS}
    assert "and the cache holds no copy; take another" in third["none"][0]
    assert max(seconds for _, seconds in third.values()) < 5


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C in another way")
def test_interrupted_download_leaves_nothing_half(tmp_path):
    pytest.importorskip("datasets")
    cache = tmp_path / "cache"
    make_data(tmp_path / "hub", "good")
    with HubServer(tmp_path / "hub") as server:
        server.fail("stall", "GET .*parquet")
        process = start(LOAD_DATA, server.url, cache, "data/good", HF_HUB_DOWNLOAD_TIMEOUT="50")
        end = time.monotonic() + 120
        while not any(re.match("GET .*parquet", request) for request in server.requests):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.1)
        time.sleep(0.5)  # now it waits in the middle of the file
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
        assert process.returncode != 0 and not out
        assert errors.strip().endswith("KeyboardInterrupt") and "ConnectionError" not in errors
        assert not list(cache.rglob("*.incomplete"))
        server.faults.clear()
        found = answers(start(LOAD_DATA, server.url, cache, "data/good"))
        assert found["data/good"][0] == last_text("good")


@pytest.mark.slow
def test_models_come_through_the_same_door(tmp_path):
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.BertConfig(vocab_size=30, intermediate_size=8, **sizes)
    transformers.BertModel(config).save_pretrained(tmp_path / "hub" / "model" / "good")
    transformers.BertModel(config).save_pretrained(tmp_path / "hub" / "model" / "damage")
    cache, names = tmp_path / "cache", ("model/damage", "model/good", "model/none")
    with HubServer(tmp_path / "hub") as server:
        server.fail("damage", "GET .*model/damage/.*safetensors")
        found = answers(start(LOAD_MODEL, server.url, cache, *names))
        assert "a file came damaged and was thrown away" in found["model/damage"][0]
        assert found["model/good"][0].startswith("embeddings.")
        assert "there is no such repository or file" in found["model/none"][0]
    found = answers(start(LOAD_MODEL, server.url, cache, *names))
    assert found["model/good"][0].startswith("embeddings.")
    for name in ("model/damage", "model/none"):
        assert found[name][0].endswith("and the cache holds no copy; take another")
