//! The search for a private key of which nothing but the public half is known.
//!
//! Whether some bytes are the key is asked of the curve itself: `d` is the private half of `Q` if
//! and only if `d·G = Q` (SEC 1 §3.2.1). So a key is found that no test was told.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use p256::elliptic_curve::group::Group as _;
use p256::elliptic_curve::sec1::FromEncodedPoint as _;
use p256::{AffinePoint, EncodedPoint, ProjectivePoint};

use crate::memory::{Memory, Part};

/// Length of a private key on P-256.
const PRIVATE: usize = 32;

/// How many different bytes a private key has at least. Of random keys not one in 10^12 has fewer,
/// and most of what a memory holds has.
const DIFFERENT: usize = 16;

/// How many of its bytes are no ASCII at least. Of random keys not one in 10^6 has fewer, and text
/// has none.
const NO_ASCII: usize = 3;

/// A public key on P-256, and what is needed to try many candidates quickly.
pub struct PublicPoint {
    point: ProjectivePoint,
    /// `b·G` for every byte.
    last: Vec<ProjectivePoint>,
    /// `-b·256^31·G` for every byte.
    first: Vec<ProjectivePoint>,
}

/// How a private key stands in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The most significant byte first, as standards write it.
    BigEndian,
    /// The least significant byte first, as libraries calculate.
    LittleEndian,
}

/// What a search came to.
#[derive(Debug, Default)]
pub struct Searched {
    /// How many bytes were looked at.
    pub bytes: u64,
    /// How many times some 32 of them were tried as a key.
    pub tried: u64,
    /// Where the key was.
    pub found: Vec<(String, Order)>,
}

impl PublicPoint {
    /// The point with these coordinates (`x` and `y` of RFC 7518 §6.2.1).
    ///
    /// Panics when it is not on the curve.
    pub fn new(x: &[u8], y: &[u8]) -> Self {
        let encoded = [&[4], x, y].concat();
        let encoded = EncodedPoint::from_bytes(encoded).expect("two coordinates");
        let affine = Option::<AffinePoint>::from(AffinePoint::from_encoded_point(&encoded));
        let multiples = |generator: ProjectivePoint| -> Vec<_> {
            let next = |point: &ProjectivePoint| Some(*point + generator);
            std::iter::successors(Some(ProjectivePoint::IDENTITY), next)
                .take(256)
                .collect()
        };
        let high = (0..8 * (PRIVATE - 1)).fold(ProjectivePoint::GENERATOR, |p, _| p.double());
        Self {
            point: affine.expect("a point of the curve").into(),
            last: multiples(ProjectivePoint::GENERATOR),
            first: multiples(-high),
        }
    }

    /// Tries every 32 bytes, wherever they begin and in both orders, of everything a process can
    /// have written to.
    ///
    /// # Errors
    ///
    /// When the memory cannot be read.
    pub fn search(&self, process: u32) -> io::Result<Searched> {
        let memory = Memory::of(process)?;
        thread::scope(|scope| {
            // What was read is tried on all processors while the rest is being read.
            let workers: Vec<_> = (0..thread::available_parallelism().map_or(1, usize::from))
                .map(|_| {
                    let (pieces, taken) = mpsc::sync_channel::<(Vec<u8>, String)>(1);
                    let worker = scope.spawn(move || {
                        let mut searched = Searched::default();
                        for (piece, place) in taken {
                            self.search_piece(&piece, &place, &mut searched);
                        }
                        searched
                    });
                    (pieces, worker)
                })
                .collect();
            let mut next = workers.iter().map(|(pieces, _)| pieces).cycle();
            let bytes = memory.read(Part::Writable, PRIVATE - 1, |piece, place| {
                let worker = next.next().expect("there is a worker");
                let sent = worker.send((piece.to_vec(), place.to_owned()));
                sent.expect("a worker takes pieces until there are no more");
            })?;
            drop(next);
            let mut searched = Searched {
                bytes,
                ..Searched::default()
            };
            for (pieces, worker) in workers {
                drop(pieces);
                let part = worker.join().expect("a worker does not panic");
                searched.tried += part.tried;
                searched.found.extend(part.found);
            }
            searched.found.sort_by(|a, b| a.0.cmp(&b.0));
            searched.found.dedup();
            Ok(searched)
        })
    }

