//! Behaviour of the layers together.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

/// An administrator's and a user's file in a folder of their own.
struct Files {
    dir: TempDir,
}

impl Files {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn system_path(&self) -> PathBuf {
        self.dir.path().join("system.toml")
    }

    fn user_path(&self) -> PathBuf {
        self.dir.path().join("keyward/config.toml")
    }

    fn system(self, text: &str) -> Self {
        fs::write(self.system_path(), text).unwrap();
        self
    }

    fn user(self, text: &str) -> Self {
        fs::create_dir_all(self.user_path().parent().unwrap()).unwrap();
        fs::write(self.user_path(), text).unwrap();
        self
    }

    fn environment(&self) -> Environment {
        Environment::empty()
            .with_system_file(Some(&self.system_path()))
            .with_variable("XDG_CONFIG_HOME", self.dir.path())
    }

    fn load(&self) -> Result<Config, ConfigError> {
        load(&self.environment(), Permit::ConfiguredOnly)
    }
}

fn only_problem(error: &ConfigError) -> String {
    let problems: Vec<_> = error.problems().collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].to_string()
}

#[test]
fn without_any_file_the_defaults_are_in_force() {
    let config = Files::new().load().unwrap();
    assert_eq!(config.log.value, "info");
    assert_eq!(config.interactive_deadline.value, Duration::from_secs(285));
    assert_eq!(config.log.origin, Origin::Default);
    assert!(config.authorities().is_empty());
}

#[test]
fn later_layers_win_and_every_value_knows_its_origin() {
    let files = Files::new()
        .system("log = \"error\"\n[interactive]\ndeadline_seconds = 100\n")
        .user("log = \"warn\"\n");
    let config = files.load().unwrap();
    assert_eq!(config.log.value, "warn");
    assert_eq!(
        config.log.origin.to_string(),
        format!("{}:1", files.user_path().display())
    );
    assert_eq!(
        config.interactive_deadline.origin.to_string(),
        format!("{}:3", files.system_path().display())
    );

    let environment = files.environment().with_variable("KEYWARD_LOG", "debug");
    let config = load(&environment, Permit::ConfiguredOnly).unwrap();
    assert_eq!(config.log.value, "debug");
    assert_eq!(config.log.origin.to_string(), "$KEYWARD_LOG");

    let environment = environment.with_flag(FlagName::Log, "trace");
    let config = load(&environment, Permit::ConfiguredOnly).unwrap();
    assert_eq!(config.log.value, "trace");
    assert_eq!(config.log.origin.to_string(), "--log");
}

#[test]
fn an_unknown_key_is_an_error_that_names_line_and_nearest_key() {
    let files = Files::new().user("log = \"info\"\n\n[interactive]\ndeadline_second = 3\n");
    assert_eq!(
        only_problem(&files.load().unwrap_err()),
        format!(
            "{}:4: there is no key `interactive.deadline_second`: did you mean \
             `interactive.deadline_seconds`?",
            files.user_path().display()
        )
    );
    let files = Files::new().user("[[authority]]\nissuer = \"https://a.example\"\nmtach = []\n");
    let problem = only_problem(&files.load().unwrap_err());
    assert!(
        problem.ends_with(":3: there is no key `mtach`: did you mean `match`?"),
        "{problem}"
    );
    let files = Files::new().user("[interactive]\nfoo = 1\n");
    let problem = only_problem(&files.load().unwrap_err());
    assert!(
        problem.ends_with("`interactive.foo`: in `interactive` there is `deadline_seconds`"),
        "{problem}"
    );
    let files = Files::new().user("[cli]\nclientid = \"c\"\n");
    let problem = only_problem(&files.load().unwrap_err());
    assert!(
        problem.ends_with("did you mean `cli.client_id`?"),
        "{problem}"
    );
    let files = Files::new().user("[policies]\nx = 1\n");
    let problem = only_problem(&files.load().unwrap_err());
    assert!(
        problem.ends_with(":1: there is no key `policies`"),
        "{problem}"
    );
}

