//! As much of the D-Bus message header as the guard needs (D-Bus Specification, "Message Format").

use std::io;

use super::START;

/// Header field codes.
const SIGNATURE: u8 = 8;
const UNIX_FDS: u8 = 9;

/// The start of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    order: Order,
    /// Bytes of the body.
    pub(super) body: usize,
    /// Bytes of the header fields, without the padding after them.
    pub(super) fields: usize,
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn read(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    fn write(self, number: u32) -> [u8; 4] {
        match self {
            Self::Little => number.to_le_bytes(),
            Self::Big => number.to_be_bytes(),
        }
    }
}

impl Start {
    /// Reads the first 16 bytes: order, type, flags, version, body length, serial, fields length.
    pub(super) fn parse(bytes: &[u8]) -> io::Result<Self> {
        let Some(start) = bytes.first_chunk::<START>() else {
            return Err(broken("the message is cut short"));
        };
        let order = match start[0] {
            b'l' => Order::Little,
            b'B' => Order::Big,
            _ => return Err(broken("the byte order is unknown")),
        };
        let number = |at: usize| {
            let bytes = [start[at], start[at + 1], start[at + 2], start[at + 3]];
            usize::try_from(order.read(bytes)).map_err(|_| broken("a length is too large"))
        };
        Ok(Self {
            order,
            body: number(4)?,
            fields: number(12)?,
        })
    }

    /// Bytes before the body.
    pub(super) fn head(&self) -> usize {
        START + self.fields.next_multiple_of(8)
    }

    /// Bytes of the whole message.
    pub(super) fn total(&self) -> usize {
        self.head().saturating_add(self.body)
    }

    /// The message with `text` as its only argument, given the bytes before its body. `None` if
    /// it has fields nobody knows, and so cannot be written anew.
    pub(super) fn replace(&self, head: &[u8], text: &str) -> io::Result<Option<Vec<u8>>> {
        let mut body = self.number(text.len())?.to_vec();
        body.extend_from_slice(text.as_bytes());
        body.push(0);

        let mut message = head[..START].to_vec();
        message[4..8].copy_from_slice(&self.number(body.len())?);
        let fields = &head[START..START + self.fields];
        let mut at = 0;
        while at < fields.len() {
            let Some(end) = self.field_end(fields, at) else {
                return Ok(None);
            };
            if !matches!(fields[at], SIGNATURE | UNIX_FDS) {
                message.resize(message.len().next_multiple_of(8), 0);
                message.extend_from_slice(&fields[at..end]);
            }
            at = end.next_multiple_of(8);
        }
        message.resize(message.len().next_multiple_of(8), 0);
        message.extend_from_slice(&[SIGNATURE, 1, b'g', 0, 1, b's', 0]);
        let fields = self.number(message.len() - START)?;
        message[12..START].copy_from_slice(&fields);
        message.resize(message.len().next_multiple_of(8), 0);
        message.extend_from_slice(&body);
        Ok(Some(message))
    }

    /// Where the header field that starts at `at` ends: a struct of a code and a variant.
    fn field_end(&self, fields: &[u8], at: usize) -> Option<usize> {
        let [_, 1, kind, 0] = fields.get(at..at + 4)? else {
            return None;
        };
        let value = at + 4;
        let end = match kind {
            b'u' => value + 4,
            b'g' => value + 1 + usize::from(*fields.get(value)?) + 1,
            b's' | b'o' => {
                let length = fields.get(value..value + 4)?.first_chunk::<4>()?;
                let length = usize::try_from(self.order.read(*length)).ok()?;
                (value + 4).checked_add(length)?.checked_add(1)?
            }
            _ => return None,
        };
        (end <= fields.len()).then_some(end)
    }

    fn number(&self, length: usize) -> io::Result<[u8; 4]> {
        u32::try_from(length)
            .map(|number| self.order.write(number))
            .map_err(|_| broken("a length is too large"))
    }
}

/// The peer does not speak D-Bus; its connection ends.
pub(super) fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
