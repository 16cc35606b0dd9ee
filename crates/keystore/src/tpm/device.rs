//! What the TPM says about itself, and its random numbers.

use tss_esapi::constants::{CapabilityType, PropertyTag};
use tss_esapi::structures::CapabilityData;
use zeroize::Zeroizing;

use super::context::Connection;
use super::fault::Fault;
use crate::Device;

/// Vendor strings of TPMs that are programs: libtpms (swtpm, QEMU), the reference implementation.
const PROGRAMS: [&str; 3] = ["SW   TPM", "xCG fTPM", "fTPM simulator"];

/// Who made it, what it is, and whether it is a program.
pub(super) fn describe(connection: &mut Connection) -> Result<Device, Fault> {
    let maker = text(&[property(connection, PropertyTag::Manufacturer)?]);
    let model = text(&[
        property(connection, PropertyTag::VendorString1)?,
        property(connection, PropertyTag::VendorString2)?,
        property(connection, PropertyTag::VendorString3)?,
        property(connection, PropertyTag::VendorString4)?,
    ]);
    let firmware = property(connection, PropertyTag::FirmwareVersion1)?
        .map(|version| format!("{}.{}", version >> 16, version & 0xffff));
    let says_so = model
        .as_deref()
        .is_some_and(|model| PROGRAMS.iter().any(|program| model.contains(program)));
    Ok(Device {
        simulator: says_so || connection.tcti().is_simulator(),
        maker,
        model,
        firmware,
    })
}

/// A property of the TPM as it is now.
pub(super) fn property(
    connection: &mut Connection,
    tag: PropertyTag,
) -> Result<Option<u32>, Fault> {
    let (found, _) =
        connection
            .context
            .get_capability(CapabilityType::TpmProperties, tag.into(), 1)?;
    let CapabilityData::TpmProperties(list) = found else {
        return Ok(None);
    };
    let wanted = list.into_iter().find(|found| found.property() == tag);
    Ok(wanted.map(|found| found.value()))
}

/// Four characters in each number. What is not printable is left away.
fn text(numbers: &[Option<u32>]) -> Option<String> {
    let bytes = numbers.iter().flatten().flat_map(|part| part.to_be_bytes());
    let text: String = bytes
        .map(char::from)
        .filter(|character| character.is_ascii_graphic() || *character == ' ')
        .collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Random bytes of the TPM's generator.
pub(super) fn random(
    connection: &mut Connection,
    count: usize,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    /// What every TPM gives at once: a digest of SHA-256.
    const AT_ONCE: usize = 32;
    let mut bytes = Zeroizing::new(Vec::with_capacity(count + AT_ONCE));
    while bytes.len() < count {
        let more = connection.in_session(|context, _| Ok(context.get_random(AT_ONCE)?))?;
        if more.value().is_empty() {
            return Err(Fault::Busy("it has no random numbers now".to_owned()));
        }
        bytes.extend_from_slice(more.value());
    }
    bytes.truncate(count);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_out_of_numbers() {
        let number = |text: &[u8; 4]| Some(u32::from_be_bytes(*text));
        assert_eq!(text(&[number(b"IBM\0")]).unwrap(), "IBM");
        assert_eq!(
            text(&[number(b"SW  "), number(b" TPM"), None, Some(0)]).unwrap(),
            "SW   TPM"
        );
        assert_eq!(text(&[Some(0), None]), None);
    }
}
