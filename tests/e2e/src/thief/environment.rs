//! What can be changed around programs the user starts: variables, files of the user's, `$PATH`.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use keyward_testkit::process::{Signal, listener, runs, signal};
use keyward_testkit::wait;
use serde_json::json;

use super::{Attempt, Bag, Target, bus};
use crate::SOON;
use crate::typed::Typed;

/// How long more is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn all(target: &Target) -> Vec<Attempt> {
    vec![
        Attempt::of(
            "environment",
            "ask with a policy of its own in $KEYWARD_CONFIG",
            |bag| {
                let config = own_configuration(target)?;
                run(target, bag, &[("KEYWARD_CONFIG", config)])
            },
        ),
        Attempt::of(
            "environment",
            "ask through a library in $LD_PRELOAD",
            |bag| {
                let library = library(target)?;
                run(target, bag, &[("LD_PRELOAD", library)])
            },
        ),
        Attempt::of(
            "environment",
            "stand in the broker's place in $KEYWARD_SOCKET",
            |bag| stand_in(target, bag),
        ),
        Attempt::of(
            "environment",
            "start another keywardd on the broker's vault",
            |bag| another_keywardd(target, bag, &[]),
        ),
        Attempt::of(
            "programs",
            "put its own programs first in $PATH and into ~/bin",
            |_| plant(target),
        ),
        bus::pose_as_the_session(),
        Attempt::of(
            "programs",
            "replace the installed programs and the service's files",
            |_| replace(target),
        ),
        Attempt::of(
            "environment",
            "end the broker and let it start again with another configuration",
            |bag| restart(target, bag),
        ),
    ]
}

/// A configuration in which everything is allowed, in the thief's folder.
fn own_configuration(target: &Target) -> io::Result<PathBuf> {
    let file = target.den.join("thief.toml");
    fs::write(&file, permissive(target))?;
    Ok(file)
}

fn permissive(target: &Target) -> String {
    let keys = target.tcti.as_ref().map_or_else(
        || "key_protection = \"software\"\n".to_owned(),
        |tcti| format!("key_protection = \"tpm\"\n\n[tpm]\ntcti = {tcti:?}\n"),
    );
    format!(
        "{keys}\n[policy]\ndefault = \"allow\"\nunknown = \"allow\"\n\n\
         [[policy.rule]]\nclient_id = \"*\"\nverdict = \"allow\"\n\n\
         [[authority]]\nissuer = {:?}\nkind = \"oidc\"\nverify_binding = true\n",
        target.authority
    )
}

/// Asks as the installed command line, whose environment is the thief's to choose.
fn run(target: &Target, bag: &mut Bag, variables: &[(&str, PathBuf)]) -> io::Result<String> {
    let mut said = Vec::new();
    for client in [&target.denied, &target.allowed] {
        let mut command = Command::new(target.programs.join("keyward"));
        command
            .args(["token", "--json", "--client-id", client, "--authority"])
            .arg(&target.authority)
            .stdin(Stdio::null());
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let output = command.output()?;
        said.push(output.status.to_string());
        bag.keep(output.stdout);
        bag.keep(output.stderr);
    }
    Ok(said.join(", "))
}

/// A broker of the thief's, for a program whose environment he chooses: what is it told?
fn stand_in(target: &Target, bag: &mut Bag) -> io::Result<String> {
    let folder = target.den.join("stand-in");
    fs::create_dir(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
    let socket = folder.join("broker.sock");
    let listener = UnixListener::bind(&socket)?;
    let mut asking = Command::new(target.programs.join("keyward"))
        .args(["token", "--client-id", &target.denied, "--authority"])
        .arg(&target.authority)
        .env("KEYWARD_SOCKET", &socket)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut told = vec![0; 65536];
    let mut length = 0;
    while let Ok(read @ 1..) = stream.read(&mut told) {
        length += read;
        bag.keep(&told[..read]);
        // The handshake is the same for every broker.
        if told.starts_with(b"\0AUTH") {
            stream.write_all(b"OK 0123456789abcdef0123456789abcdef\r\n")?;
        }
    }
    drop(stream);
    let _ = asking.kill();
    let _ = asking.wait();
    Ok(format!("{length} bytes were said to it"))
}

/// A library that writes down what the program it is loaded into has in its memory. Needs a C
/// compiler; so does building Keyward.
fn library(target: &Target) -> io::Result<PathBuf> {
    let (source, library) = (target.den.join("spy.c"), target.den.join("spy.so"));
    fs::write(&source, SPY)?;
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .status()?;
    if !built.success() {
        return Err(io::Error::other("the library cannot be built"));
    }
    Ok(library)
}

/// Copies the process's writable memory to standard error when it ends.
const SPY: &str = r#"
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/prctl.h>
__attribute__((destructor)) static void spy(void) {
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        char mode[8];
        if (sscanf(line, "%lx-%lx %7s", &start, &end, mode) == 3 && mode[0] == 'r' && mode[1] == 'w'
            && end - start < (64UL << 20))
            if (write(2, (void *)start, end - start) < 0) continue;
    }
}
"#;

