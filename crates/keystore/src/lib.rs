//! keyward-keystore
