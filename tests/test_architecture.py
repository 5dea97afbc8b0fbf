"""The plan of the house, enforced: who may import whom, which library enters where, what an import costs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import so2sat_hf

PACKAGE = Path(so2sat_hf.__file__).parent
MODULES = sorted(
    path.relative_to(PACKAGE).with_suffix("").as_posix().removesuffix("/__init__")
    for path in PACKAGE.rglob("*.py")
    if path != PACKAGE / "__init__.py"
)

# Rooms from the top of the house down. A room imports only from rooms above its own, never sideways.
ROOMS = [
    ["errors"],
    ["facts"],
    ["convert"],
    ["companions"],
    ["so2sat_lcz42", "pages", "synthetic"],
    ["hub"],
    ["load"],
    ["vision"],
    ["training"],
    ["maps"],
    ["assemble"],
    ["demo"],
    ["cli"],
]

# A heavy library enters by these files alone. (Generated files are written with h5py; reading has one door.)
DOORS = {
    "h5py": {"convert/hdf5", "synthetic/files"},
    "pyproj": {"convert/geolocation"},
    "rasterio": {"maps/geotiff"},
    "huggingface_hub": {"hub/repository", "hub/request"},
    "httpx": {"hub/ranges", "hub/transfer"},
    "httpx2": {"hub/ranges", "hub/transfer"},
    "torch": {
        *(f"load/{name}" for name in ("arrays", "progress", "resident", "stream")),
        *(
            f"vision/{name}"
            for name in ("collate", "image_processing", "image_size", "patch_embedding", "samples")
        ),
        "vision/checkpoints",
        "vision/transform",
        *(f"training/{name}" for name in ("checkpoint", "classifier", "feed", "loss", "outcome", "trainer")),
        *(f"maps/{name}" for name in ("lcz_map", "map_tile")),
        "cli/train",
    },
    "transformers": {
        *(
            f"vision/{name}"
            for name in ("checkpoints", "from_scratch", "image_processing", "stock_processor")
        ),
        *(f"training/{name}" for name in ("arguments", "classifier", "finetune", "trainer")),
    },
    "timm": {"vision/checkpoints"},
    "datasets": {
        "convert/table",
        "convert/configs",
        "convert/readme",
        "companions/index",
        "companions/rgb",
        "hub/trial",
        "so2sat_lcz42",
        "training/data",
        "demo",
    },
    "PIL": {
        "companions/rgb",
        *(f"pages/{name}" for name in ("classes", "confusion_picture", "contact_sheet", "drawing", "html")),
        *(f"maps/{name}" for name in ("distance_picture", "map_picture")),
    },
    "click": {
        "cli",
        *(
            f"cli/{name}"
            for name in (
                "browse",
                "build",
                "card",
                "classes",
                "convert",
                "ground",
                "group",
                "hub",
                "look",
                "maps",
                "measure",
                "options",
                "output",
                "progress",
                "publish",
                "train",
                "vision",
            )
        ),
    },
    "tqdm": {"cli/progress"},
    "xxhash": {"companions/match", "companions/mini"},
}
# Pure modules open no file, whatever they are given.
PURE = {
    "errors",
    "facts/nouns",
    "hub/address",
    "hub/answer",
    "hub/contents",
    "hub/push_words",
    "hub/refusal",
    "hub/remote",
    "hub/tables",
    "load/epochs",
    "load/order",
    "load/quality",
    "load/selection",
    *(
        f"convert/{name}"
        for name in (
            "blueprint",
            "cells",
            "check",
            "decode",
            "limits",
            "moments",
            "options",
            "patches",
            "plan",
        )
    ),
    *(f"convert/{name}" for name in ("records", "encode", "statistics_file", "views")),
    *(f"companions/{name}" for name in ("brightness", "footprint", "index", "match", "mini", "planners")),
    *(f"companions/{name}" for name in ("published", "sketch", "summary")),
    "vision/augmentation",
    "vision/preset",
    "vision/preset_check",
    "vision/preset_file",
    "training/metrics",
    *(
        f"maps/{name}"
        for name in ("neighbours", "resplit", "styles", "distance_picture", "rasters", "smooth", "tiles")
    ),
    "facts/labels",
    "training/options",
    "training/report",
    "training/report_page",
    "pages/charts",
    "pages/confusion_picture",
    "pages/drawing",
    "pages/panels",
}
FILE_ACCESS = {"open", "read_text", "write_text", "read_bytes", "write_bytes"}
HEAVY = ("torch", "transformers", "datasets", "h5py", "pyarrow", "numpy", "pandas", "pyproj", "PIL")


def room_of(module: str) -> str:
    return module.partition("/")[0]


def imported(module: str) -> Iterator[str]:
    """Yield the dotted name of every import in a module, those inside functions included."""
    path = PACKAGE / f"{module}.py"
    path = path if path.is_file() else PACKAGE / module / "__init__.py"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide where a name comes from"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def ours(module: str) -> Iterator[str]:
    """Yield the modules of this package that a module imports, as in MODULES."""
    for name in imported(module):
        if name.startswith("so2sat_hf."):
            parts = name.split(".")[1:]
            candidates = ["/".join(parts[:length]) for length in range(len(parts), 0, -1)]
            yield from [candidate for candidate in candidates if candidate in MODULES][:1]


def test_every_module_has_a_room() -> None:
    """Adding a module means deciding where it stands."""
    assert {room_of(module) for module in MODULES} == {room for rank in ROOMS for room in rank}


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_to_rooms_above(module: str) -> None:
    """The way of the data is the only direction."""
    rank = next(i for i, rooms in enumerate(ROOMS) if room_of(module) in rooms)
    allowed = {room for rooms in ROOMS[:rank] for room in rooms} | {room_of(module)}

    assert {room_of(name) for name in ours(module)} <= allowed


def test_no_circles_inside_a_room() -> None:
    """Modules of a room can be read in one order."""
    waiting = {module: {name for name in ours(module) if name != module} for module in MODULES}
    while ready := {module for module, needs in waiting.items() if not needs & waiting.keys()}:
        waiting = {module: needs for module, needs in waiting.items() if module not in ready}

    assert not waiting, f"import circle among {sorted(waiting)}"


@pytest.mark.parametrize("module", MODULES)
def test_heavy_libraries_enter_by_their_door(module: str) -> None:
    """Swapping a library touches the files named here."""
    for library in {name.partition(".")[0] for name in imported(module)} & DOORS.keys():
        assert module in DOORS[library], f"{module} imports {library}"


@pytest.mark.parametrize("module", sorted(PURE))
def test_pure_modules_open_no_file(module: str) -> None:
    """What decides or computes does not read or write."""
    path = PACKAGE / f"{module}.py"
    calls = {
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    }

    assert not calls & FILE_ACCESS


def test_what_is_saved_with_a_model_stands_alone() -> None:
    """The image processor goes to the Hub as one file, and runs where this package is not installed."""
    assert not list(ours("vision/image_processing"))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_files_and_functions_stay_small(path: Path) -> None:
    """Files under about 330 lines; functions under about 40 without their docstring and signature."""
    text = path.read_text()
    assert len(text.splitlines()) <= 330
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert length <= 42, f"{path.name}: {node.name} has {length} lines"


def test_import_is_light() -> None:
    """``import so2sat_hf`` and the command line load no heavy library."""
    code = f"import sys, so2sat_hf.cli; print([name for name in {HEAVY} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
