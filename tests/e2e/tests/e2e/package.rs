//! What a package of the broker installs: three programs, the service files of the bus, the units
//! of the service manager. Nothing of `keyward-dev` takes part.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use keyward_e2e::cli::{command, keyward, run};
use keyward_e2e::face::{Face, error_of, token_request};
use keyward_e2e::msal::access_token;
use keyward_e2e::stack::{KEYWARD_NAME, MICROSOFT_NAME};
use keyward_e2e::{ALICE, CLIENT, Msal, SOON, Stack, Tenant, on_both_tenants, programs};
use keyward_testkit::process::{Signal, runs, signal};
use keyward_testkit::wait;
use serde_json::{Value, json};

#[test]
fn the_bus_starts_the_programs_for_microsofts_client() {
    on_both_tenants(|tenant| {
        let stack = Stack::packaged(tenant);
        assert_eq!(stack.keywardd_process(), None, "nothing runs yet");
        let mut msal = Msal::start_at(&stack, &stack.localhost_authority(tenant));
        assert!(msal.is_broker_available());
        let signed_in = msal.sign_in();
        assert_eq!(signed_in["fromPlatformBroker"], true);
        assert_eq!(stack.authority.whose(access_token(&signed_in)), ALICE);
        let renewed = msal.renew(ALICE, "silent").unwrap();
        assert_eq!(stack.authority.whose(access_token(&renewed)), ALICE);
        assert_eq!(msal.accounts(), [ALICE]);
        assert_eq!(stack.browser.opened(), 1);
        assert_eq!(msal.browsers_opened(), 0);
        // One broker, whoever asks: no second sign-in for the command line.
        let token = keyward(&stack, &["token"]).ok().stdout;
        assert_eq!(stack.authority.whose(token.trim()), ALICE);
        assert_eq!(stack.browser.opened(), 1);
    });
}

#[test]
fn at_the_next_login_the_bus_starts_them_again_and_nobody_signs_in_again() {
    on_both_tenants(|tenant| {
        let mut stack = Stack::packaged(tenant);
        let authority = stack.localhost_authority(tenant);
        Msal::start_at(&stack, &authority).sign_in();
        let session = stack.session_process().unwrap();
        let keywardd = stack.keywardd_process().unwrap();
        signal(keywardd, Signal::KILL);
        stack.restart_bus();
        for process in [session, keywardd] {
            wait::until("its end", SOON, || (!runs(process)).then_some(()));
        }
        let mut msal = Msal::start_at(&stack, &authority);
        assert_eq!(msal.accounts(), [ALICE]);
        let renewed = msal.renew(ALICE, "next login").unwrap();
        assert_eq!(stack.authority.whose(access_token(&renewed)), ALICE);
        assert_ne!(stack.keywardd_process(), Some(keywardd));
        assert_eq!(stack.browser.opened(), 1);
        assert_eq!(msal.browsers_opened(), 0);
    });
}

#[test]
fn the_bus_starts_the_programs_for_the_command_line() {
    on_both_tenants(|tenant| {
        let stack = Stack::packaged(tenant);
        let login = keyward(&stack, &["login", "--json"]).ok().json();
        assert_eq!(login["account"]["username"], ALICE);
        let token = keyward(&stack, &["token"]).ok().stdout;
        assert_eq!(stack.authority.whose(token.trim()), ALICE);
        let status = keyward(&stack, &["status", "--json"]).ok().json();
        assert_eq!(status["form"], "session");
        assert_eq!(status["key_protection"], "software");
        assert_eq!(status["problems"], json!([]));
        let accounts = status["accounts"].as_array().unwrap();
        let [account] = &accounts[..] else {
            panic!("one account: {status}");
        };
        assert_eq!(account["username"], ALICE);
        assert_eq!(account["key_protection"], "software");
        let binding = match tenant {
            Tenant::Oidc => "sender-constrained:dpop",
            Tenant::Entra => "sealed-at-rest",
        };
        assert_eq!(account["binding"], binding);
        keyward(&stack, &["doctor"]).ok();
        keyward(&stack, &["config", "check"]).ok();
        keyward(&stack, &["logout"]).ok();
        assert_eq!(keyward(&stack, &["token"]).code, 3);
    });
}

#[test]
fn where_no_browser_is_configured_the_one_of_the_desktop_is_opened() {
    let stack = Stack::packaged(Tenant::Oidc);
    stack.configure_no_browser();
    // The bus's own environment has `$BROWSER`, as that of a login has.
    assert_signs_in(&stack, &Face::connect(&stack));
    for (browser, display) in [
        (true, None),
        (false, Some("DISPLAY")),
        (false, Some("WAYLAND_DISPLAY")),
        // The command line has nothing to show a page with: keyward-session shows it.
        (false, None),
    ] {
        let mut login = command(&stack, &["login", "--prompt", "login"]);
        if !browser {
            login.env_remove("BROWSER");
        }
        login.envs(display.map(|variable| (variable, "1")));
        let opened = stack.browser.opened();
        run(&stack, &mut login).ok();
        assert_eq!(stack.browser.opened(), opened + 1, "{browser} {display:?}");
    }
}

