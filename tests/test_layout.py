"""Where the packages are: beside each other, complete, and not hidden by somebody else's of the same name."""

import configparser
import importlib
import importlib.util
import json
import os
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]


def _settings() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    assert parser.read(HERE / "setup.cfg", encoding="utf-8")
    return parser


def _words(section: str, key: str) -> list[str]:
    return _settings()[section][key].split()


PACKAGES = [pattern.removesuffix("*") for pattern in _words("options.packages.find", "include")]

OTHER_FOLDERS = frozenset(
    {"tests", "benchmarks", "docs", "deploy", "changelog.d", "requirements", "var", "build", "dist"}
)
"""Folders of the project that are no packages."""


def _place(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None, package
    assert spec.submodule_search_locations is not None, package
    (place,) = spec.submodule_search_locations
    return Path(place)


def test_all_packages_sit_beside_each_other() -> None:
    """Every package is found in one and the same folder; another one of the same name would be found elsewhere."""
    places = {package: _place(package).parent for package in PACKAGES}
    assert len(set(places.values())) == 1, places


def test_a_process_of_its_own_finds_the_same_packages(tmp_path: Path) -> None:
    """Outside the project's folder, without pytest's path, the same packages are found."""
    program = (
        "import importlib.util as u, json, sys\n"
        "print(json.dumps({n: list(u.find_spec(n).submodule_search_locations) for n in sys.argv[1:]}))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = subprocess.run(
        [sys.executable, "-c", program, *PACKAGES],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment,
        timeout=60,
    )
    places = {name: [Path(place) for place in found] for name, found in json.loads(run.stdout).items()}
    assert places == {package: [_place(package)] for package in PACKAGES}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_importable_and_typed(package: str) -> None:
    """A package can be imported, comes from where it was found, and tells type checkers that it is typed."""
    module = importlib.import_module(package)
    assert [Path(place) for place in module.__path__] == [_place(package)]
    assert (_place(package) / "py.typed").is_file()


def test_every_folder_with_code_is_a_package_of_the_list() -> None:
    """A folder that is not in the whitelist would be missing from the wheel, and one too many is a stray."""
    found = {
        path.name
        for path in HERE.iterdir()
        if path.is_dir()
        and not path.name.startswith(".")
        and not path.name.endswith(".egg-info")
        and path.name not in OTHER_FOLDERS
        and path.name != "__pycache__"
    }
    assert found == set(PACKAGES)


def test_no_module_lies_beside_the_packages() -> None:
    """A module in the root would reach site-packages under a name of its own, or not at all."""
    assert [path.name for path in HERE.glob("*.py")] == []


def test_every_folder_below_a_package_holds_code_or_data_on_purpose() -> None:
    """Sub-packages have an ``__init__.py``; without it a folder of modules is an accident."""
    missing = [
        str(folder.relative_to(HERE))
        for package in PACKAGES
        for folder in (HERE / package).rglob("*")
        if folder.is_dir()
        and list(folder.glob("*.py"))
        and not (folder / "__init__.py").is_file()
        # Alembic loads its revisions by path.
        and folder.name not in ("migrations", "versions")
    ]
    assert missing == []


def test_tools_look_at_every_package() -> None:
    """Type checker and import contracts name the same packages as the wheel; the checker also reads what only we run."""
    typed = [name.strip(",") for name in _words("mypy", "files")]
    assert sorted(typed) == sorted([*PACKAGES, "benchmarks", "tests"])
    assert sorted(_words("importlinter", "root_packages")) == sorted(PACKAGES)


def test_nobody_else_ships_a_package_of_our_name() -> None:
    """A second distribution with a top-level ``config`` would overwrite ours without a word."""
    owners = packages_distributions()
    strangers = {name: owners[name] for name in PACKAGES if set(owners.get(name, ())) - {"eudora"}}
    assert not strangers
