"""What no line of ours may do, by the shape of the code; SECURITY.md is the list for people."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("so2sat_hf", "examples", "loading_script", ".ci", "benchmarks")

UNPICKLERS = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
PROGRAMS = {"subprocess", "pty", "ctypes", "tarfile", "zipfile"}
"""What the package has no need of: it starts no program and unpacks no archive but gzip."""

MUST = {
    ("torch", "load"): ("weights_only", True),
    ("np", "load"): ("allow_pickle", False),
    ("numpy", "load"): ("allow_pickle", False),
}
"""Call -> the argument without which it may run code."""

NEVER = {
    "trust_remote_code": True,
    "weights_only": False,
    "allow_pickle": True,
    "shell": True,
    "verify": False,
}
"""Arguments that are never given."""

CALLS = {"eval", "exec", "compile", "__import__", "input", "breakpoint"}
METHODS = {
    ("os", "system"),
    ("os", "popen"),
    ("tempfile", "mktemp"),
    ("yaml", "load"),
    ("yaml", "unsafe_load"),
    ("yaml", "full_load"),
    ("ssl", "_create_unverified_context"),
    ("serialization", "add_safe_globals"),
}
OPEN_WIRE = re.compile(r"http://(?!127\.0\.0\.1|localhost|\{HOST\}|mrcc\.com/qgis\.dtd)")
"""The last is the name of a document type; nobody asks there."""


def violations(source: str, *, package: bool = True) -> Iterator[str]:
    """Yield what a file must not do, with its line."""
    for node in ast.walk(ast.parse(source)):
        for what in (*of_imports(node, package=package), *of_calls(node), *of_texts(node)):
            yield f"line {getattr(node, 'lineno', 0)}: {what}"


def of_imports(node: ast.AST, *, package: bool) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom):
        names = {(node.module or "").partition(".")[0]}
        if names & UNPICKLERS:
            yield "from pickle"
    elif isinstance(node, ast.Import):
        names = {alias.name.partition(".")[0] for alias in node.names}
        if names & (UNPICKLERS - {"pickle"}):
            yield f"import of {names}"
    else:
        names = set()
        is_pickle = isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "pickle"
        if is_pickle and node.attr != "UnpicklingError":  # raised where tensors alone are read
            yield f"pickle.{node.attr}"
    if package and names & PROGRAMS:
        yield f"import of {names & PROGRAMS}"


def of_calls(node: ast.AST) -> Iterator[str]:
    if not isinstance(node, ast.Call):
        return
    given = {word.arg: getattr(word.value, "value", ...) for word in node.keywords}
    for name, value in NEVER.items():
        if given.get(name) is value:
            yield f"{name}={value}"
    if isinstance(node.func, ast.Name) and node.func.id in CALLS:
        yield f"{node.func.id}()"
    if not isinstance(node.func, ast.Attribute):
        return
    owner = getattr(node.func.value, "id", getattr(node.func.value, "attr", ""))
    call = (owner, node.func.attr)
    if call in METHODS:
        yield ".".join(call)
    if call in MUST and given.get(MUST[call][0]) is not MUST[call][1]:
        yield f"{'.'.join(call)} without {MUST[call][0]}={MUST[call][1]}"
    is_auto = node.func.attr == "from_pretrained" and owner.startswith("Auto")
    if is_auto and given.get("trust_remote_code") is not False:  # without a word transformers asks, or a pipe
        yield f"{owner}.from_pretrained without trust_remote_code=False"


def of_texts(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.JoinedStr) and OPEN_WIRE.search(ast.unparse(node)):
        yield "http without TLS"
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if OPEN_WIRE.search(node.value) and not node.value.endswith("http://"):
            yield "http without TLS"
        if node.value == "0.0.0.0":
            yield "listens to everybody"


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_code_does_what_security_forbids(folder: str) -> None:
    """No pickle, no code of others, no shell, no open wire; the package starts no other program."""
    package = folder in ("so2sat_hf", "loading_script")
    paths = [path for path in sorted((ROOT / folder).rglob("*.py")) if "venv" not in path.as_posix()]

    assert paths
    for path in paths:
        assert list(violations(path.read_text(), package=package)) == [], path


@pytest.mark.parametrize(
    "line",
    [
        "import pickle; pickle.load(f)", "from pickle import loads", "import dill", "import joblib.hashing",
        "import marshal", "import shelve", "torch.load(f)", "torch.load(f, weights_only=False)",
        "np.load(f)", "numpy.load(f, allow_pickle=True)", "yaml.load(f, Loader=yaml.Loader)",
        "eval(text)", "exec(text)", "__import__(name)", "os.system(text)", "import subprocess",
        "run(text, shell=True)", "load_dataset(name, trust_remote_code=True)", "AutoModel.from_pretrained(x)",
        "tempfile.mktemp()", "url = 'http://example.org/x'", "get(url, verify=False)", "bind('0.0.0.0')",
        "f'http://{host}/'",
        "import tarfile", "torch.serialization.add_safe_globals([x])",
        "transformers.AutoModel.from_pretrained(x)",
    ],
)  # fmt: skip
def test_the_rules_can_fail(line: str) -> None:
    """Each of them, on a line that breaks it."""
    assert list(violations(line))


@pytest.mark.parametrize(
    "line",
    [
        "model.eval()", "re.compile(text)", "torch.load(f, weights_only=True)", "yaml.safe_load(f)",
        "except_ = pickle.UnpicklingError", "f'http://{HOST}:{port}/'", "'http://localhost:8080'",
    ],
)  # fmt: skip
def test_the_rules_let_the_rest_pass(line: str) -> None:
    """Words that look alike."""
    assert not list(violations(line))


def test_scripts_evaluate_nothing_that_was_fetched() -> None:
    """The shell scripts of CI and examples: no eval, no pipe from the network into a shell."""
    for path in [*(ROOT / ".ci").iterdir(), *(ROOT / "examples").glob("*.sh")]:
        if path.is_file() and path.read_bytes()[:2] == b"#!" and path.suffix != ".py":
            text = path.read_text()
            assert not re.search(r"\beval\b|curl|wget|http://|\| *(ba)?sh\b", text), path.name


def test_pages_have_a_policy_and_no_template_of_their_own() -> None:
    """HTML is written by one module, which names what a page may load; scripts write text, never markup."""
    for path in (ROOT / "so2sat_hf").rglob("*"):
        if path.suffix == ".js":
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", path.read_text()
            )
        if path.suffix == ".py" and "<!doctype html>" in path.read_text().lower():
            assert path.name == "html.py"
    assert "Content-Security-Policy" in (ROOT / "so2sat_hf" / "pages" / "html.py").read_text()


def test_security_md_names_every_dependency_and_real_tests() -> None:
    """The review is of what pyproject.toml asks for; each promise names a file that keeps it."""
    text = (ROOT / "SECURITY.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [
        *project["dependencies"],
        *(line for name in ("train", "geo", "timm") for line in extras[name]),
    ]

    for name in (re.match(r"[\w-]+", line)[0] for line in asked):
        assert f"| {name} |" in text
    for name in re.findall(r"`(tests/[\w/]+\.py)`", text):
        assert (ROOT / name).is_file(), name


def test_the_oldest_releases_are_those_of_the_project() -> None:
    """.ci/oldest.txt, which .ci/compat installs, is the lower bounds of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [
        *project["dependencies"],
        *(line for some in project["optional-dependencies"].values() for line in some),
    ]
    bounds = dict(
        found.groups() for line in lines if (found := re.match(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", line))
    )
    oldest = dict(
        re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / ".ci" / "oldest.txt").read_text(), re.MULTILINE)
    )

    for name, version in oldest.items():
        assert version.startswith(bounds[name]), name
    tools = {"torch", "timm", "mypy", "ruff", "pdoc"}  # none of a wheel, or looking at sources
    assert bounds.keys() - oldest.keys() == tools
