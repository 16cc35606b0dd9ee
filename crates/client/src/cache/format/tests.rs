use super::*;
use crate::cache::tests::*;
use crate::cache::{Cache, Edit};
use crate::ports::KeyRef;
use crate::result::TokenType;

fn records() -> Vec<Record> {
    let cache = Cache::default();
    let mut answer = answer("alice", "app");
    let mut token = access_token(grant_key("alice", "app"), "at", "a b");
    token.target.extension = "resource=https://api".to_owned();
    token.target.token_type = TokenType::Dpop;
    token.key = Some(KeyRef::new("key-1"));
    token.refresh_on = Some(at(5));
    token.ext_expires_on = Some(at(6));
    answer.access_token = Some(token.into());
    let edits = cache.answered(answer, at(0));
    let puts = edits.iter().map(|edit| match edit {
        Edit::Put(entity) => encode(entity, KeyProtection::Tpm),
        Edit::Delete(key) => panic!("{key:?}"),
    });
    puts.collect()
}

#[test]
fn every_kind_of_record_reads_back_as_it_was_written() {
    let records = records();
    assert_eq!(records.len(), RecordKind::ALL.len());
    for record in &records {
        let again = encode(&decode(record).unwrap(), KeyProtection::Tpm);
        assert_eq!(
            (again.key, again.protection),
            (record.key.clone(), record.protection)
        );
        assert_eq!(
            String::from_utf8_lossy(&again.value),
            String::from_utf8_lossy(&record.value)
        );
    }
}

#[test]
fn the_key_of_a_record_says_whose_it_is() {
    for mut record in records() {
        let before = decode(&record).unwrap().key();
        assert_eq!(before, record.key);
        if record.key.kind == RecordKind::AccessToken {
            record.key.client = "another".to_owned();
            assert_eq!(decode(&record).unwrap().key().client, "another");
        }
    }
}

#[test]
fn a_newer_record_is_refused_and_named_so() {
    for mut record in records() {
        let text = String::from_utf8(record.value.to_vec()).unwrap();
        assert!(text.starts_with(r#"{"v":1,"#), "{text}");
        record.value = Zeroizing::new(text.replacen(r#""v":1"#, r#""v":2"#, 1).into_bytes());
        assert_eq!(decode(&record).err(), Some(FormatError::Newer));
    }
}

#[test]
fn unknown_fields_of_a_record_are_ignored() {
    for mut record in records() {
        let text = String::from_utf8(record.value.to_vec()).unwrap();
        record.value = Zeroizing::new(text.replacen('{', r#"{"later":[1],"#, 1).into_bytes());
        assert!(decode(&record).is_ok());
    }
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    for record in records() {
        for cut in 0..record.value.len() {
            let mut damaged = record.clone();
            damaged.value.truncate(cut);
            assert_eq!(decode(&damaged).err(), Some(FormatError::Malformed));
        }
        for at in 0..record.value.len() {
            let mut damaged = record.clone();
            damaged.value[at] ^= 0x80;
            let _ = decode(&damaged);
        }
        let mut moved = record;
        moved.key.account = "nobody".to_owned();
        moved.key.client = String::new();
        assert_eq!(decode(&moved).err(), Some(FormatError::Malformed));
    }
}
