from __future__ import annotations

import pytest

from polaris_lab.models import Blueprint, Draft, block_names, check_shapes, parameter_count, preset_names
from polaris_lab.models.draft_shapes import Seen, look
from polaris_lab.models.presets.registry import tiny_settings
from polaris_lab.models.registry import block_class, block_settings, register_block
from polaris_lab.models.schema import block_schema


@pytest.fixture
def draft():
    return Draft.of(Blueprint.unet(layers=2, base_filters=4))


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_comes_back_the_same_and_gives_the_shapes_of_the_library(name):
    blueprint = Blueprint.preset(name, **tiny_settings(name))
    draft = Draft.of(blueprint)
    assert draft.blueprint() == blueprint
    assert Draft.from_dict(draft.to_dict()) == draft
    seen = look(draft)
    shapes = {node: known.shape for node, known in seen.items() if node not in blueprint.inputs}
    assert shapes == check_shapes(blueprint)
    assert sum(known.parameters for known in seen.values()) == parameter_count(blueprint)
    assert not any(known.error for known in seen.values())


def test_a_network_is_built_wire_by_wire():
    draft = Draft().add_input("column_density").add("local_contrast", scale=2.0).add("power_law")
    draft = draft.add("add", name="sum")
    assert look(draft)["sum"] == Seen(None, 0, "")  # not known yet, no fault
    draft = draft.connect("column_density", "local_contrast").connect("column_density", "power_law")
    draft = draft.connect("power_law", "sum").connect("local_contrast", "sum")
    assert draft.wires[-2:] == [("power_law", "sum", "first"), ("local_contrast", "sum", "second")]
    blueprint = draft.answer("sum", "mass_weighted_density").blueprint()
    assert [node.name for node in blueprint.nodes][-1] == blueprint.output == "mass_weighted_density"
    assert blueprint.node("local_contrast").settings["scale"] == 2.0


def test_nodes_come_in_the_order_in_which_they_run():
    draft = Draft(inputs=("column_density",)).add("add").add("power_law").add("offset")
    draft = draft.connect("power_law", "add").connect("offset", "add").connect("column_density", "power_law")
    draft = draft.connect("power_law", "offset").answer("add")
    assert [node.name for node in draft.blueprint().nodes] == ["power_law", "offset", "add"]


def test_a_block_of_any_number_of_inputs_has_always_a_free_one(draft):
    draft = draft.add("concatenate", name="all")
    for source in ("contrast", "baseline", "correction"):
        draft = draft.connect(source, "all")
    assert draft.node("all").ports == ["first", "second", "more_1", "more_2"]
    assert look(draft)["all"].shape == (3, 64, 64)
    draft = draft.disconnect("all", "more_1")
    assert draft.node("all").sources == ("contrast", "baseline")
    assert draft.disconnect("all", "first").node("all").missing == ["first"]


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        (
            ("mass_weighted_density", "contrast"),
            "a cycle, contrast -> correction -> mass_weighted_density -> contrast",
        ),
        (("contrast", "contrast"), "a cycle, contrast -> contrast"),
        (("contrast", "correction"), "this wire is there already"),
        (("baseline", "correction"), "its input 'x' takes 'contrast' already; remove that wire first"),
        (("contrast", "corection"), "did you mean 'correction'"),
        (("contras", "correction"), "did you mean 'contrast'"),
        (("contrast", "correction", "y"), "has no input 'y'"),
        (("contrast", "column_density"), "is an input of the network"),
    ],
)
def test_a_bad_wire_is_refused_with_the_reason(draft, wire, words):
    before = draft.to_dict()
    with pytest.raises(ValueError, match=f"(?s).*{words}"):
        draft.connect(*wire)
    assert draft.to_dict() == before


def test_a_wire_of_the_wrong_shape_is_refused_with_the_remedy(draft):
    draft = draft.add("convolution", in_channels=2)
    with pytest.raises(ValueError, match=r"convolution needs 2 input channels.*set in_channels=1"):
        draft.connect("contrast", "convolution")
    wide = draft.set("convolution", in_channels=1, out_channels=3).connect("contrast", "convolution")
    with pytest.raises(ValueError, match="add needs equal shapes"):
        wide.add("add").connect("convolution", "add").connect("contrast", "add")


def test_a_wire_with_which_a_later_node_fails_is_refused(draft):
    draft = draft.add("convolution", name="wide", out_channels=3).add("add", name="fuse")
    draft = draft.connect("wide", "fuse").connect("contrast", "fuse")
    with pytest.raises(ValueError, match="'contrast' -> 'wide': node 'fuse': add needs equal shapes"):
        draft.connect("contrast", "wide")


