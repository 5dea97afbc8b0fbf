"""What all drawn pictures share: the colours of paper and ink, and how one becomes a PNG. Pure."""

from io import BytesIO

from PIL import Image

BACKGROUND, INK, MUTED, LINE = "#ffffff", "#1f2328", "#656d76", "#d1d9e0"


def png_of(picture: Image.Image) -> bytes:
    """Return a picture as PNG; its bytes depend on the version of Pillow."""
    stream = BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return stream.getvalue()
