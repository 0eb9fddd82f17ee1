"""Trainings that are killed: Ctrl-C at any line and through a kernel, SIGKILL, a full disk.

The processes that get killed run this file as a program: see `serve` at its end.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import helpers
import pytest
import torch
from helpers import as_a_reader, same_weights, weights_of
from test_training import EPOCH, Net, data, failing_at, plain_batches, squared
from torch.utils.data import DataLoader

from course_utils.checkpoints import load_state, load_weights, save_state, save_weights
from course_utils.files import atomic_write
from course_utils.training import fit

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 60  # seconds after which a test gives up; none waits so long where all is well
one_thread = helpers.one_thread
kill_needed = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
limit_needed = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no RLIMIT_FSIZE")


def environment():
    """For a program that imports this package."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


@pytest.fixture(autouse=True)
def _listening():
    """As in a terminal: what a shell starts with `&`, the tests for example, ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


# ---- Ctrl-C in this process, at any line

STEPS = 4
INTERRUPTED = ("course_utils", "contextlib.py", "torch/random.py", "torch/optim", "grad_mode.py")


def short_training(model, path, states):
    """Four steps with evaluations and checkpoints; `states` gets the weights before each step."""

    def loss(model, batch):
        states.append(weights_of(model))
        return squared(model, batch)

    def evaluate(model):
        return {"loss": squared(model, plain_batches()[0])}

    options = {"evaluate": evaluate, "evaluate_every": 2, "checkpoint": path, "checkpoint_every": 2}
    return fit(model, plain_batches(), loss, steps=STEPS, learning_rate=0.01, seed=3, **options)


def ctrl_c_at(line, lines, second_after=None):
    """A trace function that presses Ctrl-C at the given line, and again some calls later.

    `lines` gets the names of the files and functions whose lines were seen.
    """

    def again(*_):
        nonlocal second_after
        second_after -= 1
        if second_after <= 0 and signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            sys.setprofile(None)  # still in `fit`
            signal.raise_signal(signal.SIGINT)

    def trace(frame, event, _):
        if not any(part in frame.f_code.co_filename for part in INTERRUPTED):
            return None
        if event == "line":
            lines.append(frame.f_code.co_name)
            if len(lines) == line:
                if second_after:
                    sys.setprofile(again)
                signal.raise_signal(signal.SIGINT)
        return trace

    return trace


def train_with_ctrl_c(folder, line, second_after=None):
    """The interrupted training: its history (None when Ctrl-C came through), model, lines."""
    model, lines, states = Net(), [], []
    before, history, random_numbers = sys.gettrace(), None, torch.get_rng_state()
    with as_a_reader(), contextlib.suppress(KeyboardInterrupt):
        sys.settrace(ctrl_c_at(line, lines, second_after))
        try:
            history = short_training(model, folder / "state", states)
        finally:
            sys.settrace(before)
            sys.setprofile(None)
    assert torch.equal(torch.get_rng_state(), random_numbers)
    return history, model, lines


def whole_training(folder):
    """The weights after 0, 1 ... STEPS steps, and the count of the lines."""
    states = []
    with as_a_reader():
        short_training(model := Net(), folder / "whole", states)
    _, _, lines = train_with_ctrl_c(folder, -1)
    shutil.rmtree(folder)
    folder.mkdir()
    best = weights_of(model)  # the last evaluation was the best one
    return [*states, best], lines


def check_ctrl_c(folder, lines, every, second_after=None):
    states, seen = whole_training(folder)
    assert {"step", "replace", "fork_rng"} & set(seen) and len(seen) > 500
    handler = signal.getsignal(signal.SIGINT)
    counts = set()
    for line in range(1 + lines % every, len(seen) + 1, every):
        history, model, _ = train_with_ctrl_c(folder, line, second_after)
        where = f"line {line}, in {seen[line - 1]}"
        if history is None:  # only before or after the training itself
            assert same_weights(weights_of(model), states[0]) or line > len(seen) - 10, where
        else:
            count = len(history.losses)
            counts.add(count)
            assert history.interrupted or count == STEPS, where
            assert same_weights(weights_of(model), states[count]), where
            assert len(history.learning_rates) == count and not model.training, where
        assert signal.getsignal(signal.SIGINT) is handler and torch.is_grad_enabled(), where
        assert os.listdir(folder) in ([], ["state"]), where
        if (folder / "state").exists():
            at = load_state(folder / "state")
            assert same_weights(at["model"], states[at["at"]["step"]]), where
            (folder / "state").unlink()
    return counts


def test_ctrl_c_at_some_lines_leaves_whole_steps(tmp_path):
    assert len(check_ctrl_c(tmp_path / "a", lines=5, every=211)) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("second_after", [None, 1, 4, 20])
def test_ctrl_c_once_or_twice_at_many_lines_leaves_whole_steps(tmp_path, second_after):
    found = check_ctrl_c(tmp_path / "a", second_after or 0, 43, second_after)
    assert found == set(range(STEPS + 1))


def test_ctrl_c_that_a_destructor_swallowed_ends_the_training_all_the_same():
    class Swallows:
        def __del__(self):
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)

    def loss(model, batch):
        calls.append(1)
        if len(calls) == 3:
            Swallows()
        return squared(model, batch)

    calls = []
    history = fit(Net(), plain_batches(), loss, steps=STEPS + 1, progress=False)
    assert history.interrupted and len(history.losses) == 3


def test_ctrl_c_in_the_end_of_a_no_grad_leaves_gradients_on():
    def loss(model, batch):
        torch.set_grad_enabled(False)  # as in the middle of no_grad's own lines
        signal.raise_signal(signal.SIGINT)

    assert fit(Net(), plain_batches(), loss, steps=3, progress=False).interrupted
    assert torch.is_grad_enabled()


def test_ctrl_c_that_the_program_ignores_is_ignored():
    def loss(model, batch):
        signal.raise_signal(signal.SIGINT)
        return squared(model, batch)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        history = fit(Net(), plain_batches(), loss, steps=3, progress=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(history.losses) == 3 and not history.interrupted


def test_ctrl_c_says_at_which_step(capsys):
    def loss(model, batch):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return squared(model, batch)

    calls = []
    history = fit(Net(), plain_batches(), loss, steps=9, progress=False, description="two towers")
    assert capsys.readouterr().out == (
        "two towers: interrupted by Ctrl-C after step 2 of 9; the model has the weights of this "
        "step\n"
    )
    assert re.fullmatch(
        r"<History of 2 steps in 0\.\d s, loss [\d.]+, interrupted by Ctrl-C after step 2>",
        repr(history),
    )


def test_training_in_a_thread_needs_no_ctrl_c():
    import threading

    found = []
    work = threading.Thread(
        target=lambda: found.append(fit(Net(), plain_batches(), squared, steps=2))
    )
    work.start()
    work.join(PATIENCE)
    assert len(found[0].losses) == 2


# ---- Ctrl-C through a kernel


class Kernel:
    """A real kernel, as a notebook has one."""

    def __init__(self, folder):
        from jupyter_client import KernelManager
        from jupyter_client.kernelspec import KernelSpecManager

        places = {f"JUPYTER_{name}_DIR": str(folder) for name in ("RUNTIME", "DATA", "CONFIG")}
        own = KernelSpecManager(kernel_dirs=[])  # only this Python's own kernel
        self.manager = KernelManager(
            kernel_spec_manager=own, connection_file=str(folder / "kernel.json")
        )
        python = {"IPYTHONDIR": str(folder), "OMP_NUM_THREADS": "1"}
        self.manager.start_kernel(env=environment() | places | python, cwd=str(folder))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    def run(self, code, on_ready=None):
        """Run a cell; `on_ready()` is called when it prints "ready". Its text, when all is well."""
        request = self.client.execute(textwrap.dedent(code))
        text, asked, deadline = "", False, time.monotonic() + PATIENCE
        while True:
            assert time.monotonic() < deadline, f"the cell does not end: {text}"
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            assert message["msg_type"] != "error", "\n".join(content["traceback"])
            text += content.get("text", "") if message["msg_type"] == "stream" else ""
            if message["msg_type"] == "execute_result":
                text += content["data"]["text/plain"]
            if "ready" in text and not asked and on_ready:
                asked = True
                on_ready()
            if content.get("execution_state") == "idle":
                assert asked or not on_ready, f"the cell ended before it was ready: {text}"
                reply = self.client.get_shell_msg(timeout=PATIENCE)["content"]
                assert reply["status"] == "ok"
                return text

    def stop(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    kernel = Kernel(tmp_path_factory.mktemp("kernel"))
    try:
        kernel.run(SETUP)
        yield kernel
    finally:
        kernel.stop()


SETUP = """
    import time
    from pathlib import Path
    import safetensors.torch
    import torch
    from course_utils.checkpoints import load_state
    from course_utils.training import fit

    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = (torch.nn.Parameter(torch.zeros(2)) for _ in "ab")

    class Slow(torch.optim.SGD):
        def step(self):
            for parameter in self.param_groups[0]["params"]:
                parameter.data += 1.0
                if place == "in a step" and calls == 20:
                    wait(parameter is not model.b)

    def wait(here):
        if here:
            print("ready", flush=True)
            while not Path(go).exists():
                time.sleep(0.01)

    def loss(model, batch):
        global calls
        calls += 1
        wait(place == "in the loss" and calls == 20)
        return (model.a + model.b).sum()

    def batches():
        for number in range(10**9):
            wait(place == "in the batches" and number == 20 or place == "at the first batch")
            yield number

    def evaluate(model):
        wait(place == "in the evaluation")
        return {"loss": 1.0}

    write = safetensors.torch.save_file
    def slow_write(*arguments, **options):
        wait(place == "in a checkpoint")
        write(*arguments, **options)
        wait(place == "after a checkpoint")
    safetensors.torch.save_file = slow_write

    def train(steps=10**7):
        global calls, model
        calls = 0
        return fit(model, batches(), loss, steps=steps, optimizer=Slow(model.parameters(), lr=1.0),
                   evaluate=evaluate, evaluate_every=25, checkpoint=path, checkpoint_every=25)
