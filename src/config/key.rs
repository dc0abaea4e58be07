//! Finds secrets: environment, a file of its own, a systemd credential. Never a flag, never `jobs.toml`.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use super::error::{Code, Problem};
use super::origin::Origin;
use super::reader::Environment;

/// Where a secret may be, beside the file that a setting names.
pub(super) struct Places {
    /// What it is, in messages.
    pub(super) says: &'static str,
    /// Variables that may hold it, the first one wins.
    pub(super) variables: &'static [&'static str],
    /// The name of the systemd credential: `LoadCredential=voxbatch-api-key:/etc/voxbatch/api-key`.
    pub(super) credential: &'static str,
}

/// The key of the Velma models.
pub(super) const API_KEY: Places = Places {
    says: "key",
    variables: &["VOXBATCH_API_KEY", "MODULATE_API_KEY"],
    credential: "voxbatch-api-key",
};
/// The account of the Platform API.
pub(super) const PLATFORM_ACCOUNT: Places = Places {
    says: "account",
    variables: &["VOXBATCH_PLATFORM_ACCOUNT"],
    credential: "voxbatch-platform-account",
};
/// The key of that account.
pub(super) const PLATFORM_KEY: Places = Places {
    says: "key",
    variables: &["VOXBATCH_PLATFORM_API_KEY"],
    credential: "voxbatch-platform-api-key",
};

/// Longer files hold something else.
const MAX_BYTES: u64 = 4096;

/// Where the key came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KeyOrigin {
    /// There is none; an error only when something is to be sent.
    #[default]
    Missing,
    /// A variable of the environment.
    Env(&'static str),
    /// The file that `api_key_file` names.
    File(PathBuf),
    /// A systemd credential.
    Credential(PathBuf),
}

impl fmt::Display for KeyOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyOrigin::Missing => f.write_str("missing"),
            KeyOrigin::Env(name) => write!(f, "env {name}"),
            KeyOrigin::File(path) => write!(f, "{}", path.display()),
            KeyOrigin::Credential(path) => write!(f, "{} (systemd credential)", path.display()),
        }
    }
}

/// Looks in every place, in order: `--api-key-file` (flags win), the variables, `api_key_file`, the credential.
///
/// # Errors
/// The first place that says something holds no usable key. What it holds is not told.
pub(super) fn find(
    places: &Places,
    file: Option<(PathBuf, Origin)>,
    env: Environment<'_>,
) -> Result<(Option<SecretString>, KeyOrigin), Problem> {
    let file = match file {
        Some((path, Origin::Flag(_))) => {
            return from_file(&path, places.says).map(|key| (Some(key), KeyOrigin::File(path)));
        }
        other => other,
    };
    for &name in places.variables {
        if let Some(value) = env(name).filter(|value| !value.is_empty()) {
            let text =
                value.to_str().ok_or_else(|| refuse(format!("the {} in {name} is not text", places.says)))?;
            return Ok((Some(usable(text, name, places.says)?), KeyOrigin::Env(name)));
        }
    }
    if let Some((path, _)) = file {
        return from_file(&path, places.says).map(|key| (Some(key), KeyOrigin::File(path)));
    }
    let credential = env("CREDENTIALS_DIRECTORY").map(|folder| Path::new(&folder).join(places.credential));
    match credential.filter(|path| path.exists()) {
        Some(path) => from_file(&path, places.says).map(|key| (Some(key), KeyOrigin::Credential(path))),
        None => Ok((None, KeyOrigin::Missing)),
    }
}

fn refuse(what: String) -> Problem {
    Problem::new(Code::Key, what).mend("where keys belong: voxbatch init --full -o -")
}

/// Reads a secret of this kind from a file that only its users may read, without repeating it.
pub(super) fn from_file(path: &Path, what: &str) -> Result<SecretString, Problem> {
    let name = path.display();
    let unreadable =
        |error: std::io::Error| refuse(format!("the {what} file {name} cannot be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    // Asked of the open file, so that nobody can swap it in between.
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & 0o006 != 0 {
        let what =
            format!("the {what} file {name} is open to everyone on this machine (mode {:03o})", mode & 0o777);
        return Err(refuse(what).mend(format!("chmod 600 {name}")));
    }
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(refuse(format!("the {what} file {name} is too long for a {what}")));
    }
    usable(&text, &format!("the {what} file {name}"), what)
}

/// Without the newline that editors add. What cannot travel in a header is refused.
pub(super) fn usable(text: &str, place: &str, what: &str) -> Result<SecretString, Problem> {
    let key = text.trim();
    if key.is_empty() {
        return Err(refuse(format!("{place} is empty")));
    }
    if !key.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(refuse(format!("{place} holds no {what}: spaces or characters that no {what} has")));
    }
    Ok(SecretString::from(key))
}

/// What may be shown of a key: its last four characters, or only that it is set.
pub(super) fn hint(key: &SecretString) -> String {
    let key = key.expose_secret();
    match key.len() {
        12.. => format!("…{}", &key[key.len() - 4..]),
        _ => "set".to_owned(),
    }
}
