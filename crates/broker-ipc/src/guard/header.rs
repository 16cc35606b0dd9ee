//! As much of the D-Bus message header as the guard needs (D-Bus Specification, "Message Format").

use std::io;

use super::START;

/// Header field codes. The known ones are 1 to 9.
const SIGNATURE: u8 = 8;
const UNIX_FDS: u8 = 9;
/// Message types. The known ones are 1 to 4.
const LAST_TYPE: u8 = 4;

/// The start of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    order: Order,
    /// Whether the type is one that the specification defines.
    pub(super) known_type: bool,
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
            known_type: (1..=LAST_TYPE).contains(&start[1]),
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

    /// Whether the header has no fields but known ones, each of the length it says.
    pub(super) fn is_known(&self, head: &[u8]) -> bool {
        let fields = &head[START..START + self.fields];
        let mut at = 0;
        while at < fields.len() {
            match self.field_end(fields, at) {
                Some(end) if is_known(&fields[at..]) => at = end.next_multiple_of(8),
                _ => return false,
            }
        }
        true
    }

    /// The bytes before the body, without fields nobody knows: those are to be ignored, but zbus
    /// takes them for an error. `None` if they cannot be told apart.
    pub(super) fn known(&self, head: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let Some(fields) = self.split(head) else {
            return Ok(None);
        };
        let known = fields.into_iter().filter(|field| is_known(field));
        self.join(head, known).map(Some)
    }

    /// The message with `text` as its only argument, given the bytes before its body. `None` if
    /// its fields cannot be told apart.
    pub(super) fn replace(&self, head: &[u8], text: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(fields) = self.split(head) else {
            return Ok(None);
        };
        let kept = fields
            .into_iter()
            .filter(|field| (1..SIGNATURE).contains(&field[0]))
            .chain([&[SIGNATURE, 1, b'g', 0, 1, b's', 0][..]]);
        let mut message = self.join(head, kept)?;
        message[4..8].copy_from_slice(&self.number(text.len() + 5)?);
        message.extend_from_slice(&self.number(text.len())?);
        message.extend_from_slice(text.as_bytes());
        message.push(0);
        Ok(Some(message))
    }

    /// The header fields, each a struct of a code and a variant.
    fn split<'h>(&self, head: &'h [u8]) -> Option<Vec<&'h [u8]>> {
        let fields = &head[START..START + self.fields];
        let mut found = Vec::with_capacity(8);
        let mut at = 0;
        while at < fields.len() {
            let end = self.field_end(fields, at)?;
            found.push(&fields[at..end]);
            at = end.next_multiple_of(8);
        }
        Some(found)
    }

    /// The bytes before the body with these fields instead.
    fn join<'h>(&self, head: &[u8], fields: impl Iterator<Item = &'h [u8]>) -> io::Result<Vec<u8>> {
        let mut joined = head[..START].to_vec();
        for field in fields {
            joined.resize(joined.len().next_multiple_of(8), 0);
            joined.extend_from_slice(field);
        }
        let length = self.number(joined.len() - START)?;
        joined[12..START].copy_from_slice(&length);
        joined.resize(joined.len().next_multiple_of(8), 0);
        Ok(joined)
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

fn is_known(field: &[u8]) -> bool {
    field
        .first()
        .is_some_and(|code| (1..=UNIX_FDS).contains(code))
}

/// The peer does not speak D-Bus; its connection ends.
pub(super) fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
