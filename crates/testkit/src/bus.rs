//! A private session bus, and calls over it.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Serialize;
use zbus::message::Message;
use zbus::{Connection, DynamicType};

use crate::login::Login;
use crate::process::Process;
use crate::wait;

const READY_WITHIN: Duration = Duration::from_secs(20);

/// A little more than the longest any client of the broker waits.
const LONGEST_CALL: Duration = Duration::from_secs(320);

/// The session bus of a [`Login`]: a dbus-daemon that knows only the services of that login.
#[derive(Debug)]
pub struct SessionBus {
    address: String,
    socket: PathBuf,
    config: PathBuf,
    command: Command,
    daemon: Process,
    logs: PathBuf,
}

impl SessionBus {
    /// Starts the bus at [`Login::bus_address`] and waits until it answers. `environment` is what
    /// activated services get beside the login's own.
    pub fn start(login: &Login, environment: &[(&str, &str)]) -> Self {
        let config = login.path("bus.conf");
        let socket = login.path("run/bus");
        fs::write(&config, configuration(&socket, &login.path("services")))
            .expect("the bus's configuration can be written");
        let mut command = login.command("dbus-daemon");
        command.envs(environment.iter().copied());
        command.arg("--nofork").arg("--config-file").arg(&config);
        let daemon = start(&mut command, &login.logs(), &socket);
        Self {
            address: login.bus_address(),
            socket,
            config,
            command,
            daemon,
            logs: login.logs(),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends the bus, as a logout does.
    pub fn stop(&mut self) {
        self.daemon.stop();
    }

    /// Starts the bus again at the same address.
    pub fn restart(&mut self) {
        self.stop();
        self.daemon = start(&mut self.command, &self.logs, &self.socket);
    }

    /// Connects to it.
    pub fn connect(&self) -> Caller {
        Caller::to_bus(&self.address)
    }

    /// The configuration file in use.
    pub fn config(&self) -> &Path {
        &self.config
    }
}

fn start(command: &mut Command, logs: &Path, socket: &Path) -> Process {
    let _ = fs::remove_file(socket);
    let mut daemon = Process::start("dbus-daemon", command, logs);
    wait::until("a bus that answers", READY_WITHIN, || {
        assert!(daemon.is_running(), "{}", daemon.output());
        UnixStream::connect(socket).ok()
    });
    daemon
}

/// A session bus as distributions ship it, without anybody else's services.
fn configuration(socket: &Path, services: &Path) -> String {
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <keep_umask/>
  <listen>unix:path={}</listen>
  <auth>EXTERNAL</auth>
  <servicedir>{}</servicedir>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
  <limit name="max_incoming_bytes">1000000000</limit>
  <limit name="max_outgoing_bytes">1000000000</limit>
  <limit name="max_message_size">1000000000</limit>
  <limit name="service_start_timeout">60000</limit>
  <limit name="max_completed_connections">1000</limit>
  <limit name="max_replies_per_connection">50000</limit>
</busconfig>
"#,
        socket.display(),
        services.display()
    )
}

/// A connection for calls, to a bus or to one peer. Blocks the thread that calls; several threads
/// may call at once.
pub struct Caller {
    runtime: tokio::runtime::Runtime,
    connection: Connection,
}

/// What can be the body of a call.
pub trait Body: Serialize + DynamicType {}

impl<T: Serialize + DynamicType> Body for T {}

/// What a call ended with.
pub type Answer = Result<Message, zbus::Error>;

impl Caller {
    /// Connects to the bus at this address.
    pub fn to_bus(address: &str) -> Self {
        Self::try_bus(address).expect("the bus accepts a connection")
    }

    /// Connects to the bus at this address, if there is one.
    ///
    /// # Errors
    ///
    /// When nobody listens there.
    pub fn try_bus(address: &str) -> Result<Self, zbus::Error> {
        let runtime = runtime();
        let builder = zbus::connection::Builder::address(address).method_timeout(LONGEST_CALL);
        let connection = runtime.block_on(builder.build())?;
        Ok(Self {
            runtime,
            connection,
        })
    }

