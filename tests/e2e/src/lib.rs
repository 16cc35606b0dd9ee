//! keyward-e2e
