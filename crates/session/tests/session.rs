//! keyward-session as a process, on a bus of its own.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fake_keywardd;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use fake_keywardd::FakeKeywardd;
use keyward_broker_ipc::address::BusAddress;
use keyward_broker_ipc::client::oauth::question::{Asker, ConsentQuestion, Question};
use keyward_broker_ipc::client::ports::{BrokerStatus, TokenBroker as _};
use keyward_broker_ipc::names;
use keyward_broker_ipc::proxy::BusBroker;
use keyward_broker_ipc::service::Via;
use keyward_testkit::bus::{Caller, Destination, Variant};
use keyward_testkit::{Login, Process, SessionBus, http, process, wait};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
const PROGRAM: &str = env!("CARGO_BIN_EXE_keyward-session");
const NAMES: [&str; 2] = [names::microsoft::BUS_NAME, names::keyward::BUS_NAME];
const MICROSOFT: Destination<'static> = Destination {
    name: Some(names::microsoft::BUS_NAME),
    path: names::microsoft::PATH,
    interface: names::microsoft::INTERFACE,
};
const PEER: Destination<'static> = Destination {
    interface: "org.freedesktop.DBus.Peer",
    ..MICROSOFT
};

/// A login with a bus; keywardd cannot be found in it.
struct Desktop {
    login: Login,
    bus: SessionBus,
}

impl Desktop {
    fn new() -> Self {
        Self::with(|_| {})
    }

    /// `prepare` writes files before the bus starts.
    fn with(prepare: impl FnOnce(&Login)) -> Self {
        let login = Login::new();
        prepare(&login);
        let environment = [("KEYWARD_KEYWARDD", "/nonexistent/keywardd")];
        let bus = SessionBus::start(&login, &environment);
        Self { login, bus }
    }

    fn socket(&self) -> std::path::PathBuf {
        self.login.path("run/keyward/broker.sock")
    }

    /// Starts keyward-session by hand and waits for its names.
    fn session(&self, client: &Caller) -> Process {
        let mut command = self.login.command(PROGRAM);
        command.env("KEYWARD_KEYWARDD", "/nonexistent/keywardd");
        let process = Process::start("keyward-session", &mut command, &self.login.logs());
        for name in NAMES {
            client.wait_for_owner(name, SOON);
        }
        process
    }

    fn status(&self) -> BrokerStatus {
        let address = BusAddress::parse(self.bus.address(), None).unwrap();
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(BusBroker::new(address).status())
            .unwrap()
    }
}

/// A call of Microsoft's contract.
fn call(client: &Caller, method: &str, request: &Value) -> Value {
    let arguments = (
        "0.0",
        "11111111-2222-3333-4444-555555555555",
        request.to_string(),
    );
    let answer = client.call(MICROSOFT, method, &arguments).unwrap();
    let text: String = answer.body().deserialize().unwrap();
    serde_json::from_str(&text).unwrap()
}

fn request() -> Value {
    json!({"authParameters": {"clientId": "c", "authority": "https://idp.example/t",
           "requestedScopes": ["User.Read"]}})
}

fn context(reply: &Value) -> &str {
    reply["error"]["context"].as_str().unwrap()
}

#[test]
fn without_keywardd_ping_is_answered_and_each_request_says_why_not() {
    let desktop = Desktop::new();
    let client = desktop.bus.connect();
    let mut session = desktop.session(&client);
    client.call(PEER, "Ping", &()).unwrap();
    for _ in 0..3 {
        let reply = call(&client, "acquireTokenSilently", &request());
        assert_eq!(reply["error"]["status"], 20, "{reply}");
        assert!(context(&reply).contains("/nonexistent/keywardd"), "{reply}");
    }
    let accounts = call(&client, "getAccounts", &json!({"clientId": "c"}));
    assert_eq!(accounts, json!({"accounts": []}));
    client.call(PEER, "Ping", &()).unwrap();
    assert!(session.is_running());
}