    /// Connects to the one peer behind a Unix socket.
    ///
    /// # Errors
    ///
    /// When nobody listens there, or it speaks no D-Bus.
    pub fn to_peer(socket: &Path) -> io::Result<Self> {
        let runtime = runtime();
        let stream = UnixStream::connect(socket)?;
        let builder = zbus::connection::Builder::unix_stream(stream).p2p();
        let connection = runtime.block_on(builder.method_timeout(LONGEST_CALL).build());
        let connection = connection.map_err(io::Error::other)?;
        Ok(Self {
            runtime,
            connection,
        })
    }

    /// Calls a method and waits for its answer.
    pub fn call<B: Body>(&self, to: Destination<'_>, method: &str, body: &B) -> Answer {
        let Destination {
            name,
            path,
            interface,
        } = to;
        let call = self
            .connection
            .call_method(name, path, Some(interface), method, body);
        self.runtime.block_on(call)
    }

    /// This connection's unique name on the bus.
    pub fn unique_name(&self) -> String {
        let name = self.connection.unique_name();
        name.map(ToString::to_string).unwrap_or_default()
    }

    /// Takes a name on the bus, as another program would.
    pub fn own(&self, name: &str) {
        let owned = self
            .runtime
            .block_on(self.connection.request_name(name.to_owned()));
        owned.expect("the name is free");
    }

    /// Whether somebody owns this name on the bus.
    pub fn has_owner(&self, name: &str) -> bool {
        let answer = self.call(DRIVER, "NameHasOwner", &(name,));
        let answer = answer.expect("the bus answers");
        answer.body().deserialize().expect("a boolean")
    }

    /// The process that owns this name on the bus, if somebody does.
    pub fn owner_process(&self, name: &str) -> Option<u32> {
        let answer = self
            .call(DRIVER, "GetConnectionUnixProcessID", &(name,))
            .ok()?;
        answer.body().deserialize().ok()
    }

    /// Waits until somebody owns this name on the bus.
    pub fn wait_for_owner(&self, name: &str, deadline: Duration) {
        wait::until(&format!("an owner of {name}"), deadline, || {
            self.has_owner(name).then_some(())
        });
    }
}

/// A value in a dictionary of D-Bus, and the D-Bus error a call may end with.
pub use zbus::Error;
pub use zbus::zvariant::{OwnedVariant, Variant};

/// Whom a call is for.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// The bus name; `None` on a connection to one peer.
    pub name: Option<&'a str>,
    /// The object.
    pub path: &'a str,
    /// The interface.
    pub interface: &'a str,
}

/// The bus itself.
pub const DRIVER: Destination<'static> = Destination {
    name: Some("org.freedesktop.DBus"),
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime can be made")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_answers_and_is_back_at_the_same_address_after_a_restart() {
        let login = Login::new();
        let mut bus = SessionBus::start(&login, &[]);
        let first = bus.connect();
        assert!(first.unique_name().starts_with(":1."));
        assert!(!first.has_owner("dev.keyward.Broker"));
        bus.restart();
        assert!(bus.connect().unique_name().starts_with(":1."));
    }

    #[test]
    fn a_bus_knows_only_the_services_of_its_login() {
        let login = Login::new();
        let service = "[D-BUS Service]\nName=test.Service\nExec=/bin/false\n";
        fs::write(login.path("services/test.service"), service).unwrap();
        let bus = SessionBus::start(&login, &[]);
        let answer = bus
            .connect()
            .call(DRIVER, "ListActivatableNames", &())
            .unwrap();
        let names: Vec<String> = answer.body().deserialize().unwrap();
        assert_eq!(names, ["org.freedesktop.DBus", "test.Service"]);
    }
}
