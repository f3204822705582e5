"""What Weir executes for a request is what profile-baseline.json says. A change that makes it dearer has to say so,
and one that makes it cheaper lowers the baseline, so that nobody loses it again unseen."""

import os

import pytest

import instructions
from command_line import ROOT

WEIR = os.environ.get("WEIR", os.path.join(ROOT, ".build/release/weir"))
WEIR_BENCH = os.environ.get("WEIR_BENCH", os.path.join(os.path.dirname(WEIR), "weir-bench"))

ATTEMPTS = 3


@pytest.fixture(scope="module")
def lab():
    with instructions.Lab(WEIR, WEIR_BENCH) as lab:
        yield lab


@pytest.mark.parametrize("key", instructions.CELLS)
def test_instructions_are_those_of_the_baseline(lab, key):
    cell = instructions.CELLS[key]
    baseline = instructions.load_baseline()
    # On a busy machine turns of the loop are shared otherwise, by some percent where connections come and go; what a
    # change costs is there each time.
    for _ in range(ATTEMPTS):
        problem = instructions.verdict(cell, instructions.measure(lab, cell), baseline)
        if problem is None:
            return
    pytest.fail(problem)


@pytest.mark.parametrize("figure, word", [(10_600, "find out why"), (9_400, "well done")])
def test_a_figure_that_left_its_baseline_is_told(figure, word):
    assert word in instructions.verdict(instructions.CELLS["http-small"], figure, {"http-small": 10_000})


@pytest.mark.parametrize("figure", [9_600, 10_000, 10_400])
def test_a_figure_near_its_baseline_is_fine(figure):
    assert instructions.verdict(instructions.CELLS["http-small"], figure, {"http-small": 10_000}) is None


def test_costs_are_of_the_functions_themselves(tmp_path):
    out = tmp_path / "callgrind.out"
    out.write_text(
        "events: Ir\nfn=(1) outer\n10 5\n+2 7\ncfn=(2) inner\ncalls=3 0\n12 900\n* 1\n\nfn=(2)\n20 300\nfn=(1)\n15 4\n"
        "totals: 317\n")
    assert instructions.self_costs(out) == {"outer": 17, "inner": 300}