#[test]
fn a_demand_that_cannot_be_met_is_kept_and_named() {
    let files = Files::new()
        .system("require_key_protection = \"tpm\"\n")
        .user("key_protection = \"software\"\n");
    let config = files.load().unwrap();
    assert_eq!(
        config.require_key_protection.value,
        RequiredKeyProtection::Tpm
    );
    let [warning] = config.warnings() else {
        panic!("{:?}", config.warnings());
    };
    assert!(warning.contains("system.toml:1: "), "{warning}");
    assert!(warning.contains("refuses every sign-in"), "{warning}");
    let can_be_met = Files::new().system("require_key_protection = \"tpm\"\n");
    assert_eq!(can_be_met.load().unwrap().warnings(), [""; 0]);
}

#[test]
fn the_tpm_is_configured_by_file_and_by_variable() {
    let config = Files::new().load().unwrap();
    assert_eq!(
        config.key_protection.value,
        KeyProtectionChoice::TpmOrSoftware
    );
    assert_eq!(config.tpm.tcti.value, "device:/dev/tpmrm0");
    assert_eq!(config.tpm.pin.value, PinChoice::None);
    assert_eq!(config.tpm.pin_kept.value, Duration::from_secs(300));

    let files = Files::new().user(
        "key_protection = \"tpm\"\n[tpm]\ntcti = \"tabrmd\"\npin = \"ask\"\npin_seconds = 60\n",
    );
    let environment = files.environment();
    let config = load(&environment, Permit::ConfiguredOnly).unwrap();
    assert_eq!(config.key_protection.value, KeyProtectionChoice::Tpm);
    assert_eq!(config.tpm.tcti.value, "tabrmd");
    assert_eq!(config.tpm.pin.value, PinChoice::Ask);
    assert_eq!(config.tpm.pin_kept.value, Duration::from_secs(60));

    let environment = environment.with_variable("KEYWARD_TPM_TCTI", "swtpm:port=2321");
    let config = load(&environment, Permit::ConfiguredOnly).unwrap();
    assert_eq!(config.tpm.tcti.value, "swtpm:port=2321");
    let environment = environment.with_variable("KEYWARD_TPM_TCTI", " ");
    assert!(load(&environment, Permit::ConfiguredOnly).is_err());
}

#[test]
fn what_can_be_read_beside_a_problem_can_be_shown() {
    let files = Files::new().user("log = \"debug\"\nkey_protektion = \"software\"\n");
    let (config, error) = examine(&files.environment(), Permit::ConfiguredOnly);
    assert_eq!(config.log.value, "debug");
    assert!(only_problem(&error.unwrap()).contains("key_protektion"));
}

#[test]
fn rules_about_callers_are_matched_in_the_order_of_the_layers() {
    let files = Files::new()
        .system(
            "[policy]\ndefault = \"ask\"\n[[policy.rule]]\nclient_id = \"a\"\nverdict = \"deny\"\n",
        )
        .user(
            "[[policy.rule]]\nexecutable = \"/opt/**\"\nsandbox = \"none\"\nscope = \"Mail.*\"\n\
             account = \"*@a.example\"\nverdict = \"allow\"\n",
        );
    let config = files.load().unwrap();
    assert_eq!(config.policy.default.value, Verdict::Ask);
    let [first, second] = config.policy.rules() else {
        panic!("{:?}", config.policy.rules());
    };
    assert_eq!(first.client_id.as_deref(), Some("a"));
    assert!(first.origin.is_administrator());
    assert_eq!(second.executable.as_deref(), Some("/opt/**"));
    assert_eq!(second.verdict, Verdict::Allow);
    let rows = config.explain();
    let row = rows.iter().find(|row| row.key == "policy.rule[0]").unwrap();
    assert_eq!(row.value, "{ client_id = \"a\", verdict = \"deny\" }");
    let without = Files::new().load().unwrap();
    let changes = without.changes_for_broker(&config);
    assert_eq!(
        changes,
        ["policy.default", "policy.rule[0]", "policy.rule[1]"]
    );
}

#[test]
fn what_the_administrator_says_about_callers_can_only_be_tightened() {
    let system = "[policy]\nunknown = \"deny\"\nsandboxed = \"ask\"\n";
    let files = Files::new().system(system);
    let looser = files
        .environment()
        .with_variable("KEYWARD_POLICY_UNKNOWN", "ask");
    let problem = load(&looser, Permit::ConfiguredOnly).unwrap_err();
    assert!(only_problem(&problem).contains("would loosen \"deny\""));
    let stricter = Files::new()
        .system(system)
        .user("[policy]\nsandboxed = \"deny\"\n");
    let policy = stricter.load().unwrap().policy;
    assert_eq!(policy.sandboxed.value, Verdict::Deny);
    // A user's own choice is the user's own.
    let own = Files::new().user("[policy]\nunknown = \"allow\"\n");
    assert_eq!(own.load().unwrap().policy.unknown.value, Verdict::Allow);
}

