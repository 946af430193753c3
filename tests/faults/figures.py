"""What was measured, told at the end of the run."""

FIGURES = []


def tell(what, figure):
    """Keep a figure for the end of the run."""
    FIGURES.append(f"{what}: {figure}")
