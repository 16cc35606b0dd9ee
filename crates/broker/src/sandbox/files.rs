//! Landlock: the files that may be touched, and that nothing listens on TCP.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
    path_beneath_rules,
};

use super::Reach;

/// The newest version whose rights are all asked for. Older kernels enforce what they know.
const NEWEST: ABI = ABI::V6;

/// What name resolution, TLS and the libraries loaded for them read: the same on every machine,
/// and nothing in it that not everybody may read.
///
/// `/etc` as a whole, because `resolv.conf`, `hosts` and trust stores are replaced by renaming,
/// and a rule for a file ends with that file. `/proc` says who calls; looking into other processes
/// is what Landlock refuses anyway.
const OF_THE_SYSTEM: &[&str] = &[
    "/etc",
    "/usr",
    "/lib",
    "/lib64",
    "/nix/store",
    "/gnu/store",
    "/proc",
    "/run/systemd/resolve",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/run/connman",
    "/var/lib/ca-certificates",
    "/dev/null",
    "/dev/urandom",
];

/// Restricts the calling thread. Says which version of Landlock the kernel has.
pub(super) fn restrict(reach: &Reach) -> Result<Option<String>, String> {
    let restricted = ruleset(reach)
        .and_then(RulesetCreated::restrict_self)
        .map_err(|error| error.to_string())?;
    match (restricted.ruleset, restricted.landlock) {
        (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled) => {
            Err("it is switched off in this kernel (see `lsm=` on its command line)".to_owned())
        }
        (RulesetStatus::NotEnforced, _) => Err("this kernel does not have it".to_owned()),
        (RulesetStatus::FullyEnforced, _) => Ok(None),
        (RulesetStatus::PartiallyEnforced, status) => Ok(Some(match status {
            LandlockStatus::Available { effective_abi, .. } => {
                format!(
                    "what version {} of {} has",
                    effective_abi as u32, NEWEST as u32
                )
            }
            _ => "in part".to_owned(),
        })),
    }
}

fn ruleset(reach: &Reach) -> Result<RulesetCreated, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    // Nothing is ever granted to be executed, and no device, socket or symbolic link to be made.
    let write = read
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer;
    let device = AccessFs::ReadFile | AccessFs::WriteFile;
    let system: Vec<PathBuf> = OF_THE_SYSTEM.iter().map(PathBuf::from).collect();
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()?
        .allowing(&system, read)?
        .allowing(&reach.read, read)?
        .allowing(&reach.write, write)?
        .allowing(&reach.clear, AccessFs::RemoveFile.into())?
        .allowing(&reach.devices, device)
}

/// A ruleset that grows.
trait Allowing: Sized {
    /// Allows this to what is at and below these paths, as far as they exist.
    fn allowing(
        self,
        paths: &[impl AsRef<Path>],
        access: BitFlags<AccessFs>,
    ) -> Result<Self, RulesetError>;
}

impl Allowing for RulesetCreated {
    fn allowing(
        self,
        paths: &[impl AsRef<Path>],
        access: BitFlags<AccessFs>,
    ) -> Result<Self, RulesetError> {
        self.add_rules(path_beneath_rules(paths, access))
    }
}