#[test]
fn a_rule_that_cannot_be_followed_is_an_error() {
    let rule = "[[policy.rule]]\n";
    for (text, why) in [
        (
            format!("{rule}verdikt = \"deny\"\n"),
            "did you mean `verdict`?",
        ),
        (format!("{rule}client_id = \"a\"\n"), "`verdict` is missing"),
        (
            format!("{rule}verdict = \"no\"\n"),
            "\"allow\" or \"ask\" or \"deny\"",
        ),
        (
            format!("{rule}executable = \"bin\"\nverdict = \"ask\"\n"),
            "absolute path",
        ),
        (
            format!("{rule}sandbox = \"docker\"\nverdict = \"ask\"\n"),
            "flatpak:ID",
        ),
        (
            format!("{rule}scope = \"\"\nverdict = \"ask\"\n"),
            "is empty",
        ),
        ("[policy]\nrule = 1\n".to_owned(), "write [[policy.rule]]"),
        (
            "[policy]\nrules = []\n".to_owned(),
            "did you mean `policy.rule`?",
        ),
        (
            "[policy]\nallow = []\n".to_owned(),
            "there is no key `policy.allow`",
        ),
        ("policy = 1\n".to_owned(), "has to be a table"),
    ] {
        let error = Files::new().system(&text).load().unwrap_err();
        let problem = only_problem(&error);
        assert!(problem.contains(why), "{text}: {problem}");
    }
}

#[test]
fn a_broken_file_is_an_error_with_its_line() {
    let files = Files::new().user("log = \"info\"\nkey_protection = software\n");
    let problem = only_problem(&files.load().unwrap_err());
    assert!(
        problem.starts_with(&format!("{}:2: is not TOML: ", files.user_path().display())),
        "{problem}"
    );
}

#[test]
fn every_problem_of_every_layer_is_listed() {
    let files = Files::new()
        .system("key_protection = \"hsm\"\n")
        .user("log = 3\nuser_agent = 1\n[interactive]\ndeadline_seconds = 0\n");
    let environment = files
        .environment()
        .with_variable("KEYWARD_REQUIRE_BINDING", "some");
    let error = load(&environment, Permit::ConfiguredOnly).unwrap_err();
    let problems: Vec<String> = error.problems().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 5, "{problems:#?}");
    assert!(problems[0].ends_with(
        "`key_protection` has to be \"tpm\" or \"software\" or \"tpm-or-software\", not \"hsm\""
    ));
    assert!(
        problems
            .iter()
            .any(|p| p.ends_with("`log` has to be text, not an integer"))
    );
    assert!(
        problems
            .iter()
            .any(|p| p.contains("`user_agent` has to be a table"))
    );
    assert!(problems.iter().any(|p| p.contains("from 1 to 3600")));
    assert!(problems[4].starts_with("$KEYWARD_REQUIRE_BINDING: `require_binding` has to be"));
    assert!(
        error
            .to_string()
            .contains("(and 4 more: keyward config check lists them)")
    );
}

#[test]
fn what_the_administrator_requires_can_be_tightened_but_not_loosened() {
    let files = Files::new().system("require_binding = \"sender-constrained\"\n");
    let environment = files.environment();
    let looser = environment
        .clone()
        .with_variable("KEYWARD_REQUIRE_BINDING", "any");
    let error = load(&looser, Permit::ConfiguredOnly).unwrap_err();
    assert!(only_problem(&error).contains("would loosen \"sender-constrained\", which"));

    let files = Files::new().system("require_binding = \"any\"\n");
    let stricter = files
        .environment()
        .with_variable("KEYWARD_REQUIRE_BINDING", "sender-constrained");
    let config = load(&stricter, Permit::ConfiguredOnly).unwrap();
    assert_eq!(
        config.require_binding.value,
        RequiredBinding::SenderConstrained
    );

    let files = Files::new().user("require_binding = \"sender-constrained\"\n");
    let own_choice = files
        .environment()
        .with_variable("KEYWARD_REQUIRE_BINDING", "any");
    assert!(load(&own_choice, Permit::ConfiguredOnly).is_ok());
}

