//! keyward-jose
