"""`python -m hepsw` is `hepsw`."""

from hepsw.cli import main

main()