#[test]
fn without_keywardd_pings_are_answered_and_requests_are_once_it_is_installed() {
    let stack = Stack::packaged(Tenant::Oidc);
    let keywardd = stack.login.path("bin/keywardd");
    fs::remove_file(&keywardd).unwrap();
    let face = Face::connect(&stack);
    assert!(face.ping());
    let error = refused(&stack, &face);
    assert_eq!(error["status"], 20, "{error}");
    let context = error["context"].as_str().unwrap();
    assert!(context.contains("keywardd"), "{context}");
    assert!(context.contains("keyward doctor"), "{context}");
    assert!(face.ping());
    assert_eq!(stack.browser.opened(), 0);

    programs::install_own(&stack.login, "keywardd");
    assert_signs_in(&stack, &face);
}

#[test]
fn a_broken_configuration_is_named_and_once_mended_is_used_without_a_restart() {
    let stack = Stack::packaged(Tenant::Oidc);
    let well_known = "[[authority]]\nmatch = [\"https://login.microsoftonline.com/common\"]\n\
                      issuer = \"http://127.0.0.1:1/oidc\"\nkind = \"oidc\"\n";
    let face = Face::connect(&stack);
    for (broken, named) in [
        ("log = \"info\"\nauthorty = 1\n", "authorty"),
        ("log = \"info\"\nthis is = no [ TOML\n", "TOML"),
        // Only `keyward-dev` may send the well-known names elsewhere.
        (well_known, "login.microsoftonline.com"),
    ] {
        stack.write_configuration(broken);
        assert!(face.ping(), "{named}");
        let error = refused(&stack, &face);
        assert_eq!(error["status"], 9, "{named}: {error}");
        assert!(
            error["context"].as_str().unwrap().contains(named),
            "{error}"
        );
        let session = stack.session_process();
        assert!(session.is_some(), "the bus started it");
        assert_eq!(stack.browser.opened(), 0);
    }
    stack.configure();
    assert_signs_in(&stack, &face);
}

/// The error with which an interactive request is answered.
fn refused(stack: &Stack, face: &Face) -> Value {
    let authority = stack.localhost_authority(Tenant::Oidc);
    let asked = token_request(CLIENT, &authority, &Value::Null, 6);
    let answer = face.ask("acquireTokenInteractively", &asked);
    error_of(&answer).expect("an error").clone()
}

fn assert_signs_in(stack: &Stack, face: &Face) {
    let authority = stack.localhost_authority(Tenant::Oidc);
    let asked = token_request(CLIENT, &authority, &Value::Null, 6);
    let answer = face.ask("acquireTokenInteractively", &asked);
    assert!(error_of(&answer).is_none(), "{answer}");
    let token = answer["brokerTokenResponse"]["accessToken"].as_str();
    assert_eq!(stack.authority.whose(token.unwrap()), ALICE);
    assert_eq!(stack.browser.opened(), 1);
}

#[test]
fn service_files_and_units_name_each_other_and_programs_that_are_built() {
    let units = files("dist/systemd/user");
    let mut names = BTreeSet::new();
    for (file, text) in files("dist/dbus") {
        let name = value(&text, "Name");
        assert_eq!(
            file,
            format!("{name}.service"),
            "the bus looks for it there"
        );
        let unit = value(&text, "SystemdService");
        let unit = units.iter().find(|(file, _)| *file == unit);
        let (_, unit) = unit.unwrap_or_else(|| panic!("{file}: no such unit"));
        assert_eq!(value(&text, "Exec"), value(unit, "ExecStart"), "{file}");
        names.insert(name);
    }
    let ours = [KEYWARD_NAME, MICROSOFT_NAME].map(str::to_owned);
    assert_eq!(names, BTreeSet::from(ours));
    for units in [units, files("dist/systemd/system")] {
        units_fit(&units, &names);
    }
}

