"""The API reference: one page a module, made of the docstrings, with links that lead somewhere."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHOWN_ELSEWHERE = {f"so2sat_hf/facts/{name}.html" for name in ("files", "nouns")}
"""What these modules offer is told of on the page of ``facts``."""


def test_the_reference_has_a_page_for_every_module(tmp_path: Path) -> None:
    """Roles of docstrings became links; no link is broken; arguments are told of."""
    subprocess.run([ROOT / ".ci" / "reference", tmp_path / "site"], check=True, capture_output=True)

    pages = {path.relative_to(tmp_path / "site").as_posix(): path for path in tmp_path.rglob("*.html")}
    for module in (ROOT / "so2sat_hf").rglob("[a-z]*.py"):
        name = module.relative_to(ROOT).with_suffix(".html").as_posix()
        if module.parts[-2] not in ("cli", "synthetic") and name not in SHOWN_ELSEWHERE:
            assert name in pages, name
    for page in pages.values():
        html = page.read_text()
        assert not re.search(r":(class|func|meth|mod):`", re.sub(r"<[^>]+>", "", html)), page
        for link in re.findall(r'href="([^"#]+\.html)', html):
            assert "://" in link or (page.parent / link).is_file(), (page, link)
    stream = pages["so2sat_hf/load/stream.html"].read_text()
    assert "row groups (of about 1,000 patches) among which patches are shuffled" in stream
    assert "<h6" in stream  # Arguments, Raises
