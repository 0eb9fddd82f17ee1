"""Keys and values that attention has computed already, kept while a sequence is written.

Axis letters: B batch, H heads, T positions so far, D width of a head.
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor


class KeyValueCache:
    """Keys and values of the positions that were read so far, changed in place.

    New positions are written behind the old ones into a buffer that doubles when it is full, so
    that an old position is hardly ever copied. Made for writing, not for training: gradients do
    not go through it.

    Parameters
    ----------
    fixed : bool
        The keys are those of a memory, which does not grow: attention projects it at the first
        step and only reads it afterwards.
    """

    def __init__(self, *, fixed: bool = False) -> None:
        self.fixed, self.length = fixed, 0
        self._buffers: tuple[Tensor, Tensor] | None = None

    @property
    def complete(self) -> bool:
        """Nothing more is to be appended."""
        return self.fixed and self.length > 0

    def read(self) -> tuple[Float[Tensor, "B H T D"], Float[Tensor, "B H T D"]]:
        """All keys and all values so far."""
        if self._buffers is None:
            raise ValueError("the cache is empty: append keys and values first")
        keys, values = (buffer[:, :, : self.length] for buffer in self._buffers)
        return keys, values

    def append(
        self, key: Float[Tensor, "B H N D"], value: Float[Tensor, "B H N D"]
    ) -> tuple[Float[Tensor, "B H T D"], Float[Tensor, "B H T D"]]:
        """Write new positions behind the old ones; returns all of them.

        Raises
        ------
        ValueError
            When the rows are not those of the cache.

        Examples
        --------
        >>> import torch
        >>> cache = KeyValueCache()
        >>> _ = cache.append(torch.zeros(1, 1, 2, 3), torch.zeros(1, 1, 2, 3))
        >>> keys, values = cache.append(torch.ones(1, 1, 1, 3), torch.ones(1, 1, 1, 3))
        >>> keys[0, 0].tolist()
        [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
        """
        if self._buffers is not None and self._buffers[0].shape[:2] != key.shape[:2]:
            raise ValueError(
                f"the cache holds {len(self._buffers[0])} rows with {self._buffers[0].shape[1]} "
                f"heads, got keys of the shape {tuple(key.shape)}: start with a new cache"
            )
        old, self.length = self.length, self.length + key.shape[2]
        self._buffers = (self._written(0, key, old), self._written(1, value, old))
        return self.read()

    def _written(self, which: int, new: Tensor, old: int) -> Tensor:
        """The buffer with the new positions in it, made larger where they do not fit."""
        buffer = self._buffers[which] if self._buffers else new[:, :, :0]
        if self.length > buffer.shape[2]:
            room = self.length if self.fixed else max(self.length, 2 * buffer.shape[2], 16)
            larger = new.new_empty(*new.shape[:2], room, new.shape[3])
            larger[:, :, :old] = buffer[:, :, :old]
            buffer = larger
        buffer[:, :, old : self.length] = new
        return buffer

    def select_rows(self, rows: Int[Tensor, " N"]) -> KeyValueCache:
        """A new cache with these rows: beam search goes on from the best beginnings."""
        chosen = KeyValueCache(fixed=self.fixed)
        if self._buffers is not None:
            keys, values = (buffer.index_select(0, rows) for buffer in self._buffers)
            chosen._buffers, chosen.length = (keys, values), self.length
        return chosen
