//! keyward-bench
