//! The session bus: who answers unmodified Microsoft clients, and the keyring their runtime needs.

use std::fs;
use std::path::PathBuf;

use keyward::diagnostics::{BusReport, NameReport, Owner, Secrets};

use super::check::Check;

/// Our own process on the bus.
const SESSION: &str = "keyward-session";

/// Whether somebody of ours answers on the bus, or would.
pub fn offers_keyward(bus: &Result<BusReport, String>) -> bool {
    let Ok(bus) = bus else { return false };
    bus.keyward.owner.is_some() || bus.keyward.activatable
}

/// What was found on the bus.
pub fn check(bus: &Result<BusReport, String>) -> Vec<Check> {
    let bus = match bus {
        Ok(bus) => bus,
        Err(why) => {
            return vec![Check::warn(
                "session bus",
                format!("{why}; unmodified Microsoft clients need one"),
                "log in to a desktop, or dbus-run-session -- COMMAND",
            )];
        }
    };
    vec![
        Check::ok("session bus", "it answers"),
        keyward_name(&bus.keyward),
        microsoft_name(&bus.microsoft, &bus.keyward),
        keyring(&bus.secrets),
    ]
}

fn keyward_name(name: &NameReport) -> Check {
    match &name.owner {
        Some(owner) => owned(name, owner),
        None if name.activatable => Check::ok(name.name, "starts when somebody asks for it"),
        None => Check::warn(
            name.name,
            "nobody owns it, and nothing would be started for it",
            START_SESSION,
        ),
    }
}

fn microsoft_name(name: &NameReport, keyward: &NameReport) -> Check {
    if let Some(message) = another_broker(name.owner.as_ref(), keyward.owner.as_ref()) {
        let mend = "to use Keyward for them, stop that broker and keep the bus from starting it";
        return Check::warn(name.name, message, mend);
    }
    match &name.owner {
        Some(owner) => owned(name, owner),
        None if name.activatable => Check::ok(name.name, "starts when somebody asks for it"),
        None => Check::warn(
            name.name,
            "nobody owns it, and nothing would be started for it; unmodified Microsoft clients \
             go on without a broker",
            START_SESSION,
        ),
    }
}

/// What to say if somebody else answers unmodified Microsoft clients.
pub fn another_broker(microsoft: Option<&Owner>, keyward: Option<&Owner>) -> Option<String> {
    let owner = microsoft?;
    if keyward.is_some_and(|ours| ours.unique_name == owner.unique_name) {
        return None;
    }
    Some(format!(
        "another broker owns com.microsoft.identity.broker1: {}; unmodified Microsoft clients \
         use that one",
        process(owner)
    ))
}

const START_SESSION: &str = "run keyward-session, or install its D-Bus activation files";

fn owned(name: &NameReport, owner: &Owner) -> Check {
    let process = process(owner);
    match name.ping {
        Some(ping) => Check::ok(
            name.name,
            format!(
                "{process} answers within {} ms; {}",
                ping.as_millis().max(1),
                if name.activatable {
                    "the bus starts it when it is needed"
                } else {
                    "started by hand, the bus would not start it"
                }
            ),
        ),
        None => Check::warn(
            name.name,
            format!("{process} owns it and does not answer"),
            match owner.pid {
                Some(pid) => format!("kill {pid}; it is started again when it is needed"),
                None => format!("end {SESSION}; it is started again when it is needed"),
            },
        ),
    }
}

/// The process and its program. Our own programs do not let anybody see theirs.
fn process(owner: &Owner) -> String {
    let Some(pid) = owner.pid else {
        return format!("the bus connection {}", owner.unique_name);
    };
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok();
    let program = program.or_else(|| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        Some(PathBuf::from(name.trim()))
    });
    match program {
        Some(program) => format!("{} (pid {pid})", program.display()),
        None => format!("pid {pid}"),
    }
}

