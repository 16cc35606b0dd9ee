//! keyward-http