/// The real keywardd, started by the thief on the broker's folder.
fn another_keywardd(
    target: &Target,
    bag: &mut Bag,
    variables: &[(&str, &Path)],
) -> io::Result<String> {
    let socket = target.den.join("own/broker.sock");
    let mut own = Command::new(target.programs.join("keywardd"))
        .arg("--state-dir")
        .arg(&target.state)
        .arg("--socket")
        .arg(&socket)
        .env("KEYWARD_CONFIG", own_configuration(target)?)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let connected = wait::within(SOON, || {
        if !matches!(own.try_wait(), Ok(None)) {
            return Some(None);
        }
        Typed::at_socket(&socket).ok().map(Some)
    });
    let said = match connected.flatten() {
        Some(typed) => {
            let mut said = Vec::new();
            for client in [&target.denied, &target.allowed] {
                let asked = json!({
                    "client_id": client, "authority": target.authority, "scopes": "User.Read",
                    "username": crate::ALICE, "force_refresh": true,
                });
                said.push(match typed.ask("AcquireTokenSilent", &asked) {
                    Ok(answer) => {
                        bag.keep(answer.to_string());
                        "answered".to_owned()
                    }
                    Err(error) => format!("refused: {}", error.kind),
                });
            }
            said.join(", ")
        }
        None => "it does not start".to_owned(),
    };
    let _ = own.kill();
    let _ = own.wait();
    Ok(said)
}

/// Programs of the thief's where the user's shell finds them first. Whoever the broker starts, it
/// does not start these; who types a name gets them, and no secret is typed.
fn plant(target: &Target) -> io::Result<String> {
    let home = std::env::var("HOME").map_err(io::Error::other)?;
    let caught = target.den.join("caught");
    let mut planted = 0;
    for folder in ["bin", ".local/bin"] {
        let folder = Path::new(&home).join(folder);
        fs::create_dir_all(&folder)?;
        for name in ["keyward", "keywardd", "keyward-session", "xdg-open"] {
            let script = format!("#!/bin/sh\necho \"$0 $*\" >> {}\n", caught.display());
            let program = folder.join(name);
            fs::write(&program, script)?;
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
            planted += 1;
        }
    }
    Ok(format!(
        "{planted} planted, where only the user's own shell looks"
    ))
}

/// The files of the package and of the system's service.
fn replace(target: &Target) -> io::Result<String> {
    let mut files: Vec<PathBuf> = ["keyward", "keywardd", "keyward-session"]
        .map(|name| target.programs.join(name))
        .into();
    files.extend([
        target.socket.clone(),
        target.state.clone(),
        target.configuration.clone(),
    ]);
    let mut replaced = Vec::new();
    for file in files.iter().filter(|file| file.exists()) {
        let aside = file.with_extension("aside");
        if fs::rename(file, &aside).is_ok() {
            let _ = fs::rename(&aside, file);
            replaced.push(file.display().to_string());
        }
    }
    if replaced.is_empty() {
        return Err(io::Error::from(io::ErrorKind::PermissionDenied));
    }
    Ok(format!("could be replaced: {}", replaced.len()))
}

/// Writes the user's configuration file anew, ends the broker, starts another one on its vault.
fn restart(target: &Target, bag: &mut Bag) -> io::Result<String> {
    let config = std::env::var("XDG_CONFIG_HOME").map_err(io::Error::other)?;
    let file = Path::new(&config).join("keyward/config.toml");
    fs::create_dir_all(file.parent().unwrap_or(&file))?;
    fs::write(&file, permissive(target))?;
    let keywardd = listener(&target.socket);
    if let Some(process) = keywardd {
        signal(process, Signal::KILL);
        let own = fs::metadata(format!("/proc/{process}"));
        let own = own.is_ok_and(|file| {
            use std::os::unix::fs::MetadataExt as _;
            file.uid() == nix::unistd::getuid().as_raw()
        });
        if own {
            wait::within(SOON, || (!runs(process)).then_some(()));
        }
    }
    let started = another_keywardd(target, bag, &[])?;
    let asked = run(target, bag, &[])?;
    Ok(format!("{started}; asked again: {asked}"))
}