const ADMIN_AUTHORITY: &str = "[[authority]]\nmatch = [\"https://sso.example/app\"]\n\
     issuer = \"https://id.example/main\"\ndpop = \"required\"\n";

#[test]
fn an_administrators_authority_cannot_be_loosened() {
    for (user, complaint) in [
        (
            "issuer = \"https://id.example/main\"\ndpop = \"auto\"",
            "`dpop` \"auto\" would loosen \"required\"",
        ),
        (
            "match = [\"https://SSO.example/App\"]\nissuer = \"https://evil.example\"",
            "`issuer` \"https://evil.example\" would loosen",
        ),
        (
            "match = [\"https://id.example/main\"]\nissuer = \"https://evil.example\"",
            "`issuer` \"https://evil.example\" would loosen",
        ),
        (
            "match = [\"https://id.example/main/realm/v2.0/\"]\nissuer = \"https://evil.example\"",
            "`issuer` \"https://evil.example\" would loosen",
        ),
        (
            "issuer = \"https://id.example/main\"\nkind = \"entra\"",
            "`kind` \"entra\" would loosen \"oidc\"",
        ),
    ] {
        let files = Files::new()
            .system(ADMIN_AUTHORITY)
            .user(&format!("[[authority]]\n{user}\n"));
        let problem = only_problem(&files.load().unwrap_err());
        assert!(problem.contains(complaint), "{problem}");
    }
}

#[test]
fn an_administrators_authority_can_be_tightened() {
    let files = Files::new().system(ADMIN_AUTHORITY).user(
        "[[authority]]\nissuer = \"https://id.example/main\"\nverify_binding = true\n\
         match = [\"https://other.example/x\"]\n[[authority]]\nissuer = \"https://new.example\"\n",
    );
    let config = files.load().unwrap();
    let [tightened, added] = config.authorities() else {
        panic!("{:?}", config.authorities());
    };
    assert_eq!(tightened.dpop, DpopUse::Required);
    assert!(tightened.verify_binding);
    assert_eq!(tightened.matches.len(), 2);
    assert!(tightened.origin.is_administrator());
    assert_eq!(added.issuer, "https://new.example");
    assert_eq!(
        (added.dpop, added.kind),
        (DpopUse::Auto, AuthorityKind::Oidc)
    );
}

#[test]
fn realms_of_one_host_are_different_authorities() {
    let files = Files::new().user(
        "[[authority]]\nissuer = \"https://sso.example/realms/a\"\n\
         [[authority]]\nissuer = \"https://sso.example/realms/b\"\n",
    );
    assert_eq!(files.load().unwrap().authorities().len(), 2);
}

#[test]
fn one_layer_configures_an_authority_once() {
    let files = Files::new().user(
        "[[authority]]\nissuer = \"https://a.example\"\n\
         [[authority]]\nissuer = \"https://a.example\"\n",
    );
    let problem = only_problem(&files.load().unwrap_err());
    assert!(
        problem.contains(":3: names the authority that"),
        "{problem}"
    );
}

#[test]
fn unusable_authorities_are_refused_with_the_reason() {
    for (entry, complaint) in [
        ("match = [\"https://a.example/x\"]", "`issuer` is missing"),
        ("issuer = \"http://a.example\"", "plain http"),
        ("issuer = \"ftp://a.example\"", "not an https URL"),
        ("issuer = \"a.example\"", "is not a URL"),
        ("issuer = \"https://a.example/?q\"", "may not have a query"),
        (
            "issuer = \"https://a.example\"\nmatch = \"http://b.example/x\"",
            "`match` \"http://b.example/x\" is plain http",
        ),
        (
            "issuer = \"https://a.example\"\nmatch = \"https://login.microsoftonline.com/common\"",
            "cannot be mapped",
        ),
        (
            "issuer = \"https://a.example\"\ndpop = true",
            "`dpop` has to be text",
        ),
        (
            "issuer = \"https://a.example\"\ndpop = \"on\"",
            "has to be \"auto\" or \"required\" or \"off\", not \"on\"",
        ),
    ] {
        let files = Files::new().user(&format!("[[authority]]\n{entry}\n"));
        let problem = only_problem(&files.load().unwrap_err());
        assert!(problem.contains(complaint), "{entry}: {problem}");
    }
    let files = Files::new().user("[authority]\nissuer = \"https://a.example\"\n");
    assert!(only_problem(&files.load().unwrap_err()).contains("write [[authority]]"));
}

