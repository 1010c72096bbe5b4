//! `unshare(2)`.

use std::sync::Arc;

use abi::Errno;
use abi::raw::general as raw;
use sentry::task::NsProxy;
use sentry::task::clone::check_namespaces;
use sentry::task::namespace::new_user;
use sentry::{SysResult, Task};

/// `unshare(2)`.
pub fn unshare(t: &Arc<Task>, flags: u64) -> SysResult<()> {
    let has = |f: u32| flags & u64::from(f) != 0;
    let known = raw::CLONE_THREAD
        | raw::CLONE_FS
        | raw::CLONE_NEWNS
        | raw::CLONE_SIGHAND
        | raw::CLONE_VM
        | raw::CLONE_FILES
        | raw::CLONE_SYSVSEM
        | raw::CLONE_NEWUTS
        | raw::CLONE_NEWIPC
        | raw::CLONE_NEWNET
        | raw::CLONE_NEWUSER
        | raw::CLONE_NEWPID
        | raw::CLONE_NEWCGROUP
        | raw::CLONE_NEWTIME;
    if flags & !u64::from(known) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let alone = t.thread_group().live_threads() <= 1;
    let single = raw::CLONE_THREAD | raw::CLONE_SIGHAND | raw::CLONE_VM | raw::CLONE_NEWUSER;
    if has(single) && !alone {
        return Err(Errno::EINVAL.into());
    }
    check_namespaces(t, flags)?;
    let creds = if has(raw::CLONE_NEWUSER) {
        Some(new_user(t)?)
    } else {
        None
    };
    let own = t.creds();
    let owner = &creds.as_ref().unwrap_or(&own).user_ns;
    let namespaces = NsProxy::unshared(t, flags, owner)?;
    if has(raw::CLONE_FS | raw::CLONE_NEWNS | raw::CLONE_NEWUSER) {
        let fs = t.fs().duplicate();
        if has(raw::CLONE_NEWNS) {
            fs.unshare_mounts(owner)?;
        }
        t.set_fs(Arc::new(fs));
    }
    if has(raw::CLONE_FILES) {
        t.set_files(t.files().duplicate());
    }
    if has(raw::CLONE_SYSVSEM | raw::CLONE_NEWIPC) {
        // What the process has undone at its end, it undoes where it leaves.
        t.ipc().exit(t.thread_group());
    }
    t.set_namespaces(namespaces);
    if let Some(creds) = creds {
        t.set_creds(creds);
    }
    Ok(())
}
