"""What the commands of this folder have in common: the programs that they are told of, and how they end."""

import argparse
import os
import signal
import sys

from processes import BenchError

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def argument_parser(description, *programs):
    """With an option for each of this project's programs that the command runs: weir is `--weir`, weir-bench `--bench`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in programs:
        parser.add_argument(
            f"--{name.removeprefix('weir-')}", metavar="PATH", default=os.path.join(ROOT, ".build/release", name),
            help=f"the program {name} (default: .build/release/{name})")
    return parser


def run_command(name, main):
    """Ends this process as `main` answers. Signals end it like an error does, and so whatever it has started."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    try:
        sys.exit(main())
    except BenchError as error:
        sys.exit(f"{name}: {error}")
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(130)
