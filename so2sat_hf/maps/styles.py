"""Style files of a map of classes, as text: QGIS (.qml), and colour tables (.clr). Pure."""

from xml.sax.saxutils import quoteattr

from so2sat_hf import facts
from so2sat_hf.facts.labels import Palette, schemes


def legend(values: str) -> dict[int, str]:
    """Return value on a map -> name in a legend.

    Args:
        values: ``number`` or ``wudapt``.
    """
    return {
        int(value): f"LCZ {lcz.code} {lcz.name}"
        for value, lcz in zip(schemes()[values], facts.classes(), strict=True)
    }


def qml_of(values: str, palette: Palette) -> str:
    """Return a QGIS style: a paletted raster with a named colour for each class."""
    entries = "\n".join(
        f"      <paletteEntry value={quoteattr(str(value))} color={quoteattr(color)} "
        f'alpha="255" label={quoteattr(name)}/>'
        for (value, name), color in zip(legend(values).items(), palette.colors, strict=True)
    )
    return (
        '<!DOCTYPE qgis PUBLIC "http://mrcc.com/qgis.dtd" "SYSTEM">\n'
        '<qgis version="3.22" styleCategories="Symbology">\n  <pipe>\n'
        '    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">\n'
        f"     <colorPalette>\n{entries}\n     </colorPalette>\n    </rasterrenderer>\n  </pipe>\n</qgis>\n"
    )


def clr_of(values: str, palette: Palette) -> str:
    """Return a colour table: value, red, green, blue."""
    lines = (
        f"{value} {red} {green} {blue}"
        for value, (red, green, blue) in zip(legend(values), palette.rgb, strict=True)
    )
    return "\n".join(lines) + "\n"