#[test]
fn what_it_starts_keeps_nothing_of_its_output_open() {
    let desktop = Desktop::new();
    let client = desktop.bus.connect();
    let keywardd = desktop.login.path("keywardd");
    let script = "#!/bin/sh\nfor fd in 0 1 2; do readlink /proc/$$/fd/$fd; done > \"$0.open\"\n";
    fs::write(&keywardd, script).unwrap();
    fs::set_permissions(&keywardd, fs::Permissions::from_mode(0o755)).unwrap();
    let log = desktop.login.path("logs/on-demand.err");
    for named in [None, Some(&log)] {
        let mut command = desktop.login.command(PROGRAM);
        command.env("KEYWARD_KEYWARDD", &keywardd);
        command.envs(named.map(|log| ("KEYWARD_KEYWARDD_LOG", log)));
        let session = Process::start("keyward-session", &mut command, &desktop.login.logs());
        for name in NAMES {
            client.wait_for_owner(name, SOON);
        }
        let reply = call(&client, "acquireTokenSilently", &request());
        assert!(context(&reply).contains("cannot be started"), "{reply}");
        let open = fs::read_to_string(desktop.login.path("keywardd.open")).unwrap();
        let open: Vec<&str> = open.lines().collect();
        assert_eq!(open[0], "/dev/null");
        match named {
            Some(log) => assert_eq!(open[2], log.to_str().unwrap()),
            // The journal's socket where there is a journal.
            None => assert!(
                open[2] == "/dev/null" || open[2].starts_with("socket:"),
                "{open:?}"
            ),
        }
        drop(session);
        wait::until("free names", SOON, || {
            NAMES
                .iter()
                .all(|name| !client.has_owner(name))
                .then_some(())
        });
    }
}

#[test]
fn requests_are_passed_on_with_the_name_of_their_caller() {
    let desktop = Desktop::new();
    let keywardd = FakeKeywardd::serve(&desktop.socket());
    let client = desktop.bus.connect();
    let _session = desktop.session(&client);
    let reply = call(&client, "acquireTokenSilently", &request());
    assert_eq!(reply["brokerTokenResponse"]["accessToken"], "access-token");
    let caller = keywardd.asked.callers.lock().unwrap().pop().unwrap();
    assert_eq!(caller.pid, Some(std::process::id()));
    let unique_name = client.unique_name();
    assert_eq!(caller.via, Via::Bus { unique_name });
    assert_eq!(desktop.status().problems, ["one of keywardd's"]);
}

#[test]
fn keywardd_may_go_and_come_back() {
    let desktop = Desktop::new();
    let client = desktop.bus.connect();
    let _session = desktop.session(&client);
    for _ in 0..3 {
        let keywardd = FakeKeywardd::serve(&desktop.socket());
        let reply = call(&client, "acquireTokenSilently", &request());
        assert!(reply.get("error").is_none(), "{reply}");
        drop(keywardd);
        let reply = call(&client, "acquireTokenSilently", &request());
        assert_eq!(reply["error"]["status"], 20, "{reply}");
    }
}

/// Configures a browser that writes the address it is given into `browser.url`.
fn browser_that_keeps_the_address(login: &Login) {
    let browser = login.path("browser");
    let script = "#!/bin/sh\nprintf %s \"$1\" > \"$0.part\" && mv \"$0.part\" \"$0.url\"\n";
    fs::write(&browser, script).unwrap();
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).unwrap();
    let folder = login.path("config/keyward");
    fs::create_dir(&folder).unwrap();
    let browser = browser.display();
    let config = format!("[user_agent]\ncommand = [\"{browser}\", \"{{url}}\"]\n");
    fs::write(folder.join("config.toml"), config).unwrap();
}

