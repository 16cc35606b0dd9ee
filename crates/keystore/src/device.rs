//! What holds the keys.

/// What holds the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Who made it, as it says itself.
    pub maker: Option<String>,
    /// Its model, as its maker calls it.
    pub model: Option<String>,
    /// The version of its firmware.
    pub firmware: Option<String>,
    /// Whether it is a program that behaves like a device: it protects nothing from this computer.
    pub simulator: bool,
}

impl Device {
    /// No device at all: files.
    pub const fn software() -> Self {
        Self {
            maker: None,
            model: None,
            firmware: None,
            simulator: false,
        }
    }
}
