"""A rank that stays: runs one program after another, each as a script of its own.

Reads a line of JSON for each: {"script": path, "env": {...}, "output": path}. What the program
writes goes to the file; then a line with its exit code is answered. Only one that ended well is
followed by another, so that a program never meets what a broken one left behind.
"""

import gc
import json
import os
import sys
import traceback


def run(script):
    with open(script) as file:
        code = compile(file.read(), script, "exec")
    try:
        exec(code, {"__name__": "__main__", "__file__": script})
    except SystemExit as end:
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main():
    import torch
    import torch_trn  # noqa: F401

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        job = json.loads(line)
        os.environ.update(job["env"])
        os.chdir(os.path.dirname(job["script"]))
        with open(job["output"], "w") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        code = run(job["script"])
        if code == 0 and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        gc.collect()
        sys.stdout.flush()
        sys.stderr.flush()
        print(code, file=answers)
        if code:
            os._exit(code)


main()