"""
# Where Ctrl-C comes, and after how many whole steps the training then ends. In the first places it
# ends what would go on for ever; in the others it has to wait, and a second one comes meanwhile.
PLACES = {
    "at the first batch": 0,
    "in the loss": 19,
    "in the batches": 20,
    "in the evaluation": 25,
    "in a step": 20,
    "in a checkpoint": 25,
    "after a checkpoint": 25,
}


@kill_needed
@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_kernel_interrupted_in_training_keeps_what_was_learned(kernel, place, tmp_path):
    go, path = tmp_path / "go", tmp_path / "state"
    waits = place in ("in a step", "in a checkpoint", "after a checkpoint")

    def interrupt():
        for _ in range(2 if waits else 1):
            kernel.manager.interrupt_kernel()
        if waits:
            time.sleep(0.2)  # a signal that comes later still is a weaker test, not a wrong one
            go.touch()

    kernel.run(f"place, go, path, model = {place!r}, {str(go)!r}, {str(path)!r}, Two()")
    said = kernel.run("history = train()", interrupt)
    steps = PLACES[place]
    assert f"interrupted by Ctrl-C after step {steps} of 10000000" in said
    assert f"interrupted by Ctrl-C after step {steps}>" in kernel.run("history")
    state = f"""
        whole = all((part == {steps}).all() for part in model.parameters())
        print(history.interrupted, len(history.losses), whole, torch.is_grad_enabled())
        """
    assert kernel.run(state).split() == ["True", str(steps), "True", "True"]
    kernel.run("place, path = 'nowhere', path + '.second'; again = train(30)")
    assert kernel.run("print(len(again.losses), again.interrupted)").split() == ["30", "False"]
    assert sorted(os.listdir(tmp_path)) == sorted(
        ["go"] * waits + ["state"] * ("a checkpoint" in place) + ["state.second"]
    )


# ---- SIGKILL

WRITES = """
import sys, time
from pathlib import Path
from course_utils import files
path, moment = Path(sys.argv[1]), sys.argv[2]

