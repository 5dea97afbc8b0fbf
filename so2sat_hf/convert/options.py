"""What a build makes of its source. Pure."""

from dataclasses import dataclass

from so2sat_hf.convert.patches import COLUMNS, GEO_COLUMNS, Source
from so2sat_hf.convert.plan import SUFFIX
from so2sat_hf.convert.table import SEN2_DTYPES
from so2sat_hf.errors import So2SatError


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What a build makes of its source."""

    file_format: str = "parquet"
    """``parquet`` for the Hub, ``arrow`` for a training machine."""

    columns: tuple[str, ...] = ()
    """Columns to store; empty: all that the source has. ``id`` and ``label`` are always stored, and the
    columns of the geolocation only together."""

    sen2_dtype: str = "float32"
    """``float32`` (reflectance), or ``uint16`` (digital numbers; Arrow only)."""

    rows_per_shard: int | None = None
    """At most so many rows in a file; default: the counts of the published dataset."""

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("--format", self.file_format, tuple(SUFFIX)),
            ("--sen2-dtype", self.sen2_dtype, SEN2_DTYPES),
        ):
            if value not in allowed:
                raise So2SatError(name, found=repr(value), expected=" or ".join(allowed))
        if self.sen2_dtype == "uint16" and self.file_format != "arrow":
            raise So2SatError(
                "--sen2-dtype",
                found="uint16 with --format parquet",
                expected="float32: the formats of datasets would hand out int64 digital numbers",
                remedy="use --format arrow, or leave --sen2-dtype out",
            )
        if self.rows_per_shard is not None and self.rows_per_shard < 1:
            raise So2SatError("--rows-per-shard", found=str(self.rows_per_shard), expected="at least 1")

    def columns_of(self, source: Source) -> tuple[str, ...]:
        """Return the columns that a build of this source stores.

        Raises:
            So2SatError: a column that does not exist, or that the source does not have.
        """
        wanted = set(self.columns or source.columns) | {"id", "label"}
        if wanted & {"geo", *GEO_COLUMNS}:
            wanted = (wanted - {"geo"}) | set(GEO_COLUMNS)
        for name in sorted(wanted):
            if name not in source.columns:
                known = f"one of {', '.join(source.columns)}"
                why = "not in the source" if name in COLUMNS else "no such column"
                raise So2SatError(f"column {name}", found=why, expected=known)
        return tuple(name for name in source.columns if name in wanted)
