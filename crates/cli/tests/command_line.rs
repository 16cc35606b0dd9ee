//! The command line where no broker is needed: parsing, help, documents, configuration.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use keyward_config::Environment;
use serde_json::Value;

/// Every command with its own help.
const COMMANDS: &[&[&str]] = &[
    &["login"],
    &["token"],
    &["accounts"],
    &["logout"],
    &["status"],
    &["doctor"],
    &["config"],
    &["config", "check"],
    &["completions"],
    &["man"],
    &["migrate"],
];

struct Ran {
    code: u8,
    out: String,
    err: String,
}

fn keyward(arguments: &[&str], environment: &Environment) -> Ran {
    let arguments = ["keyward"].iter().chain(arguments).map(OsString::from);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = keyward_cli::execute(arguments, environment, &mut out, &mut err);
    Ran {
        code,
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
    }
}

/// An environment in which nothing of this machine is seen.
fn nowhere() -> Environment {
    Environment::empty()
        .with_variable("KEYWARD_SOCKET", "/nonexistent/keyward/broker.sock")
        .with_variable("KEYWARD_STATE_DIR", "/nonexistent/keyward/state")
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in COMMANDS {
        let ran = keyward(&[*command, &["--help"]].concat(), &nowhere());
        let typed = format!("keyward {}", command.join(" "));
        assert_eq!(ran.code, 0, "{typed}");
        let (_, examples) = ran.out.split_once("Examples:\n").expect(&typed);
        assert!(examples.contains(&typed), "{typed}:\n{}", ran.out);
        assert!(ran.err.is_empty(), "{typed}: {}", ran.err);
    }
}

#[test]
fn every_example_of_the_help_can_be_parsed() {
    for command in COMMANDS {
        let help = keyward(&[*command, &["--help"]].concat(), &nowhere()).out;
        let examples = help.split_once("Examples:\n").unwrap().1;
        for line in examples.lines().take_while(|line| !line.is_empty()) {
            for typed in line.split("keyward ").skip(1) {
                assert_parses(typed, line);
            }
        }
    }
}

/// Up to where the shell takes over, or the explanation begins.
fn assert_parses(typed: &str, line: &str) {
    let words = typed.split(['|', '>', ')']).next().unwrap();
    let words = words.split("   ").next().unwrap();
    let mut words: Vec<&str> = words
        .split_whitespace()
        .map(|w| w.trim_matches('"'))
        .collect();
    words.push("--help");
    let ran = keyward(&words, &nowhere());
    assert_eq!(ran.code, 0, "{line}: {}", ran.err);
}

#[test]
fn wrong_usage_exits_with_2_and_says_so_on_stderr() {
    for arguments in [
        &["nonsense"][..],
        &["token", "--pop", "GET"],
        &["token", "--json", "--header"],
        &["token", "--account", "a.b", "--username", "c"],
        &["logout", "--all", "--account", "a.b"],
        &["login", "--timeout", "0"],
        &["login", "--prompt", "nonsense"],
        &["config"],
        &[],
    ] {
        let ran = keyward(arguments, &nowhere());
        assert_eq!(ran.code, 2, "{arguments:?}");
        assert!(!ran.err.is_empty() && ran.out.is_empty(), "{arguments:?}");
    }
}

#[test]
fn without_a_client_id_it_is_said_where_one_comes_from() {
    for command in ["login", "token", "accounts", "logout"] {
        let ran = keyward(&[command], &nowhere());
        assert_eq!(ran.code, 2, "{command}");
        assert!(ran.err.starts_with("error: no client id"), "{}", ran.err);
        assert!(ran.err.contains("hint: pass --client-id"), "{}", ran.err);
    }
}

