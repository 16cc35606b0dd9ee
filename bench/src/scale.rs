//! Rows for scale: unmodified msal-node through Microsoft's runtime, against the same broker.

use std::path::{Path, PathBuf};
use std::time::Duration;

use keyward_testkit::bus::SessionBus;
use keyward_testkit::keyring::Keyring;
use keyward_testkit::login::Login;
use serde::Deserialize;

use crate::report::{Compare, Report};
use crate::sample::Samples;
use crate::world::Failure;

/// Calls of each kind; each takes tens of milliseconds.
const CALLS: &str = "60";

/// What the script prints, in microseconds.
#[derive(Deserialize)]
struct Durations {
    cached: Vec<f64>,
    brokered: Vec<f64>,
}

/// Adds two rows, if what they need is installed.
pub fn msal_node(report: &mut Report) -> Result<(), Failure> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/e2e/node");
    if !scripts
        .join("node_modules/@azure/msal-node-runtime")
        .exists()
    {
        report.extra("msal_node", "not installed; `cargo xtask setup` does it");
        return Ok(());
    }
    // On a thread of its own: the private login's helpers wait in their own way.
    let measured = std::thread::spawn(move || measure(&scripts).map_err(|error| error.to_string()));
    let durations = measured
        .join()
        .map_err(|_| "measuring msal-node panicked")??;
    let cached = samples(&durations.cached);
    let brokered = samples(&durations.brokered);
    let floor = ("msal-node, cached by its runtime", &cached);
    report.row(
        "msal-node, cached by its runtime",
        &cached,
        floor,
        Compare::Nothing,
    );
    report.row(
        "msal-node, answered by the broker",
        &brokered,
        floor,
        Compare::Nothing,
    );
    Ok(())
}

/// Runs the script in a private login, with an unlocked keyring as Microsoft's runtime needs.
fn measure(scripts: &Path) -> Result<Durations, Failure> {
    let login = Login::new();
    let bus = SessionBus::start(&login, &[]);
    let _keyring = Keyring::start(&login, &bus);
    let output = login
        .command(program("keyward-dev")?)
        .args(["session", "--", "node"])
        .arg(scripts.join("bench.mjs"))
        .arg(CALLS)
        .output()?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        return Err(format!("msal-node failed: {}", reason.trim()).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn program(name: &str) -> Result<PathBuf, Failure> {
    let this = std::env::current_exe()?;
    let program = this.with_file_name(name);
    if program.exists() {
        return Ok(program);
    }
    Err(format!("{name} is not built; use `cargo xtask bench`").into())
}

fn samples(microseconds: &[f64]) -> Samples {
    let mut samples = Samples::default();
    for duration in microseconds {
        samples.push(Duration::from_secs_f64(duration / 1e6));
    }
    samples
}
