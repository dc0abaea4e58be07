"""Holds the locked dependencies against deny.toml, with nothing but Python's standard library and cargo.

Licences of every package; banned crates; crates of which there must be one; SQLite's version; one registry. What it
cannot do is advisories: cargo-deny does those.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

try:
    import tomllib
except ImportError:
    print("dependencies: SKIPPED, this needs Python 3.11 or newer")
    sys.exit(0)

ROOT = Path(__file__).resolve().parent.parent
# Two of these would be two connection pools, two TLS stacks, or two copies of SQLite in one process.
ALONE = ["aws-lc-rs", "hyper", "libsqlite3-sys", "reqwest", "rustls", "tokio", "tungstenite"]
# The first SQLite whose write-ahead log cannot be corrupted by a reset.
SQLITE_MIN = (3, 51, 3)


def cargo(*args):
    """What cargo prints; its complaints go to ours."""
    return subprocess.run(["cargo", *args], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def host():
    version = subprocess.run(["rustc", "-vV"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return re.search(r"^host: (\S+)$", version, re.M).group(1)


def built():
    """Names and versions that really go into a build or a test. Metadata also lists what a feature could turn on."""
    lines = cargo("tree", "--locked", "--edges", "all", "--prefix", "none", "--format", "{p}").splitlines()
    return {(name, version) for name, version in re.findall(r"^(\S+) v(\S+)", "\n".join(lines), re.M)}


def is_allowed(expression, allowed):
    """Whether the licences that are allowed satisfy an SPDX expression. `A/B` is an old way to say `A OR B`."""
    tokens = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))
    tokens.reverse()

    def either():
        satisfied = both()
        while tokens and tokens[-1] == "OR":
            tokens.pop()
            other = both()
            satisfied = satisfied or other
        return satisfied

    def both():
        satisfied = one()
        while tokens and tokens[-1] == "AND":
            tokens.pop()
            other = one()
            satisfied = satisfied and other
        return satisfied

    def one():
        token = tokens.pop()
        if token == "(":
            satisfied = either()
            tokens.pop()
            return satisfied
        if tokens and tokens[-1] == "WITH":
            tokens.pop()
            token = f"{token} WITH {tokens.pop()}"
        return token in allowed

    satisfied = either()
    if tokens:
        raise ValueError(expression)
    return satisfied


def licences(packages, rules):
    extra = {e["crate"]: set(e["allow"]) for e in rules["exceptions"]}
    for package in packages:
        allowed = set(rules["allow"]) | extra.pop(package["name"], set())
        licence = package["license"]
        try:
            fine = licence is not None and is_allowed(licence, allowed)
        except (ValueError, IndexError):
            fine = False
        if not fine:
            yield f"{package['name']} {package['version']} is under {licence}, which deny.toml does not allow"
    for crate in extra:
        yield f"deny.toml excepts {crate}, which is not there"


def problems():
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    metadata = json.loads(cargo("metadata", "--format-version", "1", "--locked", "--filter-platform", host()))
    members = set(metadata["workspace_members"])
    present = built()
    packages = [p for p in metadata["packages"] if (p["name"], p["version"]) in present]

    yield from licences(packages, rules["licenses"])

    banned = {rule["crate"]: rule["reason"] for rule in rules["bans"]["deny"]}
    versions = defaultdict(list)
    for name, version in sorted(present):
        versions[name].append(version)
        if name in banned:
            yield f"{name} {version} is banned: {banned[name]}"
    for name in ALONE:
        if len(versions[name]) > 1:
            yield f"{name} is there more than once: {', '.join(versions[name])}"

    sources = {p["source"] for p in metadata["packages"] if p["id"] not in members}
    if len(sources) != 1 or not all(str(source).startswith("registry+") for source in sources):
        yield f"packages must come from one registry, but come from {sorted(map(str, sources))}"

    for package in packages:
        if package["name"] == "libsqlite3-sys":
            header = Path(package["manifest_path"]).parent / "sqlite3" / "sqlite3.h"
            found = re.search(r'#define SQLITE_VERSION\s+"([\d.]+)"', header.read_text()).group(1)
            if tuple(map(int, found.split("."))) < SQLITE_MIN:
                yield f"the bundled SQLite is {found}; its write-ahead log is safe from {'.'.join(map(str, SQLITE_MIN))}"

    print(f"dependencies: {len(packages)} packages looked at")


found = list(problems())
for problem in found:
    print(f"dependencies: {problem}")
sys.exit(1 if found else 0)
