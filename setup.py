"""Builds libtorch_trn.so and _C.so with CMake into the package."""

import os
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.dist import Distribution

ROOT = Path(__file__).resolve().parent
VERSION: dict = {}
exec((ROOT / "python/torch_trn/_version.py").read_text(), VERSION)


class CMakeBuild(build_ext):
    """One CMake build serves all extensions. Its folder is kept: a second run is short.

    A wheel has a folder of its own, so that it never changes where the developer's build goes.
    """

    def run(self) -> None:
        package = ROOT / "python" if self.inplace else Path(self.build_lib).resolve()
        build = ROOT / "build" if self.inplace else ROOT / "build" / "wheel"
        configure = [
            "cmake", "-S", str(ROOT), "-B", str(build), "-G", "Ninja",
            f"-DPython_EXECUTABLE={sys.executable}", f"-DTRN_OUTPUT={package / 'torch_trn'}",
            *os.environ.get("CMAKE_ARGS", "").split(),
        ]
        jobs = os.environ.get("MAX_JOBS", str(os.cpu_count() or 1))
        subprocess.run(configure, check=True)
        subprocess.run(["cmake", "--build", str(build), "-j", jobs,
                        "--target", "torch_trn", "_C"], check=True)


class BinaryDistribution(Distribution):
    """A wheel for one platform and one Python."""

    def has_ext_modules(self) -> bool:
        return True


setup(
    version=VERSION["__version__"],
    package_dir={"": "python"},
    packages=find_packages("python"),
    py_modules=["torch_trn_autoload"],
    package_data={
        "torch_trn": ["share/cmake/*.cmake", "share/include/torch_trn/*.h",
                      "share/include/torch_trn/*/*.h"],
        "torch_trn.coverage": ["*.json"],
    },
    ext_modules=[Extension("torch_trn._C", sources=[])],
    cmdclass={"build_ext": CMakeBuild},
    distclass=BinaryDistribution,
    zip_safe=False,
)
