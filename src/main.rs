//! Parses what was typed, hands it to a command, turns its exit into a code.

fn main() {}
