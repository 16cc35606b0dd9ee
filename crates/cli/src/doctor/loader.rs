//! Where the dynamic loader would find a library, without loading it: `LD_LIBRARY_PATH`, the
//! loader's cache, the usual folders (`ld.so(8)`).

use std::path::{Path, PathBuf};

/// The loader's cache.
const CACHE: &str = "/etc/ld.so.cache";

/// Begins the format every glibc since 2.2 writes.
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";

/// Header: magic, number of entries, length of the strings, flags and room for more.
const HEADER: usize = 48;

/// Entry: flags, offset of the name, offset of the path, two fields about hardware.
const ENTRY: usize = 24;

/// Folders every loader searches last.
const FOLDERS: &[&str] = &["/lib64", "/usr/lib64", "/lib", "/usr/lib"];

/// What the loader knows.
pub struct Loader {
    folders: Vec<PathBuf>,
    cache: Vec<u8>,
}

impl Loader {
    /// This machine's. `library_path`: the value of `LD_LIBRARY_PATH`.
    pub fn of_machine(library_path: Option<&std::ffi::OsStr>) -> Self {
        let multiarch = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        let folders = library_path
            .map(|paths| std::env::split_paths(paths).collect::<Vec<_>>())
            .unwrap_or_default()
            .into_iter()
            .chain(FOLDERS.iter().map(PathBuf::from))
            .chain([PathBuf::from(multiarch)])
            .collect();
        Self {
            folders,
            cache: std::fs::read(CACHE).unwrap_or_default(),
        }
    }

    /// Whether there is such a library.
    pub fn finds(&self, name: &str) -> bool {
        cached(&self.cache, name).any(Path::exists)
            || self.folders.iter().any(|folder| folder.join(name).exists())
    }
}

/// The paths a cache has for a name. A cache that cannot be read has none.
fn cached<'a>(cache: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a Path> {
    let start = cache
        .windows(MAGIC.len())
        .position(|window| window == MAGIC)
        .unwrap_or(cache.len());
    // Offsets count from the magic, which an older format may precede.
    let cache = &cache[start..];
    let entries = number(cache, MAGIC.len()).unwrap_or(0);
    (0..entries)
        .map(|index| HEADER + index * ENTRY)
        .map_while(move |entry| Some((number(cache, entry + 4)?, number(cache, entry + 8)?)))
        .filter(move |(key, _)| text(cache, *key) == Some(name))
        .filter_map(move |(_, path)| text(cache, path).map(Path::new))
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    let number = u32::from_ne_bytes(bytes.try_into().ok()?);
    usize::try_from(number).ok()
}

fn text(bytes: &[u8], at: usize) -> Option<&str> {
    let tail = bytes.get(at..)?;
    let end = tail.iter().position(|byte| *byte == 0)?;
    std::str::from_utf8(&tail[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache with these names and paths, as `ldconfig` writes one.
    fn cache_of(libraries: &[(&str, &str)]) -> Vec<u8> {
        let number = |n: usize| u32::try_from(n).unwrap().to_ne_bytes();
        let mut strings = Vec::new();
        let mut entries = Vec::new();
        let text = HEADER + ENTRY * libraries.len();
        for (name, path) in libraries {
            let mut offsets = Vec::new();
            for part in [name, path] {
                offsets.extend(number(text + strings.len()));
                strings.extend(part.as_bytes());
                strings.push(0);
            }
            entries.extend(number(0));
            entries.extend(offsets);
            entries.extend([0; 12]);
        }
        let mut cache = MAGIC.to_vec();
        cache.extend(number(libraries.len()));
        cache.extend(number(strings.len()));
        cache.resize(HEADER, 0);
        [cache, entries, strings].concat()
    }

    #[test]
    fn a_library_is_found_through_the_cache_if_its_file_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("libhere.so.1");
        std::fs::write(&there, "").unwrap();
        let loader = Loader {
            folders: Vec::new(),
            cache: cache_of(&[
                ("libgone.so.1", "/nowhere/libgone.so.1"),
                ("libhere.so.1", there.to_str().unwrap()),
            ]),
        };
        assert!(loader.finds("libhere.so.1"));
        assert!(!loader.finds("libgone.so.1"));
        assert!(!loader.finds("libhere.so"));
    }

    #[test]
    fn a_library_is_found_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("liba.so.1"), "").unwrap();
        let loader = Loader {
            folders: vec![folder.path().to_owned()],
            cache: Vec::new(),
        };
        assert!(loader.finds("liba.so.1"));
        assert!(!loader.finds("libb.so.1"));
    }

    #[test]
    fn a_cache_cut_short_anywhere_is_no_trouble() {
        let cache = cache_of(&[("liba.so.1", "/x/liba.so.1"), ("libb.so.1", "/x/libb.so.1")]);
        for end in 0..cache.len() {
            assert!(cached(&cache[..end], "libb.so.1").count() <= 1);
        }
        assert_eq!(cached(&cache, "libb.so.1").count(), 1);
    }

    #[test]
    fn the_loader_of_this_machine_finds_the_c_library() {
        assert!(Loader::of_machine(None).finds("libc.so.6"));
    }
}