def wait(*_):
    print("ready", flush=True)
    time.sleep(1000)

if moment == "before the end":
    files.os.replace = wait
with files.atomic_write(path) as temporary:
    if moment == "before the data":
        wait()
    (temporary.parent / "of another library").write_text("half of the")
    temporary.write_text("half of the")
    if moment == "in the data":
        wait()
"""


def leftovers(folder):
    return [name for name in os.listdir(folder) if name.endswith(".part")]


@contextlib.contextmanager
def writer(path, moment):
    """A process that waits in the middle of a write."""
    words = [sys.executable, "-c", WRITES, str(path), moment]
    with subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@kill_needed
@pytest.mark.parametrize("moment", ["before the data", "in the data", "before the end"])
def test_writer_killed_leaves_the_old_file_and_the_next_write_tidies_up(tmp_path, moment):
    path = tmp_path / "note [1].txt"
    path.write_text("old")
    with writer(path, moment):
        pass
    assert path.read_text() == "old" and len(leftovers(tmp_path)) == 1
    with atomic_write(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new" and os.listdir(tmp_path) == [path.name]


@kill_needed
def test_writer_that_lives_is_left_alone(tmp_path):
    path = tmp_path / "note.txt"
    with writer(path, "in the data"):
        (living,) = leftovers(tmp_path)
        with atomic_write(path) as temporary:
            temporary.write_text("new")
        assert sorted(os.listdir(tmp_path)) == sorted([living, "note.txt"])
        assert (tmp_path / living / "note.txt").read_text() == "half of the"
    with atomic_write(path) as temporary:
        temporary.write_text("newer")
    assert os.listdir(tmp_path) == ["note.txt"]


def serve():
    """A process for each line that comes in: torch is imported once, each training is forked."""
    torch.set_num_threads(1)
    torch.optim.AdamW([torch.zeros(1)])  # the first one imports for seconds
    print("ready", flush=True)
    for line in sys.stdin:
        if os.fork() == 0:
            train_in_child(**json.loads(line))
            os._exit(0)
        status = os.wait()[1]
        print(json.dumps({"died of": status & 127, "failed": status >> 8}), flush=True)


def train_in_child(path, moment="", count=0):
    """Train 13 steps from the checkpoint; say one's number and wait to be killed at the moment."""
    import resource

    import safetensors.torch

    calls, write, replace = [], safetensors.torch.save_file, os.replace

    def wait(here):
        calls.append(1) if here == moment else None
        if here == moment and len(calls) == count:
            print(os.getpid(), flush=True)
            time.sleep(1000)

    def loss(model, batch):
        wait("in a step")
        return squared(model, batch)

    def slow_write(tensors, where, metadata):
        wait("before the data")
        write(tensors, where, metadata=metadata)
        if moment == "in the data" and len(calls) + 1 == count:
            os.truncate(where, 1000)
        wait("in the data")
        wait("after the data")

    def slow_replace(*paths):
        wait("before the end")
        replace(*paths)
        wait("after the end")

    if moment == "by the system":  # in the write itself: no Python code runs after it
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        print(os.getpid(), flush=True)
    safetensors.torch.save_file, os.replace = slow_write, slow_replace
    model = Net(seed=9 if Path(path).exists() else 0)  # all has to come from the file
    history = fit(
        model,
        DataLoader(data(), batch_size=4, shuffle=True),
        loss,
        steps=2 * EPOCH + 3,
        learning_rate=0.01,
        seed=5,
        checkpoint=path,
        checkpoint_every=3,
    )
    save_state(f"{path} ended", {"model": model.state_dict(), "losses": history.losses})


