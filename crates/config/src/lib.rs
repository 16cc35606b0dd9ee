//! keyward-config
