use std::fs;

use keyward_broker_ipc::program::Executable;
use keyward_config::{Environment, Permit};

use super::*;

/// The rules of these two files.
fn rules(administrator: &str, user: &str) -> Rules {
    let dir = tempfile::tempdir().unwrap();
    let (system, own) = (dir.path().join("etc.toml"), dir.path().join("own.toml"));
    fs::write(&system, administrator).unwrap();
    fs::write(&own, user).unwrap();
    let environment = Environment::empty()
        .with_system_file(Some(&system))
        .with_variable("KEYWARD_CONFIG", &own);
    let config = keyward_config::load(&environment, Permit::ConfiguredOnly).unwrap();
    Rules::new(&config.policy)
}

fn rule(text: &str) -> String {
    format!("[[policy.rule]]\n{text}\n")
}

fn at(path: &str) -> Program {
    Program::of(Facts {
        executable: Some(Executable {
            path: path.to_owned(),
            file: None,
        }),
        ..Facts::default()
    })
}

fn sandboxed(sandbox: Sandbox) -> Program {
    Program::of(Facts {
        sandbox: Some(sandbox),
        ..Facts::default()
    })
}

fn flatpak(id: &str) -> Program {
    sandboxed(Sandbox::Flatpak(id.to_owned()))
}

/// The verdict on a program that asks for these scopes, for an account nobody knows yet.
fn verdict(rules: &Rules, program: &Program, scopes: &str) -> Verdict {
    verdict_for(rules, program, scopes, AccountAsked::Open)
}

fn verdict_for(
    rules: &Rules,
    program: &Program,
    scopes: &str,
    account: AccountAsked<'_>,
) -> Verdict {
    let scopes = Scopes::parse(scopes);
    let asked = Asked {
        program,
        client_id: "client-1",
        scopes: &scopes,
        account,
    };
    rules.judge(&asked).verdict
}