#[test]
fn only_what_a_broker_works_by_is_a_change_for_it() {
    let authority = "[[authority]]\nissuer = \"https://a.example\"\n";
    let before = Files::new().user(authority).load().unwrap();
    let changes = |text: &str| {
        let after = Files::new().user(text).load().unwrap();
        before.changes_for_broker(&after)
    };
    let elsewhere = "# moved\n[cli]\nclient_id = \"c\"\n[user_agent]\ncommand = \"firefox\"\n";
    assert_eq!(changes(&format!("{elsewhere}{authority}")), [""; 0]);
    let tightened = format!("require_binding = \"sender-constrained\"\n{authority}");
    assert_eq!(changes(&tightened), ["require_binding"]);
    let required = format!("{authority}dpop = \"required\"\n");
    assert_eq!(changes(&required), ["authority[0].dpop"]);
    assert!(changes("").contains(&"authority[0].issuer".to_owned()));
}

#[test]
fn an_administrators_audit_stays_where_it_is() {
    let off = "[audit]\nto = \"off\"\nrequired = false\n";
    let config = Files::new().user(off).load().unwrap();
    assert_eq!(config.audit.to.value, AuditDestination::Off);
    let insisting = Files::new()
        .system("[audit]\nto = \"journald\"\nrequired = true\n")
        .user(off);
    let error = insisting.load().unwrap_err();
    let problems: Vec<_> = error.problems().map(ToString::to_string).collect();
    for why in [
        "\"off\" would replace \"journald\"",
        "would loosen \"true\"",
    ] {
        assert!(
            problems.iter().any(|problem| problem.contains(why)),
            "{problems:?}"
        );
    }
    let error = Files::new().user("[audit]\nfiles = 1\n").load();
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("has to be a number from 2 to 100"),
        "{error}"
    );
}

#[test]
fn an_administrators_hardening_is_not_switched_off() {
    let off = "[hardening]\nlandlock = false\nseccomp = false\n";
    let config = Files::new().user(off).load().unwrap();
    assert!(!config.hardening.landlock.value && !config.hardening.seccomp.value);
    let insisting = Files::new()
        .system("[hardening]\nseccomp = true\n")
        .user(off);
    let error = insisting.load().unwrap_err();
    assert!(only_problem(&error).contains("would loosen \"true\""));
    let config = Files::new().load().unwrap();
    assert!(config.hardening.landlock.value && config.hardening.seccomp.value);
}

#[test]
fn only_the_developer_tool_may_map_well_known_hosts() {
    let entry = AuthorityEntry {
        matches: vec!["https://login.microsoftonline.com/common".to_owned()],
        issuer: "http://127.0.0.1:4000/oidc".to_owned(),
        kind: AuthorityKind::Oidc,
        dpop: None,
        verify_binding: Some(true),
    };
    let environment = Environment::empty().with_authorities("keyward-dev", vec![entry]);
    let error = load(&environment, Permit::ConfiguredOnly).unwrap_err();
    assert!(only_problem(&error).starts_with("keyward-dev: `match`"));
    let config = load(&environment, Permit::WellKnownHosts).unwrap();
    assert_eq!(config.authorities()[0].origin.to_string(), "keyward-dev");
}

#[test]
fn a_named_file_has_to_exist_and_the_usual_ones_do_not() {
    let files = Files::new().user("log = \"warn\"\n");
    let environment = files
        .environment()
        .with_variable("KEYWARD_CONFIG", "/nonexistent/c.toml");
    let error = load(&environment, Permit::ConfiguredOnly).unwrap_err();
    assert!(only_problem(&error).contains("does not exist, but $KEYWARD_CONFIG names it"));
    let environment = files
        .environment()
        .with_variable("KEYWARD_CONFIG", "/dev/null");
    let config = load(&environment, Permit::ConfiguredOnly).unwrap();
    assert_eq!(config.log.value, "info");
}

