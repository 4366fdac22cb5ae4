//! Keys of the identity numbers of a local system: made once, kept in the data folder for its owner alone.

use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chassis::Env;

use super::SERVICES;

/// File of the keys of identity numbers.
const IDENTITY_NUMBERS: &str = "identity-numbers.toml";
/// Whoever has a key to sign with: the services, and who starts them.
pub(super) const KEYS_OF: [&str; SERVICES.len() + 1] = {
    let [roster, catalog, enrollment, credit, gateway] = SERVICES;
    [roster, catalog, enrollment, credit, gateway, "local"]
};

/// Whether the keys are there that belong to databases which are: others would open nothing of what was sealed, find no
/// duplicate of what was there, and not be those that the changes are signed with.
///
/// # Errors
/// Names the files that are missing.
pub(super) fn all_there(folder: &Path) -> anyhow::Result<()> {
    let files = KEYS_OF.iter().flat_map(|service| [format!("{service}.key"), format!("{service}.pub")]);
    let missing: Vec<String> = files
        .chain([IDENTITY_NUMBERS.to_owned()])
        .map(|file| folder.join(file))
        .filter(|path| !path.exists())
        .map(|path| path.display().to_string())
        .collect();
    let list = missing.join(", ");
    anyhow::ensure!(
        missing.is_empty(),
        "数据库仍在，而密钥缺失：{list}。请从备份恢复这些文件；若无备份，请用 --data 指定其他文件夹\n\
         the databases are there and their keys are missing: {list}. Restore these files from the backup; without one name \
         another folder with --data"
    );
    Ok(())
}

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
    let path = folder.join(IDENTITY_NUMBERS);
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
