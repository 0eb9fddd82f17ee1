"""Training on several processes: the same losses as on one, killed and taken up again, Ctrl-C.

The processes that `torchrun` starts run this file as a program: see its end.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import helpers
import pytest
import torch
from helpers import same_weights, weights_of
from test_training import EPOCH, Net, data, some_pairs, squared
from torch.utils.data import DataLoader

from course_utils.batching import LengthBatches, TokenWindows, row_count, rows_of
from course_utils.checkpoints import load_state, save_state
from course_utils.distributed import OneProcess, SeveralProcesses, join_processes
from course_utils.losses import next_token_loss
from course_utils.models.gpt import GPT, GPTConfig
from course_utils.optimizers import muon_and_adamw
from course_utils.training import fit

ROOT = Path(__file__).resolve().parents[1]
one_thread = helpers.one_thread
kill_needed = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
PATIENCE = 240  # seconds; a machine with much else to do needs 20 to start two processes
STEPS = 2 * EPOCH + 3


# ---- what both this test and the processes run


def train_gpt(out):
    """50 steps of a tiny GPT without dropout; batches of 6 windows."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = {"vocab_size": 11, "block_size": 8, "num_layers": 2, "num_heads": 2, "d_model": 12}
        model = GPT(GPTConfig(**sizes))
    ids = torch.randint(11, (400,), generator=torch.Generator().manual_seed(1))
    ids[1::2] = ids[::2]  # every second token can be learned
    options = {"optimizer": muon_and_adamw(model), "steps": 50, "schedule": "trapezoid"}
    history = fit(model, TokenWindows(ids, 8, 6), next_token_loss, **options)
    return {"losses": history.losses, "model": weights_of(model)}


def train_net(out, die_at=None, slow=0.0):
    """13 steps with dropout, shuffled batches, checkpoints and an evaluation that is random."""
    model, calls = Net(seed=9 if (out / "state").exists() else 0), []

    def loss(model, batch):
        calls.append(1)
        time.sleep(slow)
        if os.environ.get("RANK") == "1" and len(calls) == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if slow and len(calls) == 3:
            # In one piece: what two processes print could end up in one line.
            os.write(1, f"{os.environ['RANK']} {os.getpid()}\n".encode())
        return squared(model, batch)

    def evaluate(model):
        with (out / "evaluations").open("a") as file:
            file.write(f"{os.environ.get('RANK')} ")
        return {"loss": squared(model, next(iter(DataLoader(data())))) + torch.rand(1) * 0.01}

    history = fit(
        model,
        DataLoader(data(), batch_size=4, shuffle=True),
        loss,
        steps=STEPS,
        learning_rate=0.01,
        seed=5,
        evaluate=evaluate,
        evaluate_every=4,
        checkpoint=out / "state",
        checkpoint_every=3,
    )
    result = {"losses": history.losses, "model": weights_of(model)}
    return result | {"best": history.best_step, "interrupted": history.interrupted}


def serve(job, out, **options):
    torch.set_num_threads(1)
    result = {"gpt": train_gpt, "net": train_net}[job](Path(out), **options)
    save_state(Path(out) / f"{job} of {os.environ['RANK']}", result)
    torch.distributed.destroy_process_group()


