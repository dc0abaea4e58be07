//! Files made from results. The queue is the truth; any of these can be deleted and made again.

/// How files are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputSettings {
    /// Begin CSV files with a byte-order mark, which Excel needs to read accents.
    pub csv_bom: bool,
    /// Put `'` before text cells that a spreadsheet would take for a formula.
    pub csv_safe: bool,
}

impl Default for OutputSettings {
    fn default() -> Self {
        OutputSettings { csv_bom: false, csv_safe: true }
    }
}
