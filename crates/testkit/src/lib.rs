//! keyward-testkit
