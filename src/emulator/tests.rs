//! Whole requests against a running emulator.