@contextmanager
def two_processes(job, out, **options):
    out.mkdir(exist_ok=True)
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    run += [__file__, json.dumps({"job": job, "out": str(out), **options})]
    paths = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(run, env=environ, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def results(job, out, **options):
    """What the two processes of a training end with, and what they print."""
    with two_processes(job, out, **options) as process:
        printed, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
    return *(load_state(out / f"{job} of {rank}") for rank in "01"), printed


# ---- one process


def test_one_process_is_not_wrapped_and_accelerate_stays_away():
    model = Net()
    team = join_processes(model)
    assert type(team) is OneProcess and team.model is model and team.is_main and team.count == 1
    code = "import sys, course_utils.training as t; sys.exit('accelerate' in sys.modules)"
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", code], env=environ).returncode == 0


def test_rows_of_a_batch_are_those_of_each_tensor_in_it():
    pairs = max(LengthBatches(some_pairs(), 6, seed=2), key=len)
    x = torch.arange(12).reshape(6, 2)
    batch = {"x": (x, [x + 1]), "pairs": pairs, "name": "word"}
    assert row_count(batch) == row_count(pairs) == row_count([x]) == 6 and row_count("no") == 0
    found = rows_of(batch, slice(2, 5))
    assert torch.equal(found["x"][0], x[2:5]) and torch.equal(found["x"][1][0], x[2:5] + 1)
    assert (
        torch.equal(found["pairs"].target_mask, pairs.target_mask[2:5]) and len(found["pairs"]) == 3
    )
    assert found["name"] == "word"


class Share(SeveralProcesses):
    """One of several processes, without the others."""

    def __init__(self, model, index, count):
        OneProcess.__init__(self, model)
        self.index, self.count = index, count


@pytest.mark.parametrize("count", [2, 3, 4, 7])
def test_shares_of_a_batch_add_up_to_the_loss_of_one_process(count):
    model, batch = Net(dropout=0.0), next(iter(DataLoader(data(), batch_size=7)))
    squared(model, batch).backward()
    wanted = {name: part.grad.clone() for name, part in model.named_parameters()}
    value = 0.0
    model.zero_grad()
    for index in range(count):
        share = Share(model, index, count).loss(squared, batch, (5, 1))
        (share / count).backward()  # the gradients of processes are averaged
        value += share.item() / count
    assert value == pytest.approx(squared(model, batch).item())
    found = {name: part.grad for name, part in model.named_parameters()}
    torch.testing.assert_close(found, wanted)


def test_shares_of_a_batch_draw_their_own_dropout_and_leave_the_random_state_alone():
    model, batch = Net(), torch.zeros(4, 1)

    def drawn(index, seed):
        return Share(model, index, 2).loss(lambda *_: torch.rand(()), batch, seed).item()

    all_eight = itertools.product((0, 1), (0, 1), (0, 1))
    before = torch.get_rng_state()
    with helpers.as_a_reader():  # the check of types draws numbers too
        numbers = [drawn(index, (seed, step)) for index, seed, step in all_eight]
        assert len(set(numbers)) == 8 and drawn(1, (1, 0)) == numbers[6]
    assert torch.equal(torch.get_rng_state(), before)


def test_batch_with_fewer_rows_than_processes_is_an_error():
    with pytest.raises(ValueError, match="a batch of 2 rows cannot be shared by 3 processes: make"):
        Share(Net(), 0, 3).loss(squared, (torch.zeros(2, 3), torch.zeros(2, 1)), (0, 0))


# ---- two


@pytest.mark.slow
def test_two_processes_give_the_loss_curve_of_one(tmp_path):
    wanted = train_gpt(tmp_path)
    first, second, printed = results("gpt", tmp_path / "two")
    assert wanted["losses"][-1] < 0.8 * wanted["losses"][0] and len(first["losses"]) == 50
    torch.testing.assert_close(first["losses"], wanted["losses"], atol=1e-3, rtol=0)
    torch.testing.assert_close(first["model"], wanted["model"], atol=1e-3, rtol=0)
    assert first["losses"] == second["losses"] and same_weights(first["model"], second["model"])
    assert printed == ""


@kill_needed
@pytest.mark.slow
def test_two_processes_killed_go_on_to_the_same_weights(tmp_path):
    whole = results("net", tmp_path / "whole")
    assert same_weights(whole[0]["model"], whole[1]["model"])
    assert (tmp_path / "whole" / "evaluations").read_text() == "0 0 0 0 "  # once, in the main one
    broken = tmp_path / "broken"
    with two_processes("net", broken, die_at=9) as process:
        errors = process.communicate(timeout=PATIENCE)[1]
        assert process.returncode != 0 and "SIGKILL" in errors
    assert load_state(broken / "state")["at"]["step"] == 6
    again = results("net", broken)
    for rank in (0, 1):
        assert again[rank]["losses"] == whole[rank]["losses"]
        assert again[rank]["best"] == whole[rank]["best"]
        assert same_weights(again[rank]["model"], whole[rank]["model"])
    with pytest.raises(ValueError, match="another training: processes was 2, now 1"):
        train_net(broken)


@kill_needed
@pytest.mark.slow
@pytest.mark.parametrize("who", ["torchrun", "the second process"])
def test_two_processes_stop_together_at_ctrl_c(tmp_path, who):
    with two_processes("net", tmp_path, slow=0.5) as process:
        ids = dict(process.stdout.readline().split() for _ in range(2))
        os.kill(process.pid if who == "torchrun" else int(ids["1"]), signal.SIGINT)
        printed, errors = process.communicate(timeout=PATIENCE)
    assert (tmp_path / "net of 0").exists() and (tmp_path / "net of 1").exists(), errors
    first, second = (load_state(tmp_path / f"net of {rank}") for rank in "01")
    steps = len(first["losses"])
    assert first["interrupted"] and second["interrupted"] and 2 <= steps < STEPS
    assert first["losses"] == second["losses"] and same_weights(first["model"], second["model"])
    assert printed.count(f"interrupted by Ctrl-C after step {steps} of {STEPS}") == 1


if __name__ == "__main__":
    serve(**json.loads(sys.argv[1]))
