"""Sink particles and stars beside a RAMSES output: catalogues in its own layouts, written next to a true output."""

import struct

import numpy as np
import pytest

import polaris_lab as lab

SOLAR_MASSES = 2.34e-24 * 3.0857e18**3 / 1.98841e33
"""Unit of mass of the output: unit_d unit_l^3."""

VELOCITY = 3.0857e18 / 2.531e15 / 1e5
"""Unit of velocity of the output [km/s]."""

HEAD = (
    " # id,msink,x,y,z,vx,vy,vz,lx,ly,lz,tform,acc_rate,del_mass,rho_gas,cs**2,etherm,vx_gas,vy_gas,vz_gas,mbh,level,"
    "rsink_star\n # 1,m,l,l,l,l t**-1,l t**-1,l t**-1,m l**2 t**-1,m l**2 t**-1,m l**2 t**-1,t,m t**-1,m,m l**-3,"
    "l**2 t**-2,m l**2 t**-2,l t**-1,l t**-1,l t**-1,m,1,l\n"
)

SINKS = [(1, 2.0, 3.3, 1.1, 4.4, 0.1, 0.2, 0.3), (2, 0.5, 0.66, 6.0, 3.3, 0.0, 0.0, 0.0)]
"""Number, mass, position from 0 to boxlen = 6.6, velocity."""


def record(file, kind, *values):
    """Write a Fortran record: its length before and after."""
    data = struct.pack(f"<{kind}", *values)
    length = struct.pack("<i", len(data))
    file.write(length + data + length)


def write_binary(path, sinks):
    """Write sink_*.out* as RAMSES does: every processor's file holds all sinks."""
    count = len(sinks)
    with open(path, "wb") as file:
        record(file, "i", count)
        record(file, "i", count)
        record(file, f"{count}i", *[sink[0] for sink in sinks])
        for column in range(1, 21):
            record(file, f"{count}d", *[sink[column] if column < len(sink) else 0.0 for sink in sinks])


def write_particles(path, particles):
    """Write part_*.out*: (x, y, z, mass, family); families 1 dark matter, 2 stars, 3 the cloud of a sink."""
    count = len(particles)
    columns = np.zeros((7, count))
    columns[:3], columns[6] = np.array(particles).T[:3], np.array(particles).T[3]
    with open(path, "wb") as file:
        for kind, values in (("i", [2]), ("i", [3]), ("i", [count]), ("4i", range(4))):
            record(file, kind, *values)
        for kind, value in (("i", 1), ("d", 0.0), ("d", 0.0), ("i", 2)):
            record(file, kind, value)
        for column in columns:
            record(file, f"{count}d", *column)
        for kind, values in (("i", range(count)), ("i", [8] * count), ("b", [p[4] for p in particles])):
            record(file, f"{count}{kind}", *values)
        record(file, f"{count}b", *[0] * count)


def check(table):
    np.testing.assert_allclose(table["position_x_pc"], [3.3, 0.66], rtol=1e-4)
    np.testing.assert_allclose(table["position_y_pc"], [1.1, 6.0], rtol=1e-4)
    np.testing.assert_allclose(table["position_z_pc"], [4.4, 3.3], rtol=1e-4)
    np.testing.assert_allclose(table["velocity_z_kms"], [0.3 * VELOCITY, 0.0], rtol=1e-4)
    np.testing.assert_allclose(table["mass_Msun"], [2.0 * SOLAR_MASSES, 0.5 * SOLAR_MASSES], rtol=1e-4)


def rows(sinks):
    return "".join(",".join(map(str, [*sink, *[0.0] * 13, 8, 0.0])) + "\n" for sink in sinks)


def test_a_catalogue_in_text(output):
    (output / "sink_00002.csv").write_text(HEAD + rows(SINKS))
    cloud = lab.clouds.open_amr(output)
    check(cloud.particles["sink_csv"])
    assert "2 sink_csv" in repr(cloud)


def test_a_catalogue_without_a_sink_yet(output):
    (output / "sink_00002.csv").write_text(HEAD)
    table = lab.clouds.open_amr(output).particles["sink_csv"]
    assert {len(values) for values in table.values()} == {0}


def test_a_catalogue_that_is_cut_off(output):
    text = HEAD + rows(SINKS)
    (output / "sink_00002.csv").write_text(text[:-30])
    with pytest.raises(
        ValueError, match=r"sink_00002.csv: expected a catalogue with msink, x, y, z .*cut off"
    ):
        lab.clouds.open_amr(output)


def test_a_catalogue_in_binary(output):
    """Each sink once, though two processors wrote the whole catalogue."""
    for processor in (1, 2):
        write_binary(output / f"sink_00002.out{processor:05d}", SINKS)
    check(lab.clouds.open_amr(output).particles["sink"])


def test_stars_are_read_and_the_clouds_of_sinks_are_not(output):
    """Of part_*: family 2 only; family 3 marks the thousands of test particles around each sink, no catalogue."""
    fields = [f"{what}_{axis}, d" for what in ("position", "velocity") for axis in "xyz"]
    fields += ["mass, d", "identity, i", "levelp, i", "family, b", "tag, b"]
    lines = [f"  {number}, {field}" for number, field in enumerate(fields, 1)]
    text = "\n".join(["# version:  1", "# ivar, variable_name, variable_type", *lines, ""])
    (output / "part_file_descriptor.txt").write_text(text)
    write_particles(output / "part_00002.out00001", [(1.1, 2.2, 3.3, 0.5, 2), (1.1, 2.2, 3.4, 0.1, 3)])
    write_particles(output / "part_00002.out00002", [(4.4, 2.2, 3.3, 1.5, 2), (5.5, 2.2, 3.4, 0.1, 1)])
    particles = lab.clouds.open_amr(output).particles
    assert list(particles) == ["star"]
    np.testing.assert_allclose(sorted(particles["star"]["position_x_pc"]), [1.1, 4.4], rtol=1e-4)
    assert particles["star"]["mass_Msun"].sum() == pytest.approx(2.0 * SOLAR_MASSES, rel=1e-4)


def test_without_a_catalogue_there_is_none(output):
    assert lab.clouds.open_amr(output).particles == {}
