//! Programs that refuse to run as root, when dyno is root: as another user, else in a user namespace.

use dyno_model::child::RunAs;
use nix::unistd::User;

use crate::{Context, error::ProvisionError, python::on_path};

/// How root is left behind; empty where dyno isn't root.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unprivileged {
    /// The other user.
    pub run_as: Option<RunAs>,
    /// Leading arguments that leave root behind where no other user can reach the cache.
    pub wrapper: Vec<String>,
}

/// The first way in which `what` answers, and its answer.
///
/// # Errors
/// It refuses every way.
pub(crate) fn unprivileged<T>(
    context: Context<'_>,
    what: &str,
    ask: impl Fn(&Unprivileged) -> Result<T, ProvisionError>,
) -> Result<(Unprivileged, T), ProvisionError> {
    if !nix::unistd::geteuid().is_root() {
        let plain = Unprivileged::default();
        return ask(&plain).map(|answer| (plain, answer));
    }
    // Another user is best; a user namespace works even inside root's own home.
    let users = ["postgres", "nobody"].into_iter().filter_map(|name| User::from_name(name).ok().flatten());
    let as_user = users.map(|user| Unprivileged {
        run_as: Some(RunAs { uid: user.uid.as_raw(), gid: user.gid.as_raw() }),
        wrapper: Vec::new(),
    });
    let unshare = on_path("unshare").map(|path| path.display().to_string()).unwrap_or_default();
    let wrapper =
        [&unshare, "--user", "--map-user=65534", "--map-group=65534", "--"].map(str::to_owned).to_vec();
    let in_namespace = std::iter::once(Unprivileged { run_as: None, wrapper });
    let found = as_user.chain(in_namespace).find_map(|way| ask(&way).ok().map(|answer| (way, answer)));
    found.ok_or_else(|| {
        ProvisionError::missing(
            format!("a user for {what}, which refuses to run as root"),
            format!(
                "no other user can read {}: set DYNO_HOME to a folder that all can read",
                context.home.path().display()
            ),
        )
    })
}
