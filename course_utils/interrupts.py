"""Ctrl-C in the middle of work that must not stop half-way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class CtrlC:
    """Lets Ctrl-C come where it harms nothing, and keeps it waiting everywhere else.

    Python raises KeyboardInterrupt between any two lines: in the middle of an optimizer's step, or
    while the random state is put back. In this context it comes inside `may_come` only: at once,
    or at the next one's beginning.
    """

    arrived = is_open = ours = False  # pressed; may come now; this context listens

    def __enter__(self) -> CtrlC:
        self.before = signal.getsignal(signal.SIGINT)
        # Only the main thread gets signals. Who ignores Ctrl-C goes on ignoring it.
        if threading.current_thread() is threading.main_thread() and callable(self.before):
            self.ours = True
            signal.signal(signal.SIGINT, self._arrive)
        return self

    def __exit__(self, *error: object) -> None:
        if self.ours:
            signal.signal(signal.SIGINT, self.before)

    def _arrive(self, *_: object) -> None:
        self.arrived = True
        if self.is_open:
            self.is_open = False  # a second one must not disturb the tidying up
            raise KeyboardInterrupt

    @contextmanager
    def may_come(self) -> Iterator[None]:
        """Let Ctrl-C come in this block, the one that was kept waiting too."""
        self.is_open = True
        try:
            if self.arrived:  # while it had to wait
                raise KeyboardInterrupt
            yield
        finally:
            self.is_open = False