/// Microsoft's runtime keeps its accounts in the Secret Service.
fn keyring(secrets: &Secrets) -> Check {
    let name = "keyring";
    let consequence = "Microsoft's runtime then finds no accounts";
    match secrets {
        Secrets::Unlocked => Check::ok(name, "the collection \"login\" is unlocked"),
        Secrets::Locked => Check::warn(
            name,
            format!("the collection \"login\" is locked; {consequence}"),
            "unlock it: gnome-keyring-daemon --unlock reads its password from stdin",
        ),
        Secrets::NoLogin => Check::warn(
            name,
            format!("there is no collection \"login\"; {consequence}"),
            "make it: gnome-keyring-daemon --unlock reads a password for it from stdin",
        ),
        Secrets::Missing => Check::warn(
            name,
            format!("there is no Secret Service; {consequence}"),
            "start one: gnome-keyring-daemon --unlock --components=secrets reads its password \
             from stdin (package gnome-keyring)",
        ),
        Secrets::Broken(why) => Check::warn(
            name,
            format!("the Secret Service does not work: {why}; {consequence}"),
            "start it again: gnome-keyring-daemon --replace --components=secrets",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::State;
    use std::time::Duration;

    fn name(name: &'static str, owner: Option<&str>, activatable: bool) -> NameReport {
        NameReport {
            name,
            owner: owner.map(|unique_name| Owner {
                unique_name: unique_name.to_owned(),
                uid: None,
                pid: Some(std::process::id()),
            }),
            activatable,
            ping: owner.map(|_| Duration::from_millis(1)),
        }
    }

    fn bus(keyward: NameReport, microsoft: NameReport, secrets: Secrets) -> BusReport {
        BusReport {
            microsoft,
            keyward,
            secrets,
        }
    }

    fn find(checks: &[Check], name: &str) -> Check {
        checks.iter().find(|c| c.name == name).unwrap().clone()
    }

    #[test]
    fn everything_in_its_place_is_fine() {
        let ours = bus(
            name("ours", Some(":1.5"), true),
            name("theirs", Some(":1.5"), true),
            Secrets::Unlocked,
        );
        let checks = check(&Ok(ours));
        assert!(checks.iter().all(|check| check.state == State::Ok));
    }

    #[test]
    fn another_owner_of_the_name_is_named_with_its_process() {
        let other = bus(
            name("ours", Some(":1.5"), true),
            name("theirs", Some(":1.9"), true),
            Secrets::Unlocked,
        );
        let found = find(&check(&Ok(other)), "theirs");
        assert_eq!(found.state, State::Warn);
        let pid = format!("(pid {})", std::process::id());
        assert!(found.message.contains(&pid), "{}", found.message);
    }

    #[test]
    fn a_name_nobody_would_answer_to_is_worth_a_warning() {
        let nobody = bus(
            name("ours", None, false),
            name("theirs", None, false),
            Secrets::Unlocked,
        );
        assert!(!offers_keyward(&Ok(nobody.clone())));
        let checks = check(&Ok(nobody));
        assert_eq!(find(&checks, "ours").state, State::Warn);
        assert_eq!(find(&checks, "theirs").state, State::Warn);

        let waiting = bus(
            name("ours", None, true),
            name("theirs", None, true),
            Secrets::Unlocked,
        );
        assert!(offers_keyward(&Ok(waiting.clone())));
        let checks = check(&Ok(waiting));
        assert!(checks.iter().all(|check| check.state == State::Ok));
    }

    #[test]
    fn an_owner_that_does_not_answer_is_named() {
        let mut hung = name("ours", Some(":1.5"), true);
        hung.ping = None;
        let found = keyward_name(&hung);
        assert_eq!(found.state, State::Warn);
        let kill = format!("kill {}", std::process::id());
        assert!(found.mend.unwrap().starts_with(&kill));
    }

    #[test]
    fn each_state_of_the_keyring_has_its_remedy() {
        let broken = Secrets::Broken("it does not answer".to_owned());
        for secrets in [Secrets::Locked, Secrets::NoLogin, Secrets::Missing, broken] {
            let found = keyring(&secrets);
            assert_eq!(found.state, State::Warn, "{secrets:?}");
            assert!(found.mend.is_some());
        }
    }

    #[test]
    fn without_a_bus_there_is_one_warning() {
        let checks = check(&Err("the session bus cannot be reached: gone".to_owned()));
        assert_eq!(checks.len(), 1);
        assert_eq!(checks[0].state, State::Warn);
    }
}