@pytest.fixture(scope="module")
def server():
    words = [sys.executable, __file__]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environ = environment() | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, env=environ, **pipes) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()


def in_a_process(server, path, moment="", count=1):
    """One training, killed at a moment where one is given; what it died of."""

    def read():
        return json.loads(server.stdout.readline())

    job = {"path": str(path), "moment": moment, "count": count}
    server.stdin.write(json.dumps(job) + "\n")
    server.stdin.flush()
    if moment:
        process = read()
        if moment != "by the system":
            os.kill(process, signal.SIGKILL)
    return read()


@pytest.fixture(scope="module")
def whole(server, tmp_path_factory):
    """What the training ends with that nobody kills."""
    path = tmp_path_factory.mktemp("whole") / "state"
    assert in_a_process(server, path) == {"died of": 0, "failed": 0}
    return Path(f"{path} ended").read_bytes()


KILLS = [
    [("in a step", 8)],
    [("in a step", 2), ("in a step", 5), ("in a step", 4)],
    [("before the data", 1), ("in the data", 2), ("after the data", 1), ("before the end", 2)],
    [("in the data", 3), ("in the data", 1), ("in a step", 3), ("in the data", 1)],
    [("after the end", 2), ("by the system", 0), ("by the system", 0), ("in a step", 1)],
]


