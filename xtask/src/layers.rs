//! `cargo xtask layers`: which crate depends on which, and which may touch what.
//!
//! Three questions, each answered from data in [`table`]: may this crate depend on that one, may
//! it use this library, and may its source name this part of the standard library.

mod graph;
mod source;
mod table;

use crate::metadata::Metadata;
use crate::steps::{Failure, Outcome, root};

/// Checks the whole workspace and names everything that is wrong, not only the first.
pub fn run() -> Outcome {
    let workspace = Metadata::of_workspace()?;
    let mut wrong = graph::check(&workspace);
    wrong.extend(source::check(&root())?);
    if wrong.is_empty() {
        return Ok(());
    }
    wrong.sort();
    Err(Failure::new(format!(
        "{} breach(es) of the layers:\n\n{}",
        wrong.len(),
        wrong.join("\n\n")
    )))
}

/// The name of a package in the tables: its folder's, without the project's prefix.
fn short(package: &str) -> &str {
    package.strip_prefix("keyward-").unwrap_or(package)
}
