"""Reads the command line. Exit code 2 and one sentence for what it does not understand."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .options import positive

_ENVIRONMENT = """environment:
  TRN_DRIVER    the driver: host (default), null, or a library's path
  TRN_DEVICES   how many devices, 2 by default
  TRN_MEMORY    capacity of a device, such as 8G; half of the host's memory by default
  TRN_KERNELS   highest kernels: reference, portable, avx2, avx512, amx
  TRN_FALLBACK  warn (default), error or silent, for operators that run on the CPU
  TRN_VERBOSE   one line an event on stderr: exec, fallback, alloc, copy, sync, or all
  TRN_STRICT    isolate: device memory faults when the host touches it; poison: fresh memory reads
                as NaN; bounds, races: launches outside of memory or unordered raise;
                fault:<what>:<n>
  TORCH_TRN_MIGRATE=1  redirects CUDA to trn in every process that imports torch
  TORCH_TRN_ACCOUNTS   set by `run` and `compare`: where processes that they start leave what
                       they did
"""


def _add_program(command: argparse.ArgumentParser) -> None:
    command.add_argument("-m", dest="module", action="store_true", help="SCRIPT is a module's name")
    command.add_argument("script", metavar="SCRIPT")
    command.add_argument("args", nargs=argparse.REMAINDER, metavar="ARGS")


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", metavar="PATTERN", action="append", default=[],
                        help="rows whose 'group: name' matches, as a shell matches files, or "
                             "contains the pattern; may be given again")
    parser.add_argument("--threads", metavar="N", type=positive, nargs="+", default=[],
                        help="how many threads both sides use; all cores by default")
    parser.add_argument("--quick", action="store_true", help="fewer samples, and no rows that "
                        "take minutes (torch.compile, callgrind) but those that --only names")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, which measure nothing")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    parser.add_argument("--json", metavar="FILE", nargs="?", const="-",
                        help="write all samples (to stdout without FILE)")
    parser.add_argument("--html", metavar="FILE", help="write tables and plots")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables as Markdown")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="torch-trn", description="Run CUDA programs on the PyTorch device trn.",
        epilog=_ENVIRONMENT, formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run", help="run an unmodified CUDA program on trn",
        usage="torch-trn run [--no-receipt] [--receipt FILE] [--budget LIMITS] "
              "SCRIPT [ARGS...] | -m MODULE [ARGS...]",
    )
    run.add_argument("--no-receipt", action="store_true",
                     help="do not print at the end what was redirected")
    run.add_argument("--receipt", metavar="FILE",
                     help="write it as a page, out.html, and as JSON beside it, out.json; "
                     "other files than receipts are not replaced")
    run.add_argument("--budget", metavar="LIMITS",
                     help="exit with 3 above them, such as fallbacks=0,fallback_bytes=1000000")
    _add_program(run)
    scan = commands.add_parser(
        "scan", help="list the CUDA uses of a source tree, with advice",
        epilog="exit code: 0 when nothing is refused, 1 when something is, 2 when nothing could "
               "be read")
    scan.add_argument("path", metavar="PATH", help="a folder, or a file of whatever ending")
    form = scan.add_mutually_exclusive_group()
    for name in ("json", "sarif", "html"):
        form.add_argument(f"--{name}", dest="form", action="store_const", const=name)
    compare = commands.add_parser(
        "compare", help="run a program and find the first operator that computes wrongly",
        usage="torch-trn compare [--every N] [--keep-going] [--repro FILE] "
              "SCRIPT [ARGS...] | -m MODULE [ARGS...]")
    compare.add_argument("--every", type=positive, default=1, metavar="N",
                         help="check every n-th call only")
    compare.add_argument("--keep-going", action="store_true",
                         help="watch on after the first difference, and end with a table of all; "
                         "further operators get FILE with a number")
    compare.add_argument("--repro", default="repro.py", metavar="FILE",
                         help="where the program that shows the error goes (repro.py); other "
                         "files than such programs are not replaced")
    _add_program(compare)
    commands.add_parser("info", help="the devices, kernels, versions and environment")
    coverage = commands.add_parser("coverage", help="which operators are native, or fall back")
    coverage.add_argument("target", nargs="?", metavar="MODEL.py:MAKE", help="a function that "
                          "returns (model, inputs): only its operators, from a trace")
    form = coverage.add_mutually_exclusive_group()
    for word in ("json", "html", "markdown"):
        form.add_argument(f"--{word}", dest="form", action="store_const", const=word,
                          default="text")
    bench = commands.add_parser("bench", help="measure trn against PyTorch's CPU on this machine")
    _add_bench(bench)
    replay = commands.add_parser("replay", help="run the launches of a TRN_VERBOSE=exec log again")
    replay.add_argument("log", help="the log's file, or - for standard input")
    replay.add_argument("--times", type=positive, default=10,
                        help="runs of each launch, 10 by default")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the process's exit code."""
    options = _parser().parse_args(argv)
    if options.command == "info":
        from .info import print_info

        return print_info()
    if options.command == "scan":
        from .scan import scan_command

        return scan_command(options.path, options.form)
    if options.command == "compare":
        from .compare import compare_program

        return compare_program(options.script, options.args, is_module=options.module,
                               every=options.every, repro=options.repro,
                               keep_going=options.keep_going)
    if options.command == "coverage":
        from .coverage import print_coverage

        return print_coverage(options.target, options.form)
    if options.command == "bench":
        from .bench import run_bench

        return run_bench(options)
    if options.command == "replay":
        from .replay import replay

        return replay(options.log, options.times)
    from .run import run_program

    return run_program(options.script, options.args, is_module=options.module,
                       quiet=options.no_receipt, receipt_path=options.receipt,
                       budget=options.budget)
