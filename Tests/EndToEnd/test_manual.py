"""The manual pages, made of the same tables as help and schema."""

import json
import re
import subprocess

import pytest

from weir_process import run_weir

PAGES = run_weir("--man", "--list").stdout.split()


def rows(help_text):
    """The options of a command, each as `-c, --config FILE`: they stand before the remarks."""
    table = re.search(r"^Usage: .*\n\n((?:  .*\n)*)", help_text, re.M)[1]
    return re.findall(r"^  (-.*?) {2,}", table, re.M)


def shown(page):
    """As man(1) would show it, without line breaks and hyphens of its own."""
    source = run_weir("--man", page).stdout
    done = subprocess.run(
        ["groff", "-man", "-Tascii", "-P-c", "-P-b", "-P-u", "-rLL=2000n", "-"], input=source, capture_output=True,
        text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_groff_has_nothing_to_say_of_a_page(page):
    source = run_weir("--man", page).stdout
    done = subprocess.run(
        ["groff", "-man", "-ww", "-z", "-"], input=source, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    name, section = page.rsplit(".", 1)
    assert f"{name.upper()}({section})" in shown(page) and "NAME" in shown(page)


def test_each_command_has_a_page_that_says_what_its_help_says():
    commands = re.findall(r"^  (\w+) {2,}", run_weir("--help").stdout, re.M)
    assert PAGES == ["weir.1", *(f"weir-{command}.1" for command in commands), "weir.yaml.5"]
    overview = shown("weir.1")
    for command in commands:
        help_text = run_weir(command, "--help").stdout
        page = shown(f"weir-{command}.1")
        assert f"weir-{command}(1)" in overview
        assert re.match(rf"weir {command}: (.*)", help_text)[1] in page
        for row in rows(help_text):
            assert re.search(rf"^ +{re.escape(row)}\b", page, re.M), (command, row)
        assert re.search(r"^Example: (.*)", help_text, re.M)[1] in page


def test_the_page_of_the_configuration_has_every_key():
    page = shown("weir.yaml.5")
    keys = set()

    def visit(value):
        if isinstance(value, list):
            for element in value:
                visit(element)
        elif isinstance(value, dict):
            keys.update(value["properties"] if isinstance(value.get("properties"), dict) else [])
            for element in value.values():
                visit(element)

    visit(json.loads(run_weir("schema").stdout))
    assert len(keys) > 50
    for key in keys:
        assert re.search(rf"^ +([\w.]+\.)?{key}\b", page, re.M), key


def test_pages_are_found_by_command_name_and_file():
    page = run_weir("--man", "weir-run.1").stdout
    assert run_weir("--man", "run").stdout == run_weir("--man", "weir-run").stdout == page
    assert run_weir("--man").stdout == run_weir("--man", "weir").stdout
    done = run_weir("--man", "weir-rum")
    assert done.returncode == 2 and "did you mean `weir-run`?" in done.stderr
