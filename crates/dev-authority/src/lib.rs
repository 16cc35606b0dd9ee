//! keyward-dev-authority
