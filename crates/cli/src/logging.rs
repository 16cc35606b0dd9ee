//! What happens on the way, on stderr, for those who ask.

use std::io;

use keyward_config::Environment;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging if `--verbose` or `$KEYWARD_LOG` asks for it. A directive nobody understands is
/// the broker's configuration error to report, not a reason to refuse a token.
pub fn start(verbose: bool, environment: &Environment) {
    let directives = environment
        .variable("KEYWARD_LOG")
        .and_then(|text| text.to_str());
    let wanted = match (directives, verbose) {
        (_, true) => "debug",
        (Some(directives), false) => directives,
        (None, false) => return,
    };
    let Ok(targets) = wanted.parse::<Targets>() else {
        return;
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false);
    // A program that embeds this one may log already; then its way is ours.
    let _ = tracing_subscriber::registry()
        .with(targets)
        .with(lines)
        .try_init();
}
