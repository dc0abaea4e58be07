# The doors of the project; .ci/run goes through the same ones. `just` lists them.

_list:
    @{{just_executable()}} --list --unsorted

# All that has to hold before a push
check:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    cargo clippy --features parquet --all-targets -- -D warnings
    cargo test --features parquet --lib --test it -- tables::
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps
    cargo test

# The tests, by nextest if it is there; `just test queue::` runs some of them
test *filter:
    if command -v cargo-nextest >/dev/null; then cargo nextest run {{filter}}; else cargo test {{filter}}; fi

# Look at changed snapshots one by one; without cargo-insta they are all taken over: read the diff before committing
snap:
    if command -v cargo-insta >/dev/null; then cargo insta test --review; else INSTA_UPDATE=always cargo test && git diff --stat -- '*.snap'; fi

# See it alive: an emulated API, bundled recordings, no key, no cost
demo *args:
    cargo run --release -- demo {{args}}

# Licences, banned crates and sources, and advisories if cargo-deny is there (advisories need the network)
deny:
    python3 .ci/dependencies.py
    if command -v cargo-deny >/dev/null; then cargo deny check; else echo "cargo-deny is not installed: advisories were not checked"; fi

# Hold what media/ says against recordings whose truth is known: FOLDER has files/ and truth.jsonl
corpus folder:
    VOXBATCH_CORPUS="{{folder}}" cargo test --lib media::corpus -- --ignored --nocapture

# Let libFuzzer at one of fuzz/targets for some minutes: `just fuzz media 300`; what breaks it lands in fuzz/artifacts
fuzz target seconds="180":
    #!/usr/bin/env bash
    set -euo pipefail
    cd fuzz && cp ../Cargo.lock . && mkdir -p artifacts/found/{{target}}
    seeds=corpus/{{target}}
    if [ {{target}} = exchange ]; then seeds=corpus/answer; fi
    CARGO_TARGET_DIR=../target RUSTC_WRAPPER="$PWD/rustc" cargo build --bin {{target}}
    nice -n 10 ../target/debug/{{target}} -max_total_time={{seconds}} -max_len=8192 -rss_limit_mb=2048 -timeout=20 \
        -artifact_prefix=artifacts/{{target}}- artifacts/found/{{target}} $seeds

# Compare voxbatch with its peers on this machine, `just bench --only small,tail`; bench/README.md tells how to read it
bench *args: _bench-tools
    cargo build --release --locked
    target/release/compare --voxbatch target/release/voxbatch {{args}}

# The same with few small files and one round: does everything work?
bench-quick *args: (bench "--quick" args)

# The same, and the tables into docs/performance.md
bench-page *args: (bench "--into" "docs/performance.md" args)

# Parts of voxbatch by themselves: claim, settle, project, sniff, classify
bench-micro *args:
    cp Cargo.lock bench/Cargo.lock
    cd bench && CARGO_TARGET_DIR=../target cargo bench -p voxbatch-micro {{args}}

_bench-tools:
    cp Cargo.lock bench/Cargo.lock
    cd bench && CARGO_TARGET_DIR=../target cargo build --release -p voxbatch-bench

# Who notices? One wrong expression at a time in a copy of the tree, held against the unit tests: `just mutants claim`
mutants *words:
    nice -n 10 tests/mutants/run.py {{words}}
