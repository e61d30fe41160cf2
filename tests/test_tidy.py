"""House rules as tests: what a reviewer would otherwise say again and again."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = [
    "vending",
    "sts",
    "messages",
    "config",
    "ledger",
    "hsm_client",
    "acquirers",
    "meters",
    "switch",
    "security_module",
    "pos",
    "town",
    "torture",
    "partner",
    "cli",
    "portal",
    "mobile",
]
EXACT = ("vending", "ledger", "messages", "sts")
"""Packages in which money, units and tokens are computed: integers only."""

FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 500

NAMES_THAT_SAY_NOTHING = ("Manager", "Handler", "Processor", "Engine", "Component")
MODULES_THAT_SAY_NOTHING = frozenset({"utils", "util", "helpers", "helper", "common", "misc", "manager", "handler"})

COMPOSITION_ROOTS = ("*/main.py", "cli/*.py", "pos/load.py")
"""Only these choose a reactor; everything else gets it as an argument."""

TEXT_SUFFIXES = frozenset(
    {
        ".py",
        ".md",
        ".toml",
        ".cfg",
        ".txt",
        ".in",
        ".json",
        ".yml",
        ".yaml",
        ".mako",
        ".ini",
        ".service",
        ".sh",
        ".sql",
        "",
    }
)
# Assembled, so that this file does not contain what it looks for.
REGISTRY_HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("proxy", "golang", "org"),
        ("crates", "io"),
        ("rubygems", "org"),
        ("docker", "io"),
        ("ghcr", "io"),
    )
)


def _sources() -> list[Path]:
    """Return our modules, without tests."""
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def _tests() -> list[Path]:
    return sorted((ROOT / "tests").rglob("*.py"))


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _where(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def functions_too_long(tree: ast.Module) -> Iterator[ast.AST]:
    """Give the functions over the limit, decorators and docstring included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if (node.end_lineno or first) - first + 1 > FUNCTION_LINES_MAX:
                yield node


