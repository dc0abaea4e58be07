//! Markdown tables of medians, and the page that they go into.

use std::fs;
use std::io;
use std::path::Path;

use crate::clients::Client;
use crate::trial::Trial;

/// A figure of a trial, beside the floor's trial of the same round.
pub(crate) struct Column<'c> {
    pub(crate) title: &'c str,
    pub(crate) of: &'c dyn Fn(&Trial, &Trial) -> f64,
    pub(crate) show: fn(f64) -> String,
}

/// A row for each client: the median of each figure over the rounds. `floor` is whose trials ratios are taken to.
pub(crate) fn of_clients(trials: &[Trial], floor: Client, columns: &[Column<'_>]) -> String {
    let mut clients: Vec<Client> = Vec::new();
    for trial in trials {
        if !clients.contains(&trial.client) {
            clients.push(trial.client);
        }
    }
    let rows = clients.iter().map(|&client| {
        let mut row = vec![client.name().to_owned()];
        for column in columns {
            let figures = trials.iter().filter(|t| t.client == client).filter_map(|trial| {
                let floor = trials.iter().find(|t| t.client == floor && t.round == trial.round)?;
                Some((column.of)(trial, floor))
            });
            row.push(median(figures.collect()).map_or("–".to_owned(), column.show));
        }
        row
    });
    let titles: Vec<&str> = ["client"].into_iter().chain(columns.iter().map(|c| c.title)).collect();
    markdown(&titles, rows)
}

/// A table; numbers stand to the right.
pub(crate) fn markdown(titles: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|---|{}\n", titles.join(" | "), "---:|".repeat(titles.len() - 1));
    for row in rows {
        text.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    text
}

/// The middle one; of two, the mean.
pub(crate) fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.retain(|figure| figure.is_finite());
    figures.sort_by(f64::total_cmp);
    let half = figures.len() / 2;
    match figures.len() {
        0 => None,
        n if n % 2 == 1 => Some(figures[half]),
        _ => Some((figures[half - 1] + figures[half]) / 2.0),
    }
}

/// Three digits that count.
pub(crate) fn digits(figure: f64) -> String {
    match figure.abs() {
        x if x >= 99.95 => format!("{figure:.0}"),
        x if x >= 9.995 => format!("{figure:.1}"),
        x if x >= 0.9995 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

pub(crate) fn whole(figure: f64) -> String {
    format!("{figure:.0}")
}

pub(crate) fn times(figure: f64) -> String {
    format!("{} ×", digits(figure))
}

pub(crate) fn percent(figure: f64) -> String {
    format!("{:.1} %", figure * 100.0)
}

const BEGIN: &str = "<!-- figures: what stands up to the next mark is written by `just bench-page` -->\n";
const END: &str = "<!-- /figures -->";

/// Puts the text between the marks of a page.
pub(crate) fn into_page(page: &Path, text: &str) -> io::Result<()> {
    let old = fs::read_to_string(page)?;
    let marks = old.find(BEGIN).zip(old.find(END)).filter(|(begin, end)| begin < end);
    let (begin, end) = marks.ok_or_else(|| io::Error::other(format!("{} has no marks", page.display())))?;
    fs::write(page, format!("{}\n{}\n{}", &old[..begin + BEGIN.len()], text.trim_end(), &old[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_and_ignores_what_is_no_number() {
        assert_eq!(median(vec![3.0, 1.0, f64::NAN, 2.0]), Some(2.0));
        assert_eq!(median(vec![1.0, 2.0]), Some(1.5));
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn three_digits_count() {
        assert_eq!([0.0123, 1.234, 12.34, 123.4].map(digits), ["0.012", "1.23", "12.3", "123"]);
    }

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let page = std::env::temp_dir().join(format!("voxbatch-bench-page-{}.md", std::process::id()));
        fs::write(&page, format!("before\n{BEGIN}old\n{END}\nafter\n")).expect("room for a file");
        into_page(&page, "new\n").expect("marks");
        assert_eq!(
            fs::read_to_string(&page).expect("a page"),
            format!("before\n{BEGIN}\nnew\n{END}\nafter\n")
        );
        fs::remove_file(page).expect("a file");
    }
}
