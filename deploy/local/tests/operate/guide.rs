//! docs/operate.md, followed word for word: what it says of the first term is run as it stands there, on an empty system.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

const PASSWORD: &str = "shixun-operate";
const POLL: Duration = Duration::from_millis(50);
const POLLS: usize = 600;

/// A program, killed with the test.
pub struct System(pub Child);

impl Drop for System {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// All commands of a section, in order.
fn commands(page: &str, section: &str) -> String {
    let section = page.split("\n## ").find(|text| text.starts_with(section)).unwrap_or_default();
    let blocks = section.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    blocks.collect::<Vec<_>>().join("\n")
}

/// Sets up the first term by the guide's commands, with these variables (`GATEWAY`, `PASSWORD`, …), and holds what they print.
pub fn first_term(variables: &[(&str, &str)]) -> anyhow::Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let script = commands(&std::fs::read_to_string(root.join("docs/operate.md"))?, "The first term");
    assert!(script.contains("PutCalendar"), "the guide does not get to the calendar: {script}");
    let followed = Command::new("timeout")
        .args(["60", "bash", "-euo", "pipefail", "-c", &script])
        .current_dir(&root)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()?;
    let (said, told) = (String::from_utf8(followed.stdout)?, String::from_utf8(followed.stderr)?);
    anyhow::ensure!(followed.status.success(), "{}: {said}\n{told}", followed.status);
    // The calendar was taken as its first version.
    assert!(said.contains("\"version\": \"1\"") && said.contains("\"selection-1\""), "{said}");
    Ok(said)
}

#[tokio::test]
async fn the_first_term_is_set_up_as_the_guide_says() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let system = Command::new(env!("CARGO_BIN_EXE_shixun"))
        .args(["system", "--begin", "2019-06-17T00:00:00Z", "--data"])
        .env("SHIXUN_OPERATOR_PASSWORD", PASSWORD)
        .arg(data.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut system = System(system);
    let gateway = listening(&mut system, data.path()).await?;
    let gateway = format!("http://{gateway}");
    let variables = [("GATEWAY", gateway.as_str()), ("PASSWORD", PASSWORD), ("OFFICER_PASSWORD", "shixun-officer")];
    let said = first_term(&variables)?;
    // Its term has begun.
    assert!(said.contains("2019-06-17"), "{said}");
    // Whoever was interrupted begins again.
    assert_eq!(first_term(&variables)?, said);
    Ok(())
}

/// Where the gateway of a system listens, once it does.
pub async fn listening(system: &mut System, data: &Path) -> anyhow::Result<SocketAddr> {
    for _ in 0..POLLS {
        let ended = system.0.try_wait()?;
        anyhow::ensure!(ended.is_none(), "the system ended: {ended:?}");
        let addresses = std::fs::read_to_string(data.join("addresses.toml")).unwrap_or_default();
        let gateway = addresses.parse::<toml::Table>()?.get("gateway").and_then(|at| at.as_str()?.parse().ok());
        if let Some(gateway) = gateway
            && tokio::net::TcpStream::connect(gateway).await.is_ok()
        {
            return Ok(gateway);
        }
        tokio::time::sleep(POLL).await;
    }
    anyhow::bail!("the system does not come up")
}