#[test]
fn the_version_is_data() {
    let ran = keyward(&["--version"], &nowhere());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(ran.out, format!("keyward {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn config_check_shows_values_with_their_origins() {
    let environment = nowhere().with_variable("KEYWARD_LOG", "debug");
    let ran = keyward(&["config", "check", "--json"], &environment);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let value = |key: &str| {
        let values = report["values"].as_array().unwrap();
        values.iter().find(|value| value["key"] == key).unwrap()
    };
    assert_eq!(value("log")["value"], "\"debug\"");
    assert_eq!(value("log")["origin"], "$KEYWARD_LOG");
    assert_eq!(value("interactive.deadline_seconds")["origin"], "default");
    assert_eq!(value("socket")["origin"], "$KEYWARD_SOCKET");
    assert_eq!(report["problems"], Value::Array(Vec::new()));

    let for_people = keyward(&["config", "check"], &environment);
    assert!(for_people.out.starts_with("KEY "), "{}", for_people.out);
    assert!(for_people.out.contains("$KEYWARD_LOG"));
}

#[test]
fn a_broken_configuration_is_named_with_its_line_and_exits_with_17() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    fs::write(&file, "log = \"info\"\nkey_protektion = \"software\"\n").unwrap();
    let environment = nowhere().with_variable("KEYWARD_CONFIG", &file);

    let ran = keyward(&["config", "check"], &environment);
    assert_eq!(ran.code, 17);
    let place = format!("{}:2", file.display());
    assert!(ran.out.contains(&place), "{}", ran.out);
    assert!(ran.out.contains("key_protection"), "{}", ran.out);
    // What could be read is shown beside it, and that none of it is used.
    let log = ran.out.lines().find(|line| line.starts_with("log "));
    assert!(
        log.unwrap().contains(&format!("{}:1", file.display())),
        "{}",
        ran.out
    );
    assert!(
        ran.out.ends_with("before every problem is corrected\n"),
        "{}",
        ran.out
    );
}

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = keyward(&["completions", shell], &nowhere());
        assert_eq!(ran.code, 0);
        for command in COMMANDS {
            assert!(ran.out.contains(command[0]), "{shell}: {command:?}");
        }
    }
}

#[test]
fn there_is_a_manual_page_per_command_and_one_with_the_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let ran = keyward(&["man", pages.to_str().unwrap()], &nowhere());
    assert_eq!(ran.code, 0, "{}", ran.err);
    for command in COMMANDS {
        let page = pages.join(format!("keyward-{}.1", command.join("-")));
        assert!(page.is_file(), "{}", page.display());
    }
    let page = fs::read_to_string(pages.join("keyward.1")).unwrap();
    let help = keyward(&["--help"], &nowhere()).out;
    for row in keyward::ERROR_TABLE {
        let line = format!("{:<3} {}", row.exit_code, row.name);
        assert!(page.contains(row.name), "{}", row.name);
        assert!(help.contains(&line), "{line}");
    }
    assert!(page.contains("keyward login"));
    for program in ["keywardd", "keyward-session"] {
        let page = fs::read_to_string(pages.join(format!("{program}.1"))).unwrap();
        assert!(page.contains(&format!("{program} \\- ")), "{program}");
    }
}

/// A login on a machine with the system form installed, which does not run.
fn with_the_system_form(folder: &tempfile::TempDir) -> Environment {
    for part in ["system", "run"] {
        let private = fs::Permissions::from_mode(0o700);
        fs::create_dir(folder.path().join(part)).unwrap();
        fs::set_permissions(folder.path().join(part), private).unwrap();
    }
    Environment::empty()
        .with_variable("XDG_RUNTIME_DIR", folder.path().join("run"))
        .with_variable("KEYWARD_STATE_DIR", folder.path().join("state"))
        .with_variable(
            "KEYWARD_SYSTEM_SOCKET",
            folder.path().join("system/broker.sock"),
        )
}

#[test]
fn where_the_system_form_is_installed_its_configuration_is_said_to_be_the_one() {
    let folder = tempfile::tempdir().unwrap();
    let environment = with_the_system_form(&folder);
    let ran = keyward(&["config", "check"], &environment);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out.contains("which reads /etc/keyward/config.toml"),
        "{}",
        ran.out
    );
    let ran = keyward(&["config", "check"], &nowhere());
    assert!(
        !ran.out.contains("the broker here is the system's"),
        "{}",
        ran.out
    );
}

#[test]
fn a_move_that_lacks_a_broker_says_how_that_one_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let environment = with_the_system_form(&folder);
    let unavailable = 20;
    for (arguments, start) in [
        (&["migrate"][..], "systemctl --user start keywardd"),
        (
            &["migrate", "--to", "session"],
            "sudo systemctl start keywardd",
        ),
    ] {
        let ran = keyward(arguments, &environment);
        assert_eq!(ran.code, unavailable, "{}", ran.err);
        assert!(ran.err.contains(start), "{}", ran.err);
    }
}
