"""Published float64 values -> stored values, proving for each that nothing is lost. Pure: no file is opened.

* ``sen1`` is stored as float32, which must equal the float64 exactly.
* ``sen2`` is stored as float32 ``k / 10000``, where ``rint(sen2 * 10000) / 10000`` must equal the float64
  exactly; so ``k`` and with it the float64 can always be had back (0 <= k <= 65535).
* ``label`` is one-hot and is stored as an index.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from so2sat_hf import facts
from so2sat_hf.convert.patches import DN_PER_REFLECTANCE, Rows
from so2sat_hf.errors import LossyError, SourceError

CHUNK_ROWS = 64
"""Rows decoded at a time: 9.4 MB of float64, so that every step after the read works in the cache."""

MAX_DN = 65_535
"""Largest digital number; the published maximum is 28,003."""

Stored = NDArray[np.float32]


class Decoder:
    """Decodes one file in chunks of at most :data:`CHUNK_ROWS` rows, reusing its buffers.

    Attributes:
        rounding: column -> largest ``|stored - published|`` so far; empty while every value is exact.
    """

    def __init__(self, path: object, *, allow_rounding: bool = False) -> None:
        self.path = path
        self.allow_rounding = allow_rounding
        self.rounding: dict[str, float] = {}
        self._float64 = np.empty(CHUNK_ROWS * 32 * 32 * 10)
        self._float32 = np.empty(CHUNK_ROWS * 32 * 32 * 10, np.float32)
        self._equal = np.empty(CHUNK_ROWS * 32 * 32 * 10, bool)

    def sen1(self, raw: NDArray[np.float64], rows: Rows, out: Stored) -> None:
        """Store a chunk of ``sen1``.

        Args:
            raw: (n, 32, 32, 8) as published.
            rows: rows of the file that ``raw`` holds, for messages.
            out: (n, 8, 32, 32) gets the float32 values.

        Raises:
            SourceError: NaN or infinity.
            LossyError: a value that float32 cannot hold, unless rounding is allowed.
        """
        stored = self._float32[: raw.size].reshape(raw.shape)
        equal = self._equal[: raw.size].reshape(raw.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            stored[...] = raw
            np.equal(stored, raw, out=equal)
            if not (equal.all() and np.isfinite(stored.sum())):
                self._judge("sen1", raw, stored, rows, lambda values: values.astype(np.float32) == values)
        _transpose(stored, out)

    def sen2(self, raw: NDArray[np.float64], rows: Rows, out: Stored) -> None:
        """Store a chunk of ``sen2``.

        Args:
            raw: (n, 32, 32, 10) as published, reflectance.
            rows: rows of the file that ``raw`` holds, for messages.
            out: (n, 10, 32, 32) gets float32 reflectance.

        Raises:
            SourceError: NaN or infinity.
            LossyError: a value that is not ``k / 10000.0`` with 0 <= k <= 65535, unless rounding is allowed.
        """
        number = self._float64[: raw.size].reshape(raw.shape)
        stored = self._float32[: raw.size].reshape(raw.shape)
        equal = self._equal[: raw.size].reshape(raw.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            np.multiply(raw, DN_PER_REFLECTANCE, out=number)
            np.rint(number, out=number)
            in_range = number.min() >= 0 and number.max() <= MAX_DN
            np.divide(number, DN_PER_REFLECTANCE, out=number)
            np.equal(number, raw, out=equal)
            stored[...] = number
            if not (in_range and equal.all()):
                stored[...] = raw
                self._judge("sen2", raw, stored, rows, on_grid)
        _transpose(stored, out)

    def label(self, raw: NDArray[np.float64], rows: Rows) -> NDArray[np.int64]:
        """Return (n,) class indices of one-hot rows (n, 17).

        Raises:
            SourceError: a row that is not one 1 and sixteen 0.
        """
        label = raw.argmax(axis=1)
        one_hot = (raw[np.arange(len(raw)), label] == 1) & (np.count_nonzero(raw, axis=1) == 1)
        if not one_hot.all():
            row = int(np.flatnonzero(~one_hot)[0])
            raise SourceError(
                self.path,
                found=f"label of row {rows[row]} is {raw[row].tolist()}",
                expected="one 1 and sixteen 0",
                remedy="download the file again; soft labels (votes) are another data set",
            )
        return label.astype(np.int64)

    def _judge(
        self,
        column: str,
        raw: NDArray[np.float64],
        stored: Stored,
        rows: Rows,
        exact: Callable[[NDArray[np.float64]], NDArray[np.bool_]],
    ) -> None:
        """Something is odd in a chunk: refuse it, or note how much rounding it takes."""
        finite = np.isfinite(raw)
        if not finite.all():
            where, value = _first(~finite, raw)
            raise SourceError(
                self.path,
                found=f"{column} is {value} in {self._place(column, rows, where)}",
                expected="finite numbers",
                remedy="download the file again: no published file holds NaN or infinity",
            )
        inexact = ~exact(raw)
        if not inexact.any():
            return
        error = float(np.abs(stored.astype(np.float64) - raw)[inexact].max())
        if self.allow_rounding and np.isfinite(error):
            self.rounding[column] = max(error, self.rounding.get(column, 0.0))
            return
        where, value = _first(inexact, raw)
        rule = "float32" if column == "sen1" else "k / 10000 with 0 <= k <= 65535"
        raise LossyError(
            self.path,
            found=f"{column} is {value!r} in {self._place(column, rows, where)}",
            expected=f"{rule}, as in every published file: storing it would lose something",
            remedy="download the file again, or pass --allow-rounding to store the nearest float32",
        )

    @staticmethod
    def _place(column: str, rows: Rows, where: tuple[int, ...]) -> str:
        row, line, sample, band = where
        return f"row {rows[row]}, band {facts.bands(column)[band].name}, pixel ({line}, {sample})"


def on_grid(reflectance: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each float64 value is ``k / 10000.0`` with a whole k from 0 to 65535; same shape."""
    number = np.rint(reflectance * DN_PER_REFLECTANCE)
    return (number / DN_PER_REFLECTANCE == reflectance) & (number >= 0) & (number <= MAX_DN)


def _first(mask: NDArray[np.bool_], raw: NDArray[np.float64]) -> tuple[tuple[int, ...], float]:
    where = tuple(int(i) for i in np.argwhere(mask)[0])
    return where, float(raw[where])


def _transpose(stored: Stored, out: Stored) -> None:
    """(n, 32, 32, c) -> (n, c, 32, 32), as one 2-D transpose per patch."""
    num_rows, height, width, num_bands = stored.shape
    flat = stored.reshape(num_rows, height * width, num_bands)
    out.reshape(num_rows, num_bands, height * width)[...] = flat.transpose(0, 2, 1)
