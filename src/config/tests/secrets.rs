//! The key: where it is looked for, what is refused, what is shown of it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;

use super::super::{Code, KeyOrigin, Overrides};
use super::{JOB, load_with};

const KEY: &str = "mk-live-0123456789a91f";

fn key_file(folder: &Path, name: &str, content: &str, mode: u32) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn with_file(path: &Path) -> String {
    format!("api.api_key_file = \"{}\"\n{JOB}", path.display())
}

#[test]
fn the_key_is_looked_for_in_the_variables_the_file_and_the_credential_in_this_order() {
    let folder = tempfile::tempdir().unwrap();
    let credential = key_file(folder.path(), "voxbatch-api-key", "from-credential\n", 0o400);
    let file = key_file(folder.path(), "file", "from-file\r\n", 0o600);
    let flag = key_file(folder.path(), "flag", "from-flag", 0o600);
    let directory = folder.path().to_str().unwrap();
    let text = with_file(&file);
    let none = Overrides::default();
    let flagged = Overrides { api_key_file: Some(flag.clone()), ..Overrides::default() };
    let credentials = ("CREDENTIALS_DIRECTORY", directory);
    let modulate = ("MODULATE_API_KEY", "from-modulate");
    let own = ("VOXBATCH_API_KEY", "from-own");
    for (text, flags, env, expected, origin) in [
        (JOB, &none, &[credentials][..], "from-credential", KeyOrigin::Credential(credential)),
        (&text, &none, &[credentials], "from-file", KeyOrigin::File(file.clone())),
        (&text, &none, &[credentials, modulate], "from-modulate", KeyOrigin::Env("MODULATE_API_KEY")),
        (&text, &none, &[modulate, own], "from-own", KeyOrigin::Env("VOXBATCH_API_KEY")),
        (&text, &flagged, &[own], "from-flag", KeyOrigin::File(flag)),
    ] {
        let config = load_with(text, flags, env).unwrap();
        assert_eq!(config.velma().unwrap().api_key.expose_secret(), expected);
        assert_eq!(config.key_origin, origin);
    }
}

#[test]
fn a_missing_key_is_an_error_only_when_something_is_to_be_sent() {
    let config = load_with(JOB, &Overrides::default(), &[("VOXBATCH_API_KEY", "")]).unwrap();
    assert_eq!((&config.key_origin, config.key_problem()), (&KeyOrigin::Missing, None));
    let error = config.velma().unwrap_err();
    assert_eq!(error.problems()[0].code, Code::Key);
    assert!(error.render().contains("VOXBATCH_API_KEY"));
}

#[test]
fn a_key_file_that_nobody_should_trust_is_refused_and_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    for (content, mode, told) in [
        (KEY, 0o644, "mode 644"),
        (KEY, 0o602, "mode 602"),
        ("\n", 0o600, "is empty"),
        ("two words s3cr3t", 0o600, "holds no key"),
        ("s3cr3t\u{e9}", 0o600, "holds no key"),
        (&"s3cr3t".repeat(1000), 0o600, "too long"),
    ] {
        let path = key_file(folder.path(), "key", content, mode);
        let error =
            load_with(&with_file(&path), &Overrides::default(), &[]).unwrap().require_key().unwrap_err();
        let text = error.render();
        assert!(text.contains(told) && !text.contains("s3cr3t") && !text.contains(KEY), "{text}");
        if mode != 0o600 {
            assert!(text.contains(&format!("chmod 600 {}", path.display())), "{text}");
        }
    }
    let error = load_with(&with_file(&folder.path().join("none")), &Overrides::default(), &[]).unwrap();
    assert!(error.key_problem().unwrap().render().contains("cannot be read"));
}

#[test]
fn of_a_key_only_its_last_four_letters_are_shown_and_of_a_short_one_nothing() {
    let load = |key| load_with(JOB, &Overrides::default(), &[("VOXBATCH_API_KEY", key)]).unwrap();
    let config = load(KEY);
    assert_eq!(config.key_hint().as_deref(), Some("…a91f"));
    assert_eq!(load("elevenchars").key_hint().as_deref(), Some("set"));
    for text in [config.to_toml(true), config.to_json().to_string(), format!("{config:?}")] {
        assert!(!text.contains(KEY), "{text}");
    }
    assert!(config.to_toml(true).contains("# API key: …a91f from env VOXBATCH_API_KEY"));
}