#[test]
fn a_question_is_a_page_in_the_configured_browser_and_its_answer_goes_back() {
    let desktop = Desktop::with(browser_that_keeps_the_address);
    let keywardd = FakeKeywardd::serve(&desktop.socket());
    let consent = ConsentQuestion {
        program: Asker {
            name: Some("<b>tool</b>".to_owned()),
            ..Asker::default()
        },
        client_id: "client-1".to_owned(),
        ..ConsentQuestion::default()
    };
    *keywardd.asked.question.lock().unwrap() = Some(Question::Consent(Box::new(consent)));
    let client = desktop.bus.connect();
    let _session = desktop.session(&client);
    let person = std::thread::spawn({
        let opened = desktop.login.path("browser.url");
        move || {
            let page = wait::until("a browser that is opened", SOON, || {
                fs::read_to_string(&opened).ok()
            });
            assert!(page.starts_with("http://127.0.0.1:"), "{page}");
            let shown = http::get(&page, &[]).unwrap().body;
            assert!(shown.contains("&lt;b&gt;tool&lt;/b&gt;") && shown.contains("client-1"));
            let (_, rest) = shown.split_once("name=\"token\" value=\"").unwrap();
            let (token, _) = rest.split_once('"').unwrap();
            let guess = http::post_form(&page, &[], "token=guess&answer=allow").unwrap();
            assert_eq!(guess.status, 400);
            let form = format!("token={token}&answer=allow");
            assert_eq!(http::post_form(&page, &[], &form).unwrap().status, 200);
        }
    });
    let reply = call(&client, "acquireTokenInteractively", &request());
    person.join().unwrap();
    assert_eq!(reply["brokerTokenResponse"]["accessToken"], "access-token");
    // Who asks is what keyward-session found out about the caller on the bus.
    let caller = keywardd.asked.callers.lock().unwrap().pop().unwrap();
    let executable = caller.program.executable.as_ref().unwrap();
    let this = std::env::current_exe().unwrap();
    assert_eq!(Some(executable.path.as_str()), this.to_str());
    assert!(caller.forwarder.is_some());
}

#[test]
fn a_sign_in_is_shown_by_the_configured_browser_and_its_redirect_comes_back() {
    let desktop = Desktop::with(browser_that_keeps_the_address);
    let keywardd = FakeKeywardd::serve(&desktop.socket());
    let client = desktop.bus.connect();
    let _session = desktop.session(&client);
    let person = std::thread::spawn({
        let opened = desktop.login.path("browser.url");
        move || {
            let url = wait::until("a browser that is opened", SOON, || {
                fs::read_to_string(&opened).ok()
            });
            let url = url::Url::parse(&url).unwrap();
            let (_, redirect_uri) = url.query_pairs().next().unwrap();
            let page = http::get(&format!("{redirect_uri}?code=c0de&state=s"), &[]).unwrap();
            assert_eq!(page.status, 200);
        }
    });
    let reply = call(&client, "acquireTokenInteractively", &request());
    assert!(reply.get("error").is_none(), "{reply}");
    person.join().unwrap();
    let redirect = keywardd.asked.redirects.lock().unwrap().pop().unwrap();
    assert_eq!(redirect.query(), Some("code=c0de&state=s"));
}

#[test]
fn those_who_call_keywardd_directly_get_a_user_agent_too() {
    let desktop = Desktop::new();
    let client = desktop.bus.connect();
    let _session = desktop.session(&client);
    let _keywardd = FakeKeywardd::serve(&desktop.socket());
    let direct = Caller::to_peer(&desktop.socket()).unwrap();
    let ours = Destination {
        name: None,
        path: names::keyward::PATH,
        interface: names::keyward::INTERFACE,
    };
    // There is no display here, so the agent's answer is a refusal; but it is the agent's.
    wait::until("an agent that was offered", SOON, || {
        let request: std::collections::HashMap<&str, Variant<'_>> = [
            ("client_id", "c".into()),
            ("authority", "https://idp.example/t".into()),
            ("scopes", "User.Read".into()),
        ]
        .into();
        let error = direct
            .call(ours, "AcquireTokenInteractive", &request)
            .unwrap_err();
        error.to_string().contains("DISPLAY").then_some(())
    });
}

