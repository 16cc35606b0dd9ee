//! Which window a sign-in belongs to.

use keyward_client::request::ParentWindow;

/// The caller's window, so that the sign-in is shown over it.
///
/// What cannot be used is no error: the sign-in then has no parent.
///
/// ```
/// use keyward::WindowHandle;
///
/// // What Electron's `getNativeWindowHandle()` returns, handed over as it is:
/// let window = WindowHandle::Handle(0x0340_0007_u64.to_le_bytes().to_vec());
/// // A token from xdg-foreign, on Wayland:
/// let window = WindowHandle::Wayland("0f3c-surface".to_owned());
/// # let _ = window;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WindowHandle {
    /// None was given. In a terminal on X11 the terminal's own window is used where it says which
    /// one that is (`WINDOWID`): best effort, as terminals differ.
    #[default]
    None,
    /// An X11 window id.
    X11(u64),
    /// A Wayland surface, as the handle string that xdg-foreign exported for it.
    Wayland(String),
    /// The bytes Electron's `getNativeWindowHandle()` gives: a number, least significant byte
    /// first. 0 and 1, which programs without a window send, mean none.
    Handle(Vec<u8>),
}

impl WindowHandle {
    /// The window as the broker wants it. `environment` answers for the process's variables.
    pub(crate) fn to_parent(&self, environment: impl Fn(&str) -> Option<String>) -> ParentWindow {
        match self {
            Self::None => terminal_window(environment).map_or(ParentWindow::None, x11),
            Self::X11(id) => x11(*id),
            Self::Wayland(token) if token.is_empty() => ParentWindow::None,
            Self::Wayland(token) => ParentWindow::Portal(format!("wayland:{token}")),
            Self::Handle(bytes) => match little_endian(bytes) {
                Some(handle) if handle > 1 => ParentWindow::Handle(handle),
                _ => ParentWindow::None,
            },
        }
    }
}

fn x11(id: u64) -> ParentWindow {
    match id {
        0 | 1 => ParentWindow::None,
        id => ParentWindow::Portal(format!("x11:{id:x}")),
    }
}

/// X11 terminals name their window in `WINDOWID`. Under Wayland that number, if it is there at
/// all, is of some window of the X server beside it.
fn terminal_window(environment: impl Fn(&str) -> Option<String>) -> Option<u64> {
    if environment("WAYLAND_DISPLAY").is_some() || environment("DISPLAY").is_none() {
        return None;
    }
    environment("WINDOWID")?.trim().parse().ok()
}

/// A number of up to 64 bits; longer handles belong to systems we do not know.
fn little_endian(bytes: &[u8]) -> Option<u64> {
    if bytes.len() > 8 {
        return None;
    }
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    Some(u64::from_le_bytes(wide))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing_set(_: &str) -> Option<String> {
        None
    }

    fn in_xterm(name: &str) -> Option<String> {
        match name {
            "DISPLAY" => Some(":0".to_owned()),
            "WINDOWID" => Some("8388621".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn each_kind_of_handle_has_its_form() {
        let cases = [
            (WindowHandle::None, ParentWindow::None),
            (
                WindowHandle::X11(0x0340_0007),
                ParentWindow::Portal("x11:3400007".to_owned()),
            ),
            (
                WindowHandle::Wayland("abc".to_owned()),
                ParentWindow::Portal("wayland:abc".to_owned()),
            ),
            (
                WindowHandle::Handle(vec![7, 0, 0x40, 3, 0, 0, 0, 0]),
                ParentWindow::Handle(0x0340_0007),
            ),
            (
                WindowHandle::Handle(vec![7, 0, 0x40, 3]),
                ParentWindow::Handle(0x0340_0007),
            ),
        ];
        for (handle, expected) in cases {
            assert_eq!(handle.to_parent(nothing_set), expected, "{handle:?}");
        }
    }

    #[test]
    fn what_is_no_window_is_none() {
        for handle in [
            WindowHandle::X11(0),
            WindowHandle::X11(1),
            WindowHandle::Wayland(String::new()),
            WindowHandle::Handle(Vec::new()),
            WindowHandle::Handle(vec![0]),
            WindowHandle::Handle(vec![1, 0, 0, 0]),
            WindowHandle::Handle(vec![2; 9]),
        ] {
            assert_eq!(
                handle.to_parent(nothing_set),
                ParentWindow::None,
                "{handle:?}"
            );
        }
    }

    #[test]
    fn a_terminal_on_x11_is_found_by_itself() {
        let expected = ParentWindow::Portal("x11:80000d".to_owned());
        assert_eq!(WindowHandle::None.to_parent(in_xterm), expected);
    }

    #[test]
    fn a_terminal_on_wayland_has_no_window_id() {
        let on_wayland = |name: &str| match name {
            "WAYLAND_DISPLAY" => Some("wayland-0".to_owned()),
            name => in_xterm(name),
        };
        assert_eq!(WindowHandle::None.to_parent(on_wayland), ParentWindow::None);
    }
}