fn units_fit(units: &[(String, String)], names: &BTreeSet<String>) {
    for (file, text) in units {
        let ours = |other: &str| units.iter().any(|(file, _)| file == other);
        for other in text.lines().filter_map(|line| {
            let (key, others) = line.split_once('=')?;
            let names_units = ["Wants", "After", "Requires", "Also"].contains(&key);
            names_units.then_some(others)
        }) {
            let mut others = other.split(' ').filter(|other| *other != "network.target");
            assert!(others.all(ours), "{file}: {other}");
        }
        let Some(name) = file.strip_suffix(".service") else {
            let service = file.strip_suffix(".socket").expect(file);
            assert!(ours(&format!("{service}.service")), "{file}");
            assert_eq!(value(text, "FileDescriptorName"), "broker");
            continue;
        };
        let start = value(text, "ExecStart");
        let program = start.split(' ').next().unwrap();
        assert_eq!(program.strip_prefix("/usr/bin/"), Some(name), "{file}");
        programs::own_binary(name);
        if value(text, "Type") == "dbus" {
            assert!(names.contains(&value(text, "BusName")), "{file}");
        }
    }
}

#[test]
fn the_service_manager_understands_the_units() {
    let Some(analyze) = systemd_analyze() else {
        // Past the test runner, which shows nothing of a test that passes.
        let skipped = "\nSKIPPED, needs systemd-analyze: whether the units are understood";
        return writeln!(io::stderr(), "{skipped}").unwrap();
    };
    let folder = keyward_testkit::Login::new();
    let bin = programs::own_binary("keywardd");
    let bin = bin.parent().unwrap().display().to_string();
    for (manager, units) in [("--user", "user"), ("--system", "system")] {
        let place = folder.path("config").join(units);
        fs::create_dir(&place).unwrap();
        let verify = |file: &str| {
            let mut command = folder.command(&analyze);
            command.args([manager, "verify", "--man=no"]);
            let answer = command.arg(place.join(file)).output().unwrap();
            let said = String::from_utf8_lossy(&answer.stderr).into_owned();
            (answer.status.success() && said.is_empty(), said)
        };
        let units = files(&format!("dist/systemd/{units}"));
        for (file, text) in &units {
            fs::write(place.join(file), text.replace("/usr/bin", &bin)).unwrap();
        }
        for (file, _) in &units {
            let (fine, said) = verify(file);
            assert!(fine, "{file}: {said}");
        }
        // What it is given matters: it complains about a key it does not know.
        let (file, text) = units
            .iter()
            .find(|(_, text)| text.contains("ExecStart="))
            .unwrap();
        fs::write(place.join(file), text.replace("ExecStart=", "ExecSart=")).unwrap();
        assert!(!verify(file).0);
    }
}

#[test]
fn the_exposure_of_each_unit_is_the_one_that_is_written_down() {
    let Some(analyze) = systemd_analyze() else {
        let skipped = "\nSKIPPED, needs systemd-analyze: how exposed the units are";
        return writeln!(io::stderr(), "{skipped}").unwrap();
    };
    let folder = keyward_testkit::Login::new();
    let readme = fs::read_to_string(programs::project_folder("dist").join("README.md")).unwrap();
    let units = ["user/keywardd", "user/keyward-session", "system/keywardd"];
    for unit in units.map(|unit| format!("systemd/{unit}.service")) {
        let mut command = folder.command(&analyze);
        command.args(["security", "--offline=true", "--no-pager"]);
        command.arg(programs::project_folder("dist").join(&unit));
        let said = command.output().unwrap().stdout;
        let said = String::from_utf8(said).unwrap();
        let overall = said
            .lines()
            .find_map(|line| line.split_once("Overall exposure level"));
        let (_, overall) = overall.unwrap_or_else(|| panic!("{unit}: {said}"));
        let exposure = overall
            .split_whitespace()
            .find_map(|word| word.parse::<f32>().ok());
        let row = readme
            .lines()
            .find(|line| line.starts_with(&format!("| `{unit}` |")));
        let row = row.unwrap_or_else(|| panic!("{unit} is not in dist/README.md"));
        let written = row
            .split('|')
            .nth(2)
            .unwrap()
            .trim()
            .parse::<f32>()
            .unwrap();
        // Each version of systemd weighs a little differently.
        assert!(
            (exposure.unwrap() - written).abs() <= 0.5,
            "{unit}: {overall}"
        );
    }
}

fn systemd_analyze() -> Option<PathBuf> {
    let program = Path::new("/usr/bin/systemd-analyze");
    let version = Command::new(program).arg("--version").output();
    version.is_ok().then(|| program.to_owned())
}

/// The files of a folder of the project, with their texts.
fn files(folder: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(programs::project_folder(folder)).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| {
            let entry = entry.unwrap();
            let text = fs::read_to_string(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), text)
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder}");
    files
}

/// The value of a key that occurs once.
fn value(text: &str, key: &str) -> String {
    let mut values = text
        .lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let value = values
        .next()
        .unwrap_or_else(|| panic!("no {key} in {text}"));
    assert_eq!(values.next(), None, "{key} twice");
    value.to_owned()
}