def inexact(tree: ast.Module) -> Iterator[ast.AST]:
    """Give what brings fractions into exact arithmetic: float literals, true division, calls of ``float``."""
    paths = {id(inner) for node in ast.walk(tree) if _is_path(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if (
            (isinstance(node, ast.Constant) and isinstance(node.value, float | complex))
            or (isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div) and id(node) not in paths)
            or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float")
        ):
            yield node


def _is_path(node: ast.AST) -> bool:
    """Whether this joins paths, which is written with the same sign: a text stands right of one of its signs."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Div):
        return False
    is_text = isinstance(node.right, ast.JoinedStr) or (
        isinstance(node.right, ast.Constant) and isinstance(node.right.value, str)
    )
    return is_text or _is_path(node.left)


def empty_names(tree: ast.Module) -> Iterator[ast.AST]:
    """Give classes whose name ends in a word that says nothing."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name.endswith(NAMES_THAT_SAY_NOTHING):
            yield node


def silent_tests(tree: ast.Module) -> Iterator[ast.AST]:
    """Give test functions without a docstring."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.startswith("test_")
            and not ast.get_docstring(node)
        ):
            yield node


def reactor_imports(tree: ast.Module) -> Iterator[ast.AST]:
    """Give imports of the global reactor in any spelling."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "twisted.internet":
            if any(alias.name == "reactor" for alias in node.names):
                yield node
        elif isinstance(node, ast.Import) and any(alias.name == "twisted.internet.reactor" for alias in node.names):
            yield node


def _text_files() -> list[Path]:
    skipped = {".git", ".venv", "var", "build", "dist", "__pycache__"}
    found = []
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        hidden = any(
            part in skipped or part.endswith(("_cache", ".egg-info")) or part == ".hypothesis" for part in parts
        )
        if not hidden and path.is_file() and path.suffix in TEXT_SUFFIXES:
            found.append(path)
    return found


def test_there_is_something_to_look_at() -> None:
    """The rules below look at real files, so a moved folder cannot make them pass."""
    assert len(_sources()) > 50
    assert len(_tests()) > 20
    assert all(any(path.is_relative_to(ROOT / package) for path in _sources()) for package in EXACT)
    assert ROOT / "setup.cfg" in _text_files()


def test_functions_fit_on_a_screen() -> None:
    """No function is longer than the limit."""
    found = [_where(path, node) for path in _sources() + _tests() for node in functions_too_long(_tree(path))]
    assert not found


def test_modules_hold_one_idea() -> None:
    """No module is longer than the limit."""
    found = [
        f"{path.relative_to(ROOT)}: {count}"
        for path in _sources() + _tests()
        if (count := path.read_text(encoding="utf-8").count("\n")) > MODULE_LINES_MAX
    ]
    assert not found


@pytest.mark.parametrize("package", EXACT)
def test_exact_packages_hold_no_fractions(package: str) -> None:
    """Money and units never meet a float or a division that makes one; whole division is fine."""
    found = [_where(path, node) for path in sorted((ROOT / package).rglob("*.py")) for node in inexact(_tree(path))]
    assert not found


def test_names_say_something() -> None:
    """No class and no module carries a name that fits everything."""
    found = [_where(path, node) for path in _sources() for node in empty_names(_tree(path))]
    found += [str(path) for path in _sources() if path.stem in MODULES_THAT_SAY_NOTHING]
    assert not found


def test_every_test_says_what_it_is_for() -> None:
    """A failing test tells a stranger what a user would notice."""
    found = [_where(path, node) for path in _tests() for node in silent_tests(_tree(path))]
    assert not found


def test_test_modules_have_names_of_their_own() -> None:
    """Two test files of one name would hide each other in reports."""
    names = [path.name for path in _tests() if path.name.startswith("test_")]
    assert len(names) == len(set(names))


def test_only_composition_roots_choose_the_reactor() -> None:
    """Everything else can be run in memory, with a clock of the test's own."""
    found = [
        _where(path, node)
        for path in _sources()
        if not any(path.relative_to(ROOT).match(pattern) for pattern in COMPOSITION_ROOTS)
        for node in reactor_imports(_tree(path))
    ]
    assert not found


def test_no_file_names_a_package_registry() -> None:
    """Where packages come from is the installer's configuration, not ours."""
    pattern = re.compile("|".join(map(re.escape, REGISTRY_HOSTS)))
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in _text_files()
        if (match := pattern.search(path.read_text(encoding="utf-8", errors="replace")))
    ]
    assert not found


LONG = "def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX


@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        (functions_too_long, LONG, LONG.removesuffix("    x = 1\n")),
        (functions_too_long, "@d\n" + LONG.removesuffix("    x = 1\n"), "x = 1\n" * 200),
        (inexact, "a = 1.5", "a = 15"),
        (inexact, "a = b / c", "a = b // c"),
        (inexact, "a /= 2", "a //= 2"),
        (inexact, "a = float(b)", "a = int(b)"),
        (inexact, "a = b / c + len(d / 'e')", "a = root / 'bin' / name"),
        (inexact, "a = 1e3", "p = root / 'file'"),
        (empty_names, "class TariffEngine: ...", "class Tariff: ..."),
        (empty_names, "class Outer:\n  class LinkManager: ...", "def manager(): ..."),
        (silent_tests, "def test_x(): pass", 'def test_x():\n    """Why."""'),
        (silent_tests, "async def test_x(): pass", "def helper(): pass"),
        (reactor_imports, "from twisted.internet import defer, reactor", "from twisted.internet import defer"),
        (reactor_imports, "def f():\n  import twisted.internet.reactor", "reactor = 1"),
    ],
)
def test_each_rule_bites(rule: object, bad: str, good: str) -> None:
    """A rule that finds nothing in a planted fault would be worth nothing."""
    assert callable(rule)
    assert list(rule(ast.parse(bad)))
    assert not list(rule(ast.parse(good)))
