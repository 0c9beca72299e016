"""One process at a time trains a run."""

import os
import platform
import subprocess
import sys
import time

import psutil
import pytest

from polaris_lab.config import write_json
from polaris_lab.lock import guard_path
from polaris_lab.training.lock import LOCK_NAME, RunInUseError, holder, lock


def entry(**changes):
    parent = psutil.Process(os.getppid())
    values = {"pid": parent.pid, "process_started": parent.create_time(), "host": platform.node()}
    return {**values, "started": "2025-01-01T00:00:00+00:00", "token": "other", **changes}


def test_the_lock_lasts_as_long_as_the_block(tmp_path):
    with lock(tmp_path):
        assert holder(tmp_path)["pid"] == os.getpid()
        with pytest.raises(RunInUseError, match=r"in training by this process"), lock(tmp_path):
            pass
        assert holder(tmp_path)["pid"] == os.getpid()
    assert holder(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_an_error_frees_it(tmp_path):
    with pytest.raises(KeyError), lock(tmp_path):
        raise KeyError
    assert holder(tmp_path) is None


def test_another_living_process_keeps_it(tmp_path):
    write_json(tmp_path / LOCK_NAME, entry())
    with (
        pytest.raises(RunInUseError, match=rf"by process {os.getppid()} since 2025.*request_stop"),
        lock(tmp_path),
    ):
        pass
    assert holder(tmp_path)["token"] == "other"


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    write_json(
        tmp_path / LOCK_NAME, entry(pid=child.pid, process_started=psutil.Process(child.pid).create_time())
    )
    assert holder(tmp_path) is not None
    child.kill()
    child.wait()
    assert holder(tmp_path) is None
    with lock(tmp_path):
        assert holder(tmp_path)["pid"] == os.getpid()


def test_a_process_that_has_ended_and_was_not_waited_for_holds_nothing(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = psutil.Process(child.pid)
    write_json(tmp_path / LOCK_NAME, entry(pid=child.pid, process_started=process.create_time()))
    assert holder(tmp_path) is not None
    child.stdin.close()
    while process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert holder(tmp_path) is None
    child.wait()


def test_a_number_given_to_a_new_process_is_not_the_old_one(tmp_path):
    write_json(tmp_path / LOCK_NAME, entry(process_started=psutil.Process(os.getppid()).create_time() - 3600))
    assert holder(tmp_path) is None


def test_another_machine_cannot_be_asked(tmp_path):
    write_json(tmp_path / LOCK_NAME, entry(host="node17", pid=1))
    with pytest.raises(RunInUseError, match=r"on node17.*remove .*running\.json"), lock(tmp_path):
        pass


@pytest.mark.parametrize("text", ["", "{", '{"pid": 3}', "[]"])
def test_a_broken_entry_holds_nothing(tmp_path, text):
    (tmp_path / LOCK_NAME).write_text(text)
    assert holder(tmp_path) is None
    with lock(tmp_path):
        assert holder(tmp_path)["pid"] == os.getpid()


def test_a_guard_left_by_a_kill_does_not_block(tmp_path):
    guard = guard_path(tmp_path / LOCK_NAME)
    guard.touch()
    old = time.time() - 60
    os.utime(guard, (old, old))
    with lock(tmp_path):
        assert holder(tmp_path) is not None
