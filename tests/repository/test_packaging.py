"""What the project says it needs, in its several files, is one and the same."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LARGE = {
    # real MHD gas for notebooks and viewers without a download (lab.sample_cloud); never changes, so kept once
    "polaris_lab/clouds/data/mhd_m8_128_late.zarr.zip": 12 * 10**6,
    "polaris_lab/pretrained/default/best.safetensors": 8 * 2**20,
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(*extras: str) -> list[Requirement]:
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = {}
    for line in lines:
        if line.strip() and not line.startswith("#"):
            name, _, version = line.partition("==")
            found[canonicalize_name(name)] = version.strip()
    return found


def test_constraints_hold_versions_and_no_address():
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    for line in text.splitlines():
        assert re.fullmatch(r"(#.*)?|[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+", line.strip()), line
    assert pins()["torch"] == "2.13.0"


@pytest.mark.parametrize("extra", [None, *PROJECT["optional-dependencies"]])
def test_every_dependency_is_pinned_to_a_version_that_it_allows(extra):
    for requirement in requirements(*([extra] if extra else [])):
        name = canonicalize_name(requirement.name)
        assert name in pins(), f"{name} of {extra or 'the core'} is not pinned in constraints.txt"
        assert requirement.specifier.contains(pins()[name]), f"{requirement} excludes {pins()[name]}"


def test_what_the_dependencies_need_is_pinned_too():
    """Walk the installed distributions from ours down: each is pinned, and at its pinned version."""
    seen, queue = set(), [requirement.name for requirement in requirements(*PROJECT["optional-dependencies"])]
    while queue:
        name = canonicalize_name(queue.pop())
        if name in seen:
            continue
        seen.add(name)
        distribution = metadata.distribution(name)
        assert name in pins(), f"{name} is installed but not pinned"
        assert distribution.version.split("+")[0] == pins()[name]
        for line in distribution.requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                queue.append(requirement.name)
    assert len(seen) > 50


def test_environment_yml_agrees_with_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PROJECT["name"]
    assert environment["channels"] == ["conda-forge"]
    *packages, pip_part = environment["dependencies"]
    assert f"python{PROJECT['requires-python']}" in packages
    assert "pip" in packages
    (line,) = pip_part["pip"]
    extra = re.fullmatch(r"-e \.\[(\w+)\]", line).group(1)
    assert extra in PROJECT["optional-dependencies"]


def test_the_version_is_one():
    import polaris_lab

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (
        polaris_lab.__version__
        == PROJECT["version"]
        == citation["version"]
        == metadata.version("polaris-lab")
    )


def test_every_sub_package_is_listed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("polaris_lab", "widgets")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert set(listed) == found


def run_python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )


def test_importing_loads_no_torch_and_makes_nothing():
    code = (
        "import sys, os; before = set(os.listdir('.')); import polaris_lab as lab; "
        "heavy = {'torch', 'panel', 'holoviews', 'numba', 'pandas', 'astropy'} & set(sys.modules); "
        "assert not heavy, heavy; assert set(os.listdir('.')) == before"
    )
    answer = run_python(code)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.slow
def test_the_core_imports_without_the_extras():
    """With the packages of every extra made unimportable, each public name still resolves."""
    names = {
        Requirement(line).name.replace("-", "_")
        for extra in PROJECT["optional-dependencies"]
        for line in PROJECT["optional-dependencies"][extra]
    } - {"packaging", "pyyaml", "PyYAML"}  # what the core depends on needs these too
    code = (
        f"import sys; blocked = {sorted(names)!r}\n"
        "for name in blocked: sys.modules[name] = None\n"
        "import polaris_lab as lab\n"
        "for name in lab.__all__: getattr(lab, name)\n"
        "import polaris_lab.cli\n"
        "print(len(lab.__all__))\n"
    )
    answer = run_python(code)
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout) > 20


def test_cubes_open_without_torch():
    code = (
        "import sys, numpy as np; from astropy import units as u; import polaris_lab as lab\n"
        "cube = lab.SimulationCube(np.ones((2, 2, 2)), cell_size=1 * u.pc)\n"
        "lab.column_density(cube); assert 'torch' not in sys.modules"
    )
    answer = run_python(code)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("package", ["polaris_lab", "widgets"])
def test_the_packages_are_those_of_this_repository(package):
    answer = run_python(f"import {package}; print({package}.__file__)")
    assert Path(answer.stdout.strip()).resolve() == ROOT / package / "__init__.py"


def test_pre_commit_fetches_nothing():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repository["repo"] for repository in hooks["repos"]] == ["local"]
    assert all(hook["language"] == "system" for repository in hooks["repos"] for hook in repository["hooks"])


@pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="not a git checkout: the list of tracked files is unknown"
)
def test_no_tracked_file_is_large_or_names_an_index():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if not path.exists():
            continue
        limit = LARGE.get(name, 2**20)
        assert path.stat().st_size < limit, f"{name} is larger than {limit / 2**20:.0f} MiB"
        if ".zarr" not in name and path.suffix in {".py", ".toml", ".txt", ".yml", ".yaml", ".md", ""}:
            assert not re.search(r"--(extra-)?" + r"index-url|--find-" + "links", path.read_text()), name