@kill_needed
@pytest.mark.slow
@pytest.mark.parametrize("kills", KILLS, ids=str)
def test_training_killed_goes_on_to_the_same_weights(server, whole, tmp_path, kills):
    path = tmp_path / "state"
    for moment, count in kills:
        own = signal.SIGXFSZ if moment == "by the system" else signal.SIGKILL
        assert in_a_process(server, path, moment, count) == {"died of": own, "failed": 0}
        assert len(leftovers(tmp_path)) <= 1
        if path.exists():
            assert load_state(path)["at"]["step"] % 3 == 0
    assert in_a_process(server, path) == {"died of": 0, "failed": 0}
    assert Path(f"{path} ended").read_bytes() == whole
    assert sorted(os.listdir(tmp_path)) == ["state", "state ended"]


# ---- a disk that is full


@contextlib.contextmanager
def small_files(size):
    """No file may become larger: the system's own refusal, as on a full disk."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@limit_needed
def test_training_whose_checkpoint_cannot_be_written_loses_nothing(tmp_path):
    path, states, model, whole = tmp_path / "state", [], Net(), Net()

    def loss(model, batch):
        states.append(weights_of(model))
        return squared(model, batch)

    def run(model, loss=squared, **options):
        return fit(model, plain_batches(), loss, steps=9, checkpoint_every=3, **options)

    with as_a_reader():
        run(whole)
        with pytest.raises(OSError, match="no file is left there; "), small_files(2000):
            run(Net(), checkpoint=path)
        assert os.listdir(tmp_path) == []
        with pytest.raises(FloatingPointError):  # stops after the first checkpoint
            run(Net(), failing_at(5, FloatingPointError()), checkpoint=path)
        with pytest.raises(OSError) as caught, small_files(2000):
            run(model, loss, checkpoint=path)
        assert re.search(
            r"state was not written: no file may be so large here, 0\.0 MB needed; the old file is "
            "still whole; give another path$",
            str(caught.value),
        )
        assert len(states) == 3 and not model.training
        after_six = Net()
        with pytest.raises(FloatingPointError):
            run(after_six, failing_at(7, FloatingPointError()))
        assert same_weights(weights_of(model), weights_of(after_six))
        assert os.listdir(tmp_path) == ["state"] and load_state(path)["at"]["step"] == 3
        run(model, checkpoint=path)
    assert same_weights(weights_of(model), weights_of(whole))


DISK = """
import json, os, sys, errno
from pathlib import Path
folder, tool, kind = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
if kind == "limit":
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
path = folder / "state"
if tool == "atomic_write":
    from course_utils.files import atomic_write
    def write(size):
        with atomic_write(path, needed=size) as temporary:
            temporary.write_bytes(bytes(size))
    def read():
        return len(path.read_bytes())
