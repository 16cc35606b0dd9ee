use keyward_config::Origin;

use super::*;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

fn setting(value: KeyProtectionChoice) -> Setting<KeyProtectionChoice> {
    Setting {
        value,
        origin: Origin::Variable("KEYWARD_KEY_PROTECTION".to_owned()),
    }
}

fn reachable() -> Probe {
    Probe::Reachable(Device {
        maker: Some("ACME".to_owned()),
        model: None,
        firmware: None,
        simulator: true,
    })
}

fn no_permission() -> Probe {
    Probe::NoPermission {
        device: "/dev/tpmrm0".to_owned(),
        hint: "usermod -aG tss alice".to_owned(),
    }
}

fn decided(folder: &Path, choice: KeyProtectionChoice, probe: impl FnOnce() -> Probe) -> Decided {
    Decided::of(folder, &setting(choice), probe, NOW).unwrap()
}

fn not_asked() -> Probe {
    panic!("nobody should ask the TPM now")
}

#[test]
fn what_was_decided_once_holds_whatever_the_tpm_says_later() {
    let either = KeyProtectionChoice::TpmOrSoftware;
    for (probe, choice, reason) in [
        (
            reachable(),
            KeyProtection::Tpm,
            "a TPM can be reached (ACME, a simulator)",
        ),
        (
            no_permission(),
            KeyProtection::Software,
            "no permission to open /dev/tpmrm0",
        ),
        (
            Probe::NotBuilt,
            KeyProtection::Software,
            "without the feature tpm",
        ),
        (
            Probe::Absent {
                reason: "no /dev/tpmrm0".to_owned(),
            },
            KeyProtection::Software,
            "there is no TPM: no /dev/tpmrm0",
        ),
        (
            Probe::Failed {
                reason: "it is broken".to_owned(),
            },
            KeyProtection::Software,
            "cannot be used: it is broken",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let first = decided(dir.path(), either, || probe);
        assert_eq!(first.choice(), choice);
        let again = decided(dir.path(), either, not_asked);
        assert_eq!(again.decision, first.decision);
        let report = again.report();
        assert!(report.reason.contains(reason), "{report:?}");
        assert_eq!(report.decided_at, "2027-01-15T08:00:00Z");
        assert_eq!(
            report.maker.as_deref(),
            (choice == KeyProtection::Tpm).then_some("ACME")
        );
    }
}

#[test]
fn a_configuration_that_names_one_protection_asks_no_tpm_and_holds_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    let software = decided(dir.path(), KeyProtectionChoice::Software, not_asked);
    assert_eq!(software.choice(), KeyProtection::Software);
    assert!(software.report().reason.contains("$KEYWARD_KEY_PROTECTION"));
    assert_eq!(software.remarks(None), [""; 0]);

    let tpm = decided(dir.path(), KeyProtectionChoice::Tpm, not_asked);
    assert_eq!(tpm.choice(), KeyProtection::Tpm);
    assert_eq!(tpm.report().choice, KeyProtection::Software);
    let [remark] = &tpm.remarks(None)[..] else {
        panic!("{tpm:?}");
    };
    assert!(remark.contains("makes new keys in tpm"), "{remark}");
    assert!(remark.contains("`keyward device rebind`"), "{remark}");
}

#[test]
fn missing_permission_is_named_until_it_is_there_and_then_rebinding_is_offered() {
    let dir = tempfile::tempdir().unwrap();
    let decided = decided(
        dir.path(),
        KeyProtectionChoice::TpmOrSoftware,
        no_permission,
    );
    assert!(decided.would_rather_have_a_tpm());
    for probe in [None, Some(&no_permission())] {
        let remarks = decided.remarks(probe).join("\n");
        assert!(remarks.contains("usermod -aG tss alice"), "{remarks}");
    }
    let remarks = decided.remarks(Some(&reachable())).join("\n");
    assert!(
        remarks.contains("a TPM can be reached now (ACME, a simulator)"),
        "{remarks}"
    );
    assert!(remarks.contains("`keyward device rebind`"), "{remarks}");
}

#[test]
fn a_device_without_a_tpm_is_left_in_peace() {
    let dir = tempfile::tempdir().unwrap();
    let absent = || Probe::Absent {
        reason: "none".to_owned(),
    };
    let decided = decided(dir.path(), KeyProtectionChoice::TpmOrSoftware, absent);
    assert_eq!(decided.remarks(Some(&absent())), [""; 0]);
    assert_eq!(decided.remarks(None), [""; 0]);
}

#[test]
fn a_damaged_decision_is_a_named_error_and_stays_as_it_is() {
    let choice = setting(KeyProtectionChoice::TpmOrSoftware);
    for (text, named) in [
        ("", "is damaged"),
        ("{\"version\": 1, \"choice\": \"tpm\"", "is damaged"),
        ("{\"version\": 1, \"choice\": \"paper\"}", "is damaged"),
        ("{\"version\": 2}", "newer version"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        std::fs::write(&path, text).unwrap();
        let error = Decided::of(dir.path(), &choice, not_asked, NOW).unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
        assert!(error.to_string().contains(FILE), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
