"""The README's code runs, and its commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from polaris_lab.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = blocks("python")
    assert examples
    for example in examples:
        exec(compile(example, "README.md", "exec"), {"__name__": "readme"})


def commands() -> list[str]:
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    lines += re.findall(r"`((?:make|polaris-lab) [^`]+)`", README)
    return sorted({line for line in lines if line})


@pytest.mark.parametrize("command", [line for line in commands() if line.startswith("make ")])
def test_every_make_target_exists(command):
    for target in shlex.split(command)[1:]:
        answer = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("command", [line for line in commands() if "polaris-lab " in line])
def test_every_command_and_option_exists(command, capsys):
    from polaris_lab.cli import _parser

    words = shlex.split(command[command.index("polaris-lab") :])[1:]
    assert words[0] in COMMANDS
    assert _parser().parse_args(words).command == words[0]


def test_linked_files_exist():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_notebook_is_listed():
    listed = set(re.findall(r"`(\d\d_\w+)`", README))
    assert listed == {path.stem for path in (ROOT / "notebooks").glob("[0-9]*.py")}
