//! keyward-broker
