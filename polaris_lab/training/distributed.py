"""Several processes that train one run together: on one machine started from here, on several by a launcher."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import time
from collections.abc import Callable, Generator
from multiprocessing import get_context, parent_process
from typing import TYPE_CHECKING, Any

from polaris_lab.parallel import worker_count
from polaris_lab.training import folder as files
from polaris_lab.training.records import EpochRecord
from polaris_lab.training.settings import TrainingConfig

if TYPE_CHECKING:
    from torch import nn

    from polaris_lab.training.run import Run

POLL_SECONDS = 0.05
"""How often the records of the processes are looked for."""

PATIENCE_SECONDS = 30.0
"""How long processes that were asked to end may take until they are ended."""


def process_rank(config: TrainingConfig) -> int:
    """Return the number of this process among those that train together; 0 commits the epochs."""
    if config.processes == 1:
        return 0
    for name in ("RANK", "SLURM_PROCID"):
        if name in os.environ:
            return int(os.environ[name])
    return int(os.environ.get("NODE_RANK", 0)) * config.devices + int(os.environ.get("LOCAL_RANK", 0))


def batch_statistics_note(model: nn.Module, config: TrainingConfig) -> str | None:
    """Say what differs from one process with the whole batch, None if nothing but rounding does."""
    from torch.nn.modules.batchnorm import _BatchNorm

    if config.virtual_batch == config.batch_size or not any(
        isinstance(m, _BatchNorm) for m in model.modules()
    ):
        return None
    what = f"batches of {config.batch_size} patches each, not over the {config.virtual_batch} of a step"
    running = (
        "; the running statistics, used in validation, are those of process 0" if config.processes > 1 else ""
    )
    return (
        f"the network has batch normalisation: its statistics are taken over {what}{running}. A network without them "
        "gives the result of the large batch"
    )


def train_together(
    run: Run, before_batch: Callable[[int], object] | None = None
) -> Generator[EpochRecord, None, None]:
    """Train a run in ``config.devices`` processes of this machine, yielding what they commit.

    Parameters
    ----------
    run : Run
    before_batch : callable, optional
        Called with the number of training patches after every epoch.

    Raises
    ------
    ValueError
        If several machines are wanted: those need a launcher.
    """
    if run.config.num_nodes > 1:
        raise ValueError(
            f"num_nodes: expected a launcher for {run.config.num_nodes} machines, got a process that was started alone; "
            f"run on each: torchrun --nnodes={run.config.num_nodes} --nproc-per-node={run.config.devices} "
            f"--rdzv-backend=c10d --rdzv-endpoint=HOST:PORT -m polaris_lab.cli train {run.path}"
        )
    context = get_context("spawn")
    failures = context.SimpleQueue()
    dataset, port = str(run.dataset().path or run.dataset_path), _free_port()
    members = [
        context.Process(target=_member, args=(str(run.path), dataset, rank, run.config.devices, port, failures),
                        daemon=True)
        for rank in range(run.config.devices)
    ]  # fmt: skip
    seen, patches = len(run.history()), run.description.dataset.training_patches
    for member in members:
        member.start()
    try:
        ended = False
        while not ended:
            ended = _ended(members, failures)
            records = run.history()
            for record in records[seen:]:
                if before_batch is not None:
                    before_batch(patches)
                yield record
            seen = len(records)
            if not ended:
                time.sleep(POLL_SECONDS)
    finally:
        _end(run, members)


def _ended(members: list[Any], failures: Any) -> bool:
    """Return whether all have ended; raise what one of them raised."""
    codes = [member.exitcode for member in members]
    if not failures.empty():
        raise pickle.loads(failures.get())  # written by our own processes, through a pipe
    for rank, code in enumerate(codes):
        if code not in (None, 0):
            raise RuntimeError(
                f"process {rank} of {len(members)}: expected it to train, got its end with status {code}; the finished "
                "epochs are kept"
            )
    return all(code == 0 for code in codes)


def _end(run: Run, members: list[Any]) -> None:
    """Ask processes that still live to end at their next batch, and end those that do not."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    alone = any(member.exitcode not in (None, 0) for member in members)  # the others wait for it in vain
    while any(member.is_alive() for member in members) and time.monotonic() < deadline and not alone:
        run.request_stop()  # again and again: one that is only starting clears a request made before
        for member in members:
            member.join(POLL_SECONDS)
    for member in members:
        if member.is_alive():
            member.kill()
        member.join()
    (run.path / files.STOP).unlink(missing_ok=True)


def _member(path: str, dataset: str, rank: int, count: int, port: int, failures: Any) -> None:
    """Train in one process of several."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the matter of the process that started this one
    os.environ.update(
        LOCAL_RANK=str(rank), NODE_RANK="0", WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )  # fmt: skip
    import torch

    from polaris_lab.training.run import Run
    from polaris_lab.training.session import start

    torch.set_num_threads(max(1, min(torch.get_num_threads(), worker_count() // count)))
    try:
        for _ in start(Run.open(path, dataset=dataset), _stop_without_parent):
            pass
    except Exception as error:
        try:
            failures.put(pickle.dumps(error))
        except Exception:  # an error that cannot be sent is told in words
            failures.put(pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}")))
        raise SystemExit(1) from error
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _stop_without_parent(count: int) -> None:
    from polaris_lab.training.loop import StopRequested

    parent = parent_process()
    if parent is not None and not parent.is_alive():
        raise StopRequested


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
