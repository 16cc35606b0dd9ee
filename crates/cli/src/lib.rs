//! keyward-cli
