"""From tables as they are written to tables as they are walked. No I/O, no clock."""

from hepsw.compiler.program import Program, compile_program
from hepsw.compiler.tree import Tree

__all__ = ["Program", "Tree", "compile_program"]