#[test]
fn a_broken_configuration_is_an_answer_with_its_line_until_it_is_mended() {
    let desktop = Desktop::with(|login| {
        let folder = login.path("config/keyward");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("config.toml"), "log = \"info\"\nlgo = 1\n").unwrap();
    });
    let _keywardd = FakeKeywardd::serve(&desktop.socket());
    let client = desktop.bus.connect();
    let _session = desktop.session(&client);
    client.call(PEER, "Ping", &()).unwrap();
    let reply = call(&client, "acquireTokenSilently", &request());
    assert_eq!(reply["error"]["status"], 9, "{reply}");
    assert!(context(&reply).contains("config.toml:2"), "{reply}");
    let accounts = call(&client, "getAccounts", &json!({"clientId": "c"}));
    assert_eq!(accounts, json!({"accounts": []}));

    let file = desktop.login.path("config/keyward/config.toml");
    fs::write(file, "log = \"info\"\n").unwrap();
    let reply = call(&client, "acquireTokenSilently", &request());
    assert!(reply.get("error").is_none(), "{reply}");
}

#[test]
fn the_bus_starts_it_and_it_leaves_with_the_bus() {
    let mut desktop = Desktop::with(|login| {
        for name in NAMES {
            let file = login.path("services").join(format!("{name}.service"));
            let text = format!("[D-BUS Service]\nName={name}\nExec={PROGRAM}\n");
            fs::write(file, text).unwrap();
        }
    });
    let client = desktop.bus.connect();
    client.call(PEER, "Ping", &()).unwrap();
    let pid = client.owner_process(NAMES[0]).unwrap();
    // It answers while it still asks for the other name.
    let other = wait::until("the other name", SOON, || client.owner_process(NAMES[1]));
    assert_eq!(other, pid);
    desktop.bus.stop();
    wait::until("the end of the activated process", SOON, || {
        (!process::runs(pid)).then_some(())
    });
}

#[test]
fn started_by_hand_it_takes_its_names_on_a_bus_that_comes_back() {
    let mut desktop = Desktop::new();
    let client = desktop.bus.connect();
    let mut session = desktop.session(&client);
    for _ in 0..2 {
        desktop.bus.restart();
        let client = desktop.bus.connect();
        for name in NAMES {
            client.wait_for_owner(name, SOON);
        }
        client.call(PEER, "Ping", &()).unwrap();
    }
    assert!(session.is_running());
}

#[test]
fn a_name_of_somebody_else_is_left_alone_and_told() {
    let desktop = Desktop::new();
    let _keywardd = FakeKeywardd::serve(&desktop.socket());
    let other = desktop.bus.connect();
    other.own(names::microsoft::BUS_NAME);
    let client = desktop.bus.connect();
    let _session = desktop.session(&client);
    let us = Some(std::process::id());
    assert_eq!(client.owner_process(names::microsoft::BUS_NAME), us);
    let problems = wait::until("a status that tells", SOON, || {
        let problems = desktop.status().problems;
        (problems.len() > 1).then_some(problems)
    });
    assert!(
        problems[1].contains(names::microsoft::BUS_NAME)
            && problems[1].contains(&std::process::id().to_string()),
        "{problems:?}"
    );
    assert_eq!(client.owner_process(names::microsoft::BUS_NAME), us);
}

#[test]
fn it_is_one_thread() {
    let desktop = Desktop::new();
    let _keywardd = FakeKeywardd::serve(&desktop.socket());
    let client = desktop.bus.connect();
    let session = desktop.session(&client);
    call(&client, "acquireTokenSilently", &request());
    let status = fs::read_to_string(format!("/proc/{}/status", session.id())).unwrap();
    let threads = status.lines().find(|line| line.starts_with("Threads:"));
    assert_eq!(threads.unwrap().split_whitespace().nth(1), Some("1"));
}
