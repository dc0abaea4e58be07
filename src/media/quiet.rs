//! Where a recording is cut: at the quietest place of the last part of what fits, so that no word is cut if that can be
//! helped. Plain numbers; `cut` has the sound.

use std::ops::RangeInclusive;

/// Blocks on either side of a place that count for how quiet it is there: together about half a second.
const AROUND: usize = 2;

/// Of the blocks that fit, the last quarter is searched.
const SEARCHED: usize = 4;

/// Between which blocks a piece may end: it has to have more than `least` of them, and `most` at most. `None`: there is no
/// such place.
pub(super) fn places(least: usize, most: usize) -> Option<RangeInclusive<usize>> {
    (most > least).then(|| (most - most / SEARCHED).max(least + 1)..=most)
}

/// The quietest of these places, the last one of several. Place `n` lies in front of block `n`; each block has a level.
pub(super) fn quietest(levels: &[f64], places: RangeInclusive<usize>) -> usize {
    let last = *places.end();
    let loudness = |place: usize| {
        let around = place.saturating_sub(AROUND)..(place + AROUND).min(levels.len());
        let near = levels.get(around).unwrap_or_default();
        near.iter().sum::<f64>() / near.len().max(1) as f64
    };
    let quieter = |best: (usize, f64), place: usize| match loudness(place) {
        here if here <= best.1 => (place, here),
        _ => best,
    };
    places.fold((last, f64::INFINITY), quieter).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_lies_in_the_middle_of_the_quietest_half_second() {
        let mut levels = vec![1.0; 40];
        levels[33..37].fill(0.1);
        levels[20] = 0.0;
        assert_eq!(quietest(&levels, 30..=40), 35);
        assert_eq!(quietest(&levels, 10..=40), 35, "a gap between two words is shorter");
    }

    #[test]
    fn where_all_is_alike_a_piece_is_as_long_as_it_may_be() {
        assert_eq!(quietest(&[0.0; 40], 30..=40), 40);
        assert_eq!(quietest(&[0.5; 40], 30..=38), 38);
    }

    #[test]
    fn only_the_last_quarter_is_searched_and_a_piece_is_never_empty() {
        assert_eq!(places(0, 100), Some(75..=100));
        assert_eq!(places(90, 100), Some(91..=100));
        assert_eq!(places(0, 1), Some(1..=1));
        assert_eq!((places(0, 0), places(7, 7)), (None, None));
    }
}
