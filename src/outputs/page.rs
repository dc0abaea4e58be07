//! How many results to read at once: many when they are small, one when they are huge.

use crate::queue::ResultRow;

/// Bytes that a page should stay under, and a buffer is written out at.
pub(super) const BUDGET: usize = 8 << 20;

const MOST: u32 = 1000;

/// The size of the next page. It begins small and at most doubles, so that answers of 64 MiB are met gently.
pub struct PageSize(u32);

impl Default for PageSize {
    fn default() -> Self {
        PageSize::new()
    }
}

impl PageSize {
    /// Begins small.
    pub fn new() -> Self {
        PageSize(16)
    }

    /// Rows to ask for.
    pub fn rows(&self) -> u32 {
        self.0
    }

    /// Learns from a page how large results are at present.
    pub fn learn(&mut self, page: &[ResultRow]) {
        let largest = page.iter().map(|row| row.response.len()).max().unwrap_or(0);
        self.learn_size(largest);
    }

    fn learn_size(&mut self, largest: usize) {
        let fits = u32::try_from(BUDGET / largest.max(1)).unwrap_or(MOST);
        self.0 = fits.clamp(1, MOST.min(self.0 * 2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_grow_slowly_and_shrink_at_once() {
        let mut size = PageSize::new();
        size.learn_size(100);
        assert_eq!(size.rows(), 32);
        for _ in 0..10 {
            size.learn_size(100);
        }
        assert_eq!(size.rows(), 1000);
        size.learn_size(64 << 20);
        assert_eq!(size.rows(), 1);
        size.learn_size(100);
        assert_eq!(size.rows(), 2);
    }
}
