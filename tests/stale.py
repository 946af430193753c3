"""Whether what is compiled is what is written."""

import re
from pathlib import Path

SETUP = Path(__file__).parents[1] / "setup.py"
INLINE = set(re.findall(r'Path\("hepsw/.*?(\w+)\.pxd"\)', SETUP.read_text(encoding="utf-8")))
"""Modules whose declarations are C of their own: they are not compiled."""


def stale(package: Path) -> list[str]:
    """Return what is wrong with the compiled modules of a package, a line each.

    A module that was compiled shadows its text: after an edit, tests would judge what is not there
    any more. Without any it is the plain build, and nothing is wrong; nor where there are no
    declarations, since that is a package as it was installed.
    """
    built = {so.with_name(so.name.split(".")[0]): so for so in package.rglob("*.so")}
    declarations = list(package.rglob("*.pxd"))
    if not built or not declarations:
        return []
    found = []
    for module, so in sorted(built.items()):
        texts = [module.with_suffix(ending) for ending in (".py", ".pyx")]
        texts = [text for text in texts if text.exists()]
        if not texts:
            found.append(f"{so} has no text")
        # A declaration reaches into every module that is compiled with it.
        newer = [text for text in texts + declarations if text.stat().st_mtime > so.stat().st_mtime]
        found += [f"{text} is newer than {so.name}" for text in newer[:1]]
    missing = [
        text
        for text in (*package.rglob("*.pyx"), *(pxd.with_suffix(".py") for pxd in declarations))
        if text.exists() and text.with_suffix("") not in built and text.stem not in INLINE
    ]
    return found + [f"{text} is not compiled, and others are" for text in sorted(missing)]
