//! What went wrong between us and the TPM, sorted by what can be done about it.

use tss_esapi::Error;

use crate::error::KeyStoreError;

/// Why a command did not do what it should, as whoever runs it has to know.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection, or what we had loaded over it, is gone. A new one may serve.
    Disconnected(String),
    /// The TPM has no room for another object or session.
    Full(String),
    /// The TPM asks to be asked again.
    Busy(String),
    /// An authorization value was wrong, or the session that should have proved it is not ours any
    /// more.
    Unauthorized,
    /// The PIN was wrong.
    WrongPin,
    /// The TPM takes no PIN for now.
    Locked,
    /// A blob was changed, or is not of this parent.
    Integrity,
    /// Any other refusal.
    Refused {
        /// The response code without the number of the parameter, handle or session it is about.
        code: u32,
        /// What it means.
        text: String,
    },
    /// Nothing the TPM said: what callers are told as it is.
    Final(KeyStoreError),
}

/// Response codes (TPM 2.0 Library, part 2, §6.6), those of format one without their number.
pub(super) mod code {
    pub(in crate::tpm) const VALUE: u32 = 0x84;
    pub(super) const HANDLE: u32 = 0x8b;
    pub(in crate::tpm) const HASH: u32 = 0x83;
    pub(in crate::tpm) const SIZE: u32 = 0x95;
    pub(in crate::tpm) const CURVE: u32 = 0xa6;
    pub(in crate::tpm) const NV_DEFINED: u32 = 0x14c;
    /// Also what libtpms says of a text that is not encrypted to the key.
    pub(in crate::tpm) const FAILURE: u32 = 0x101;
    pub(super) const AUTH_FAIL: u32 = 0x8e;
    pub(super) const BAD_AUTH: u32 = 0xa2;
    pub(super) const INTEGRITY: u32 = 0x9f;
    pub(super) const INITIALIZE: u32 = 0x100;
    pub(super) const OBJECT_MEMORY: u32 = 0x902;
    pub(super) const OBJECT_HANDLES: u32 = 0x906;
    pub(super) const YIELDED: u32 = 0x908;
    pub(super) const CANCELED: u32 = 0x909;
    pub(super) const TESTING: u32 = 0x90a;
    pub(super) const REFERENCE_H0: u32 = 0x910;
    pub(super) const REFERENCE_S6: u32 = 0x91e;
    pub(super) const NV_RATE: u32 = 0x920;
    pub(super) const LOCKOUT: u32 = 0x921;
    pub(super) const RETRY: u32 = 0x922;
    pub(super) const NV_UNAVAILABLE: u32 = 0x923;
}

/// Bit of a response code of format one.
const FORMAT_ONE: u32 = 0x80;
/// What remains of such a code when the number of what it is about is taken away.
const FORMAT_ONE_CODE: u32 = 0xbf;
/// Bits above those a TPM sets: which layer of the software in between speaks.
const LAYER: u32 = 16;
/// A resource manager that answers as the TPM would.
const LAYERS_OF_TPM: [u32; 2] = [0, 12];

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match response_code(error) {
            Some(raw) if LAYERS_OF_TPM.contains(&(raw >> LAYER)) => {
                Self::of_tpm(raw & 0xffff, text)
            }
            // The transport, the resource manager or the library lost track.
            Some(raw) => Self::Disconnected(format!("the connection to it failed ({raw:#x})")),
            None => Self::Disconnected(text),
        }
    }
}

impl Fault {
    fn of_tpm(raw: u32, text: String) -> Self {
        let code = match raw & FORMAT_ONE {
            0 => raw,
            _ => raw & FORMAT_ONE_CODE,
        };
        match code {
            code::OBJECT_MEMORY..=code::OBJECT_HANDLES => Self::Full(text),
            code::YIELDED
            | code::CANCELED
            | code::TESTING
            | code::NV_RATE
            | code::RETRY
            | code::NV_UNAVAILABLE => Self::Busy(text),
            // A handle of ours that is not there any more: a restart in between.
            code::REFERENCE_H0..=code::REFERENCE_S6 | code::HANDLE | code::INITIALIZE => {
                Self::Disconnected(text)
            }
            code::LOCKOUT => Self::Locked,
            code::AUTH_FAIL | code::BAD_AUTH => Self::Unauthorized,
            code::INTEGRITY => Self::Integrity,
            code => Self::Refused { code, text },
        }
    }

    /// Whether the TPM refused with this code.
    pub(super) fn is(&self, wanted: u32) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == wanted)
    }
}

/// The response code behind an error of the library, which offers it in its text alone.
fn response_code(error: Error) -> Option<u32> {
    use tss_esapi::constants::response_code::Tss2ResponseCode;
    let Error::Tss2Error(code) = error else {
        return None;
    };
    let text = match code {
        Tss2ResponseCode::Success => return Some(0),
        Tss2ResponseCode::FormatZero(code) => code.to_string(),
        Tss2ResponseCode::FormatOne(code) => code.to_string(),
    };
    let (_, digits) = text.rsplit_once("0x")?;
    u32::from_str_radix(digits, 16).ok()
}

impl From<Fault> for KeyStoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Disconnected(text) | Fault::Full(text) | Fault::Busy(text) => {
                Self::Unavailable(text)
            }
            Fault::WrongPin => Self::WrongPin { remaining: None },
            Fault::Unauthorized => Self::Unsupported(
                "a TPM whose owner has set an authorization value for its storage hierarchy",
            ),
            Fault::Locked => Self::LockedOut("wait some minutes, then try again".to_owned()),
            Fault::Integrity => Self::NotOurs,
            Fault::Refused { code, text } => {
                Self::Unavailable(format!("it refused ({code:#x}): {text}"))
            }
            Fault::Final(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_by_what_can_be_done() {
        let sort = |raw| Fault::of_tpm(raw, String::new());
        // As seen: with a session number, with a parameter number, plain.
        assert!(matches!(sort(0x98e), Fault::Unauthorized));
        assert!(matches!(sort(0x9a2), Fault::Unauthorized));
        assert!(matches!(sort(0x1df), Fault::Integrity));
        assert!(matches!(sort(0x902), Fault::Full(_)));
        assert!(matches!(sort(0x903), Fault::Full(_)));
        assert!(matches!(sort(0x922), Fault::Busy(_)));
        assert!(matches!(sort(0x90a), Fault::Busy(_)));
        assert!(matches!(sort(0x918), Fault::Disconnected(_)));
        assert!(matches!(sort(0x910), Fault::Disconnected(_)));
        assert!(matches!(sort(0x921), Fault::Locked));
        assert!(matches!(sort(0x18b), Fault::Disconnected(_)));
        assert!(sort(0x2c4).is(code::VALUE));
    }

    #[test]
    fn a_transport_that_fails_is_told_from_a_tpm_that_refuses() {
        let nowhere = "swtpm:host=127.0.0.1,port=1".parse().unwrap();
        let error = tss_esapi::Context::new(nowhere).unwrap_err();
        let raw = response_code(error).unwrap();
        assert_eq!(raw >> LAYER, 10, "{raw:#x}");
        assert!(matches!(Fault::from(error), Fault::Disconnected(_)));
    }
}
