//! A picture of curves over a number that grows by tens: one panel for each, from zero up, so that flat looks flat.

use std::fmt::Write as _;

pub(crate) struct Curve<'c> {
    pub(crate) title: &'c str,
    /// How many, and what was measured; in rising order.
    pub(crate) points: &'c [(f64, f64)],
}

const WIDTH: f64 = 640.0;
const PANEL: f64 = 190.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 28.0;

/// An SVG that can be read on a light and on a dark page.
pub(crate) fn plot(curves: &[Curve<'_>]) -> String {
    let height = PANEL * curves.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#808080\">\n"
    );
    for (i, curve) in curves.iter().enumerate() {
        panel(&mut svg, curve, PANEL * i as f64);
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, curve: &Curve<'_>, y0: f64) {
    let points: Vec<_> = curve.points.iter().copied().filter(|(_, y)| y.is_finite()).collect();
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
    let top = round_up(points.iter().map(|&(_, y)| y).fold(0.0, f64::max));
    let (low, high) = (first.0.log10(), last.0.log10().max(first.0.log10() + 0.1));
    let x = |count: f64| LEFT + (WIDTH - LEFT - RIGHT) * (count.log10() - low) / (high - low);
    let y = |figure: f64| y0 + TOP + (PANEL - TOP - BOTTOM) * (1.0 - figure / top);
    let right = WIDTH - RIGHT;

    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{:.1}\" font-weight=\"bold\">{}</text>",
        y0 + 18.0,
        curve.title
    );
    for step in [0.0, 0.5, 1.0] {
        let at = y(top * step);
        let _ = writeln!(svg, "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#80808060\"/>");
        let label = top * step;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
    let line: Vec<String> =
        points.iter().map(|&(count, at)| format!("{:.1},{:.1}", x(count), y(at))).collect();
    let line = line.join(" ");
    let _ =
        writeln!(svg, "<polyline points=\"{line}\" fill=\"none\" stroke=\"#2a7ab8\" stroke-width=\"2\"/>");
    for &(count, at) in &points {
        let _ =
            writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"#2a7ab8\"/>", x(count), y(at));
        let bottom = y0 + PANEL - 10.0;
        let name = by_thousands(count as u64);
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{bottom:.1}\" text-anchor=\"middle\">{name}</text>",
            x(count)
        );
    }
}

/// The next 1, 2 or 5 and zeros.
fn round_up(figure: f64) -> f64 {
    let ten = 10f64.powf(figure.max(1.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0].iter().map(|step| step * ten).find(|&step| step >= figure).unwrap_or(figure)
}

fn by_thousands(count: u64) -> String {
    match count {
        0..1_000 => count.to_string(),
        1_000..1_000_000 => format!("{} k", count / 1_000),
        _ => format!("{} M", count / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number() {
        assert_eq!([3.0, 12.0, 50.0, 999.0].map(round_up), [5.0, 20.0, 50.0, 1_000.0]);
    }

    #[test]
    fn a_figure_twice_as_large_stands_twice_as_high() {
        let svg = plot(&[Curve { title: "t", points: &[(1.0, 50.0), (10.0, 100.0)] }]);
        // From 34 (the top, 100) to 162 (zero): 98 is half way.
        assert!(svg.contains("cy=\"98.0\"") && svg.contains("cy=\"34.0\""), "{svg}");
    }
}