else:
    import torch
    from course_utils.checkpoints import load_weights, save_weights
    def write(size):
        save_weights(path, torch.nn.Linear(size // 4, 1, bias=False))
    def read():
        model = torch.nn.Linear(100_000, 1, bias=False)
        load_weights(path, model)
        return 4 * model.weight.numel()
write(400_000)
try:
    write(1_600_000)
except OSError as error:
    print(json.dumps({"text": str(error), "full": error.errno == errno.ENOSPC,
                      "old": read(), "names": os.listdir(folder)}))
"""


def on_a_small_disk(folder, tool):
    """Run `DISK` on a disk of one megabyte, where this system lets us make one; else with a limit
    on the size of files, which every Linux and macOS has."""
    words = [sys.executable, "-c", DISK, str(folder), tool]
    options = {"env": environment(), "capture_output": True, "text": True, "check": False}
    mount = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"']
    mount = [*mount, str(folder)] if shutil.which("unshare") else None
    kind = "limit"
    if mount and subprocess.run([*mount, "true"], **options).returncode == 0:
        kind, words = "disk", [*mount, *words]
    run = subprocess.run([*words, kind], **options)
    assert run.returncode == 0, run.stderr
    return kind, json.loads(run.stdout)


@limit_needed
@pytest.mark.parametrize(
    "tool", ["atomic_write", pytest.param("save_weights", marks=pytest.mark.slow)]
)
def test_full_disk_leaves_the_old_file_and_says_so(tmp_path, tool):
    kind, found = on_a_small_disk(tmp_path, tool)
    why = r"no file may be so large here, 1\.6 MB needed"
    todo = "give another path"
    if kind == "disk":
        why = r"the disk is full \(0\.6 MB free, 1\.6 MB needed\)"
        todo = "make room there, or give a path on another disk"
    sentence = rf"{tmp_path}/state was not written: {why}; the old file is still whole; {todo}$"
    assert re.search(sentence, found["text"]) and found["full"] == (kind == "disk")
    assert found["old"] == 400_000 and found["names"] == ["state"]


@limit_needed
def test_save_weights_that_cannot_be_written_leaves_the_old_ones(tmp_path):
    old, new = Net(seed=1), Net(seed=2)
    save_weights(tmp_path / "w", old)
    with pytest.raises(OSError, match="the old file is still whole; "), small_files(100):
        save_weights(tmp_path / "w", new)
    load_weights(tmp_path / "w", new)
    assert same_weights(weights_of(old), weights_of(new)) and os.listdir(tmp_path) == ["w"]


@pytest.mark.parametrize("number", ["EACCES", "EROFS"])
def test_checkpoint_in_a_folder_that_is_read_only_says_so(tmp_path, monkeypatch, number):
    import errno
    import tempfile

    def refuse(**_):  # the superuser, as whom some tests run, may write everywhere
        raise OSError(getattr(errno, number), "refused", str(tmp_path))

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    text = (
        f"state was not written: you may not write into the folder {tmp_path}; no file is left "
        "there; give a path in a folder of your own"
    )
    with pytest.raises(OSError, match=re.escape(text) + "$") as caught:
        fit(Net(), plain_batches(), squared, steps=2, checkpoint=tmp_path / "state")
    assert caught.value.errno == getattr(errno, number)


@pytest.mark.parametrize("use", ["fit", "save", "load"])
def test_checkpoint_that_is_a_folder_says_so(tmp_path, use):
    uses = {
        "fit": lambda: fit(Net(), plain_batches(), squared, steps=2, checkpoint=tmp_path),
        "save": lambda: save_weights(tmp_path, Net()),
        "load": lambda: load_weights(tmp_path, Net()),
    }
    text = f"{tmp_path} is a folder: give a file in it, such as {tmp_path / 'state'}"
    with pytest.raises(IsADirectoryError, match=re.escape(text) + "$"):
        uses[use]()


if __name__ == "__main__":
    serve()
