"""What the explorers share: a picture as the bytes that a widget shows."""

from __future__ import annotations

from io import BytesIO
from typing import Any


def png(ax: Any) -> bytes:
    """The picture of these axes as a PNG file; its figure is closed.

    Parameters
    ----------
    ax
        Axes of matplotlib.
    """
    import matplotlib.pyplot as plt

    with BytesIO() as file:
        ax.figure.savefig(file, format="png", bbox_inches="tight")
        plt.close(ax.figure)
        return file.getvalue()
