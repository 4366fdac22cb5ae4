//! Keys of the identity numbers of a local system: made once, kept in the data folder for its owner alone.

use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chassis::Env;

/// Takes a password from the environment, and not among the arguments, which whoever lists processes reads.
///
/// # Errors
/// If it is an argument of this process.
pub fn unseen(password: &str) -> Result<String, String> {
    let seen = |argument: String| argument == password || argument.ends_with(&format!("={password}"));
    if std::env::args().any(seen) {
        return Err(
            "参数中的密码可被列出进程者看到，请改用环境变量 / a password among the arguments is seen by whoever lists \
                    processes: set the environment variable"
                .to_owned(),
        );
    }
    Ok(password.to_owned())
}

/// The same for a URL, if it holds a password.
///
/// # Errors
/// If it does, and is an argument of this process.
pub fn unseen_url(url: &str) -> Result<String, String> {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let holds_password = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    if holds_password { unseen(url) } else { Ok(url.to_owned()) }
}

/// The roster's `[identity]` section, read from `folder` or made there.
///
/// # Errors
/// If the folder cannot be read or written.
pub fn identity_numbers(folder: &Path) -> anyhow::Result<toml::Table> {
    let path = folder.join("identity-numbers.toml");
    if !path.exists() {
        let env = Env::system();
        let key = |bytes: [u8; 32]| STANDARD.encode(bytes);
        let text = format!(
            "# Losing this file loses every identity number.\ncurrent = \"1\"\nindex_key = \"{}\"\nkeys.1 = \"{}\"\n",
            key(env.random()?),
            key(env.random()?)
        );
        // Written aside and renamed: nobody may ever find half of it.
        let aside = folder.join("identity-numbers.new");
        let mut file = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&aside, &path)?;
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    text.parse().with_context(|| format!("{} is not what was written there", path.display()))
}
