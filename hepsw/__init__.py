"""hepsw: a switch for HEP, the Homer Encapsulation Protocol.

A packet walks one way through these folders: `net` receives, `hep` decodes, `switch` judges by the
tables that `compiler` made of what `config` read, `sinks` deliver. `daemon` wires them together and
`cli` holds the commands. `tests/test_layers.py` keeps the imports going that way.
"""

from typing import Final

__version__: Final = "0.1.0"
