//! The vectors the tests of this crate share.

/// `vectors/device-binding.json`.
pub(crate) fn vectors() -> serde_json::Value {
    serde_json::from_str(include_str!("../../../vectors/device-binding.json")).unwrap()
}
