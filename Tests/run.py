#!/usr/bin/python3
"""Runs all tests, what `make test` does after building: Swift's, then those in Python against the built
program (WEIR). The last line sums all. Fails if a test failed, if a run broke off, or if one ran no test."""

import os
import pathlib
import subprocess
import sys
import xml.etree.ElementTree

PROJECT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = PROJECT / ".build" / "test-results"


def swift():
    command = [os.environ.get("SWIFT", "swift"), "test", "--disable-xctest"]
    report = RESULTS / "Swift.xml"
    return subprocess.call(command + ["--xunit-output", str(report)], cwd=PROJECT), report


def python(folder):
    # A run for each folder: each has its own settings.
    report = RESULTS / f"{folder.name}.xml"
    command = [sys.executable, "-m", "pytest", "-ra", f"--junitxml={report}", str(folder.relative_to(PROJECT))]
    return subprocess.call(command, cwd=PROJECT), report


def totals(status, report):
    """(passed, failed, skipped) of one run; a run that ended badly has at least one failure."""
    passed = failed = skipped = 0
    if report.exists():
        # By test: the attributes of a suite differ in whether its tests include those skipped.
        for test in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
            outcomes = {element.tag for element in test}
            if outcomes & {"failure", "error"}:
                failed += 1
            elif "skipped" in outcomes:
                skipped += 1
            else:
                passed += 1
    if status != 0 and failed == 0:
        failed = 1
    return passed, failed, skipped


def main():
    RESULTS.mkdir(parents=True, exist_ok=True)
    for old in RESULTS.glob("*.xml"):
        old.unlink()
    runs = [("Swift", *totals(*swift()))]
    for folder in sorted({file.parent for file in (PROJECT / "Tests").rglob("test_*.py")}):
        runs.append((folder.name, *totals(*python(folder))))
    print()
    for name, passed, failed, skipped in runs:
        print(f"{name} tests: {passed} passed, {failed} failed, {skipped} skipped")
    passed = sum(run[1] for run in runs)
    failed = sum(run[2] for run in runs)
    print(f"{passed} passed, {failed} failed", flush=True)
    return 0 if failed == 0 and all(run[1] for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
