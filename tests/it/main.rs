//! Whole runs: the real binary against an emulator of the API in this process. No test sleeps; they meet at the
//! emulator's gate, wait for what it has seen, or for what the binary says.
//!
//! | module | what is promised there |
//! |---|---|
//! | `runs` | every recording once; formats, endpoints, redacted audio |
//! | `limits` | slots: full, and never exceeded |
//! | `retries` | the outcome table, faults, throttling |
//! | `halts` | hours, credits, keys, models: stop, probe, go on |
//! | `crashes` | SIGKILL, torn and altered outputs |
//! | `signals` | SIGINT, SIGTERM, SIGUSR1 |
//! | `sources` | files that change, vanish, or have hostile names |
//! | `usage` | mistakes of the user: exit codes and what is said |
//! | `verbs` | every other verb once; what stdout and the log carry |
//! | `verify` | what it finds: lines, results, audio, sources, counts, the audit log; and that it finds nothing else |

#![expect(clippy::unwrap_used, reason = "a step that cannot be made is a failed test")]

mod support;

mod crashes;
mod halts;
mod limits;
mod retries;
mod runs;
mod signals;
mod sources;
mod usage;
mod verbs;
mod verify;
