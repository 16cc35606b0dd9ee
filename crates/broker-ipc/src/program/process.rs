//! What `/proc/PID` says, in the few files that are read here. Pure: texts in, facts out.

/// The parent in `/proc/PID/stat` (proc_pid_stat(5)): the second field after the name, which is in
/// parentheses and may itself hold any.
pub(super) fn parent_of(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let parent = after_name.split_ascii_whitespace().nth(1)?.parse().ok()?;
    (parent > 0).then_some(parent)
}

/// Whether `/proc/PID/status` tells of a process number in a namespace below ours.
pub(super) fn is_in_nested_pid_namespace(status: &str) -> bool {
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.is_some_and(|numbers| numbers.split_ascii_whitespace().count() > 1)
}

/// The application id in the text of `/.flatpak-info`: `name` in the group `[Application]`, or
/// `[Runtime]` where a runtime itself is run.
pub(super) fn flatpak_id(info: &str) -> Option<&str> {
    let mut group = "";
    for line in info.lines().map(str::trim) {
        if line.starts_with('[') {
            group = line;
        } else if matches!(group, "[Application]" | "[Runtime]")
            && let Some((key, value)) = line.split_once('=')
            && key.trim_end() == "name"
        {
            return Some(value.trim()).filter(|name| is_name(name));
        }
    }
    None
}

/// The Snap in an AppArmor label, such as `snap.firefox.firefox (enforce)`.
pub(super) fn snap_of_label(label: &str) -> Option<&str> {
    let (label, mode) = label.trim_end_matches(['\0', '\n']).split_once(' ')?;
    // A profile that only complains confines nothing.
    (mode == "(enforce)").then(|| snap_name(label))?
}

/// The Snap in the text of `/proc/PID/cgroup`: a scope or service `snap.NAME.APP….scope`.
pub(super) fn snap_of_cgroup(cgroup: &str) -> Option<&str> {
    let paths = cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths.flat_map(|path| path.split('/')).find_map(snap_name)
}

/// The Flatpak in the text of `/proc/PID/cgroup`: a scope `app-flatpak-ID-NUMBER.scope`, in which
/// systemd writes `-` as `\x2d`.
pub(super) fn flatpak_of_cgroup(cgroup: &str) -> Option<String> {
    let paths = cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let mut units = paths.flat_map(|path| path.split('/'));
    units.find_map(|unit| {
        let unit = unit.strip_prefix("app-flatpak-")?.strip_suffix(".scope")?;
        let (name, _number) = unit.rsplit_once('-')?;
        Some(name.replace("\\x2d", "-")).filter(|name| is_name(name))
    })
}

fn snap_name(unit: &str) -> Option<&str> {
    let name = unit.strip_prefix("snap.")?.split('.').next()?;
    Some(name).filter(|name| is_name(name))
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
    !text.is_empty() && text.len() <= 255 && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parent_of("7 (cat) S 5 7 5 0 -1"), Some(5));
        assert_eq!(parent_of("7 (a) b) (c) R 12 1"), Some(12));
        assert_eq!(parent_of("1 (init) S 0 1"), None);
        assert_eq!(parent_of("7 (cat"), None);
        assert_eq!(parent_of(""), None);
    }

    #[test]
    fn a_process_with_a_second_number_is_in_a_namespace() {
        let status = |numbers: &str| format!("Name:\ta\nNSpid:\t{numbers}\nVmRSS:\t1\n");
        assert!(!is_in_nested_pid_namespace(&status("7")));
        assert!(is_in_nested_pid_namespace(&status("7\t2")));
        assert!(!is_in_nested_pid_namespace("Name:\ta\n"));
    }

    #[test]
    fn a_flatpak_says_its_id_in_the_group_of_applications() {
        let info = "[Other]\nname=no\n[Application]\nname = org.gnome.Maps\nruntime=r\n";
        assert_eq!(flatpak_id(info), Some("org.gnome.Maps"));
        assert_eq!(
            flatpak_id("[Runtime]\nname=org.gnome.Sdk"),
            Some("org.gnome.Sdk")
        );
        for bad in [
            "",
            "name=a",
            "[Application]\nname=",
            "[Application]\nname=a b",
        ] {
            assert_eq!(flatpak_id(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_flatpak_is_told_by_its_unit_too() {
        let unit = "0::/user.slice/user@1000.service/app.slice/app-flatpak-";
        let id = |rest: &str| flatpak_of_cgroup(&format!("{unit}{rest}\n"));
        assert_eq!(
            id("org.gnome.Maps-812.scope").as_deref(),
            Some("org.gnome.Maps")
        );
        assert_eq!(
            id("org.a.my\\x2dapp-1.scope").as_deref(),
            Some("org.a.my-app")
        );
        for bad in [".scope", "-1.scope", "a b-1.scope", "org.gnome.Maps-812"] {
            assert_eq!(id(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_snap_is_told_by_its_label_and_its_cgroup() {
        assert_eq!(
            snap_of_label("snap.firefox.firefox (enforce)\n"),
            Some("firefox")
        );
        assert_eq!(snap_of_label("snap.firefox.firefox (complain)"), None);
        assert_eq!(snap_of_label("unconfined\n"), None);
        let cgroup = "0::/user.slice/user-1000.slice/app.slice/snap.code.code-1f.scope\n";
        assert_eq!(snap_of_cgroup(cgroup), Some("code"));
        assert_eq!(
            snap_of_cgroup("1:cpu:/a\n0::/system.slice/snap.x.y.service"),
            Some("x")
        );
        assert_eq!(snap_of_cgroup("0::/user.slice/session-1.scope"), None);
    }
}
