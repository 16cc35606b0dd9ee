//! What stands for a person's permission until it is turned into tokens.

pub(crate) mod codes;
pub(crate) mod consents;
pub(crate) mod devices;
pub(crate) mod refresh;
