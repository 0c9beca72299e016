"""Configurations survive the disk unchanged, and a wrong one says where and what."""

import dataclasses
import json
import os
import stat

import pytest

from polaris_lab import config


@dataclasses.dataclass(frozen=True)
class Inner:
    width: int = 1


@dataclasses.dataclass(frozen=True)
class Outer:
    name: str
    rate: float = 0.1
    steps: tuple[int, ...] = (1, 2)
    pair: tuple[float, float] = (0.0, 1.0)
    inner: Inner = Inner()
    limit: int | None = None
    flag: bool = False
    settings: dict = dataclasses.field(default_factory=dict)


def test_round_trip_through_json():
    before = Outer("a", rate=1e-3, steps=(3,), inner=Inner(5), limit=7, settings={"x": [1, 2]})
    after = config.from_dict(Outer, json.loads(json.dumps(config.to_dict(before))))
    assert after == before
    assert config.fingerprint(after) == config.fingerprint(before)


def test_fingerprint_sees_every_field():
    assert config.fingerprint(Outer("a")) != config.fingerprint(Outer("a", inner=Inner(2)))


def test_unknown_key_asks_did_you_mean():
    with pytest.raises(ValueError, match=r"Outer: unknown key 'rat': did you mean 'rate'\?"):
        config.from_dict(Outer, {"name": "a", "rat": 1.0})


def test_unknown_key_of_an_inner_object_names_the_place():
    with pytest.raises(ValueError, match=r"Outer\.inner: unknown key 'wdth': did you mean 'width'\?"):
        config.from_dict(Outer, {"name": "a", "inner": {"wdth": 2}})


def test_missing_key_is_named():
    with pytest.raises(ValueError, match="Outer: expected the key 'name'"):
        config.from_dict(Outer, {"rate": 1.0})


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": "fast"},
        {"rate": True},
        {"steps": 3},
        {"steps": ["a"]},
        {"pair": [1.0]},
        {"limit": 1.5},
        {"flag": 1},
        {"inner": 3},
        {"settings": []},
    ],
)
def test_wrong_type_names_the_key(wrong):
    (key,) = wrong
    with pytest.raises(TypeError, match=rf"Outer\.{key}"):
        config.from_dict(Outer, {"name": "a", **wrong})


def test_a_whole_number_is_taken_for_a_float():
    assert config.from_dict(Outer, {"name": "a", "rate": 1}).rate == 1.0


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = config.write_json(tmp_path / "run.json", {"epoch": 1})

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        config.write_json(path, {"epoch": 2})
    assert config.read_json(path) == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_infinite_numbers_are_never_written(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        config.write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert not (tmp_path / "x.json").exists()


def test_broken_json_names_file_and_line(tmp_path):
    path = tmp_path / "run.json"
    path.write_text('{"a": 1,\n"b": }')
    with pytest.raises(ValueError, match=r"run\.json: expected JSON, got a fault in line 2"):
        config.read_json(path)


def test_json_in_another_encoding_names_the_file(tmp_path):
    path = tmp_path / "run.json"
    path.write_bytes('{"name": "Müller"}'.encode("latin1"))
    with pytest.raises(ValueError, match=r"run\.json: expected JSON in UTF-8, got other bytes"):
        config.read_json(path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file mode mask")
def test_files_have_the_mode_that_the_user_asked_for(tmp_path):
    """The mask belongs to the whole process, all threads: it is obeyed, never set."""
    before = os.umask(0o027)
    try:
        path = config.write_bytes(tmp_path / "a", b"x")
    finally:
        assert os.umask(before) == 0o027
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_newer_schema_is_refused_with_the_remedy():
    assert config.check_schema(config.SCHEMA, "run.json") == config.SCHEMA
    with pytest.raises(ValueError, match=r"newer polaris-lab wrote; install the newest version"):
        config.check_schema(config.SCHEMA + 1, "run.json")


@pytest.mark.parametrize("version", [None, "1", True, 0])
def test_a_schema_that_is_no_version_is_refused(version):
    with pytest.raises(ValueError, match=r"run\.json: expected a schema version"):
        config.check_schema(version, "run.json")


def test_provenance_says_versions_and_seed():
    provenance = config.Provenance.now(seed=3)
    assert provenance.seed == 3
    assert set(provenance.packages) >= {"numpy", "torch", "astropy", "zarr"}
    assert provenance.created.endswith("+00:00")
