#!/usr/bin/env python3
"""Do the tests notice? Puts every mutant of mutants.toml into a copy of the tree, each behind a switch, builds the
unit tests once, and runs them with one mutant switched on at a time: those of its room first (for the queue the
conformance list, then the model and the rest), all of them if it lives on. Writes a table; ends with 1 if a mutant survives that
is not listed in survivors.toml, or a listed one does not.

    tests/mutants/run.py [WORD …]    only mutants whose file or name holds one of these
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
COPY = ROOT / "target" / "mutants"
NEEDED = ["Cargo.toml", "Cargo.lock", "src", "migrations", "samples", "jobs.example.toml", "proptest-regressions"]
PATIENCE_S = 180
# Asked before the rest of their room: quick, and notice most.
FIRST = {"queue": [["queue::conformance"]]}
SWITCH = """
/// Which mutant is switched on.
pub(crate) fn mutant(number: u32) -> bool {
    static ON: std::sync::LazyLock<Option<u32>> =
        std::sync::LazyLock::new(|| std::env::var("MUTANT").ok().and_then(|n| n.parse().ok()));
    *ON == Some(number)
}
"""


def mutants():
    listed = tomllib.loads((ROOT / "tests/mutants/mutants.toml").read_text())
    found = [dict(mutant, file=file) for file, of_file in listed.items() for mutant in of_file]
    return [dict(mutant, number=number) for number, mutant in enumerate(found, start=1)]


def once(text, part, where):
    if text.count(part) != 1:
        sys.exit(f"{where}: {part!r} is there {text.count(part)} times")
    return text.index(part)


def place(text, mutant):
    """From where to where in the text, and what the mutant has there."""
    where, old, new = f"{mutant['file']}, {mutant['name']}", mutant["old"], mutant["new"]
    context = mutant.get("context", old)
    start = once(text, context, where) + once(context, old, where)
    end = start + len(old)
    if not mutant.get("literal"):
        return start, end, new
    # The whole literal around it: none of these holds a quote.
    first, last = text.rindex('"', 0, start), text.index('"', end) + 1
    return first, last, text[first:start] + new + text[end:last]


def switched(text, of_file):
    """The text with all of its mutants; those of one place stand in one chain."""
    places = {}
    for mutant in of_file:
        start, end, new = place(text, mutant)
        places.setdefault((start, end), []).append((mutant, new))
    for (start, end), here in sorted(places.items(), reverse=True):
        original = text[start:end]
        if here[0][0].get("method"):
            # `.bind(a)` becomes `.bind(if … { b } else { a })`: the argument is the expression.
            opening = original.index("(") + 1
            here = [(mutant, new[new.index("(") + 1 : -1]) for mutant, new in here]
            start, end = start + opening, end - 1
            original = text[start:end]
        chain = "".join(f"if crate::mutant({mutant['number']}) {{ {new} }} else " for mutant, new in here)
        text = f"{text[:start]}({chain}{{ {original} }}){text[end:]}"
    return text


def copy(all_mutants):
    COPY.mkdir(parents=True, exist_ok=True)
    for name in NEEDED:
        source, target = ROOT / name, COPY / name
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target)
        elif source.exists():
            shutil.copy2(source, target)
    for file in {mutant["file"] for mutant in all_mutants}:
        text = (ROOT / file).read_text()
        # Tests stay as they are, also where they say the same.
        code, *tests = text.partition("\n#[cfg(test)]\nmod tests {")
        of_file = [mutant for mutant in all_mutants if mutant["file"] == file]
        (COPY / file).write_text(switched(code, of_file) + "".join(tests))
    library = COPY / "src/lib.rs"
    library.write_text(library.read_text() + SWITCH)


def build():
    # Without the tests' own, which are not copied.
    manifest = COPY / "Cargo.toml"
    manifest.write_text(manifest.read_text() + "\n[workspace]\n")
    environment = os.environ | {"CARGO_TARGET_DIR": str(ROOT / "target"), "CARGO_INCREMENTAL": "0"}
    environment.setdefault("CARGO_BUILD_JOBS", "1")
    command = ["cargo", "test", "--offline", "--lib", "--no-run", "--message-format=json"]
    built = subprocess.run(command, cwd=COPY, env=environment, stdout=subprocess.PIPE, text=True)
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    if built.returncode:
        for message in messages:
            if message.get("message", {}).get("level") == "error":
                print(message["message"]["rendered"], file=sys.stderr)
        sys.exit("the mutants do not build")
    return next(m["executable"] for m in messages if m.get("executable"))


def failures(binary, number, filters):
    """Names of tests that fail; `(hangs)` if they do not end."""
    environment = os.environ | {"MUTANT": str(number), "RUST_BACKTRACE": "0", "INSTA_UPDATE": "no"}
    # Whoever fails has said enough: no smaller case is looked for.
    environment["PROPTEST_MAX_SHRINK_ITERS"] = "0"
    # The plans are read off whatever the process asks of its database: they need one of their own, as nextest gives.
    command = [binary, *filters, "--skip", "sqlite::plans", "--test-threads", "2"]
    try:
        ran = subprocess.run(command, cwd=COPY, env=environment, timeout=PATIENCE_S, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        return ["(hangs)"]
    failed = [line.split()[1] for line in ran.stdout.splitlines() if line.startswith("test ") and line.endswith(" ... FAILED")]
    return failed or (["(ends with %d)" % ran.returncode] if ran.returncode else [])


def main():
    words = sys.argv[1:] or [""]
    known = tomllib.loads((ROOT / "tests/mutants/survivors.toml").read_text())
    every = mutants()
    copy(every)
    binary = build()
    if failed := failures(binary, 0, []):
        sys.exit(f"tests fail without any mutant: {', '.join(failed)}")
    wrong = 0
    for mutant in every:
        if not any(word in mutant["file"] + " " + mutant["name"] for word in words):
            continue
        room = mutant["file"].split("/")[1]
        stages = FIRST.get(room, []) + [[room + "::"], []]
        killers = next(filter(None, (failures(binary, mutant["number"], stage) for stage in stages)), [])
        excused = mutant["name"] in known
        wrong += excused == bool(killers)
        names = [k for k in killers if "(" not in k] or killers
        fate = f"killed by {len(killers)}: `{names[0]}`" if killers else "**survives**"
        print(f"| `{mutant['file'].removeprefix('src/')}` | {mutant['name']} | {fate} |", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
