//! Whole runs: the real binary against an emulator of the API in this process. No test sleeps; they meet at the
//! emulator's gate, wait for what it has seen, or for what the binary says.
//!
//! | module | what is promised there |
//! |---|---|
//! | `formats` | every output that a job can list, held against other people's parsers where they are installed |
//! | `runs` | every recording once; formats, endpoints, redacted audio |
//! | `limits` | slots: full, and never exceeded |
//! | `retries` | the outcome table, faults, throttling |
//! | `hostile` | a folder as archives really are, and one that changes while it is read |
//! | `network` | cuts, stalls, floods and lies on the way to the API |
//! | `halts` | hours, credits, keys, models: stop, probe, go on |
//! | `know` | lengths, plans and budgets: what is known before it is paid for |
//! | `chaos` | the selftest: kills at random, everything counted |
//! | `content` | duplicates, moves, other options: paid for once, and only when asked again |
//! | `crashes` | SIGKILL, torn and altered outputs |
//! | `deadline` | `--until`, `--max-duration`, `--order`: nothing begins after the end, nothing is dropped by it |
//! | `watch` | new files, replaced ones, sources that come and go, until it is stopped |
//! | `night` | pings, and a week of a nightly job: exit codes, pings and `verify` tell the same |
//! | `doctor` | what is missing, before a run finds out |
//! | `clock` | a wall clock that jumps, between runs and during one |
//! | `faults` | a queue that fails at any one call, before or after its commit |
//! | `disk` | a full or read-only disk; a locked, damaged, cut or newer database |
//! | `memory` | no core dump, whatever limits it is started with |
//! | `metadata` | lists, files beside recordings, parts of names: into every output, whatever stands in them |
//! | `disk_apart` | a disk that is full under one file only |
//! | `siblings` | the smaller models: formats, forms, billing, labels and their tables |
//! | `signals` | SIGINT, SIGTERM, SIGUSR1 |
//! | `sources` | files that change, vanish, or have hostile names |
//! | `pieces` | too large, too long: encoded anew or in pieces, one result each, no piece paid for twice |
//! | `platform` | jobs that are accepted: sent once, polled after a kill, secrets of their own |
//! | `presets` | behaviors that the API does not have, told before anything is sent |
//! | `purge` | answers and audio that go after a time, to the last byte, also when it is killed |
//! | `streams` | the five endpoints that are streamed to: shapes, limits, codes, kills, and where the key is not |
//! | `suspects` | results that are implausible, flagged everywhere; what is empty but loud goes out once more |
//! | `tables` | Parquet as an output of a job, made whole; and what a build without it says |
//! | `usage` | mistakes of the user: exit codes and what is said |
//! | `verbs` | every other verb once; what stdout and the log carry |
//! | `verify` | what it finds: lines, results, audio, sources, counts, the audit log; and that it finds nothing else |

#![expect(clippy::unwrap_used, reason = "a step that cannot be made is a failed test")]

mod support;

mod chaos;
mod clock;
mod content;
mod crashes;
mod deadline;
mod disk;
mod disk_apart;
mod doctor;
mod faults;
mod formats;
mod halts;
mod hostile;
mod know;
mod limits;
mod memory;
mod metadata;
mod network;
mod night;
mod pieces;
mod platform;
mod presets;
mod purge;
mod retries;
mod runs;
mod siblings;
mod signals;
mod sources;
mod streams;
mod suspects;
mod tables;
mod usage;
mod verbs;
mod verify;
mod watch;
