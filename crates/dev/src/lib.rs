//! keyward-dev
