//! A vault's database read into memory, for where its files cannot or must not be written.
//!
//! SQLite cannot open a write-ahead log on a read-only file system, so what is in the log is put
//! into the image here (SQLite's file format, 4).

use rusqlite::{Connection, MAIN_DB};

/// Bytes of a log's header and of the header of each frame.
const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// Opens the content of a database file and of its log as a database of which no file knows.
pub(crate) fn open(mut database: Vec<u8>, log: &[u8]) -> rusqlite::Result<Connection> {
    replay(&mut database, log);
    // Bytes 18 and 19: no log belongs to this any more.
    if let Some(versions) = database.get_mut(18..20) {
        versions.fill(1);
    }
    let mut connection = Connection::open_in_memory()?;
    connection.deserialize_read_exact(MAIN_DB, database.as_slice(), database.len(), false)?;
    connection.execute_batch(
        "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;",
    )?;
    Ok(connection)
}

/// Puts every page of every committed transaction of the log in its place.
fn replay(database: &mut Vec<u8>, log: &[u8]) {
    let Some(log) = Log::read(log) else {
        return;
    };
    // The log adds no more pages than it has frames.
    let most = (database.len() + log.frames.len()) / log.page_size;
    let mut pending = Vec::new();
    for frame in log.frames().take_while(|frame| frame.page <= most) {
        pending.push(frame);
        let Some(pages) = frame.commits else {
            continue;
        };
        for frame in pending.drain(..) {
            let at = (frame.page - 1) * log.page_size;
            if database.len() < at + log.page_size {
                database.resize(at + log.page_size, 0);
            }
            database[at..at + log.page_size].copy_from_slice(frame.content);
        }
        database.truncate(pages * log.page_size);
    }
}

struct Log<'a> {
    page_size: usize,
    big_endian: bool,
    salts: &'a [u8],
    sum: (u32, u32),
    frames: &'a [u8],
}

#[derive(Clone, Copy)]
struct Frame<'a> {
    page: usize,
    /// Pages of the database, in the last frame of a transaction.
    commits: Option<usize>,
    content: &'a [u8],
}

impl<'a> Log<'a> {
    fn read(log: &'a [u8]) -> Option<Self> {
        let (header, frames) = log.split_at_checked(LOG_HEADER)?;
        let big_endian = match word(header, 0)? {
            0x377f_0682 => false,
            0x377f_0683 => true,
            _ => return None,
        };
        let page_size = usize::try_from(word(header, 8)?).ok()?;
        if !page_size.is_power_of_two() || !(512..=65536).contains(&page_size) {
            return None;
        }
        let sum = checksum((0, 0), header.get(..24)?, big_endian);
        (sum == (word(header, 24)?, word(header, 28)?)).then_some(Self {
            page_size,
            big_endian,
            salts: header.get(16..24)?,
            sum,
            frames,
        })
    }

    /// The frames up to the first that was not completely written.
    fn frames(&self) -> impl Iterator<Item = Frame<'a>> {
        let mut sum = self.sum;
        let chunks = self.frames.chunks_exact(FRAME_HEADER + self.page_size);
        chunks.map_while(move |chunk| {
            let (header, content) = chunk.split_at(FRAME_HEADER);
            sum = checksum(sum, header.get(..8)?, self.big_endian);
            sum = checksum(sum, content, self.big_endian);
            let valid = header.get(8..16) == Some(self.salts)
                && sum == (word(header, 16)?, word(header, 20)?);
            let page = usize::try_from(word(header, 0)?).ok()?;
            let pages = usize::try_from(word(header, 4)?).ok()?;
            (valid && page > 0).then_some(Frame {
                page,
                commits: (pages > 0).then_some(pages),
                content,
            })
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn checksum(start: (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    let (mut first, mut second) = start;
    for pair in bytes.chunks_exact(8) {
        let (words, _) = pair.as_chunks::<4>();
        let [one, two] = words else { continue };
        let read = |word: &[u8; 4]| {
            if big_endian {
                u32::from_be_bytes(*word)
            } else {
                u32::from_le_bytes(*word)
            }
        };
        first = first.wrapping_add(read(one)).wrapping_add(second);
        second = second.wrapping_add(read(two)).wrapping_add(first);
    }
    (first, second)
}
