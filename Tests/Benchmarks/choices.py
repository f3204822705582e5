#!/usr/bin/python3
"""What a choice costs: millions a second on one core for each balancing policy, and how long tables take to build.
With --write-docs the table goes into docs/balancing.md. A target that is missed is told, and fails nothing."""

import json
import os
import subprocess

from command_line import ROOT, argument_parser, run_command
from pages import replace_part

# Whose choices cost the same for any number of backends.
FLAT = ("round_robin", "power_of_two", "maglev", "peak_ewma")
# Millions a second, with 100 backends and more.
LEAST_MILLIONS = 20
MAGLEV_BUILD_MILLISECONDS = 50


def millions(row):
    return {int(count): 1000 / nanoseconds for count, nanoseconds in row["choice_ns"].items()}


def table(found):
    counts = [int(count) for count in found["choices"][0]["choice_ns"]]
    rates = {(row["policy"], row["weights"]): millions(row) for row in found["choices"]}
    lines = ["| millions a second, equal / unequal weights | " + " | ".join(f"{count:,} backends" for count in counts) + " |",
             "|---" * (len(counts) + 1) + "|"]
    for policy in dict.fromkeys(policy for policy, _ in rates):
        cells = (f"{rates[policy, 'equal'][count]:.2g} / {rates[policy, 'unequal'][count]:.2g}" for count in counts)
        lines.append(f"| `{policy}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def targets(found):
    """(what, holds) of each."""
    rates = {(row["policy"], row["weights"]): millions(row) for row in found["choices"]}
    for policy in FLAT:
        for weights in ("equal", "unequal"):
            slowest = min(rate for count, rate in rates[policy, weights].items() if count >= 100)
            yield (f"`{policy}`, {weights} weights: {slowest:.1f} million a second with 100 to 10,000 backends,"
                   f" at least {LEAST_MILLIONS}", slowest >= LEAST_MILLIONS)
    for build in found["builds"]:
        if build["policy"] == "maglev":
            yield (f"the table of `maglev` for {build['backends']:,} backends is built in {build['ms']:.1f} ms,"
                   f" at most {MAGLEV_BUILD_MILLISECONDS}", build["ms"] <= MAGLEV_BUILD_MILLISECONDS)


def main():
    parser = argument_parser(__doc__, "weir-bench")
    parser.add_argument("--write-docs", action="store_true", help="write docs/balancing.md")
    options = parser.parse_args()
    ran = subprocess.run([options.bench, "choices", "--json"], stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(ran.stdout)
    parts = [table(found)]
    builds = ", ".join(f"of `{build['policy']}` {build['ms']:.0f} ms" for build in found["builds"])
    parts.append(f"Building the tables of 10,000 backends takes, {builds}.")
    print("\n\n".join(parts))
    for what, holds in targets(found):
        print(f"{'holds' if holds else 'DOES NOT HOLD'}: {what}")
    if options.write_docs:
        replace_part(os.path.join(ROOT, "docs/balancing.md"), "choices", "\n\n".join(parts))
    return 0


if __name__ == "__main__":
    run_command("choices", main)