    /// Tries the same of every file below a folder.
    ///
    /// # Errors
    ///
    /// When one cannot be read: what was not read was not searched.
    pub fn search_folder(&self, folder: &Path) -> io::Result<Searched> {
        let mut searched = Searched::default();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, entry.path());
            if kind.is_dir() {
                let below = self.search_folder(&path)?;
                searched.bytes += below.bytes;
                searched.tried += below.tried;
                searched.found.extend(below.found);
            } else if kind.is_file() {
                let bytes = fs::read(&path)?;
                searched.bytes += bytes.len() as u64;
                self.search_piece(&bytes, &path.display().to_string(), &mut searched);
            }
        }
        Ok(searched)
    }

    fn search_piece(&self, piece: &[u8], place: &str, searched: &mut Searched) {
        let reversed: Vec<u8> = piece.iter().rev().copied().collect();
        for (bytes, order) in [(piece, Order::BigEndian), (&reversed, Order::LittleEndian)] {
            if self.tries(bytes, &mut searched.tried) {
                searched.found.push((place.to_owned(), order));
            }
        }
    }

    /// Whether any 32 of these bytes in a row are the key. From one to the next is a step of eight
    /// doublings and two additions: `d' = 256·(d - 256^31·first) + last`.
    fn tries(&self, bytes: &[u8], tried: &mut u64) -> bool {
        let mut different = Different::default();
        let mut current: Option<(usize, ProjectivePoint)> = None;
        for (at, window) in bytes.windows(PRIVATE).enumerate() {
            different.slide(at.checked_sub(1).map(|before| bytes[before]), window);
            if different.count < DIFFERENT || different.no_ascii < NO_ASCII {
                continue;
            }
            let point = match current {
                Some((before, point)) if at - before < PRIVATE => {
                    (before..at).fold(point, |point, from| {
                        let point = point + self.first[usize::from(bytes[from])];
                        self.append(point, bytes[from + PRIVATE])
                    })
                }
                _ => window
                    .iter()
                    .fold(ProjectivePoint::IDENTITY, |point, byte| {
                        self.append(point, *byte)
                    }),
            };
            *tried += 1;
            if point == self.point {
                return true;
            }
            current = Some((at, point));
        }
        false
    }

    fn append(&self, point: ProjectivePoint, byte: u8) -> ProjectivePoint {
        (0..8).fold(point, |point, _| point.double()) + self.last[usize::from(byte)]
    }
}

/// How many different bytes, and how many that are no ASCII, are in a window that slides along.
struct Different {
    times: [u8; 256],
    count: usize,
    no_ascii: usize,
}

impl Default for Different {
    fn default() -> Self {
        Self {
            times: [0; 256],
            count: 0,
            no_ascii: 0,
        }
    }
}

impl Different {
    /// Slides to `window`, which `left` does not belong to any more. The first window has nothing
    /// to its left.
    fn slide(&mut self, left: Option<u8>, window: &[u8]) {
        let Some(left) = left else {
            for byte in window {
                self.enter(*byte);
            }
            return;
        };
        self.times[usize::from(left)] -= 1;
        self.count -= usize::from(self.times[usize::from(left)] == 0);
        self.no_ascii -= usize::from(!left.is_ascii());
        self.enter(window[PRIVATE - 1]);
    }

    fn enter(&mut self, byte: u8) {
        self.count += usize::from(self.times[usize::from(byte)] == 0);
        self.times[usize::from(byte)] += 1;
        self.no_ascii += usize::from(!byte.is_ascii());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6979 §A.2.5.
    const PRIVATE_KEY: &str = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
    const X: &str = "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6";
    const Y: &str = "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digits).collect()
    }

    fn point() -> PublicPoint {
        PublicPoint::new(&bytes(X), &bytes(Y))
    }

    #[test]
    fn the_private_key_is_known_by_its_public_half_wherever_it_stands() {
        let (point, key) = (point(), bytes(PRIVATE_KEY));
        let noise: Vec<u8> = (0..=255).map(|byte: u8| byte.wrapping_mul(167)).collect();
        for before in [0, 1, 31, 32, 33, 200] {
            let mut searched = Searched::default();
            let text = [&noise[..before], &key, &noise].concat();
            point.search_piece(&text, "here", &mut searched);
            assert_eq!(searched.found, [("here".to_owned(), Order::BigEndian)]);
            let reversed: Vec<u8> = text.into_iter().rev().collect();
            point.search_piece(&reversed, "there", &mut searched);
            let there = ("there".to_owned(), Order::LittleEndian);
            assert_eq!(searched.found[1..], [there], "{before}");
        }
        let mut searched = Searched::default();
        point.search_piece(&[&noise, &key[1..], &noise].concat(), "here", &mut searched);
        point.search_piece(&[0; 4096], "here", &mut searched);
        assert_eq!(searched.found, []);
        assert!(searched.tried > 500, "{searched:?}");
    }
}
