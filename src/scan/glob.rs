//! Include and exclude, compiled once. Matching is on bytes, so names that are not UTF-8 can match too.

use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::{PassedOver, ScanError, ScanSettings};

/// Both lists of a walk.
pub(super) struct Globs {
    include: GlobSet,
    exclude: GlobSet,
}

impl Globs {
    pub(super) fn new(settings: &ScanSettings) -> Result<Self, ScanError> {
        Ok(Globs { include: compile(&settings.include)?, exclude: compile(&settings.exclude)? })
    }

    /// Why a path, relative to the root, is left out. Folders need not be included: what lies in them may be.
    pub(super) fn passed_over(&self, path: &Path, is_folder: bool) -> Option<PassedOver> {
        if self.exclude.is_match(path) {
            Some(PassedOver::Excluded)
        } else if is_folder || self.include.is_empty() || self.include.is_match(path) {
            None
        } else {
            Some(PassedOver::NotIncluded)
        }
    }
}

/// Whether every glob of the settings can be read: for a check before any work.
///
/// # Errors
/// [`ScanError::Glob`] for the first that cannot.
pub fn check_globs(settings: &ScanSettings) -> Result<(), ScanError> {
    Globs::new(settings).map(drop)
}

fn compile(globs: &[String]) -> Result<GlobSet, ScanError> {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        let refused = |why: String| ScanError::Glob { glob: glob.clone(), why };
        for pattern in patterns(glob) {
            let built = GlobBuilder::new(&pattern).literal_separator(true).build();
            set.add(built.map_err(|e| refused(e.kind().to_string()))?);
        }
        if glob.trim_matches('/').is_empty() {
            return Err(refused("it is empty".into()));
        }
    }
    // A set of globs that were all built one by one fails only by its size.
    set.build().map_err(|e| ScanError::Glob { glob: globs.join(" "), why: e.kind().to_string() })
}

/// What people mean: a name at any depth, a path from the root, `folder/` with all below it.
fn patterns(glob: &str) -> Vec<String> {
    let (anchored, glob) = match glob.strip_prefix('/').or_else(|| glob.strip_prefix("./")) {
        Some(rest) => (true, rest),
        None => (false, glob),
    };
    let (folder, glob) = match glob.strip_suffix('/') {
        Some(rest) => (true, rest),
        None => (false, glob),
    };
    let base = if anchored || glob.contains('/') { glob.to_owned() } else { format!("**/{glob}") };
    if folder { vec![format!("{base}/**"), base] } else { vec![base] }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn takes(include: &[&str], exclude: &[&str], path: &[u8]) -> bool {
        let owned = |globs: &[&str]| globs.iter().map(|&g| g.to_owned()).collect();
        let settings =
            ScanSettings { include: owned(include), exclude: owned(exclude), ..ScanSettings::default() };
        Globs::new(&settings).unwrap().passed_over(Path::new(OsStr::from_bytes(path)), false).is_none()
    }

    #[test]
    fn a_name_is_meant_at_any_depth_and_a_path_from_the_root() {
        assert!(takes(&["*.wav"], &[], b"a.wav") && takes(&["*.wav"], &[], b"x/y/a.wav"));
        assert!(takes(&["x/*.wav"], &[], b"x/a.wav") && !takes(&["x/*.wav"], &[], b"x/y/a.wav"));
        assert!(takes(&["x/**/*.wav"], &[], b"x/y/z/a.wav") && takes(&["x/**/*.wav"], &[], b"x/a.wav"));
        assert!(takes(&["/a.wav"], &[], b"a.wav") && !takes(&["/a.wav"], &[], b"x/a.wav"));
        assert!(takes(&["calls/"], &[], b"calls/1/a") && takes(&["calls/"], &[], b"x/calls/a"));
        assert!(!takes(&["calls/"], &[], b"recalls/a"));
        assert!(takes(&["*.{mp3,wav}"], &[], b"a.mp3") && !takes(&["*.{mp3,wav}"], &[], b"a.ogg"));
    }

    #[test]
    fn exclude_wins_over_include() {
        assert!(!takes(&["*.wav"], &["old/"], b"old/a.wav"));
        assert!(!takes(&[], &["*-copy.*"], b"x/a-copy.wav"));
    }

    #[test]
    fn a_name_that_is_not_utf8_can_match() {
        assert!(takes(&["*.wav"], &[], b"\xff\xfe/g\xe4.wav"));
        assert!(takes(&["g?.wav"], &[], b"g\xe4.wav"));
        assert!(!takes(&[], &["g*"], b"g\xe4.wav"));
    }

    #[test]
    fn a_glob_that_cannot_be_read_is_named() {
        for bad in ["[a", "{a,b", "", "/"] {
            let settings =
                ScanSettings { exclude: vec!["*.ok".into(), bad.into()], ..ScanSettings::default() };
            match check_globs(&settings) {
                Err(ScanError::Glob { glob, .. }) => assert_eq!(glob, bad),
                other => panic!("{bad}: {other:?}"),
            }
        }
        assert_eq!(check_globs(&ScanSettings::default()), Ok(()));
    }
}
