"""hepsw: a switch for HEP, the Homer Encapsulation Protocol.

A packet walks one way through these folders: `net` receives, `hep` decodes, `switch` judges by the
tables that `compiler` made of what `config` read, `sinks` deliver. `daemon` wires them together and
`cli` holds the commands. `tests/test_layers.py` keeps the imports going that way.

With HEPSW_PURE in the environment the plain text of every module is used, compiled or not.
"""

import os
import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from typing import Final

__version__: Final = "0.1.0"

if os.environ.get("HEPSW_PURE"):
    # These finders do not know extension modules, which otherwise come before the source.
    for _folder, _, _ in os.walk(__path__[0]):
        sys.path_importer_cache[_folder] = FileFinder(_folder, (SourceFileLoader, SOURCE_SUFFIXES))
