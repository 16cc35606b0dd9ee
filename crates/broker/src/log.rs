//! Log lines, on stderr.

use std::io;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What is logged when the configuration does not say, or cannot be read.
pub(crate) const DEFAULT: &str = "info";

/// Starts logging. A program that embeds this one may log already; then its way is ours.
///
/// # Errors
///
/// When the directives are not understood; the default ones are used then.
pub(crate) fn start(directives: &str) -> Result<(), String> {
    let parsed = directives.parse::<Targets>();
    let targets = match &parsed {
        Ok(targets) => targets.clone(),
        Err(_) => Targets::new().with_default(tracing::Level::INFO),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false);
    let _ = tracing_subscriber::registry()
        .with(targets)
        .with(lines)
        .try_init();
    parsed
        .map(drop)
        .map_err(|error| format!("`log` \"{directives}\" is not understood ({error})"))
}
