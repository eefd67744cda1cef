"""Reads the command line. Exit code 2 and one sentence for what it does not understand."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

_ENVIRONMENT = """environment:
  TRN_DRIVER    the driver: host (default), null, or a library's path
  TRN_DEVICES   how many devices, 2 by default
  TRN_MEMORY    capacity of a device, such as 8G; half of the host's memory by default
  TRN_KERNELS   highest kernels: reference, portable, avx2, avx512, amx
  TRN_FALLBACK  warn (default), error or silent, for operators that run on the CPU
  TRN_VERBOSE   one line an event on stderr: exec, fallback, alloc, copy, sync, or all
  TRN_STRICT    isolate: device memory faults when the host touches it; fault:<what>:<n>
  TORCH_TRN_MIGRATE=1  redirects CUDA to trn in every process that imports torch
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="torch-trn", description="Run CUDA programs on the PyTorch device trn.",
        epilog=_ENVIRONMENT, formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run", help="run an unmodified CUDA program on trn",
        usage="torch-trn run [--no-receipt] SCRIPT [ARGS...] | -m MODULE [ARGS...]",
    )
    run.add_argument("--no-receipt", action="store_true",
                     help="do not print at the end what was redirected")
    run.add_argument("-m", dest="module", action="store_true", help="SCRIPT is a module's name")
    run.add_argument("script", metavar="SCRIPT")
    run.add_argument("args", nargs=argparse.REMAINDER, metavar="ARGS")
    commands.add_parser("info", help="the devices, kernels, versions and environment")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the process's exit code."""
    options = _parser().parse_args(argv)
    if options.command == "info":
        from .info import print_info

        return print_info()
    from .run import run_program

    return run_program(options.script, options.args, is_module=options.module,
                       receipt=not options.no_receipt)
