"""The compiled build: which modules Cython compiles, and when.

Everything else about the project is in pyproject.toml. The modules below are ordinary Python with a
`.pxd` beside them that gives the compiler types; `hepsw/net/_mmsg.pyx` has a plain twin. They are
compiled together or not at all, because they reach into each other's structures: without a C
compiler, without Python's headers, away from Linux, or with HEPSW_PURE=1, what is installed is the
plain text, and it behaves the same.

    HEPSW_PURE=1 pip install .      the plain build
    HEPSW_SANITIZE=1 pip install .  the compiled one with ASan and UBSan, for `make proof`
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from setuptools import Extension, setup  # first: it brings distutils, which Python 3.12 has not
from setuptools.command.build_ext import build_ext

# isort: split
from distutils.ccompiler import new_compiler
from distutils.errors import CompileError, DistutilsPlatformError
from distutils.sysconfig import customize_compiler, get_python_inc

STARTED = time.time()
INLINE = {
    Path("hepsw/hep/_octets.pxd"),
    Path("hepsw/payload/octets.pxd"),
    Path("hepsw/compiler/_search.pxd"),
}
"""C for the midst of others, instead of the text of its module: that is not compiled."""
SOURCES = sorted(
    [
        *(pxd.with_suffix(".py") for pxd in Path("hepsw").rglob("*.pxd") if pxd not in INLINE),
        *Path("hepsw").rglob("*.pyx"),
    ]
)
DIRECTIVES = {
    "language_level": 3,
    # Types come from the .pxd alone: an annotation is for people and mypy.
    "annotation_typing": False,
    # As Python does it: the same text gives the same numbers.
    "cdivision": False,
}
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g", "-O1"]


def can_compile() -> bool:
    """Tell whether a C compiler and Python's headers are here, by trying."""
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder, "probe.c")
        probe.write_text("#include <Python.h>\n#include <sys/socket.h>\nint probe;\n")
        try:
            compiler = new_compiler()
            customize_compiler(compiler)
            compiler.compile([str(probe)], folder, include_dirs=[get_python_inc()])
        except (CompileError, DistutilsPlatformError, OSError):
            return False
    return True


def extensions() -> list[Extension]:
    """Return what is to be compiled here."""
    if os.environ.get("HEPSW_PURE") or not sys.platform.startswith("linux") or not can_compile():
        return []
    from Cython.Build import cythonize  # noqa: PLC0415 - the plain build does without

    flags = SANITIZE if os.environ.get("HEPSW_SANITIZE") else []
    return cythonize(
        [
            Extension(
                ".".join(source.with_suffix("").parts),
                [str(source)],
                extra_compile_args=["-O2", "-g0", "-Wno-unreachable-code", *flags],
                extra_link_args=flags,
            )
            for source in SOURCES
        ],
        build_dir="build/cython",
        compiler_directives=DIRECTIVES,
        nthreads=os.cpu_count() or 1,
    )


class BuildTogether(build_ext):
    """Builds on all cores, and dates what it puts beside the text."""

    def finalize_options(self) -> None:
        """See setuptools."""
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self) -> None:
        """See setuptools.

        All that stands beside the text is as old as this build's beginning, compiled anew or not:
        newer than every text it was made from, older than an edit since. Tests go by that.
        """
        super().run()
        for extension in self.extensions if self.inplace else ():
            os.utime(self.get_ext_fullpath(extension.name), (STARTED, STARTED))


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildTogether})
