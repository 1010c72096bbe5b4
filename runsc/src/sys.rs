//! The few host calls that have no safe wrapper. All `unsafe` of this crate is here.
#![allow(unsafe_code, reason = "this is the crate's one place for unsafe code")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::unistd::{ForkResult, Pid};

/// Size of a terminal in character cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WinSize {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub cols: u16,
}

fn check(ret: libc::c_int) -> io::Result<libc::c_int> {
    if ret < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

/// fork(2). `None` in the child. Only called while the process has one thread, so that
/// the child may go on as an ordinary program.
pub fn fork() -> io::Result<Option<Pid>> {
    debug_assert_eq!(thread_count(), 1);
    // SAFETY: the process has one thread (the command line makes none before its last
    // fork), so no lock is held by a thread that the child lacks.
    match unsafe { nix::unistd::fork() }.map_err(io::Error::from)? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}

fn thread_count() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// _exit(2): ends the process at once, without destructors or `atexit` handlers.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: takes no pointer and does not return.
    unsafe { libc::_exit(code) }
}

/// Takes ownership of a descriptor that the caller of this program left open.
/// `None` when the number is not open.
pub fn adopt_fd(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_GETFD takes no pointer.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return None;
    }
    // SAFETY: the descriptor is open, and by the contract of the callers (inherited
    // numbers, each adopted once) nothing else in this program owns it.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes the terminal the controlling one of the calling session leader (TIOCSCTTY).
pub fn set_controlling_tty(tty: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes an integer.
    check(unsafe { libc::ioctl(tty.as_raw_fd(), libc::TIOCSCTTY, 0) }).map(drop)
}

/// The terminal's size (TIOCGWINSZ).
pub fn window_size(tty: BorrowedFd<'_>) -> io::Result<WinSize> {
    let mut ws = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCGWINSZ writes one `winsize`, which outlives the call.
    check(unsafe { libc::ioctl(tty.as_raw_fd(), libc::TIOCGWINSZ, &mut ws) })?;
    Ok(WinSize {
        rows: ws.ws_row,
        cols: ws.ws_col,
    })
}

/// Sets the terminal's size (TIOCSWINSZ).
pub fn set_window_size(tty: BorrowedFd<'_>, size: WinSize) -> io::Result<()> {
    let ws = libc::winsize {
        ws_row: size.rows,
        ws_col: size.cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCSWINSZ reads one `winsize`, which outlives the call.
    check(unsafe { libc::ioctl(tty.as_raw_fd(), libc::TIOCSWINSZ, &ws) }).map(drop)
}

/// Removes every capability from the calling thread's bounding, ambient, permitted,
/// effective and inheritable sets.
pub fn drop_capabilities() -> io::Result<()> {
    keep_capabilities(0)
}

/// Removes every capability but those of the mask.
pub fn keep_capabilities(mask: u32) -> io::Result<()> {
    for cap in 0..64 {
        if cap < 32 && mask & (1 << cap) != 0 {
            continue;
        }
        // SAFETY: PR_CAPBSET_DROP takes an integer; EINVAL past the last capability.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, cap, 0, 0, 0) } < 0 {
            break;
        }
    }
    // SAFETY: PR_CAP_AMBIENT_CLEAR_ALL takes integers only.
    unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_CLEAR_ALL,
            0,
            0,
            0,
        )
    };
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let sets = [mask, mask, 0, 0, 0, 0];
    // SAFETY: version 3 reads one header and two records of three u32; both outlive the
    // call.
    let ret = unsafe { libc::syscall(libc::SYS_capset, &header, sets.as_ptr()) };
    check(ret as libc::c_int).map(drop)
}

