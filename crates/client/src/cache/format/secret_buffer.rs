//! A growing buffer that leaves no copies of what was in it.

use std::io;

use zeroize::{Zeroize as _, Zeroizing};

/// Takes bytes; wipes the old place whenever it has to move to a larger one.
#[derive(Default)]
pub(super) struct SecretBuffer(Zeroizing<Vec<u8>>);

impl SecretBuffer {
    pub(super) fn into_inner(self) -> Zeroizing<Vec<u8>> {
        self.0
    }

    fn make_room(&mut self, more: usize) {
        let needed = self.0.len() + more;
        if needed > self.0.capacity() {
            let mut larger = Vec::with_capacity(needed.next_power_of_two().max(1024));
            larger.extend_from_slice(&self.0);
            self.0.zeroize();
            self.0 = Zeroizing::new(larger);
        }
    }
}

impl io::Write for SecretBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.make_room(bytes.len());
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn everything_written_is_there() {
        let mut buffer = SecretBuffer::default();
        let mut expected = Vec::new();
        for n in 0..5000_u32 {
            let bytes = n.to_le_bytes();
            buffer.write_all(&bytes).unwrap();
            expected.extend_from_slice(&bytes);
        }
        assert_eq!(*buffer.into_inner(), expected);
    }
}
