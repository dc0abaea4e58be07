//! How much is taken in hand at once.

/// Results to read at once, where they are small; the queue hands out fewer where they are large. In tests so few that
/// there are several pages.
pub const RESULTS: u32 = if cfg!(test) { 16 } else { 1000 };

/// Bytes that a buffer is written out at.
pub(super) const BUDGET: usize = 8 << 20;