/// A packet socket (`packet(7)`) for all frames of the link `index`, with an offload header
/// before each, that neither blocks nor brings frames sent by others on this host.
pub fn packet_socket(index: u32) -> io::Result<OwnedFd> {
    const ALL: u16 = (libc::ETH_P_ALL as u16).to_be();
    const PACKET_VNET_HDR: libc::c_int = 15;
    const PACKET_IGNORE_OUTGOING: libc::c_int = 23;
    const BUFFER: libc::c_int = 8 << 20;
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: takes integers only.
    let fd = check(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
    // SAFETY: the descriptor is new and nothing else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let options = [
        (libc::SOL_PACKET, PACKET_VNET_HDR, 1),
        (libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1),
        (libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, BUFFER),
        (libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, BUFFER),
    ];
    for (level, name, value) in options {
        let value: libc::c_int = value;
        // SAFETY: reads one int, which outlives the call.
        check(unsafe {
            libc::setsockopt(
                fd.as_raw_fd(),
                level,
                name,
                std::ptr::from_ref(&value).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        })?;
    }
    // SAFETY: all fields are integers, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ALL;
    address.sll_ifindex = i32::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: reads one `sockaddr_ll`, which outlives the call.
    check(unsafe {
        libc::bind(
            fd.as_raw_fd(),
            std::ptr::from_ref(&address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    })?;
    Ok(fd)
}

/// Closes every descriptor whose number is not in `keep`, in a fresh child. The values
/// that own them must never be dropped there: the child ends by [`exit_now`].
pub fn close_all_but(keep: &[RawFd]) {
    let mut keep = keep.to_vec();
    keep.sort_unstable();
    let mut from: libc::c_uint = 0;
    for fd in keep {
        let fd = fd as libc::c_uint;
        if fd > from {
            // SAFETY: takes integers only; no value of this process that owns one of the
            // descriptors is used or dropped afterwards.
            unsafe { libc::syscall(libc::SYS_close_range, from, fd - 1, 0) };
        }
        from = fd + 1;
    }
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_close_range, from, u32::MAX, 0) };
}

/// Lets go of the pages of this program's code and constants, which the kernel's cache keeps:
/// what is executed next comes back by a cheap fault, and what was only needed to get so far
/// counts for nobody any more.
pub fn drop_code_pages() {
    extern "C" fn drop(
        info: *mut libc::dl_phdr_info,
        _size: libc::size_t,
        _data: *mut libc::c_void,
    ) -> libc::c_int {
        const PAGE: usize = 4096;
        // SAFETY: the loader passes a valid description, whose headers stay mapped.
        let (base, headers) = unsafe {
            let info = &*info;
            let n = usize::from(info.dlpi_phnum);
            (
                info.dlpi_addr as usize,
                std::slice::from_raw_parts(info.dlpi_phdr, n),
            )
        };
        for h in headers {
            if h.p_type != libc::PT_LOAD || h.p_flags & libc::PF_W != 0 {
                continue;
            }
            // A page shared with the next segment belongs to that.
            let first = base.wrapping_add(h.p_vaddr as usize);
            let start = first.next_multiple_of(PAGE);
            let end = first.wrapping_add(h.p_memsz as usize) & !(PAGE - 1);
            let len = end.saturating_sub(start);
            // SAFETY: the range is a private mapping of the program's file that cannot be
            // written, so a page that is read anew has the same bytes. A refusal changes
            // nothing.
            unsafe { libc::madvise(start as *mut libc::c_void, len, libc::MADV_DONTNEED) };
        }
        // Only the first object: the program itself.
        1
    }
    // SAFETY: the callback follows the convention and keeps nothing.
    unsafe { libc::dl_iterate_phdr(Some(drop), std::ptr::null_mut()) };
}

/// Overwrites the command line that /proc/self/cmdline shows, within the room it has.
/// Returns whether it could.
///
/// Only called in a fresh child that reads its arguments no more (`std::env::args` would
/// see the new text).
pub fn set_command_line(text: &str) -> bool {
    let Some((start, end)) = argument_range() else {
        return false;
    };
    let room = end - start;
    let mut bytes = vec![0u8; room];
    let n = text.len().min(room.saturating_sub(1));
    for (to, from) in bytes.iter_mut().zip(text.as_bytes().iter().take(n)) {
        *to = *from;
    }
    // SAFETY: the kernel says that its copy of our arguments lies at `start..end`, which is
    // part of the stack mapping and writable for as long as the process lives; the process
    // has one thread, which reads no argument meanwhile.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), start as *mut u8, room) };
    true
}

/// Where the kernel keeps the arguments: fields 48 and 49 of proc_pid_stat(5).
fn argument_range() -> Option<(usize, usize)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(45);
    let start: usize = fields.next()?.parse().ok()?;
    let end: usize = fields.next()?.parse().ok()?;
    (start != 0 && end > start && end - start < 1 << 20).then_some((start, end))
}
