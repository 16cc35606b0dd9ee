//! keyward-session
