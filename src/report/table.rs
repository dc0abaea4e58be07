//! Aligned columns for `status`, `tasks` and their kin. What stands in the cells is left to the commands.

use super::format::{clean, columns, elide, to_ascii};

const GAP: usize = 2;
/// A column gives way to the width of the terminal down to this.
const NARROWEST: usize = 8;

/// To which side cells lean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A column and its heading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    title: &'static str,
    align: Align,
    yields: bool,
}

impl Column {
    /// Words.
    pub const fn left(title: &'static str) -> Self {
        Column { title, align: Align::Left, yields: false }
    }

    /// Numbers.
    pub const fn right(title: &'static str) -> Self {
        Column { title, align: Align::Right, yields: false }
    }

    /// Names: their middles go when the table is too wide.
    pub const fn name(title: &'static str) -> Self {
        Column { title, align: Align::Left, yields: true }
    }
}

/// A table under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub fn new(columns: impl Into<Vec<Column>>) -> Self {
        Table { columns: columns.into(), rows: Vec::new() }
    }

    /// Adds a row. Cells that are missing stay empty, cells too many are left out.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().map(|cell| clean(&cell).into_owned()).collect();
        cells.resize(self.columns.len(), String::new());
        self.rows.push(cells);
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, a line a row under a line of headings. Without a width nothing is shortened, as a pipe wants it.
    pub fn text(&self, width: Option<usize>, ascii: bool) -> String {
        let widths = self.widths(width);
        let headings: Vec<String> = self.columns.iter().map(|column| column.title.to_owned()).collect();
        let mut text = String::new();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let mut line = String::new();
            for ((column, cell), &wide) in self.columns.iter().zip(row).zip(&widths) {
                let cell = elide(cell, wide);
                let pad = " ".repeat(wide - columns(&cell));
                match column.align {
                    Align::Left => line.extend([cell.as_ref(), &pad]),
                    Align::Right => line.extend([&pad, cell.as_ref()]),
                }
                line.push_str(&" ".repeat(GAP));
            }
            let line = line.trim_end_matches(' ');
            text.push_str(&if ascii { to_ascii(line) } else { line.to_owned() });
            text.push('\n');
        }
        text
    }

    fn widths(&self, width: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|column| columns(column.title)).collect();
        for row in &self.rows {
            for (wide, cell) in widths.iter_mut().zip(row) {
                *wide = (*wide).max(columns(cell));
            }
        }
        let Some(room) = width else { return widths };
        let gaps = GAP * self.columns.len().saturating_sub(1);
        let mut over = (widths.iter().sum::<usize>() + gaps).saturating_sub(room);
        // The widest name gives first, so that short ones stay whole.
        while over > 0 {
            let yielding = (0..widths.len()).filter(|&i| self.columns[i].yields && widths[i] > NARROWEST);
            let Some(widest) = yielding.max_by_key(|&i| widths[i]) else { break };
            widths[widest] -= 1;
            over -= 1;
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tasks() -> Table {
        let columns =
            [Column::right("TASK"), Column::left("STATE"), Column::name("PATH"), Column::right("SIZE")];
        let mut table = Table::new(columns);
        for (id, path) in [("7", "calls/0417.mp3"), ("1204", "calls/2024/march/会議の録音/customer.wav")]
        {
            table.row([id.to_owned(), "queued".to_owned(), path.to_owned(), "4.2 MB".to_owned()]);
        }
        table
    }

    #[test]
    fn columns_line_up_and_names_give_way() {
        insta::assert_snapshot!(format!("{}\n{}", tasks().text(None, false), tasks().text(Some(44), false)));
    }

    #[test]
    fn a_short_row_is_filled_and_a_hostile_cell_is_escaped() {
        let mut table = Table::new([Column::left("A"), Column::left("B")]);
        assert!(table.is_empty());
        table.row(["x\u{1b}[2J".to_owned()]);
        assert_eq!(table.text(None, false), "A           B\nx\\u{1b}[2J\n");
    }

    proptest! {
        #[test]
        fn a_table_whose_names_can_give_way_fits(names in proptest::collection::vec("\\PC{0,60}", 0..8), width in 20usize..120) {
            let mut table = Table::new([Column::right("N"), Column::name("PATH")]);
            for name in names {
                table.row(["1".to_owned(), name]);
            }
            for ascii in [false, true] {
                for line in table.text(Some(width), ascii).lines() {
                    prop_assert!(columns(line) <= width, "{line:?}");
                }
            }
        }
    }
}