def test_settings_that_cease_to_fit_are_told_at_the_node_and_can_be_mended(draft):
    draft = draft.add("convolution", name="a", out_channels=3).connect("contrast", "a")
    draft = draft.add("convolution", name="b", in_channels=3).connect("a", "b")
    changed = draft.set("a", out_channels=5)
    assert "set in_channels=5" in look(changed)["b"].error
    assert not look(changed.set("b", in_channels=5))["b"].error


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.set("correction", layers=0), "layers: expected a whole number of at least 1"),
        (lambda d: d.set("correction", layers="many"), "expected int, got 'many'"),
        (lambda d: d.set("correction", layer=2), "did you mean 'layers'"),
        (lambda d: d.add("convolutio"), "did you mean 'convolution'"),
        (lambda d: d.add("convolution", name="contrast"), "expected one of its own"),
        (lambda d: d.add("convolution", name="a b"), "letters, digits and underscores"),
        (lambda d: d.add("convolution", name="keys"), "PyTorch's modules"),
        (lambda d: d.add_input("column_density"), "expected one of its own"),
        (lambda d: d.rename("contrast", "baseline"), "expected one of its own"),
        (lambda d: d.rename("contras", "x"), "did you mean 'contrast'"),
        (lambda d: d.remove("contras"), "did you mean 'contrast'"),
        (lambda d: d.answer("contras"), "did you mean 'contrast'"),
        (lambda d: d.disconnect("contrast", "y"), "expected a wire at its input 'y'"),
        (lambda d: d.set_optional("contrast", True), "unknown input"),
    ],
)
def test_a_bad_change_is_refused(draft, change, words):
    with pytest.raises((ValueError, TypeError), match=words):
        change(draft)


def test_removing_a_node_takes_its_wires(draft):
    draft = draft.remove("contrast")
    assert draft.node("correction").missing == ["x"]
    with pytest.raises(ValueError, match="node 'correction': expected a wire at its input 'x'"):
        draft.blueprint()
    assert draft.remove("mass_weighted_density").outputs == ()
    with pytest.raises(ValueError, match="expected a node that gives the answer"):
        Draft.of(Blueprint.unet()).no_answer("mass_weighted_density").blueprint()


def test_renaming_keeps_the_wires(draft):
    renamed = draft.rename("contrast", "relief").rename("column_density", "integrated_intensity")
    assert renamed.node("correction").sources == ("relief",)
    assert renamed.blueprint().inputs == ("integrated_intensity",)


def test_another_node_takes_over_the_quantity(draft):
    draft = draft.add("convolution", name="last").connect("mass_weighted_density", "last")
    draft = draft.answer("last", "mass_weighted_density")
    assert draft.outputs == ("mass_weighted_density",)
    assert draft.node("mass_weighted_density").sources == ("add_residual",)
    more = draft.answer("baseline", "max_density", extra=True)
    assert more.blueprint().outputs == ("mass_weighted_density", "max_density")


def test_an_output_of_several_channels_is_told():
    draft = Draft(inputs=("column_density",)).add("convolution", out_channels=2)
    draft = draft.connect("column_density", "convolution").answer("convolution")
    assert "expected one map of the size of the input" in look(draft)["convolution"].error


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sources": ["nowhere"]}, "unknown source 'nowhere'"),
        ({"sources": []}, "expected 1 sources, got 0"),
        ({"block": "convolutio"}, "unknown block"),
        ({"settings": {"scale": "x"}}, "expected float"),
    ],
)
def test_a_stored_draft_is_checked(draft, change, words):
    data = draft.to_dict()
    data["nodes"][0] |= change
    with pytest.raises((ValueError, TypeError), match=words):
        Draft.from_dict(data)


@pytest.mark.parametrize("name", block_names())
def test_a_schema_lists_the_settings_of_every_block(name):
    block_class(name)
    schema = block_schema(name)
    defaults = {key: entry["default"] for key, entry in schema["properties"].items() if "default" in entry}
    if not schema.get("required"):
        assert defaults == block_settings(name, {})
    assert schema["description"]
    assert all("type" in entry for entry in schema["properties"].values())


def test_a_schema_without_a_default_says_that_it_is_required():
    import torch

    @register_block("shifted_for_a_test")
    class Shifted(torch.nn.Module):
        """Shift an image.

        Parameters
        ----------
        shift : float
            By how much.
        kind : {"up", "down"}
            Which way.
        """

        def __init__(self, shift: float, kind: str = "up"):
            super().__init__()
            self.shift = shift

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.shift

    schema = block_schema("shifted_for_a_test")
    assert schema["required"] == ["shift"]
    assert schema["properties"]["kind"]["enum"] == ["up", "down"]
    assert schema["properties"]["shift"]["description"] == "By how much."
