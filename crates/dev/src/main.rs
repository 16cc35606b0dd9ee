//! keyward-dev
fn main() {}
