//! A map whose entries end by themselves and whose size is bounded.

use std::collections::HashMap;

use keyward_oauth::time::UnixTime;

/// Entries with an end. Ended ones are invisible at once and swept out now and then.
pub(crate) struct Expiring<V> {
    entries: HashMap<String, Entry<V>>,
    sweep_at: usize,
    most: usize,
}

struct Entry<V> {
    until: UnixTime,
    value: V,
}

/// No sweeping below this size.
const SMALL: usize = 1024;

impl<V> Expiring<V> {
    /// An empty map of at most `most` entries.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            entries: HashMap::new(),
            sweep_at: SMALL.min(most),
            most,
        }
    }

    /// Adds an entry. In a full map the entry that would end first makes room.
    pub(crate) fn insert(&mut self, now: UnixTime, key: String, until: UnixTime, value: V) {
        if !self.has_room(now) {
            let first = self.entries.iter().min_by_key(|(_, entry)| entry.until);
            if let Some(key) = first.map(|(key, _)| key.clone()) {
                self.entries.remove(&key);
            }
        }
        self.entries.insert(key, Entry { until, value });
    }

    /// Adds an entry unless there is a living one of that key, or the map is full.
    pub(crate) fn insert_new(
        &mut self,
        now: UnixTime,
        key: String,
        until: UnixTime,
        value: V,
    ) -> Result<(), NotNew> {
        if self.get(now, &key).is_some() {
            return Err(NotNew::Known);
        }
        if !self.has_room(now) {
            return Err(NotNew::Full);
        }
        self.entries.insert(key, Entry { until, value });
        Ok(())
    }

    /// The living entry of a key.
    pub(crate) fn get(&self, now: UnixTime, key: &str) -> Option<&V> {
        self.entries
            .get(key)
            .filter(|entry| now < entry.until)
            .map(|entry| &entry.value)
    }

    /// The living entry of a key, to change it.
    pub(crate) fn get_mut(&mut self, now: UnixTime, key: &str) -> Option<&mut V> {
        self.entries
            .get_mut(key)
            .filter(|entry| now < entry.until)
            .map(|entry| &mut entry.value)
    }

    /// Takes a living entry out.
    pub(crate) fn remove(&mut self, now: UnixTime, key: &str) -> Option<V> {
        self.entries
            .remove(key)
            .filter(|entry| now < entry.until)
            .map(|entry| entry.value)
    }

    /// All entries not swept yet, living or ended, to change them.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.values_mut().map(|entry| &mut entry.value)
    }

    /// Keeps only some entries.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&V) -> bool) {
        self.entries.retain(|_, entry| keep(&entry.value));
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    fn has_room(&mut self, now: UnixTime) -> bool {
        if self.entries.len() >= self.sweep_at {
            self.entries.retain(|_, entry| now < entry.until);
            self.sweep_at = (self.entries.len() * 2).clamp(SMALL.min(self.most), self.most);
        }
        self.entries.len() < self.most
    }
}

/// Why an entry was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotNew {
    /// Its key is there already.
    Known,
    /// There is no room.
    Full,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(100);

    #[test]
    fn an_entry_ends_at_its_time() {
        let mut map = Expiring::new(10);
        map.insert(NOW, "a".to_owned(), UnixTime::from_secs(101), 1);
        assert_eq!(map.get(NOW, "a"), Some(&1));
        assert_eq!(map.get(UnixTime::from_secs(101), "a"), None);
    }

    #[test]
    fn a_full_map_drops_what_would_end_first() {
        let mut map = Expiring::new(2);
        for (key, until) in [("late", 300), ("early", 200), ("new", 250)] {
            map.insert(NOW, key.to_owned(), UnixTime::from_secs(until), ());
        }
        assert!(map.get(NOW, "early").is_none());
        assert!(map.get(NOW, "late").is_some() && map.get(NOW, "new").is_some());
    }

    #[test]
    fn what_must_be_remembered_is_not_dropped_to_make_room() {
        let mut map = Expiring::new(1);
        let until = UnixTime::from_secs(200);
        assert_eq!(map.insert_new(NOW, "a".to_owned(), until, ()), Ok(()));
        assert_eq!(
            map.insert_new(NOW, "a".to_owned(), until, ()),
            Err(NotNew::Known)
        );
        assert_eq!(
            map.insert_new(NOW, "b".to_owned(), until, ()),
            Err(NotNew::Full)
        );
        assert_eq!(
            map.insert_new(until, "b".to_owned(), UnixTime::from_secs(300), ()),
            Ok(())
        );
    }
}