#[test]
fn a_file_everybody_may_write_is_refused() {
    let files = Files::new().user("log = \"warn\"\n");
    fs::set_permissions(files.user_path(), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(only_problem(&files.load().unwrap_err()).contains("chmod o-w"));
    fs::remove_file(files.user_path()).unwrap();
    fs::create_dir(files.user_path()).unwrap();
    assert!(only_problem(&files.load().unwrap_err()).contains("is not a file"));
}

#[test]
fn a_file_that_is_too_large_or_no_text_is_refused() {
    let files = Files::new().user(&"#".repeat(1024 * 1024 + 1));
    assert!(only_problem(&files.load().unwrap_err()).contains("larger than 1 MiB"));
    fs::write(files.user_path(), [0xff, 0xfe]).unwrap();
    assert!(only_problem(&files.load().unwrap_err()).contains("cannot be read"));
}

#[test]
fn a_mistyped_variable_is_a_warning_and_a_foreign_one_is_nothing() {
    let environment = Environment::empty()
        .with_variable("KEYWARD_LGO", "debug")
        .with_variable("KEYWARD_DEV_TENANT", "x");
    let config = load(&environment, Permit::ConfiguredOnly).unwrap();
    assert_eq!(
        config.warnings(),
        ["$KEYWARD_LGO is not known: did you mean $KEYWARD_LOG?"]
    );
}

#[test]
fn a_command_is_a_list_or_words() {
    let list = Files::new().user("[user_agent]\ncommand = [\"my browser\", \"--app={url}\"]\n");
    assert_eq!(
        list.load().unwrap().user_agent_command.value,
        ["my browser", "--app={url}"]
    );
    let words = Files::new().user("user_agent.command = \"firefox -P work {url}\"\n");
    assert_eq!(
        words.load().unwrap().user_agent_command.value,
        ["firefox", "-P", "work", "{url}"]
    );
    let bad = Files::new().user("user_agent.command = \"{url}\"\n");
    assert!(only_problem(&bad.load().unwrap_err()).contains("begin with a program"));
}

#[test]
fn defaults_of_the_command_line_come_from_file_or_variable() {
    let files = Files::new().user("[cli]\nclient_id = \"c\"\nauthority = \"https://a.example\"\n");
    let environment = files
        .environment()
        .with_variable("KEYWARD_CLIENT_ID", "from-variable");
    let cli = load(&environment, Permit::ConfiguredOnly).unwrap().cli;
    assert_eq!(cli.client_id.value.as_deref(), Some("from-variable"));
    assert_eq!(cli.client_id.origin.to_string(), "$KEYWARD_CLIENT_ID");
    assert_eq!(cli.authority.value.as_deref(), Some("https://a.example"));
    assert_eq!(cli.login_hint.value, None);
}

#[test]
fn explain_lists_every_key_with_a_value_that_reads_back() {
    let files = Files::new()
        .user("[user_agent]\ncommand = [\"a\\\"b\", \"{url}\"]\n")
        .system(ADMIN_AUTHORITY);
    let config = files.load().unwrap();
    let rows = config.explain();
    for key in key::KEYS {
        let row = rows.iter().find(|row| row.key == key.name).unwrap();
        assert!(!row.doc.is_empty());
        let text = format!("{} = {}\n", row.key, row.value);
        let again = Files::new().user(&text).load().unwrap().explain();
        assert_eq!(
            again.iter().find(|r| r.key == key.name).unwrap().value,
            row.value
        );
    }
    let issuer = rows
        .iter()
        .find(|row| row.key == "authority[0].issuer")
        .unwrap();
    assert_eq!(issuer.value, "\"https://id.example/main\"");
    assert_eq!(
        issuer.origin.to_string(),
        format!("{}:1", files.system_path().display())
    );
}

proptest::proptest! {
    #[test]
    fn no_text_makes_loading_panic(text in "\\PC{0,200}|[\\[\\]=\"a-z_.\n ]{0,200}") {
        let files = Files::new().user(&text);
        let _ = files.load();
    }
}

#[test]
fn the_wrapping_key_is_in_a_file_unless_the_keyring_is_chosen() {
    let default = Files::new().load().unwrap();
    assert_eq!(default.wrapping_key.value, WrappingKeyPlace::File);
    let chosen = Files::new().user("[software]\nwrapping_key = \"secret-service\"\n");
    let chosen = chosen.load().unwrap();
    assert_eq!(chosen.wrapping_key.value, WrappingKeyPlace::SecretService);
    let problem = Files::new()
        .user("[software]\nwrapping_key = \"tpm\"\n")
        .load();
    let problem = problem.unwrap_err().to_string();
    assert!(
        problem.contains("\"file\" or \"secret-service\""),
        "{problem}"
    );
}
