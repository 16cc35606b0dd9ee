use super::*;
use crate::place::tests::private_dir;

const THIS: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";

fn fill_flat(state: &Path) {
    fs::create_dir(state.join("keys")).unwrap();
    for name in ["keys/wrapping.key", DATABASE, LOG, "key-protection.json"] {
        fs::write(state.join(name), name).unwrap();
    }
    drop(crate::place::Place::open(&StateFolder::single(state)).unwrap());
}

#[test]
fn a_machine_has_a_folder_whose_name_does_not_tell_its_id() {
    let dir = private_dir();
    let folder = StateFolder::of_machine(dir.path(), Some(THIS)).unwrap();
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    // HMAC-SHA256 with the id as the key, over the purpose; half of it.
    assert_eq!(name, "machine-bd5c19f278a03b045930f3acacb35741");
    assert!(folder.path().is_dir());
    assert_eq!(
        StateFolder::of_machine(dir.path(), Some(THIS)).unwrap(),
        folder
    );
}

#[test]
fn two_machines_that_share_a_home_have_a_folder_each() {
    let dir = private_dir();
    fill_flat(dir.path());
    let first = StateFolder::of_machine(dir.path(), Some(THIS)).unwrap();
    let second = StateFolder::of_machine(dir.path(), Some(OTHER)).unwrap();
    let unknown = StateFolder::of_machine(dir.path(), None).unwrap();
    assert_eq!(unknown.path(), dir.path().join(UNKNOWN));
    assert_eq!(unknown.sharing(), Sharing::Unknown);
    assert_eq!(fs::read(first.path().join(DATABASE)).unwrap(), b"vault.db");
    for later in [second, unknown] {
        assert_eq!(fs::read_dir(later.path()).unwrap().count(), 0);
    }
}

#[test]
fn what_lay_in_the_state_folder_moves_in_wherever_the_move_was_interrupted() {
    for moved in 0..=FLAT.len() {
        let dir = private_dir();
        fill_flat(dir.path());
        // As a crash leaves it after this many renames.
        let gathering = dir.path().join(format!("{}.moving", name_of(THIS)));
        fs::create_dir(&gathering).unwrap();
        for item in FLAT.iter().take(moved) {
            // Not every one is there.
            let _ = fs::rename(dir.path().join(item), gathering.join(item));
        }
        let folder = StateFolder::of_machine(dir.path(), Some(THIS)).unwrap();
        for name in ["keys/wrapping.key", DATABASE, LOG, "key-protection.json"] {
            let content = fs::read(folder.path().join(name)).unwrap();
            assert_eq!(content, name.as_bytes(), "after {moved} renames");
        }
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}

#[test]
fn a_move_another_machine_began_is_that_machines() {
    let dir = private_dir();
    fill_flat(dir.path());
    let gathering = dir.path().join(format!("{}.moving", name_of(OTHER)));
    fs::create_dir(&gathering).unwrap();
    fs::rename(dir.path().join("keys"), gathering.join("keys")).unwrap();
    let this = StateFolder::of_machine(dir.path(), Some(THIS)).unwrap();
    assert_eq!(fs::read_dir(this.path()).unwrap().count(), 0);
    let other = StateFolder::of_machine(dir.path(), Some(OTHER)).unwrap();
    assert!(other.path().join(DATABASE).exists() && other.path().join("keys").exists());
}

#[test]
fn a_vault_that_is_in_use_is_not_moved() {
    let dir = private_dir();
    fill_flat(dir.path());
    let held = crate::place::Place::open(&StateFolder::single(dir.path())).unwrap();
    let error = StateFolder::of_machine(dir.path(), Some(THIS)).unwrap_err();
    assert!(matches!(error, StoreError::InUse(_)), "{error:?}");
    assert!(dir.path().join(DATABASE).exists());
    drop(held);
    StateFolder::of_machine(dir.path(), Some(THIS)).unwrap();
}

#[test]
fn texts_that_are_no_machine_id_are_none() {
    let dir = private_dir();
    let path = dir.path().join("machine-id");
    for text in [
        "",
        "uninitialized\n",
        "0123",
        &"0".repeat(32),
        &"x".repeat(32),
    ] {
        fs::write(&path, text).unwrap();
        assert_eq!(read_id(&path), None, "{text}");
    }
    fs::write(&path, format!("{}\n", THIS.to_uppercase())).unwrap();
    assert_eq!(read_id(&path).as_deref(), Some(THIS));
    assert_eq!(read_id(&dir.path().join("missing")), None);
}

#[test]
fn a_state_folder_others_may_enter_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let dir = private_dir();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let error = StateFolder::of_machine(dir.path(), Some(THIS)).unwrap_err();
    assert!(error.to_string().contains("run chmod 700"), "{error}");
}
