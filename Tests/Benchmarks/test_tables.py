"""What `make bench` makes of its runs: medians and ratios within rounds, whether targets hold, and pictures."""

import xml.etree.ElementTree

import charts
import results
from load import CELLS


def run(figure, **more):
    return {"figure": figure, "user": 1.0, "system": 2.0, "units_per_second": 1000.0, "core_share": 0.5, "quiet": True,
            "p50": figure, "p99": 2 * figure, "p99_9": 3 * figure, **more}


def rounds(cell, ours, peers, count=3):
    """Rounds in which each is dearer than the one before."""
    first, *others = CELLS[cell].contestants
    return [{first: run(ours + number), **{name: run(peers + number) for name in others}} for number in range(count)]


def test_a_ratio_is_taken_within_rounds():
    found = [{"a": run(10), "b": run(20)}, {"a": run(30), "b": run(40)}, {"a": run(9), "b": run(10)}, {"a": run(1)}]
    assert results.ratio(found, "a", "b") == (0.75, 0.5, 0.9)
    assert results.ratio(found, "a", "c") is None


def test_disturbed_rounds_are_left_out_where_enough_were_quiet():
    quiet = [{"a": run(10)}] * 3
    disturbed = [{"a": run(99, quiet=False)}]
    assert results.usable(quiet + disturbed) == quiet
    assert results.usable(quiet[:2] + disturbed) == quiet[:2] + disturbed


def rows(load):
    return {row[0]: row for row in results.target_rows({"load": load, "idle": {}, "start": {}})}


def test_a_target_holds_or_not():
    what = "small: CPU time over that of the better of HAProxy and nginx"
    assert rows({"small": rounds("small", 9, 10)})[what][3] is True
    assert rows({"small": rounds("small", 11, 10)})[what][3] is False
    assert rows({"mixed": rounds("mixed", 11, 10)}).popitem()[1][3] is None


def test_latencies_are_compared_at_the_same_rate():
    found = [{name: run(5 if "weir" in name else 10) for name in CELLS["http-open"].contestants}]
    assert [row[2:] for row in rows({"http-open": found}).values()] == [
        ("0.50 (0.50 to 0.50), HAProxy http at 50%", True)] * 2
    assert "Weir http (io_uring) at 75%" in results.load_table("http-open", found)


def test_every_target_is_of_contestants_of_its_cell():
    for target in results.TARGETS:
        contestants = CELLS[target.cell].contestants
        assert set(target.peers) <= set(contestants) and (not target.ours or target.ours in contestants)


def test_pictures_are_drawn_of_what_was_measured(tmp_path):
    (tmp_path / "pictures").mkdir()
    load = {cell: rounds(cell, 10, 20) for cell in ("small", "http-bulk", "connections", "http-open")}
    shown = charts.write({"load": load}, tmp_path)
    files = sorted((tmp_path / "pictures").iterdir())
    assert len(files) == 3 and all(file.name in shown for file in files)
    for file in files:
        xml.etree.ElementTree.parse(file)
    bars = xml.etree.ElementTree.parse(tmp_path / "pictures/benchmarks-costs.svg").getroot()
    widths = [float(bar.get("width")) for bar in bars.iter("{http://www.w3.org/2000/svg}rect")]
    assert abs(widths[0] / widths[1] - 11 / 21) < 0.01
    assert charts.write({"load": {}}, tmp_path) == ""