fn known(username: &'static str) -> AccountAsked<'static> {
    AccountAsked::Known {
        username: Some(username),
        home: Some("u.t"),
    }
}

use Verdict::{Allow, Ask, Deny};

#[test]
fn without_rules_known_programs_are_allowed_and_all_others_asked_about() {
    let rules = rules("", "");
    assert_eq!(verdict(&rules, &at("/usr/bin/a"), "s"), Allow);
    assert_eq!(verdict(&rules, &Program::unknown(), "s"), Ask);
    assert_eq!(verdict(&rules, &flatpak("org.a"), "s"), Ask);
    assert_eq!(verdict(&rules, &sandboxed(Sandbox::Container), "s"), Ask);
    assert!(!rules.look_at_answers());
}

#[test]
fn the_first_rule_that_fits_counts() {
    let user = rule("executable = \"/usr/bin/*\"\nverdict = \"ask\"")
        + &rule("executable = \"/usr/bin/a\"\nverdict = \"deny\"")
        + &rule("client_id = \"CLIENT-?\"\nverdict = \"deny\"");
    let rules = rules("", &user);
    assert_eq!(verdict(&rules, &at("/usr/bin/a"), "s"), Ask);
    assert_eq!(verdict(&rules, &at("/opt/a"), "s"), Deny);
    let asked = Asked {
        program: &at("/opt/a"),
        client_id: "client-1",
        scopes: &Scopes::none(),
        account: AccountAsked::None,
    };
    assert!(rules.judge(&asked).rule.starts_with("policy.rule[2] ("));
    let managing = Asked {
        client_id: "",
        ..asked
    };
    assert_eq!(rules.judge(&managing).rule, "policy.default");
}

#[test]
fn sandboxes_have_rules_of_their_own() {
    let user = rule("sandbox = \"flatpak:org.a.*\"\nverdict = \"allow\"")
        + &rule("sandbox = \"snap:b\"\nverdict = \"deny\"")
        + &rule("sandbox = \"container\"\nverdict = \"deny\"")
        + &rule("sandbox = \"none\"\nverdict = \"deny\"");
    let rules = rules("", &user);
    assert_eq!(verdict(&rules, &flatpak("org.a.Mail"), "s"), Allow);
    assert_eq!(verdict(&rules, &flatpak("org.b.Mail"), "s"), Ask);
    assert_eq!(
        verdict(&rules, &sandboxed(Sandbox::Snap("b".to_owned())), "s"),
        Deny
    );
    assert_eq!(verdict(&rules, &sandboxed(Sandbox::Container), "s"), Deny);
    assert_eq!(verdict(&rules, &at("/usr/bin/a"), "s"), Deny);
    // Nobody can say that it is in none.
    assert_eq!(verdict(&rules, &Program::unknown(), "s"), Ask);
    let any = self::rules("", &rule("sandbox = \"*\"\nverdict = \"deny\""));
    assert_eq!(verdict(&any, &flatpak("org.b"), "s"), Deny);
    assert_eq!(verdict(&any, &at("/usr/bin/a"), "s"), Allow);
}

#[test]
fn one_scope_is_enough_to_refuse_and_all_are_needed_to_allow() {
    let user = rule("scope = \"Mail.*\"\nverdict = \"deny\"")
        + &rule("scope = \"User.*\"\nverdict = \"allow\"")
        + &rule("verdict = \"ask\"");
    let rules = rules("", &user);
    let program = at("/usr/bin/a");
    assert_eq!(verdict(&rules, &program, "User.Read mail.Send"), Deny);
    assert_eq!(verdict(&rules, &program, "User.Read User.Write"), Allow);
    assert_eq!(verdict(&rules, &program, "User.Read Files.Read"), Ask);
    assert_eq!(verdict(&rules, &program, ""), Ask);
    assert!(rules.look_at_answers());
}

#[test]
fn an_account_nobody_knows_yet_is_given_the_laxest_verdict_it_may_get() {
    let user = rule("account = \"*@work.example\"\nverdict = \"allow\"")
        + &rule("account = \"*@evil.example\"\nverdict = \"deny\"")
        + &rule("scope = \"Mail.*\"\nverdict = \"deny\"")
        + &rule("verdict = \"ask\"");
    let rules = rules("", &user);
    let program = at("/usr/bin/a");
    assert_eq!(verdict(&rules, &program, "s"), Allow);
    assert_eq!(
        verdict_for(&rules, &program, "s", known("a@Work.example")),
        Allow
    );
    assert_eq!(
        verdict_for(&rules, &program, "s", known("a@evil.example")),
        Deny
    );
    assert_eq!(
        verdict_for(&rules, &program, "s", known("a@b.example")),
        Ask
    );
    assert_eq!(
        verdict_for(&rules, &program, "Mail.Read", known("a@b.example")),
        Deny
    );
    assert_eq!(verdict_for(&rules, &program, "s", AccountAsked::None), Ask);
    // A name that does not fit is not all of its names.
    let hinted = AccountAsked::Known {
        username: Some("a@b.example"),
        home: None,
    };
    assert_eq!(verdict_for(&rules, &program, "s", hinted), Allow);
}

#[test]
fn an_account_is_known_by_its_id_too() {
    let rules = rules("", &rule("account = \"u.t\"\nverdict = \"deny\""));
    assert_eq!(
        verdict_for(&rules, &at("/a"), "s", known("a@b.example")),
        Deny
    );
}

#[test]
fn what_the_administrator_refuses_no_user_allows() {
    let allow = rule("executable = \"/home/**\"\nverdict = \"allow\"");
    let program = at("/home/a/tool");
    let refused = rules(
        &rule("executable = \"/home/**\"\nverdict = \"deny\""),
        &allow,
    );
    assert_eq!(verdict(&refused, &program, "s"), Deny);
    // Nor what is refused by default.
    let closed = rules("[policy]\ndefault = \"deny\"\n", &allow);
    assert_eq!(verdict(&closed, &program, "s"), Deny);
    let asked = rules(
        "[policy]\nunknown = \"ask\"\n",
        &rule("verdict = \"allow\""),
    );
    assert_eq!(verdict(&asked, &Program::unknown(), "s"), Ask);
    assert_eq!(verdict(&asked, &program, "s"), Allow);
    // The administrator's own rule is an exception to the administrator's default.
    let excepted = rules(&("[policy]\ndefault = \"deny\"\n".to_owned() + &allow), "");
    assert_eq!(verdict(&excepted, &program, "s"), Allow);
    // And a user's own default binds no rule of the same user.
    let own = rules("", &("[policy]\ndefault = \"deny\"\n".to_owned() + &allow));
    assert_eq!(verdict(&own, &program, "s"), Allow);
}

#[test]
fn programs_that_are_known_less_are_never_allowed_more() {
    let rules = rules("", "[policy]\ndefault = \"deny\"\nunknown = \"allow\"\n");
    assert_eq!(verdict(&rules, &Program::unknown(), "s"), Deny);
    assert_eq!(verdict(&rules, &flatpak("org.a"), "s"), Deny);
}
